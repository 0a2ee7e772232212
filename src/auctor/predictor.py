"""The one interface: anything that predicts a patient's course under a regimen is a `Predictor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from auctor.case import Metric, Regimen
from auctor.errors import Notice

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Equally weighted draws of one quantity, shape (n_draws,), with the point the method reports.

    >>> Draws(values=np.array([1.0, 2.0, 3.0]), point=2.0).interval(0.5)
    (1.5, 2.5)
    """

    values: Array
    point: float

    def interval(self, level: float = 0.9) -> tuple[float, float]:
        """The central interval of that level, by linear interpolation of the draws."""
        low, high = np.quantile(self.values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def shares(self, low: float, high: float) -> tuple[float, float, float]:
        """P(below low), P(in [low, high]), P(above high)."""
        below, above = float(np.mean(self.values < low)), float(np.mean(self.values > high))
        return below, max(0.0, 1.0 - below - above), above


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Concentrations without residual error, mg/L: `values` (n_draws, n_times) and the method's `point` (n_times,)."""

    times_h: Array
    values: Array
    point: Array


class Predictor(Protocol):
    """Anything that predicts one patient's course under a regimen: MAP, posterior draws, ML, hybrid, twin, amortised.

    Times are hours from the first dose of the regimen asked about; the patient's covariates are the last known ones
    for a steady-state regimen. A method that cannot answer raises `OutOfDomain` with the reason.
    """

    @property
    def name(self) -> str:
        """What the method is called in a report."""
        ...

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Warnings that the method carries to the report."""
        ...

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Concentration at `times_h`, for every draw."""
        ...

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric under the regimen, for every draw."""
        ...
