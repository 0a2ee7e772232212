"""Failed attempts slow the next ones down: by account and address together at once, by either alone later; the same for unknown names.

Kept in memory, as the application is one process; counting starts again with it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from auctor.errors import AuctorError

MOST_KEYS = 50_000


class TooMany(AuctorError):
    """Too many attempts; `seconds` says when the next one is looked at."""

    status = 429

    def __init__(self, seconds: float) -> None:
        super().__init__(where="sign-in", what="too many attempts", remedy=f"try again in {max(1, round(seconds))} s")
        self.seconds = max(1, round(seconds))


@dataclass(frozen=True, kw_only=True)
class Slowdown:
    """`free` failures cost nothing; each further one doubles the wait from `first_s` to at most `longest_s`. Forgotten after `memory_s`."""

    free: int
    first_s: float = 2.0
    longest_s: float = 900.0
    memory_s: float = 3600.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after the last of so many failures.

        >>> rule = Slowdown(free=3)
        >>> [rule.wait_s(n) for n in (0, 3, 4, 5, 30)]
        [0.0, 0.0, 2.0, 4.0, 900.0]
        """
        return 0.0 if failures <= self.free else min(self.longest_s, self.first_s * 2 ** min(failures - self.free - 1, 30))


PAIR, ADDRESS, ACCOUNT = Slowdown(free=5), Slowdown(free=50), Slowdown(free=100, longest_s=60.0)


class Rates:
    """Counts failures by key. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def check(self, *, account: str, address: str) -> None:
        """Raise `TooMany` while an attempt has to wait."""
        now = self._clock()
        with self._lock:
            left = max(self._left(key, rule, now) for key, rule in _keys(account, address))
        if left > 0:
            raise TooMany(left)

    def failed(self, *, account: str, address: str) -> None:
        """Count one failure."""
        now = self._clock()
        with self._lock:
            for key, rule in _keys(account, address):
                self._failures[key] = (self._count(key, rule, now) + 1, now)
                self._failures.move_to_end(key)
            while len(self._failures) > MOST_KEYS:
                self._failures.popitem(last=False)

    def succeeded(self, *, account: str, address: str) -> None:
        """Forget the failures of the pair; those of the address and of the account alone stay."""
        with self._lock:
            self._failures.pop(_keys(account, address)[0][0], None)

    def _count(self, key: tuple[str, str], rule: Slowdown, now: float) -> int:
        count, last = self._failures.get(key, (0, now))
        return count if now - last < rule.memory_s else 0

    def _left(self, key: tuple[str, str], rule: Slowdown, now: float) -> float:
        count = self._count(key, rule, now)
        return rule.wait_s(count) - (now - self._failures[key][1]) if count else 0.0


def _keys(account: str, address: str) -> tuple[tuple[tuple[str, str], Slowdown], ...]:
    name = account.strip().casefold()
    return ((name, address), PAIR), (("", address), ADDRESS), ((name, ""), ACCOUNT)
