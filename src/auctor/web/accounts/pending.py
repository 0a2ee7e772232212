"""What a sign-in or an enrolment needs between two requests: kept in memory for some minutes, taken once, forgotten at a restart."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

MINUTES, MOST = 5, 10_000


class Pending:
    """Small notes by (purpose, holder), where the holder is a secret of the browser (its cookie's value)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._notes: OrderedDict[tuple[str, str], tuple[float, dict[str, Any]]] = OrderedDict()

    def put(self, purpose: str, holder: str, **note: Any) -> None:
        """Keep a note for five minutes, in place of an earlier one; beyond ten thousand the oldest go."""
        with self._lock:
            self._notes[purpose, holder] = (self._clock() + 60 * MINUTES, note)
            self._notes.move_to_end((purpose, holder))
            while len(self._notes) > MOST:
                self._notes.popitem(last=False)

    def look(self, purpose: str, holder: str) -> dict[str, Any] | None:
        """The note, which stays."""
        with self._lock:
            until, note = self._notes.get((purpose, holder), (0.0, {}))
        return note if until > self._clock() else None

    def take(self, purpose: str, holder: str) -> dict[str, Any] | None:
        """The note, which is gone with it."""
        with self._lock:
            until, note = self._notes.pop((purpose, holder), (0.0, {}))
        return note if until > self._clock() else None
