"""Who is asking: the session of the cookie, or the program of the bearer key, put on `request.state.visit` before any route runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from auctor.web.accounts.actor import Actor


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What is known about a request's sender. `token` is the cookie's value, empty without one; `actor` is None until signed in."""

    token: str = ""
    actor: Actor | None = None
    by_key: bool = False


class Doorkeeper(Protocol):
    """Knows sessions and keys."""

    def by_cookie(self, token: str) -> Actor | None:
        """The actor of a live session, None for an unknown or ended one."""

    def by_key(self, key: str) -> Actor | None:
        """The program behind a bearer key, None for an unknown, ended or narrowed-out one."""


class SignInNeeded(Exception):
    """A route that needs an actor was asked for without one."""


class Visits:
    """ASGI middleware that looks the sender up once a request. With a bearer key the cookie is not looked at."""

    def __init__(self, app: ASGIApp, *, doorkeeper: Doorkeeper, cookie: str) -> None:
        self._app, self._doorkeeper, self._cookie = app, doorkeeper, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set `state.visit`, then pass the request on."""
        if scope["type"] == "http":
            scope.setdefault("state", {})["visit"] = await self._visit(Request(scope))
        await self._app(scope, receive, send)

    async def _visit(self, request: Request) -> Visit:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return Visit(actor=await run_in_threadpool(self._doorkeeper.by_key, key.strip()), by_key=True)
        token = request.cookies.get(self._cookie, "")
        actor = await run_in_threadpool(self._doorkeeper.by_cookie, token) if token else None
        return Visit(token=token, actor=actor)


def current_actor(request: Request) -> Actor:
    """The signed-in actor, for `Depends`. Raises `SignInNeeded`, which becomes a redirect (pages), HX-Redirect (fragments) or 401 (API)."""
    visit: Visit = request.state.visit
    if visit.actor is None:
        raise SignInNeeded
    return visit.actor


CurrentActor = Annotated[Actor, Depends(current_actor)]
