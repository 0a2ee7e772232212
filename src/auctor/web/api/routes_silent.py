"""The track record of silent mode as data."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api.answers import refusals
from auctor.web.api.shapes.silent import Silent
from auctor.web.pages.visits import AtClinic
from auctor.web.service.track_record import as_data, track_record

router = APIRouter()
Tracker = Annotated[Actor, may(Verb.TRACK)]


@router.get("/silent", responses=refusals())
def get_track_record(clinic: AtClinic, actor: Tracker) -> Silent:
    """Predictions against the levels that came, by drug, model and method (docs/silent-mode.md). No patient is named."""
    return Silent.model_validate(as_data(track_record(clinic, actor)))
