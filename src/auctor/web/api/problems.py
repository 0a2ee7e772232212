"""Refusals of the API as problem+json (RFC 9457): a stable type, a status, and where, what and the remedy; never a patient's value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from auctor.errors import AuctorError

PREFIX = "/api/"
MEDIA = "application/problem+json"
TITLES = {
    400: "Malformed request",
    401: "No valid key or session",
    403: "Not allowed",
    404: "Not found",
    405: "Not done here in this way",
    409: "Changed by somebody else meanwhile",
    412: "Not the revision that was seen",
    413: "Too large",
    422: "Refused",
    428: "Revision needed",
    429: "Too often",
    500: "A bug in auctor",
    503: "The store does not answer",
}


class PreconditionFailed(AuctorError):
    """If-Match names another revision than the last one."""

    status = 412


class PreconditionNeeded(AuctorError):
    """A change of a fact without saying which revision was seen."""

    status = 428


class Malformed(AuctorError):
    """A request that is not as the OpenAPI document says."""

    status = 400


class Reused(AuctorError):
    """An Idempotency-Key that was used for another request."""

    status = 422


def is_api(path: str) -> bool:
    """Whether an address belongs to the API.

    >>> is_api("/api/v1/patients"), is_api("/patients")
    (True, False)
    """
    return path.startswith(PREFIX)


def problem(error: AuctorError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """The answer that says what was refused."""
    import json

    fields: dict[str, Any] = {
        "type": f"urn:auctor:problem:{type(error).__name__}",
        "title": TITLES.get(status, "Refused"),
        "status": status,
        "detail": str(error),
        "where": error.where,
        "what": error.what,
        "remedy": error.remedy,
    }
    return Response(json.dumps(fields, ensure_ascii=False, allow_nan=False), status, dict(headers or {}), media_type=MEDIA)
