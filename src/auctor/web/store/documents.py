"""A course as a case file: the facts that stand, put together as the document that the case reader takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auctor.web.store import facts
from auctor.web.store.tables import Course, Fact
from auctor.web.store.tables.columns import iso
from auctor.web.store.work import Reading

_TIMES = ("at", "time_h")


@dataclass(frozen=True, kw_only=True)
class CourseDocument:
    """A case document (a dict as a case file holds) and the revisions it was made of, [id, revision]."""

    document: dict[str, Any]
    facts: tuple[tuple[str, int], ...]


def document(reading: Reading, course_id: str, *, as_of: datetime | None = None, now: datetime | None = None) -> CourseDocument:
    """The course as it stands, or as it stood at a past moment; `now` ends its data (the case file's `now_at`).

    The label is the course's identifier: nothing in it says who the patient is. Notes are left out.
    """
    course = reading.get(Course, course_id)
    found = facts.as_of(reading, course_id, as_of)
    return CourseDocument(document=assembled(course, found, now=now), facts=tuple((fact.id, fact.revision) for fact in found))


def assembled(course: Course, found: Sequence[Fact], *, now: datetime | None = None) -> dict[str, Any]:
    """The case document of these facts, in their order; what the course does not say is left out."""
    doses = [fact.body for fact in found if fact.kind == "dose"]
    said = {
        "schema": 1,
        "label": course.id,
        "drug": course.drug,
        "model": course.model,
        "time_zone": course.time_zone,
        "now_at": None if now is None else iso(now),
        "doses": doses,
        "samples": [fact.body for fact in found if fact.kind == "sample"],
        "covariates": _covariates([fact.body for fact in found if fact.kind == "covariate"], doses[:1]),
        "current": _order([fact for fact in found if fact.kind == "order"], now),
        "target": course.target,
        "occasions": course.occasions,
    }
    return {key: value for key, value in said.items() if value is not None}


def _order(orders: Sequence[Fact], now: datetime | None) -> dict[str, Any] | None:
    """The last order that holds by now."""
    held = [fact for fact in orders if fact.at is not None and (now is None or fact.at <= now)]
    last = max(held, key=lambda fact: (fact.at, fact.entered_at), default=None)
    return None if last is None else last.body


def _covariates(bodies: Sequence[dict[str, Any]], first_dose: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(body["name"] for body in bodies)
    return {name: _series([body for body in bodies if body["name"] == name], first_dose) for name in names}


def _series(bodies: Sequence[dict[str, Any]], first_dose: Sequence[dict[str, Any]]) -> Any:
    """One value, or values over time; the one without a time then holds from the first dose, unless another is known there."""
    points = [{key: value for key, value in body.items() if key != "name"} for body in bodies]
    timed = [point for point in points if any(key in point for key in _TIMES)]
    timeless = next((point for point in points if not any(key in point for key in _TIMES)), None)
    if not timed and timeless is not None:
        return timeless["value"] if "unit" not in timeless else timeless
    start = {key: first_dose[0][key] for key in _TIMES if first_dose and key in first_dose[0]}
    if timeless is None or not start or any(start.items() <= point.items() for point in timed):
        return timed
    return [timeless | start, *timed]
