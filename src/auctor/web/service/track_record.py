"""The track record of silent mode: running error, coverage and calibration by drug, model and method, and every level that has none."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select

from auctor.validate.control_chart import Count, Ewma, ewma, histogram, inside
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.silent import NONE, levels, prediction_id
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


@dataclass(frozen=True)
class _One:
    """A scored level."""

    key: tuple[str, str, str]
    error: float
    percentile: float
    outside: bool


def track_record(clinic: Clinic, actor: Actor) -> Record:
    """The record of the actor's wards. No patient is named in it."""
    demand(actor, Verb.TRACK)
    with clinic.store.read(actor) as reading:
        standing = levels(reading)
        scored = _scored(reading, standing)
        refused = set(reading.session.scalars(select(Prediction.id).where(Prediction.method == NONE)))
        withdrawn = reading.session.scalars(select(Fact.id).where(Fact.kind == "sample", Fact.withdrawn).distinct()).all()
    done = {fact.id for fact in standing if fact.id in scored}
    without = {fact.id for fact in standing if prediction_id(fact, NONE) in refused} - done
    return Record(
        levels=len(standing),
        scored=len(done),
        waiting=len(standing) - len(done) - len(without),
        not_foretold=len(without),
        left_out_by_a_person=sum(fact.body.get("used") is False for fact in standing),
        withdrawn=len(set(withdrawn) - {fact.id for fact in standing}),
        tracks=tuple(_tracks(one for fact in standing for one in scored.get(fact.id, ()))),
    )


def _scored(reading: Reading, standing: list[Fact]) -> dict[str, list[_One]]:
    """Scores of the last revisions, by level."""
    last = {fact.id: fact for fact in standing}
    query = select(Score, Prediction, Course.drug).join(Prediction, Prediction.id == Score.prediction_id)
    found: dict[str, list[_One]] = {}
    for score, prediction, drug in reading.session.execute(query.join(Course, Course.id == Prediction.course_id)):
        fact = last.get(score.fact_id)
        if fact is None or fact.revision != score.fact_revision:
            continue
        outside = bool(fact.body.get("below_lloq") or fact.body.get("above_uloq") or str(fact.body.get("value", "")).strip()[:1] in "<>≤≥")
        key = (drug, prediction.model, prediction.method)
        found.setdefault(fact.id, []).append(_One(key, score.error, score.percentile, outside))
    return found


def _tracks(scored: Iterable[_One]) -> Iterable[Track]:
    groups: dict[tuple[str, str, str], list[_One]] = {}
    for one in scored:
        groups.setdefault(one.key, []).append(one)
    for (drug, model, method), ones in sorted(groups.items()):
        at, errors = [one.percentile for one in ones], [one.error for one in ones]
        yield Track(
            drug=drug,
            model=model,
            method=method,
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
