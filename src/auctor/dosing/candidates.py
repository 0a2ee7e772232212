"""Which regimens could really be given: real strengths and intervals, caps never exceeded, current and hold always among them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from auctor.case import Dose, Regimen, Route
from auctor.errors import CaseError
from auctor.models.model import Dosing

MOST_UNITS = 6  # tablets, capsules or vials in one administration; ours: beyond that a larger strength is used
STEADY_HORIZON_H = 96.0  # two 48 h intervals: the longest window asked of a steady-state regimen
INFUSION_STEP_H = 0.25  # an infusion stretched by a rate cap ends on a quarter of an hour
MOST_INTERVAL_H = 8 * 7 * 24.0  # the longest maintenance interval in use, infliximab's
_SLACK = 1e-9  # relative, for sums of decimal strengths


class OptionKind(StrEnum):
    """Why a regimen is listed: it goes on now, it stops, or the dosing table offers it."""

    CURRENT = "current"
    HOLD = "hold"
    OFFERED = "offered"


@dataclass(frozen=True, kw_only=True)
class Option:
    """One regimen to compare: `dose_mg` mg every `every_h` h over `duration_h` h (0: swallowed or bolus).

    `over_cap` marks a current regimen above a cap: it is shown and never recommended. `hold` has no dose.

    >>> Option.hold().label
    'hold (no dose)'
    >>> Option(kind=OptionKind.OFFERED, dose_mg=750, every_h=12, duration_h=1.5, route=Route.IV).label
    '750 mg every 12 h over 1.5 h'
    """

    kind: OptionKind
    dose_mg: float
    every_h: float
    duration_h: float
    route: Route
    over_cap: bool = False

    @classmethod
    def hold(cls, route: Route = Route.ORAL) -> Option:
        """No further dose."""
        return cls(kind=OptionKind.HOLD, dose_mg=0.0, every_h=0.0, duration_h=0.0, route=route)

    @property
    def daily_mg(self) -> float:
        """Dose per 24 h, mg; 0 for hold."""
        return 24.0 * self.dose_mg / self.every_h if self.every_h > 0 else 0.0

    @property
    def label(self) -> str:
        """As printed: `5 mg every 12 h`."""
        if self.kind is OptionKind.HOLD:
            return "hold (no dose)"
        over = f" over {self.duration_h:g} h" if self.duration_h > 0 else ""
        return f"{self.dose_mg:.6g} mg every {self.every_h:g} h{over}"

    @property
    def regimen(self) -> Regimen:
        """The option at steady state from time 0; no dose at all for hold."""
        if self.kind is OptionKind.HOLD:
            return Regimen(doses=(), label=self.label)
        horizon = max(STEADY_HORIZON_H, 2 * self.every_h)
        return Regimen.steady(self.dose_mg, every_h=self.every_h, route=self.route, duration_h=self.duration_h, horizon_h=horizon)


@dataclass(frozen=True, kw_only=True)
class _Caps:
    """The caps of a dosing table in mg for this patient: one dose, one day, mg/h."""

    dose_mg: float
    daily_mg: float
    rate_mg_h: float | None

    def allow(self, dose_mg: float, every_h: float) -> bool:
        return dose_mg <= self.dose_mg * (1 + _SLACK) and 24.0 * dose_mg / every_h <= self.daily_mg * (1 + _SLACK)

    def length_h(self, dose_mg: float, usual_h: float) -> float:
        """The usual infusion length, stretched upwards until the rate cap holds."""
        if self.rate_mg_h is None:
            return usual_h
        needed = dose_mg / self.rate_mg_h
        return usual_h if needed <= usual_h * (1 + _SLACK) else math.ceil(needed / INFUSION_STEP_H - _SLACK) * INFUSION_STEP_H


def candidate_regimens(dosing: Dosing, *, current: Regimen | None, weight_kg: float | None) -> tuple[Option, ...]:
    """The regimens to compare, in the order current, hold, then the table's intervals with rising dose.

    Doses are sums of at most `MOST_UNITS` of the real strengths, none above the single-dose cap, none that makes the
    day's total exceed the daily cap; an infusion is stretched to respect the rate cap, and a dose whose infusion would
    last longer than the interval is not offered. When `per_kg`, strengths and caps are per kg of `weight_kg` and the
    dose is rounded down to three significant digits. A current regimen above a cap is listed with `over_cap`.

    Raises CaseError when the table is per kg and there is no usable weight.

    >>> table = Dosing(route="oral", strengths_mg=(0.5, 1.0), intervals_h=(12.0,), max_dose_mg=1.5, max_daily_mg=2.0)
    >>> [o.label for o in candidate_regimens(table, current=None, weight_kg=None)]
    ['hold (no dose)', '0.5 mg every 12 h', '1 mg every 12 h']
    """
    route = Route(dosing.route)
    mass = _mass(dosing, weight_kg)
    caps = _caps(dosing, mass)
    doses = _reachable(dosing, mass)
    offered = [_offered(dosing, caps, dose, every) for every in dosing.intervals_h for dose in doses if caps.allow(dose, every)]
    table = [option for option in offered if option.duration_h <= option.every_h]
    held = (Option.hold(route),)
    if current is None or not _repeats(current):
        return (*held, *table)
    going_on = current_option(current, caps=caps)
    return (going_on, *held, *(o for o in table if not _same(o, going_on)))


def current_option(current: Regimen, *, caps: _Caps | None = None) -> Option:
    """The regimen that goes on now, as an option: its last repeated dose, flagged when above a cap.

    >>> current_option(Regimen.steady(1000, every_h=12, route=Route.IV, duration_h=1)).label
    '1000 mg every 12 h over 1 h'
    """
    dose = current.doses[-1]
    over = caps is not None and (not caps.allow(dose.amount_mg, dose.every_h) or _too_fast(dose, caps))
    return Option(
        kind=OptionKind.CURRENT, dose_mg=dose.amount_mg, every_h=dose.every_h, duration_h=dose.duration_h, route=dose.route, over_cap=over
    )


def typed_option(dosing: Dosing, *, dose_mg: float, every_h: float, duration_h: float, weight_kg: float | None) -> Option:
    """A regimen that somebody typed, as an option within the caps of the dosing table.

    `dose_mg` mg every `every_h` h over `duration_h` h (0: swallowed or bolus); `weight_kg` where the table is per kg. Raises CaseError
    for anything that is not a dose and for whatever passes a cap, so that nothing above one is ever computed.

    >>> table = Dosing(route="oral", strengths_mg=(0.5, 1.0), intervals_h=(12.0,), max_dose_mg=1.5, max_daily_mg=2.0)
    >>> typed_option(table, dose_mg=0.5, every_h=12, duration_h=0, weight_kg=None).label
    '0.5 mg every 12 h'
    """
    route = Route(dosing.route)
    _check_typed(dose_mg, every_h, duration_h, route)
    caps = _caps(dosing, _mass(dosing, weight_kg))
    if not caps.allow(dose_mg, every_h):
        most = f"at most {caps.dose_mg:.4g} mg a dose and {caps.daily_mg:.4g} mg a day"
        raise CaseError(where="dose", what="above a cap of the dosing table", remedy=most)
    if caps.rate_mg_h is not None and (duration_h <= 0 or dose_mg / duration_h > caps.rate_mg_h * (1 + _SLACK)):
        raise CaseError(where="duration", what="faster than the dosing table allows", remedy=f"at most {caps.rate_mg_h:.4g} mg/h")
    return Option(kind=OptionKind.OFFERED, dose_mg=dose_mg, every_h=every_h, duration_h=duration_h, route=route)


def _check_typed(dose_mg: float, every_h: float, duration_h: float, route: Route) -> None:
    if not (math.isfinite(dose_mg) and dose_mg > 0):
        raise CaseError(where="dose", what="not above zero", remedy="give the amount of one dose; to stop the drug choose hold")
    if not 1.0 <= every_h <= MOST_INTERVAL_H:
        raise CaseError(where="every", what="not between 1 h and 8 weeks", remedy="give the time between two doses")
    if not 0.0 <= duration_h <= every_h:
        raise CaseError(where="duration", what="not between 0 and the interval", remedy="give the length of the infusion")
    if route is Route.ORAL and duration_h > 0:
        raise CaseError(where="duration", what="an oral dose has no infusion", remedy="leave it out")


def _repeats(regimen: Regimen) -> bool:
    return bool(regimen.doses) and regimen.doses[-1].every_h > 0 and regimen.doses[-1].amount_mg > 0


def _too_fast(dose: Dose, caps: _Caps) -> bool:
    if caps.rate_mg_h is None or dose.route is not Route.IV:
        return False
    return dose.duration_h <= 0 or dose.rate_mg_h > caps.rate_mg_h * (1 + _SLACK)


def _same(one: Option, other: Option) -> bool:
    pairs = ((one.dose_mg, other.dose_mg), (one.every_h, other.every_h), (one.duration_h, other.duration_h))
    return one.route == other.route and all(math.isclose(a, b, rel_tol=1e-6) for a, b in pairs)


def _mass(dosing: Dosing, weight_kg: float | None) -> float:
    if not dosing.per_kg:
        return 1.0
    if weight_kg is None or not (math.isfinite(weight_kg) and weight_kg > 0):
        raise CaseError(where="covariates.WT", what="this drug is dosed per kg and no weight is known", remedy="give the body weight in kg")
    return weight_kg


def _caps(dosing: Dosing, mass: float) -> _Caps:
    rate = dosing.infusion_rate_max_mg_h
    return _Caps(dose_mg=dosing.max_dose_mg * mass, daily_mg=dosing.max_daily_mg * mass, rate_mg_h=None if rate is None else rate * mass)


def _reachable(dosing: Dosing, mass: float) -> list[float]:
    """Doses in mg that whole units can make up, rising; rounded down when they follow from a weight."""
    sums, most = {0.0}, dosing.max_dose_mg * (1 + _SLACK)
    for _ in range(MOST_UNITS):
        sums |= {round(total + unit, 9) for total in sums for unit in dosing.strengths_mg if total + unit <= most}
    doses = {total * mass if mass == 1.0 else _down(total * mass) for total in sums}
    return sorted(dose for dose in doses if dose > 0)


def _down(value: float, digits: int = 3) -> float:
    """Rounded towards zero to that many significant digits, so that no cap is crossed by rounding."""
    if value <= 0:
        return 0.0
    power = digits - 1 - math.floor(math.log10(value))
    return math.floor(value * 10.0**power + 1e-9) / 10.0**power


def _offered(dosing: Dosing, caps: _Caps, dose_mg: float, every_h: float) -> Option:
    route = Route(dosing.route)
    length = caps.length_h(dose_mg, dosing.infusion_h) if route is Route.IV else 0.0
    return Option(kind=OptionKind.OFFERED, dose_mg=dose_mg, every_h=every_h, duration_h=length, route=route)
