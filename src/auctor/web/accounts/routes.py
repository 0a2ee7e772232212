"""The routes of this package, together."""

from __future__ import annotations

from fastapi import APIRouter

from auctor.web.accounts import routes_admin, routes_own, routes_sign_in

router = APIRouter()
for part in (routes_sign_in, routes_own, routes_admin):
    router.include_router(part.router)
