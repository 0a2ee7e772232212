"""The track record of silent mode as a page: running error, coverage and calibration, and the levels that have none."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from auctor.validate.control_chart import Count
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.pages.language import N_, Language
from auctor.web.pages.rendering import language_of, page
from auctor.web.pages.visits import AtClinic
from auctor.web.service.track_record import Record, Track, track_record

router = APIRouter()
Tracker = Annotated[Actor, may(Verb.TRACK)]
METHODS = {"a_priori": N_("A priori"), "map": "MAP", "posterior": N_("Posterior")}
SIGNALS = {
    "bias": N_("bias"),
    "coverage50": N_("coverage of the 50 % interval"),
    "coverage90": N_("coverage of the 90 % interval"),
    "calibration": N_("calibration"),
}
LEVELS = {
    "levels": N_("levels"),
    "scored": N_("scored"),
    "waiting": N_("waiting to be scored"),
    "not_foretold": N_("that no method could foretell"),
    "left_out_by_a_person": N_("left out of the estimation by a person, and scored"),
    "withdrawn": N_("withdrawn as entered in error"),
}


@router.get("/silent")
def silent(request: Request, clinic: AtClinic, actor: Tracker) -> Response:
    """Predictions against the levels that came, in the wards of the reader; no patient is named."""
    tongue, record = language_of(request), track_record(clinic, actor)
    return page(request, "silent.html", title=N_("Silent mode"), section="silent", **silent_view(record, tongue))


def silent_view(record: Record, tongue: Language) -> dict[str, Any]:
    """What the template shows."""
    counts = [(tongue.say(words), getattr(record, name)) for name, words in LEVELS.items()]
    return {"counts": counts, "tracks": [_track(track, tongue) for track in record.tracks]}


def _track(track: Track, tongue: Language) -> dict[str, Any]:
    chart = track.chart
    return {
        "drug": track.drug,
        "model": track.model,
        "method": tongue.say(METHODS[track.method]),
        "n": track.n,
        "outside": track.outside_limits,
        "bias": tongue.number(100 * track.mean_error, 2),
        "error": tongue.number(100 * track.root_mean_square_error, 2),
        "inside50": _count(track.inside50),
        "inside90": _count(track.inside90),
        "bins": [_count(one) | {"height": _height(one)} for one in track.histogram],
        "ewma": tongue.number(chart.values[-1], 2),
        "limit": tongue.number(chart.limit, 2),
        "first": chart.first_signal,
        "signals": [tongue.say(SIGNALS[name]) for name in track.signals],
    }


def _count(count: Count) -> dict[str, Any]:
    return {"found": count.found, "n": count.n, "low": count.low, "high": count.high, "within": count.within}


def _height(count: Count) -> float:
    """Of a bar in a picture 30 high in which a fifth of the levels fills the height: twice what is expected is 30."""
    return round(min(30.0, 150.0 * count.found / count.n), 1)
