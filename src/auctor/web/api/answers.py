"""What a route may answer beside its success, for OpenAPI: refusals by their statuses."""

from __future__ import annotations

from typing import Any

from auctor.web.api.problems import TITLES
from auctor.web.api.shapes.base import Problem

ALWAYS = (400, 401, 403, 429, 503)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route: those of every one, and these."""
    return {status: {"model": Problem, "description": TITLES[status]} for status in sorted({*ALWAYS, *statuses})}


def leads_to(**links: str) -> dict[str, Any]:
    """Links of OpenAPI: where the identifier that was made goes on (`operation="parameter"`)."""
    found = {name: {"operationId": name, "parameters": {parameter: "$response.body#/id"}} for name, parameter in links.items()}
    return {"links": found}
