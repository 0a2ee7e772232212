"""Pages about the tool itself: the track record of silent mode, and how the cards in the hospital's ordering screens were answered."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from auctor.errors import CaseError
from auctor.validate.control_chart import Count
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.pages.language import N_, Language
from auctor.web.pages.rendering import language_of, page
from auctor.web.pages.visits import AtClinic
from auctor.web.service.feedback import COMMENT, NONE, OTHER, UNKNOWN, Acceptance, Period, acceptance
from auctor.web.service.track_record import Record, Track, track_record

router = APIRouter()
KINDS = {
    "pending": N_("a level that is not interpreted yet"),
    "changed": N_("data that changed after signing"),
    "asked": N_("a question that came up after signing"),
    "unsigned": N_("an interpretation that nobody signed"),
    "overdue": N_("a level that is overdue"),
    "doses": N_("doses that reach the target"),
    "draft": N_("what a drafted dose would do"),
    UNKNOWN: N_("answered, and not on record as shown"),
}
INDICATORS = {"info": N_("information"), "warning": N_("warning"), "critical": N_("critical"), "": "–"}
REASONS = {
    "cds-not-applicable": N_("does not apply to this patient"),
    "cds-suboptimal-context": N_("not the moment for it"),
    "recipient-disagrees-evidence": N_("disagrees with the evidence"),
    "recipient-concerns-outcomes": N_("concerned about the outcome"),
    "does-not-align-preferences": N_("the patient prefers otherwise"),
    "not-convenient-feasible": N_("not feasible here"),
    COMMENT: N_("a comment without a coded reason"),
    OTHER: N_("a reason of the client's own"),
    NONE: N_("no reason given"),
}
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


@router.get("/silent/cards")
def cards(request: Request, clinic: AtClinic, actor: Tracker, since: str = "", until: str = "") -> Response:
    """Cards shown, accepted and overridden over a period; no patient is named and no comment is shown."""
    tongue = language_of(request)
    error: CaseError | None = None
    rows: tuple[Acceptance, ...] = ()
    try:
        rows = acceptance(clinic, actor, Period.read(since, until, zone=clinic.zone))
    except CaseError as refused:
        error = refused
    shown: dict[str, Any] = {"rows": [_cards(row, tongue) for row in rows], "since": since[:20], "until": until[:20], "error": error}
    return page(request, "cards.html", title=N_("Answers to cards"), section="silent", status=422 if error else 200, **shown)


def _cards(row: Acceptance, tongue: Language) -> dict[str, Any]:
    reasons = [(tongue.say(REASONS[name]), n) for name, n in row.reasons.items()]
    rate = "–" if row.rate is None else tongue.number(100 * row.rate, 3)
    counts = {"shown": "–" if row.kind == UNKNOWN else row.shown, "unanswered": "–" if row.kind == UNKNOWN else row.unanswered}
    said = {"service": row.service, "kind": tongue.say(KINDS.get(row.kind, row.kind)), "indicator": tongue.say(INDICATORS[row.indicator])}
    return {**said, **counts, "accepted": row.accepted, "overridden": row.overridden, "rate": rate, "reasons": reasons}


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
