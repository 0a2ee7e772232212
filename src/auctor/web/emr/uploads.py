"""Files between preview and confirmation: few, for some minutes, each for the one who sent it and the one course."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

MOST, MINUTES = 8, 15


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One Bundle as it was sent."""

    account: str
    course: str
    bundle: dict[str, Any]
    formula: str = ""


@dataclass(frozen=True, kw_only=True)
class Uploads:
    """What waits for a confirmation.

    >>> kept = Uploads()
    >>> name = kept.put(Upload(account="a", course="c", bundle={}))
    >>> kept.take(name, account="b", course="c") is None, kept.take(name, account="a", course="c").bundle
    (True, {})
    """

    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[str, tuple[float, Upload]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, upload: Upload) -> str:
        """Keep it; a name that cannot be guessed. Beyond a handful the oldest goes."""
        name = secrets.token_urlsafe(24)
        with self._lock:
            self._kept[name] = (self.clock() + 60 * MINUTES, upload)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        return name

    def take(self, name: str, *, account: str, course: str) -> Upload | None:
        """It, once; None for another's, another course's, and after its time."""
        with self._lock:
            until, found = self._kept.get(name, (0.0, None))
            if found is None or until < self.clock() or (found.account, found.course) != (account, course):
                return None
            del self._kept[name]
        return found
