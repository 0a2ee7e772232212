"""What the routes of this package share: the reception, the browser behind a request, a place to go on to, a sign-in that is fresh."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse, Response

from auctor.web.accounts.reception import Reception
from auctor.web.accounts.sign_in import Browser
from auctor.web.middleware.visit import Found, SignInNeeded, Visit, cookie, session_cookie, visitor_cookie

FRESH_S = 15 * 60


def reception_of(request: Request) -> Reception:
    """The reception of the application."""
    found: Reception = request.app.state.reception
    return found


def browser_of(request: Request) -> Browser:
    """Who knocks. The address is the proxy's word where the proxy is a configured one, else the connection's."""
    address = request.client.host if request.client else ""
    visit: Visit = request.state.visit
    return Browser(visitor=visit.token or visit.visitor, address=address, user_agent=request.headers.get("user-agent", ""))


def session_of(request: Request) -> Found:
    """The session of a signed-in person; a program has none and is refused like nobody."""
    visit: Visit = request.state.visit
    if visit.found is None:
        raise SignInNeeded
    return visit.found


def fresh_session_of(request: Request) -> Found:
    """The same, if the person signed in within the last quarter of an hour: for what a thief of an open screen would want."""
    found = session_of(request)
    if found.age_s > FRESH_S:
        raise SignInNeeded(again=True)
    return found


AtReception = Annotated[Reception, Depends(reception_of)]
Knocking = Annotated[Browser, Depends(browser_of)]
OwnSession = Annotated[Found, Depends(session_of)]
FreshSession = Annotated[Found, Depends(fresh_session_of)]


def onward_of(text: str) -> str:
    r"""A place on this site to go on to; anything else is the start page.

    >>> onward_of("/patients/7?tab=2"), onward_of("//elsewhere.example"), onward_of("https://elsewhere.example"), onward_of("/a\\b")
    ('/patients/7?tab=2', '/', '/', '/')
    """
    plain = text.isprintable() and not any(sign in text for sign in "\\ ")
    return text if plain and text.startswith("/") and not text.startswith("//") else "/"


def signed_in(request: Request, token: str, onward: str) -> Response:
    """Hand the session's cookie out, take the visitor's away, and go on."""
    answer = RedirectResponse(onward_of(onward), 303)
    set_session(request, answer, token)
    return answer


def set_session(request: Request, answer: Response, token: str) -> None:
    """Put the cookie of a new session on an answer; the session before it and the visitor's cookie end, and their forms with them."""
    settings, before = request.app.state.settings, request.state.visit.found
    if before is not None:
        reception_of(request).sessions.end(before.actor, before.session_id)
    seconds = settings.session_absolute_hours * 3600
    answer.headers.append("set-cookie", cookie(settings, session_cookie(settings), token, seconds=seconds))
    answer.headers.append("set-cookie", cookie(settings, visitor_cookie(settings), "", seconds=0))
