"""How much one account asks for: a bucket of requests that fills again by the second, and so many at the same time.

People never notice; a program that runs wild, or a stolen session that copies everything, does. Kept in memory: a bound on each process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from auctor.errors import AuctorError
from auctor.web.middleware.visit import UNSEEN, Refuse
from auctor.web.settings import Settings

MOST_KNOWN = 50_000
STRANGERS = 10  # an address that nobody signed in from may be that of a whole hospital: so many times an account's share


class TooFast(AuctorError):
    """More than one account may ask for; `seconds` says when there is room again."""

    status = 429

    def __init__(self, seconds: int) -> None:
        super().__init__(where="request", what="more than one account may ask for at a time", remedy=f"try again in {seconds} s")
        self.seconds = seconds


@dataclass
class _Use:
    """What is left of a bucket, when it was looked at, and what runs now."""

    left: float
    at: float
    running: int = 0


class Buckets:
    """Requests by whoever asks: at most `a_minute` in a minute, all at once or spread, and `at_once` at the same time. 0: without end.

    >>> buckets = Buckets(a_minute=2, at_once=9, clock=lambda: 0.0)
    >>> [buckets.enter("ada", 1) for _ in range(3)], buckets.enter("bob", 1)
    ([0, 0, 30], 0)
    """

    def __init__(self, *, a_minute: int, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_minute, self._at_once, self._clock, self._lock = a_minute, at_once, clock, Lock()
        self._uses: OrderedDict[str, _Use] = OrderedDict()

    def enter(self, who: str, share: int) -> int:
        """0 and one request more that runs, or the seconds after which to try again; `share` multiplies both bounds."""
        now = self._clock()
        with self._lock:
            use = self._uses.setdefault(who, _Use(left=float(self._a_minute * share), at=now))
            self._uses.move_to_end(who)
            rate = self._a_minute * share / 60
            use.left, use.at = min(self._a_minute * share, use.left + rate * (now - use.at)), now
            if self._at_once and use.running >= self._at_once * share:
                return 1
            if self._a_minute and use.left < 1:
                return max(1, round((1 - use.left) / rate))
            use.left, use.running = use.left - 1, use.running + 1
            self._forget()
        return 0

    def leave(self, who: str) -> None:
        """The request has ended."""
        with self._lock:
            if who in self._uses:
                self._uses[who].running -= 1

    def _forget(self) -> None:
        while len(self._uses) > MOST_KNOWN:
            self._uses.popitem(last=False)


class Pace:
    """ASGI middleware inside `Visits`, which says who asks. Static files and health are not counted."""

    def __init__(self, app: ASGIApp, *, settings: Settings, refuse: Refuse) -> None:
        self._app, self._refuse = app, refuse
        self._buckets = Buckets(a_minute=settings.requests_a_minute, at_once=settings.requests_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it (429)."""
        if scope["type"] != "http" or scope["path"].startswith(UNSEEN):
            await self._app(scope, receive, send)
            return
        who, share = _who(scope)
        seconds = self._buckets.enter(who, share)
        if seconds:
            answer = await run_in_threadpool(self._refuse, Request(scope), TooFast(seconds))
            await answer(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._buckets.leave(who)


def _who(scope: Scope) -> tuple[str, int]:
    actor = scope["state"]["visit"].actor
    if actor is not None:
        return str(actor.account_id), 1
    return f"at {(scope.get('client') or ('?',))[0]}", STRANGERS
