"""One log line and one count for each request; an unforeseen error becomes a plain 500 without its text, here and in the log."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auctor.errors import AuctorError
from auctor.web.api.problems import is_api, problem
from auctor.web.operate.logs import Stopwatch, event, told
from auctor.web.operate.metrics import Metrics

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Bug(AuctorError):
    """What auctor did not foresee; `where` is the number of the request in the log."""


class Watch:
    """ASGI middleware around everything but the security headers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, watching what becomes of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, watch, number = 0, Stopwatch(), secrets.token_hex(8)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, sending)
            except Exception as error:  # the last resort: its text may quote a patient, so only type and place are kept
                self._metrics.failed()
                event("error", level=logging.ERROR, request=number, route=route_of(scope), **told(error))
                if status:
                    raise ConnectionAbortedError from None
                await _failure(number, scope["path"])(scope, receive, sending)
            finally:
                self._note(scope, number, status, watch.seconds())

    def _note(self, scope: Scope, number: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = route_of(scope)
        self._metrics.answered(method=method, route=route, status=status, seconds=seconds)
        event("request", request=number, method=method, route=route, status=status, seconds=seconds, account=account_of(scope))


def route_of(scope: Scope) -> str:
    """The pattern of the route, never the address; `none` where no route matched."""
    return str(getattr(scope.get("route"), "path", "none"))


def account_of(scope: Scope) -> str:
    """The signed-in account's identifier, or `nobody`."""
    visit: Any = scope.get("state", {}).get("visit")
    actor = visit.actor if visit is not None else None
    return str(actor.account_id) if actor is not None else "nobody"


def _failure(number: str, path: str) -> Response:
    bug = Bug(
        where=number,
        what="an error auctor did not foresee; nothing was saved",
        remedy="this is a bug in auctor: report the number, it stands in the log",
    )
    if is_api(path):
        return problem(bug, 500)
    return JSONResponse({"error": {"kind": "Bug", "where": number, "what": bug.what, "remedy": bug.remedy}}, 500)
