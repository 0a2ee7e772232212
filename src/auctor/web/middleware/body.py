"""A request's body is counted as it arrives and refused (413) beyond the limit, whatever its Content-Length says."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auctor.errors import AuctorError
from auctor.web.api.problems import is_api, problem


class TooLarge(AuctorError):
    """A body beyond the limit."""

    status = 413


class _TooLong(Exception):
    """The body passed the limit while it was read."""


class BodyLimit:
    """ASGI middleware: at most `most` bytes of body a request."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse by the announced length at once, else by the counted one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > self._most:
            await _refusal(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, self._counting(receive), sending)
        except _TooLong:
            if not started:
                await _refusal(scope, receive, send)

    def _counting(self, receive: Receive) -> Receive:
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise _TooLong
            return message

        return counted


def _announced(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() else 0


async def _refusal(scope: Scope, receive: Receive, send: Send) -> None:
    answer: Response = PlainTextResponse("The request is larger than this installation accepts.", status_code=413)
    if is_api(scope["path"]):
        answer = problem(TooLarge(where="request", what="larger than this installation accepts", remedy="send less at a time"), 413)
    await answer(scope, receive, send)
