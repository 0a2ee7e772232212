"""The doses to choose from: rungs in mg or mg/kg with their interval, for one patient or many at once; caps cut it, never a rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Route
from auctor.dosing.candidates import Option, OptionKind, candidate_regimens
from auctor.errors import CaseError
from auctor.models.model import Dosing

Array = NDArray[np.float64]
WEIGHT = "WT"
MOST_RUNGS = 200
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One regimen: `amount` mg, or mg per kg where the ladder says so, every `every_h` h over `duration_h` h (0: at once)."""

    amount: float
    every_h: float
    duration_h: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Caps:
    """What may not be exceeded: mg of one dose, mg a day, mg/h of an infusion; per kg of WT where it says so, infinite where unknown."""

    dose_mg: float = math.inf
    daily_mg: float = math.inf
    rate_mg_h: float = math.inf
    per_kg: bool = False


def lowest(caps: Sequence[Caps], covariates: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """The lowest dose (mg), daily dose (mg) and rate (mg/h) that several caps allow n patients with covariates (n,), each (n,) or (1,).

    >>> [float(v[0]) for v in lowest([Caps(dose_mg=900.0), Caps(dose_mg=10.0, per_kg=True)], {"WT": np.asarray([80.0])})]
    [800.0, inf, inf]
    """
    found = [np.asarray([math.inf])] * 3
    for one in caps:
        mass = weights(covariates) if one.per_kg else np.asarray([1.0])
        found = [np.minimum(so_far, cap * mass) for so_far, cap in zip(found, (one.dose_mg, one.daily_mg, one.rate_mg_h), strict=True)]
    return found[0], found[1], found[2]


def weights(covariates: Mapping[str, Array]) -> Array:
    """The covariate WT in kg; CaseError where it is missing or not above zero."""
    known = covariates.get(WEIGHT)
    if known is None or not np.all(np.isfinite(known) & (known > 0)):
        raise CaseError(where="covariates.WT", what="the doses are per kg and no weight is known", remedy="give the body weight in kg")
    return known


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Rungs by rising daily amount; `per_kg` multiplies them by the covariate WT. No rung above one of its `caps` is ever offered.

    >>> rungs = (Rung(amount=4.0, every_h=24), Rung(amount=6.0, every_h=24))
    >>> ladder = Ladder(rungs=rungs, route=Route.IV, per_kg=True, caps=(Caps(dose_mg=400.0),))
    >>> [option.label for option in ladder.options({"WT": 80.0})]
    ['320 mg every 24 h']
    """

    rungs: tuple[Rung, ...]
    route: Route
    per_kg: bool = False
    caps: tuple[Caps, ...] = ()

    def __post_init__(self) -> None:
        bad = any(not (r.amount > 0 and r.every_h > 0 and 0 <= r.duration_h <= r.every_h) for r in self.rungs)
        if bad or not 0 < len(self.rungs) <= MOST_RUNGS:
            remedy = f"give 1 to {MOST_RUNGS} doses above zero, with an interval at least as long as the infusion"
            raise CaseError(where="doses", what="not doses to choose from", remedy=remedy)

    def doses_mg(self, covariates: Mapping[str, Array]) -> Array:
        """mg of every rung for n patients with covariates (n,): shape (n, rungs); above a cap NaN, so that nothing selects it."""
        amounts = np.asarray([rung.amount for rung in self.rungs])
        n = len(next(iter(covariates.values()))) if covariates else 1
        mg = np.tile(amounts, (n, 1))
        mg = mg * weights(covariates)[:, None] if self.per_kg else mg
        dose, daily, rate = (cap[:, None] * (1 + _SLACK) for cap in lowest(self.caps, covariates))
        lengths = np.asarray([rung.duration_h for rung in self.rungs])
        slow = np.isinf(rate) | (mg <= np.where(np.isinf(rate), 0.0, rate) * lengths) if self.route is Route.IV else True
        allowed = (mg <= dose) & (mg * np.asarray([24.0 / rung.every_h for rung in self.rungs]) <= daily) & slow
        return np.where(allowed, mg, np.nan)

    def options(self, covariates: Mapping[str, float]) -> tuple[Option | None, ...]:
        """The rungs as options for one patient, those above a cap left out. CaseError when none remains."""
        found = [option for option in self.all_options(covariates) if option is not None]
        if not found:
            raise CaseError(where="doses", what="every one is above a cap", remedy="lower the doses to choose from")
        return tuple(found)

    def all_options(self, covariates: Mapping[str, float]) -> tuple[Option | None, ...]:
        """One entry for each rung; None where it is above a cap."""
        mg = self.doses_mg({name: np.asarray([value]) for name, value in covariates.items()})[0]
        return tuple(self._option(float(dose), rung) for dose, rung in zip(mg, self.rungs, strict=True))

    def _option(self, dose: float, rung: Rung) -> Option | None:
        if not math.isfinite(dose):
            return None
        return Option(kind=OptionKind.OFFERED, dose_mg=dose, every_h=rung.every_h, duration_h=rung.duration_h, route=self.route)


def ladder_of(dosing: Dosing) -> Ladder:
    """The doses of a model file's dosing table, by rising daily amount.

    >>> table = Dosing(route="oral", strengths_mg=(0.5,), intervals_h=(12.0,), max_dose_mg=1.5, max_daily_mg=2.0)
    >>> [rung.amount for rung in ladder_of(table).rungs]
    [0.5, 1.0]
    """
    given = [o for o in candidate_regimens(dosing, current=None, weight_kg=1.0) if o.kind is OptionKind.OFFERED]
    given.sort(key=lambda option: (option.daily_mg, option.every_h))
    rungs = tuple(Rung(amount=o.dose_mg, every_h=o.every_h, duration_h=o.duration_h) for o in given)
    return Ladder(rungs=rungs, route=Route(dosing.route), per_kg=dosing.per_kg, caps=(caps_of(dosing),))


def caps_of(dosing: Dosing) -> Caps:
    """The caps of a dosing table."""
    rate = dosing.infusion_rate_max_mg_h
    return Caps(
        dose_mg=dosing.max_dose_mg, daily_mg=dosing.max_daily_mg, rate_mg_h=math.inf if rate is None else rate, per_kg=dosing.per_kg
    )
