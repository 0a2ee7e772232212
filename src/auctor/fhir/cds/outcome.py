"""A refusal as a FHIR OperationOutcome: what, where and the remedy, without a patient value."""

from __future__ import annotations

from typing import Any

CODES = {400: "invalid", 401: "login", 403: "forbidden", 404: "not-found", 412: "incomplete", 413: "too-long", 415: "not-supported"}


def operation_outcome(status: int, *, where: str, what: str, remedy: str) -> dict[str, Any]:
    """The resource for an HTTP status.

    >>> operation_outcome(412, where="course", what="not open", remedy="open it")["issue"][0]["code"]
    'incomplete'
    """
    issue = {"severity": "error", "code": CODES.get(status, "processing"), "diagnostics": f"{where}: {what}; {remedy}"[:1000]}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
