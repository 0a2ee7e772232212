"""Dose entries of a case file to engine doses: nothing about an infusion's length or a series' end is assumed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.data.clock import Clock, maybe_moment, moment
from auctor.data.limits import MAX_ADDITIONAL, MAX_DOSE_MG, MAX_HISTORY_H, MAX_INFUSION_H, MAX_INTERVAL_H, MIN_INTERVAL_H
from auctor.data.measure import measure
from auctor.errors import CaseError, Notice
from auctor.models.model import Dosing, DrugModel

if TYPE_CHECKING:
    from auctor.data.schema import CurrentEntry, DoseEntry

_SLACK_H = 1e-6


def read_dose(entry: DoseEntry, where: str, clock: Clock, model: DrugModel | None) -> Dose:
    """One entry as an engine dose; CaseError or UnitError naming the field for anything missing, doubled or impossible."""
    every = _interval(entry, where)
    dose = Dose(
        time_h=clock.hours(moment(entry, where)),
        amount_mg=_amount(entry, where, model),
        route=Route(entry.route),
        duration_h=_duration(entry, where, _stop(entry, where, clock)),
        every_h=every,
        additional=_additional(entry, where, every, _until(entry, where, clock)),
        steady_state=entry.steady_state,
    )
    check_route(dose.route, model, f"{where}.route")
    if dose.steady_state and dose.duration_h > dose.every_h:
        raise CaseError(where=f"{where}.duration", what="longer than the steady state's interval", remedy="write the doses out one by one")
    return dose


def read_current(entry: CurrentEntry, model: DrugModel | None) -> Regimen:
    """The regimen as it would go on, at steady state from time 0."""
    duration = _duration(entry, "current", None)
    route = Route(entry.route)
    check_route(route, model, "current.route")
    steady = Regimen.steady(_amount(entry, "current", model), every_h=_interval(entry, "current"), route=route, duration_h=duration)
    return Regimen(doses=steady.doses, label="current")


def current_from(history: Regimen) -> tuple[Regimen | None, tuple[Notice, ...]]:
    """The last dose going on, where it was one of a series: with a notice, since the file does not say so itself."""
    last = history.doses[-1]
    if last.every_h <= 0:
        return None, ()
    notice = Notice(
        code="current-from-history",
        where="current",
        what="not given; the last series of doses is taken as the regimen that would go on",
        remedy="give [current] when it is another one",
    )
    steady = Regimen.steady(last.amount_mg, every_h=last.every_h, route=last.route, duration_h=last.duration_h)
    return Regimen(doses=steady.doses, label="current"), (notice,)


def dose_notices(doses: tuple[Dose, ...], covariates: Covariates, model: DrugModel) -> tuple[Notice, ...]:
    """Doses far from what is given: above the cap or below a tenth of the smallest strength; CaseError beyond ten times the cap."""
    notices: tuple[Notice, ...] = ()
    if model.dosing is not None:
        for k, dose in enumerate(doses):
            weight = covariates.at(dose.time_h).get("WT", 1.0) if model.dosing.per_kg else 1.0
            notices += _against(dose.amount_mg / weight, model.dosing, f"doses[{k}].amount")
    return notices


def _against(amount_mg: float, dosing: Dosing, where: str) -> tuple[Notice, ...]:
    if amount_mg > 10 * dosing.max_dose_mg:
        raise CaseError(where=where, what="more than ten times the largest dose in use", remedy="check the number and its unit")
    if amount_mg > dosing.max_dose_mg:
        what = "above the largest dose of the model's dosing table"
        return (Notice(code="dose-above-cap", where=where, what=what, remedy="check it; a loading dose may be right"),)
    if amount_mg < 0.1 * min(dosing.strengths_mg):
        what = "below a tenth of the smallest dose of the model's dosing table"
        return (Notice(code="dose-below-strength", where=where, what=what, remedy="check the number and its unit", blocks_signing=True),)
    return ()


def _amount(entry: DoseEntry | CurrentEntry, where: str, model: DrugModel | None) -> float:
    where = f"{where}.amount"
    amount = measure(entry.amount, "mg", where=where, beside=entry.unit, molar_mass=model.molar_mass if model else None)
    if amount <= 0:
        raise CaseError(where=where, what="not above zero", remedy="give the amount, or leave out a dose that was not given")
    if amount > MAX_DOSE_MG:
        raise CaseError(where=where, what="more than 100 g", remedy="check the number and its unit")
    return amount


def _interval(entry: DoseEntry | CurrentEntry, where: str) -> float:
    if entry.every is None:
        return 0.0
    every = measure(entry.every, "h", where=f"{where}.every")
    if not MIN_INTERVAL_H <= every <= MAX_INTERVAL_H:
        remedy = "give the time between doses, for example '12 h'"
        raise CaseError(where=f"{where}.every", what="not between 15 min and a year", remedy=remedy)
    return every


def _stop(entry: DoseEntry, where: str, clock: Clock) -> float | None:
    stop = maybe_moment(entry, where, "stop")
    if stop is None:
        return None
    length = clock.between(moment(entry, where), stop)
    if length <= 0:
        raise CaseError(where=stop.where, what="the infusion stops before it starts, or at once", remedy="correct the times")
    return length


def _duration(entry: DoseEntry | CurrentEntry, where: str, from_stop: float | None) -> float:
    given = entry.duration is not None
    said = [name for name, here in (("duration", given), ("stop", from_stop is not None), ("bolus", entry.bolus)) if here]
    if entry.route == "oral" and said:
        raise CaseError(where=f"{where}.{said[0]}", what="an oral dose has no infusion", remedy="leave it out, or correct the route")
    if entry.route == "iv" and len(said) != 1:
        what = "an intravenous dose without its length" if not said else f"{' and '.join(said)} together"
        raise CaseError(where=f"{where}.duration", what=what, remedy="give exactly one of duration, stop_h or stop_at, and bolus = true")
    length = measure(entry.duration, "h", where=f"{where}.duration") if entry.duration is not None else from_stop
    if length is not None and not 0 < length <= MAX_INFUSION_H:
        raise CaseError(where=f"{where}.duration", what="not between 0 and 30 days", remedy="check the length of the infusion and its unit")
    return length or 0.0


def _until(entry: DoseEntry, where: str, clock: Clock) -> float | None:
    until = maybe_moment(entry, where, "until")
    if until is None:
        return None
    length = clock.between(moment(entry, where), until)
    if length < 0:
        raise CaseError(where=until.where, what="the series ends before it starts", remedy="correct the two times")
    return length


def _additional(entry: DoseEntry, where: str, every: float, until: float | None) -> int:
    series = entry.additional is not None or until is not None
    if every == 0 and (series or entry.steady_state):
        raise CaseError(where=f"{where}.every", what="a series or a steady state without its interval", remedy="give every = '12 h'")
    if every > 0 and not series and not entry.steady_state:
        raise CaseError(
            where=f"{where}.every", what="a series without an end", remedy="give additional (doses to come) or until_h / until_at"
        )
    if entry.additional is not None and until is not None:
        raise CaseError(where=f"{where}.additional", what="additional and until together", remedy="keep one of them")
    more = entry.additional or (math.floor((until + _SLACK_H) / every) if until is not None else 0)
    if more > MAX_ADDITIONAL or more * every > MAX_HISTORY_H:
        raise CaseError(
            where=f"{where}.additional", what="a series of more than 20 years or 10000 doses", remedy="check the dates and additional"
        )
    return more


def check_route(route: Route, model: DrugModel | None, where: str) -> None:
    """CaseError when the model cannot take a dose by that route."""
    if model is None:
        return
    if model.system is not None:
        place = "depot" if route is Route.ORAL else "central"
        if place not in model.structure.cmt:
            kind, remedy = ("oral" if route is Route.ORAL else "intravenous"), "use another model, or correct the route"
            raise CaseError(where=where, what=f"{model.name} has no place for {kind} doses (structure.cmt.{place})", remedy=remedy)
        return
    absorbs = model.structure.absorption != "none"
    if route is Route.ORAL and not absorbs:
        raise CaseError(
            where=where, what=f"{model.name} describes intravenous doses only", remedy="use another model, or correct the route"
        )
    if route is Route.IV and absorbs and model.structure.bioavailability is None:
        remedy = "use a model of intravenous doses, or correct the route"
        raise CaseError(where=where, what=f"{model.name} describes oral doses only (its clearance is CL/F)", remedy=remedy)
