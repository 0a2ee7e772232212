"""The body of a fact is an entry of a case file: checked by the case file's own schema, with its clinical moment read from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from auctor.data.clock import Clock, instant, maybe_moment
from auctor.data.document import check_document
from auctor.errors import CaseError
from auctor.web.store.tables import Course
from auctor.web.store.tables.columns import plain

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # what `instant` counts from
_MS_PER_H = 3_600_000
_DOSE: dict[str, Any] = {"amount": "1 mg", "route": "oral"}  # a case file has a dose: this one stands in where another entry is checked
_TIMES = ("at", "time_h")


def checked(kind: str, body: Mapping[str, Any], course: Course) -> tuple[dict[str, Any], datetime | None]:
    """The body as JSON holds it, and its clinical moment (None: hours on the course's clock, or no time at all).

    `dose`, `sample` and `order` (the case file's `current`) are entries as there; `covariate` is a value of a series with its `name`, with
    or without a time; `note` is {"text": ...}. Raises CaseError as a case file would: an unknown key, no time, a time without a zone.
    """
    entry = {key: plain(value) for key, value in body.items() if value is not None}
    if kind == "note":
        return _note(entry), None
    time = {key: entry[key] for key in _TIMES if key in entry}
    document = check_document(_alone(kind, entry, time or {"time_h": 0.0}, course))
    clock = Clock.of(document)
    if kind == "order" or (kind == "covariate" and not time):
        return entry, None
    read = maybe_moment(_entry(document, kind, entry), kind)
    if read is None:
        raise CaseError(where=kind, what="no time", remedy="give at (date and time with zone) or time_h (hours)")
    hours = instant(read, clock.zone)
    return entry, None if read.clock is None else _EPOCH + timedelta(milliseconds=round(hours * _MS_PER_H))


def _alone(kind: str, entry: dict[str, Any], time: dict[str, Any], course: Course) -> dict[str, Any]:
    """A case file of this one entry."""
    document: dict[str, Any] = {"label": course.id, "drug": course.drug, "doses": [_DOSE | time]}
    if course.time_zone:
        document["time_zone"] = course.time_zone
    if kind == "covariate":
        point = {key: value for key, value in entry.items() if key != "name"}
        return document | {"covariates": {_name(entry): [point]}}
    places: dict[str, dict[str, Any]] = {"dose": {"doses": [entry]}, "sample": {"samples": [entry]}, "order": {"current": entry}}
    if kind not in places:
        raise CaseError(where="kind", what="no such kind of fact", remedy="write dose, sample, covariate, order or note")
    return document | places[kind]


def _entry(document: Any, kind: str, entry: dict[str, Any]) -> Any:
    if kind == "covariate":
        return document.covariates[entry["name"]][0]
    return document.doses[0] if kind == "dose" else document.samples[0]


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise CaseError(where="covariate.name", what="missing", remedy="name the covariate as the model does")
    return name


def _note(entry: dict[str, Any]) -> dict[str, Any]:
    if set(entry) != {"text"} or not isinstance(entry["text"], str) or not entry["text"].strip():
        raise CaseError(where="note", what="not a text", remedy='give {"text": "..."} and nothing else')
    return entry
