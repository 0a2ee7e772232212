"""The rest-hook of a Subscription: a call that something is new. It is believed no further: what is new is read from the server.

The path holds a name of our own for the course (no patient number), the header a secret. What the call carries is not read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Header, HTTPException, Request, Response

PATH = "/emr/fhir/hook"
MAX_BODY = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Ping:
    """Something is new for `course` (our own name of it)."""

    course: str
    received_at: datetime


def secret_of(key: bytes, course: str) -> str:
    """The secret of one course's hook, from the installation's key: nothing to store, nothing that opens another course's hook."""
    return hmac.digest(key, f"fhir-hook {course}".encode(), hashlib.sha256).hex()


def hook_router(key: bytes, notify: Callable[[Ping], None]) -> APIRouter:
    """Routes for a call without a resource (POST) and with one (PUT); 401 without the course's secret, 413 for more than 2 MB."""
    router = APIRouter()

    async def called(course: str, request: Request, authorization: str = Header(default="")) -> Response:
        scheme, _, secret = authorization.partition(" ")
        if scheme.casefold() != "bearer" or not hmac.compare_digest(secret.encode(), secret_of(key, course).encode()):
            raise HTTPException(401, "no such hook, or not its secret", headers={"WWW-Authenticate": "Bearer"})
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if size > MAX_BODY:
                raise HTTPException(413, "too large")
        notify(Ping(course=course, received_at=datetime.now(UTC)))
        return Response(status_code=200)

    router.add_api_route(f"{PATH}/{{course}}", called, methods=["POST"], include_in_schema=False)
    router.add_api_route(f"{PATH}/{{course}}/{{kind}}/{{name}}", called, methods=["PUT"], include_in_schema=False)
    return router
