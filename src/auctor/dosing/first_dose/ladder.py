"""The doses to choose from: rungs in mg or mg/kg with their interval, for one patient or many at once; caps cut it, never a rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
class Ladder:
    """Rungs by rising daily amount; `per_kg` multiplies them by the covariate WT. Caps in mg: one dose, one day (infinite: none known).

    >>> four = Ladder(rungs=(Rung(amount=4.0, every_h=24), Rung(amount=6.0, every_h=24)), route=Route.IV, per_kg=True, most_mg=400.0)
    >>> [option.label for option in four.options({"WT": 80.0})]
    ['320 mg every 24 h']
    """

    rungs: tuple[Rung, ...]
    route: Route
    per_kg: bool = False
    most_mg: float = math.inf
    most_daily_mg: float = math.inf

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
        if self.per_kg:
            mg = mg * self._weights(covariates)[:, None]
        daily = mg * np.asarray([24.0 / rung.every_h for rung in self.rungs])
        allowed = (mg <= self.most_mg * (1 + _SLACK)) & (daily <= self.most_daily_mg * (1 + _SLACK))
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

    def _weights(self, covariates: Mapping[str, Array]) -> Array:
        weights = covariates.get(WEIGHT)
        if weights is None or not np.all(np.isfinite(weights) & (weights > 0)):
            raise CaseError(where="covariates.WT", what="the doses are per kg and no weight is known", remedy="give the body weight in kg")
        return weights


def ladder_of(dosing: Dosing) -> Ladder:
    """The doses of a model file's dosing table, by rising daily amount.

    >>> table = Dosing(route="oral", strengths_mg=(0.5,), intervals_h=(12.0,), max_dose_mg=1.5, max_daily_mg=2.0)
    >>> [rung.amount for rung in ladder_of(table).rungs]
    [0.5, 1.0]
    """
    given = [o for o in candidate_regimens(dosing, current=None, weight_kg=1.0) if o.kind is OptionKind.OFFERED]
    given.sort(key=lambda option: (option.daily_mg, option.every_h))
    rungs = tuple(Rung(amount=o.dose_mg, every_h=o.every_h, duration_h=o.duration_h) for o in given)
    mass = math.inf if dosing.per_kg else 1.0  # caps per kg were applied per kg, by candidate_regimens
    return Ladder(
        rungs=rungs,
        route=Route(dosing.route),
        per_kg=dosing.per_kg,
        most_mg=dosing.max_dose_mg * mass,
        most_daily_mg=dosing.max_daily_mg * mass,
    )
