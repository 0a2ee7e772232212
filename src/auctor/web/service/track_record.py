"""The track record of silent mode: running error, coverage and calibration by drug, model and method, and every level that has none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from auctor.validate.control_chart import Count, Ewma, ewma, histogram, inside
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.silent import refusals, standing
from auctor.web.store import Reading
from auctor.web.store.tables import Course, Fact, Prediction, Score


@dataclass(frozen=True, kw_only=True)
class Track:
    """One method of one model on the levels of one drug. Errors are relative ones (1): of the foretold medians, to the levels."""

    drug: str
    model: str
    method: str
    n: int
    outside_limits: int
    mean_error: float
    root_mean_square_error: float
    inside50: Count
    inside90: Count
    histogram: tuple[Count, ...]
    chart: Ewma

    @property
    def signals(self) -> tuple[str, ...]:
        """What is out of control: `bias`, `coverage50`, `coverage90`, `calibration`."""
        found = {
            "bias": self.chart.first_signal is not None,
            "coverage50": not self.inside50.within,
            "coverage90": not self.inside90.within,
            "calibration": not all(bin.within for bin in self.histogram),
        }
        return tuple(name for name, out in found.items() if out)


@dataclass(frozen=True, kw_only=True)
class Record:
    """Every level of the actor's wards by what became of it, and the tracks."""

    levels: int
    scored: int
    waiting: int
    not_foretold: int
    left_out_by_a_person: int
    withdrawn: int
    tracks: tuple[Track, ...]


class _One(NamedTuple):
    """A scored level by its place among all."""

    place: int
    error: float
    percentile: float
    outside: bool


Scored = dict[tuple[str, str, str], list[_One]]  # by drug, model and method


def track_record(clinic: Clinic, actor: Actor) -> Record:
    """The record of the actor's wards. No patient is named in it."""
    demand(actor, Verb.TRACK)
    with clinic.store.read(actor) as reading:
        levels = sorted(reading.session.execute(standing()).all(), key=lambda level: (level.first, level.id))
        scored = _scored(reading, levels)
        done = {one.place for ones in scored.values() for one in ones}
        without = refusals(reading, [level for place, level in enumerate(levels) if place not in done])
        withdrawn = set(reading.session.scalars(select(Fact.id).where(Fact.kind == "sample", Fact.withdrawn)))
    return Record(
        levels=len(levels),
        scored=len(done),
        waiting=len(levels) - len(done) - len(without),
        not_foretold=len(without),
        left_out_by_a_person=sum(level.body.get("used") is False for level in levels),
        withdrawn=len(withdrawn - {level.id for level in levels}),
        tracks=tuple(_track_of(key, sorted(ones)) for key, ones in sorted(scored.items())),
    )


def _scored(reading: Reading, levels: Sequence[Row[Any]]) -> Scored:
    """Scores of the last revisions; the levels are of the reader's wards already, so the tables need no narrowing here."""
    places = {level.id: (place, level.revision, _outside(level.body)) for place, level in enumerate(levels)}
    score, prediction, course = (table.__table__.c for table in (Score, Prediction, Course))
    said = select(score.fact_id, score.fact_revision, score.error, score.percentile, course.drug, prediction.model, prediction.method)
    query = said.where(prediction.id == score.prediction_id, course.id == prediction.course_id)
    found: Scored = {}
    for fact, revision, error, percentile, *key in reading.session.execute(query).all():
        place, last, outside = places.get(fact, (0, 0, False))
        if revision == last:
            found.setdefault((key[0], key[1], key[2]), []).append(_One(place, error, percentile, outside))
    return found


def _outside(level: Mapping[str, Any]) -> bool:
    """Whether a level lies outside the assay's limits."""
    return bool(level.get("below_lloq") or level.get("above_uloq") or str(level.get("value", "")).strip()[:1] in "<>≤≥")


def _track_of(key: tuple[str, str, str], ones: Sequence[_One]) -> Track:
    """The track of one drug, model and method, from its levels in the order in which they became known."""
    at, errors = [one.percentile for one in ones], [one.error for one in ones]
    return Track(
        drug=key[0],
        model=key[1],
        method=key[2],
        n=len(ones),
        outside_limits=sum(one.outside for one in ones),
        mean_error=math.fsum(errors) / len(errors),
        root_mean_square_error=math.sqrt(math.fsum(error**2 for error in errors) / len(errors)),
        inside50=inside(at, 0.5),
        inside90=inside(at, 0.9),
        histogram=histogram(at),
        chart=ewma(at),
    )


def as_data(record: Record) -> dict[str, object]:
    """The record as plain data, a unit beside every quantity."""
    names = ("levels", "scored", "waiting", "not_foretold", "left_out_by_a_person", "withdrawn")
    return {"counts": {name: getattr(record, name) for name in names}, "tracks": [_track(track) for track in record.tracks]}


def _track(track: Track) -> dict[str, object]:
    chart = track.chart
    return {
        "drug": track.drug,
        "model": track.model,
        "method": track.method,
        "levels": track.n,
        "outside_limits_of_the_assay": track.outside_limits,
        "mean_error": {"value": _short(100 * track.mean_error), "unit": "%"},
        "root_mean_square_error": {"value": _short(100 * track.root_mean_square_error), "unit": "%"},
        "inside_50": _count(track.inside50),
        "inside_90": _count(track.inside90),
        "histogram": [_count(one) for one in track.histogram],
        "ewma": {"value": _short(chart.values[-1]), "limit": _short(chart.limit), "unit": "SD", "first_signal": chart.first_signal},
        "signals": list(track.signals),
    }


def _count(count: Count) -> dict[str, object]:
    return {"found": count.found, "of": count.n, "expected_share": count.expected, "low": count.low, "high": count.high}


def _short(value: float) -> float:
    return float(f"{value:.6g}")
