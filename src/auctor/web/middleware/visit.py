"""Who is asking: the session of the cookie, or the program of the bearer key, put on `request.state.visit` before any route runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.settings import Settings

OWN_PAGES, STATIC = "/account", "/static/"
UNSEEN = (STATIC, "/health/")  # who asks for these does not matter


@dataclass(frozen=True, kw_only=True)
class Found:
    """A live session: its actor, its identifier, by which factors and when it was opened.

    `duty` is empty, or what the person has to do first (`password`, `second-factor`); until then only the pages of its own account answer.
    """

    actor: Actor
    session_id: str
    locale: str
    factors: tuple[str, ...]
    age_s: float
    duty: str = ""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """What is known about a request's sender. `token` is the session cookie's value, `visitor` that of the cookie before sign-in."""

    token: str = ""
    visitor: str = ""
    found: Found | None = None
    program: Actor | None = None
    by_key: bool = False

    @property
    def actor(self) -> Actor | None:
        """The signed-in person or the program, if any."""
        return self.found.actor if self.found else self.program


class Doorkeeper(Protocol):
    """Knows sessions and keys."""

    def by_cookie(self, token: str) -> Found | None:
        """The live session of a cookie, None for an unknown or ended one."""

    def by_key(self, key: str) -> Actor | None:
        """The program behind a bearer key, None for an unknown or ended one."""


Refuse = Callable[[Request, Exception], Response]


class SignInNeeded(Exception):
    """A route that needs an actor was asked for without one, or (`again`) a sign-in of a few minutes ago is needed."""

    def __init__(self, *, again: bool = False) -> None:
        super().__init__()
        self.again = again


class DutyFirst(Exception):
    """Signed in, but a password must be changed or a second factor set up before anything else."""


def session_cookie(settings: Settings) -> str:
    """The session cookie's name: with https bound to this host by its prefix, so that a sister domain cannot set it.

    >>> from pathlib import Path
    >>> session_cookie(Settings(data_folder=Path(), public_url="https://auctor.example"))
    '__Host-auctor'
    """
    return "__Host-auctor" if settings.https else "auctor"


def visitor_cookie(settings: Settings) -> str:
    """The name of the cookie that a browser has before it is signed in: what its forms are bound to."""
    return f"{session_cookie(settings)}-visitor"


def language_cookie(settings: Settings) -> str:
    """The name of the cookie that remembers the reader's language."""
    return f"{session_cookie(settings)}-language"


def cookie(settings: Settings, name: str, value: str, *, seconds: int | None = None) -> str:
    """A Set-Cookie line: HttpOnly, SameSite=Lax, Secure with https; SameSite=None where an EHR frames the pages."""
    framed = settings.https and settings.frame_ancestors
    parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=None; Partitioned" if framed else "SameSite=Lax"]
    return "; ".join([*parts, *(["Secure"] if settings.https else []), *([f"Max-Age={seconds}"] if seconds is not None else [])])


class Visits:
    """ASGI middleware that looks the sender up once a request. With a bearer key no cookie is looked at."""

    def __init__(self, app: ASGIApp, *, doorkeeper: Doorkeeper, settings: Settings, refuse: Refuse) -> None:
        self._app, self._doorkeeper, self._settings, self._refuse = app, doorkeeper, settings, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set `state.visit`, then pass the request on; give a browser without cookies one for its forms."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        scope.setdefault("state", {})["visit"] = Visit()
        try:
            visit = Visit() if scope["path"].startswith(UNSEEN) else await self._visit(request)
        except AuctorError as error:  # the store does not answer: nobody is known, and that is said
            answer = await run_in_threadpool(self._refuse, request, error)
            await answer(scope, receive, send)
            return
        scope["state"]["visit"] = visit
        fresh = not visit.by_key and not visit.found and visit.visitor not in request.cookies.values()

        async def sending(message: Message) -> None:
            if fresh and message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", cookie(self._settings, visitor_cookie(self._settings), visit.visitor))
            await send(message)

        await self._app(scope, receive, sending)

    async def _visit(self, request: Request) -> Visit:
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return Visit(program=await run_in_threadpool(self._doorkeeper.by_key, key.strip()), by_key=True)
        token = request.cookies.get(session_cookie(self._settings), "")
        found = await run_in_threadpool(self._doorkeeper.by_cookie, token) if token else None
        visitor = request.cookies.get(visitor_cookie(self._settings), "")
        return Visit(token=token if found else "", visitor=visitor if len(visitor) >= 40 else secrets.token_urlsafe(32), found=found)


def current_actor(request: Request) -> Actor:
    """The signed-in actor, for `Depends`. Raises `SignInNeeded`, which becomes a redirect (pages), HX-Redirect (fragments) or 401 (API)."""
    visit: Visit = request.state.visit
    if visit.actor is None:
        raise SignInNeeded
    if visit.found and visit.found.duty and not request.url.path.startswith(OWN_PAGES):
        raise DutyFirst
    return visit.actor


CurrentActor = Annotated[Actor, Depends(current_actor)]
