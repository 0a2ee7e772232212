"""Covariates of a case file to numbers in the model's units over time; defaults and doubts are carried, never silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auctor.case import Covariates
from auctor.data.clock import Clock, moment
from auctor.data.limits import COVARIATES
from auctor.data.measure import check_limit, measure
from auctor.errors import CaseError, Notice, UnitError
from auctor.models.domain import domain_notices, encode
from auctor.models.model import Covariate, DrugModel
from auctor.models.table import suggestion
from auctor.units import convert

if TYPE_CHECKING:
    from auctor.data.schema import Measured, Point

    Single = str | float | Measured
    Given = Single | list[Point]

Points = tuple[tuple[float, float], ...]
_PLAIN = ("", "1")  # units of a score or a count: a bare number says all


def read_covariates(given: dict[str, Given], clock: Clock, model: DrugModel | None) -> tuple[Covariates, tuple[Notice, ...]]:
    """Every covariate in the unit of the model (without a model: of the plausibility table), in time order, with notices.

    One of the model's that is not given takes its reference (`default-used`); one that auctor knows and the model does not use
    is left out (`unused-covariate`). Raises CaseError for an unknown name, an impossible value, two values at one time.
    """
    series: dict[str, Points] = {}
    notices: tuple[Notice, ...] = ()
    for name, value in given.items():
        points, more = _read(name, value, clock, model)
        notices += more
        if points:
            series[name] = points
    if model is None:
        return Covariates(series=series), notices
    missing = [c for name, c in model.covariates.items() if name not in series]
    series |= {c.name: ((0.0, c.reference),) for c in missing}
    covariates = Covariates(series={name: series[name] for name in model.covariates})
    return covariates, notices + tuple(_default_used(c) for c in missing) + outside(covariates, model)


def outside(covariates: Covariates, model: DrugModel) -> tuple[Notice, ...]:
    """The `outside-domain` notices of every value that the covariates take over time, each once."""
    times = (float("-inf"), *covariates.change_times())
    found = {notice: None for time in times for notice in domain_notices(model, covariates.at(time))}
    return tuple(found)


def _default_used(covariate: Covariate) -> Notice:
    return Notice(
        code="default-used",
        where=f"covariates.{covariate.name}",
        what=f"{covariate.label or covariate.name} is not given: the model's reference is used",
        remedy="give it",
        blocks_signing=True,
    )


def _read(name: str, given: Given, clock: Clock, model: DrugModel | None) -> tuple[Points, tuple[Notice, ...]]:
    where = f"covariates.{name}"
    covariate = model.covariates.get(name) if model else None
    if covariate is None and (refusal := _stranger(name, where, model)):
        return (), (refusal,)
    known = covariate or Covariate(name=name, unit=COVARIATES[name].unit, label=name, reference=0.0)
    if not isinstance(given, list):
        value, notices = _value(given, None, known, where)
        return ((0.0, value),), notices
    return _over_time(given, clock, known, where)


def _over_time(given: list[Point], clock: Clock, known: Covariate, where: str) -> tuple[Points, tuple[Notice, ...]]:
    if not given:
        raise CaseError(where=where, what="no values", remedy="give at least one, or leave the covariate out")
    rows = [(clock.hours(moment(p, f"{where}[{k}]")), *_value(p.value, p.unit, known, f"{where}[{k}]")) for k, p in enumerate(given)]
    rows.sort(key=lambda row: row[0])
    if len({time for time, _, _ in rows}) < len(rows):
        raise CaseError(where=where, what="two values at one time", remedy="keep one of them")
    return tuple((time, value) for time, value, _ in rows), tuple(notice for _, _, notices in rows for notice in notices)


def _stranger(name: str, where: str, model: DrugModel | None) -> Notice | None:
    """A covariate the model does not have: a notice when auctor knows the name, a CaseError when it does not."""
    if model is None:
        what = "not in auctor's own table: left out until a model says its unit"
        return None if name in COVARIATES else Notice(code="covariate-needs-model", where=where, what=what, remedy="name a model")
    if name not in COVARIATES:
        raise CaseError(where=where, what=f"not a covariate of {model.name}", remedy=suggestion(name, model.covariates))
    return Notice(code="unused-covariate", where=where, what=f"{model.name} does not use it", remedy="nothing to do")


def _value(given: Single, unit: str | None, covariate: Covariate, where: str) -> tuple[float, tuple[Notice, ...]]:
    if covariate.levels is not None:
        return _code(given, unit, covariate, where), ()
    plain = covariate.unit in _PLAIN and isinstance(given, (int, float)) and unit is None
    if isinstance(given, str) and not any(mark.isdigit() for mark in given):
        raise CaseError(where=where, what="a word where a number is needed", remedy=f"give a number with its unit, '{covariate.unit}'")
    limit, wanted = COVARIATES.get(covariate.name), covariate.unit or "1"
    molar = limit.molar_mass if limit else None
    value = measure(given, wanted, where=where, beside="1" if plain else unit, molar_mass=molar)
    if limit is None:
        return value, _negative(value, where)
    try:
        compared = convert(value, wanted, limit.unit, where=where, molar_mass=molar)
    except UnitError:  # the model gives this name another meaning, which the table does not know
        return value, ()
    return value, check_limit(compared, limit, where=where)


def _negative(value: float, where: str) -> tuple[Notice, ...]:
    if value >= 0:
        return ()
    return (Notice(code="implausible", where=where, what="negative", remedy="check the number", blocks_signing=True),)


def _code(given: Single, unit: str | None, covariate: Covariate, where: str) -> float:
    if unit is not None or not isinstance(given, (str, int, float)):
        raise CaseError(where=where, what="a unit on a category", remedy=f"write one of {', '.join(covariate.levels or ())}")
    try:
        return encode(covariate, given)
    except CaseError as problem:
        raise CaseError(where=where, what=problem.what, remedy=problem.remedy) from problem
