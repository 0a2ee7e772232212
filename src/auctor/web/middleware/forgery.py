"""Forged requests: a change needs an Origin of ours and the session's own token, in the form or in the X-CSRF-Token header.

It holds for every unsafe method on every route, so that no route can forget it. A request with a bearer key is not looked at by
cookie at all (`Visits`), and so cannot be forged by a browser.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auctor.errors import AuctorError
from auctor.web.api.problems import is_api, problem
from auctor.web.middleware.visit import Visit
from auctor.web.operate.logs import event
from auctor.web.settings import Settings

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
FIELD, HEADER = "csrf_token", "x-csrf-token"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
ELSEWHERE = "This form was sent from another site, or your browser hides where it came from. Open the page again and send it from there."
STALE = "This form is from an earlier session. Nothing was changed. Open the page again and send it anew."


class Forged(AuctorError):
    """A change asked for by cookie without the session's token."""

    status = 403


def csrf_token(request: Request) -> str:
    """The token of this request's session (or, before sign-in, of its visitor cookie), for a hidden `csrf_token` field."""
    return _token(request.app.state.settings, request.state.visit)


def _token(settings: Settings, visit: Visit) -> str:
    return hmac.new(settings.key("forms"), (visit.token or visit.visitor).encode(), "sha256").hexdigest()


class ForgeryGuard:
    """ASGI middleware that refuses (403) what does not carry the proof. It stands inside `Visits`."""

    def __init__(self, app: ASGIApp, *, settings: Settings, exempt: Callable[[str], bool] = lambda path: False) -> None:
        self._app, self._settings, self._exempt = app, settings, exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass safe methods and bearer keys on; look at the others, reading a form and handing its bytes on."""
        if scope["type"] != "http" or scope["method"] in SAFE or self._nothing_to_forge(scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if not self._ours(request):
            event("forged", why="origin")
            await _refusal(scope["path"], ELSEWHERE)(scope, receive, send)
            return
        given, onward = await _given(request)
        if not hmac.compare_digest(given.encode(), _token(self._settings, scope["state"]["visit"]).encode()):
            event("forged", why="token")
            await _refusal(scope["path"], STALE)(scope, receive, send)
            return
        await self._app(scope, onward, send)

    def _nothing_to_forge(self, scope: Scope) -> bool:
        """A key is no cookie; the API without a session refuses by itself."""
        visit: Visit = scope["state"]["visit"]
        return visit.by_key or self._exempt(scope["path"]) or (visit.found is None and is_api(scope["path"]))

    def _ours(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None:
            referrer = urlsplit(request.headers.get("referer", ""))
            origin = f"{referrer.scheme}://{referrer.netloc}"
        return origin in self._settings.origins


def _refusal(path: str, text: str) -> Response:
    if not is_api(path):
        return PlainTextResponse(text, 403)
    remedy = "a program sends a key as bearer token; a script of ours sends X-CSRF-Token"
    return problem(Forged(where="request", what="a session without the proof that it was meant", remedy=remedy), 403)


async def _given(request: Request) -> tuple[str, Receive]:
    """The token of the request, and what the route receives: the same bytes where they had to be read."""
    if HEADER in request.headers:
        return request.headers[HEADER], request.receive
    if not request.headers.get("content-type", "").startswith(FORMS):
        return "", request.receive
    body = await request.body()
    copy = Request(request.scope, _once(body))
    async with copy.form() as form:
        found = form.get(FIELD, "")
    return (found if isinstance(found, str) else ""), _once(body)


def _once(body: bytes) -> Receive:
    """A receive channel that yields this body and then a disconnection."""
    messages = iter(({"type": "http.request", "body": body, "more_body": False},))

    async def receive() -> Message:
        return next(messages, {"type": "http.disconnect"})

    return receive
