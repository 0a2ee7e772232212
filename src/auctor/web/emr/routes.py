"""Every route of the hospital record, from the files beside this one; those of named partners apart."""

from __future__ import annotations

from fastapi import APIRouter

from auctor.web.emr import cds_hooks, routes_messages, routes_record, smart

router, partners_router = APIRouter(include_in_schema=False), APIRouter()
for part in (routes_record, routes_messages):
    router.include_router(part.router)
for partner in (cds_hooks, smart):
    partners_router.include_router(partner.router)
