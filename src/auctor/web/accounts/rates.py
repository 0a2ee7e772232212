"""Failed attempts slow the next ones down: by account and address together at once, by either alone later; the same for unknown names.

Counted in the store: every process of an installation shares the counts, and a restart does not forget them. Logins and addresses are
kept as digests under the installation's secret, for an hour after the last failure.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Delete, Insert, case, delete, select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.touch import touch
from auctor.web.store import Store, Work
from auctor.web.store.engine import is_postgresql
from auctor.web.store.tables import SignInFailure, now

COUNTER = Actor.system("rates")


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
MEMORY = timedelta(seconds=max(rule.memory_s for rule in (PAIR, ADDRESS, ACCOUNT)))


class Rates:
    """Counts failures in a store. `clock` gives the present moment."""

    def __init__(self, store: Store, clock: Callable[[], datetime] = now) -> None:
        self._store, self._clock = store, clock

    def check(self, *, account: str, address: str) -> None:
        """Raise `TooMany` while an attempt has to wait."""
        moment, rules = self._clock(), dict(self._keys(account, address))
        with self._store.read(COUNTER) as reading:
            rows = reading.session.scalars(select(SignInFailure).where(SignInFailure.key.in_(rules))).all()
            left = max((_left(row, rules[row.key], moment) for row in rows), default=0.0)
        if left > 0:
            raise TooMany(left)

    def failed(self, *, account: str, address: str) -> None:
        """Count one failure, and forget those of long ago. Not to be called within a unit of work: it is a transaction of its own."""
        moment = self._clock()
        keys = sorted(key for key, _ in self._keys(account, address))  # always in one order: two at a time do not wait for each other
        forgotten = delete(SignInFailure).where(SignInFailure.last_at <= moment - MEMORY)
        touch(self._store, *(self._one_more(key, moment) for key in keys), forgotten)

    def succeeded(self, work: Work, *, account: str, address: str) -> None:
        """Within the unit of work of the sign-in: forget the failures of the pair; those of the address and of the account alone stay."""
        work.session.execute(self._forgiven(account, address))

    def _forgiven(self, account: str, address: str) -> Delete:
        return delete(SignInFailure).where(SignInFailure.key == self._key("pair", account, address))

    def _one_more(self, key: str, moment: datetime) -> Insert:
        """One statement, so that failures at the same time are all counted."""
        from sqlalchemy.dialects import postgresql, sqlite

        kind = postgresql if is_postgresql(self._store.engine) else sqlite
        lately = case((SignInFailure.last_at > moment - MEMORY, SignInFailure.failures + 1), else_=1)
        row = kind.insert(SignInFailure).values(key=key, failures=1, last_at=moment)
        counted: Insert = row.on_conflict_do_update(index_elements=["key"], set_={"failures": lately, "last_at": moment})
        return counted

    def _keys(self, account: str, address: str) -> Iterator[tuple[str, Slowdown]]:
        """A passkey comes without a login: it counts for the address, never against everybody who signs in that way."""
        yield self._key("pair", account, address), PAIR
        yield self._key("address", address), ADDRESS
        if account.strip():
            yield self._key("account", account), ACCOUNT

    def _key(self, *parts: str) -> str:
        text = "\0".join(part.strip().casefold() for part in parts)
        return hmac.digest(self._store.sealer.key("rates"), text.encode(), "sha256").hex()


def _left(row: SignInFailure, rule: Slowdown, moment: datetime) -> float:
    past_s = (moment - row.last_at).total_seconds()
    return rule.wait_s(row.failures) - past_s if past_s < rule.memory_s else 0.0
