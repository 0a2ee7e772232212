"""The OpenAPI document: FastAPI's, with refusals as problem+json and the key as bearer token."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter
from fastapi.openapi.utils import get_openapi

from auctor import __version__
from auctor.web.api.problems import MEDIA

ABOUT = (
    "Patients, courses, facts, analyses and signatures: the verbs of the pages, for programs. Every quantity has its unit beside it. "
    "Refusals are problem+json (RFC 9457) with where, what and remedy. See docs/api.md."
)
BEARER = {"type": "http", "scheme": "bearer", "description": "a key of your account: Account > Keys"}


def description(router: APIRouter) -> dict[str, Any]:
    """The document of a router's routes."""
    found = get_openapi(title="auctor", version=__version__, description=ABOUT, routes=router.routes)
    found["components"]["securitySchemes"] = {"key": BEARER}
    found["security"] = [{"key": []}]
    for path in found["paths"].values():
        for operation in path.values():
            _refusals(operation["responses"])
    return found


def methods(document: dict[str, Any], path: str) -> str:
    """The methods of the described address that a path is, for an `Allow` header: "" where none is.

    >>> methods({"paths": {"/a/{id}": {"get": {}, "put": {}}}}, "/a/7")
    'GET, PUT'
    """
    known = (pattern for pattern in document["paths"] if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(pattern)), path))
    return ", ".join(sorted(method.upper() for pattern in known for method in document["paths"][pattern]))


def _refusals(responses: dict[str, Any]) -> None:
    for status, answer in responses.items():
        if status >= "400":
            answer["content"] = {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}
