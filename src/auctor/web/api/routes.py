"""Every route of the API, from the files beside this one, and its OpenAPI document."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from auctor.web.api import routes_courses, routes_facts, routes_models, routes_patients, routes_results, routes_silent
from auctor.web.api.description import description, methods
from auctor.web.api.shown import START


def _name(route: APIRoute) -> str:
    return route.name


router = APIRouter(prefix=START, generate_unique_id_function=_name)
for part in (routes_patients, routes_courses, routes_facts, routes_results, routes_models, routes_silent):
    router.include_router(part.router)


@router.get("/openapi.json", include_in_schema=False)
def openapi() -> JSONResponse:
    """The OpenAPI 3.1 document; everybody may read it."""
    return JSONResponse(_document())


def allowed(path: str) -> str:
    """The methods that an address of the API answers."""
    return methods(_document(), path)


@cache
def _document() -> dict[str, Any]:
    return description(router)
