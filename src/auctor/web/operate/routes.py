"""Health for a supervisor, figures for Prometheus."""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from auctor.web.accounts.permissions import Verb, demand
from auctor.web.middleware.visit import current_actor
from auctor.web.operate.readiness import checks

router = APIRouter(include_in_schema=False)


@router.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/health/ready")
def ready(request: Request) -> Response:
    """The process can do its work (200), or which part cannot (503)."""
    found = checks(request.app.state.settings, request.app.state.store)
    good = all(found.values())
    body: dict[str, Any] = {
        "status": "ok" if good else "failing",
        "checks": {name: "ok" if ok else "failing" for name, ok in found.items()},
    }
    return JSONResponse(body, 200 if good else 503)


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Figures, for the configured token or an administrator."""
    if not _by_token(request):
        demand(current_actor(request), Verb.OPERATE)
    return Response(request.app.state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _by_token(request: Request) -> bool:
    token: str = request.app.state.settings.metrics_token
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())
