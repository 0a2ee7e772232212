"""Every route of the hospital record, from the files beside this one."""

from __future__ import annotations

from fastapi import APIRouter

from auctor.web.emr import cds_hooks, smart

router = APIRouter()
for part in (cds_hooks, smart):
    router.include_router(part.router)
