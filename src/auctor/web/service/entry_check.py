"""One entry against the case reader before it is kept: what no case would take is refused beside its form, not at the analysis."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from auctor.data.casefile import case_of
from auctor.data.document import check_document
from auctor.errors import AuctorError
from auctor.models.model import DrugModel
from auctor.web.service.engine import read
from auctor.web.store.tables import Course

_BEFORE = timedelta(hours=1)  # when the dose that stands in was given
_ANY_DAY = "2026-01-01T12:00:00+00:00"


def check_entry(course: Course, kind: str, body: dict[str, Any]) -> None:
    """Raise the reader's refusal of this entry, its field named as the form names it. Notes have nothing to read."""
    if kind == "note":
        return
    model = read(course.model) if course.model else None
    given = {key: value for key, value in body.items() if value is not None}
    try:
        case_of(check_document(_alone(course, kind, given, model)), model)
    except AuctorError as refused:
        field = refused.where.rpartition(".")[2].partition("[")[0]
        raise type(refused)(where=field or kind, what=refused.what, remedy=refused.remedy) from refused


def _alone(course: Course, kind: str, body: dict[str, Any], model: DrugModel | None) -> dict[str, Any]:
    """A case of this entry, beside a dose that stands in where one is needed."""
    document: dict[str, Any] = {"label": course.id, "drug": course.drug, "time_zone": course.time_zone}
    if kind == "dose":
        return document | {"doses": [body]}
    stand_in = document | {"doses": [_dose(body, model)]}
    if kind == "sample":
        return stand_in | {"samples": [body]}
    if kind == "order":
        return stand_in | {"current": body}
    point = {key: value for key, value in body.items() if key != "name"}
    return stand_in | {"covariates": {body["name"]: [{**point, **_moment(point)}]}}


def _dose(body: dict[str, Any], model: DrugModel | None) -> dict[str, Any]:
    """The smallest dose of the model's table an hour before the entry."""
    route = "oral" if model is None or model.dosing is None else model.dosing.route
    amount = 1.0 if model is None or model.dosing is None else model.dosing.strengths_mg[0]
    return {"amount": f"{amount} mg", "route": route, **_moment(body, before=_BEFORE), **({"bolus": True} if route == "iv" else {})}


def _moment(body: dict[str, Any], *, before: timedelta = timedelta(0)) -> dict[str, Any]:
    """The entry's time, or so long before it, on the clock that it uses; a time that cannot be read is left to the reader to refuse."""
    if isinstance(body.get("time_h"), int | float):
        return {"time_h": body["time_h"] - before / timedelta(hours=1)}
    try:
        return {"at": (datetime.fromisoformat(str(body.get("at", _ANY_DAY))) - before).isoformat()}
    except (ValueError, OverflowError):
        return {"at": _ANY_DAY}
