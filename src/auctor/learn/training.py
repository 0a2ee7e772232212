"""The arrays' side of training: a tuned estimator, and the models and scores that its intervals rest on, by the plan's method.

Everything is fitted to the rows it is given; `cv+` is given training and calibration patients together, the others train on the first
and calibrate on the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.conformal import Calibration, Forecast, Labels
from auctor.learn.estimators.validation import split_by
from auctor.learn.tuning import Tuned, boosted, evaluate, fit, fit_spread

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
QUANTILES = {
    "objective": "reg:quantileerror",
    "quantile_alpha": [0.05, 0.5, 0.95],
    "max_depth": 3,
    "learning_rate": 0.08,
    "min_child_weight": 40,
}
INNER = 3  # folds within a fold of cv+, for the errors that its size of errors is learned from


@dataclass(frozen=True, kw_only=True, eq=False)
class Sides:
    """Inputs of n patients: `z` what the estimator reads, `x` the feature matrix that the size of its errors is learned from."""

    z: Array
    x: Array

    def rows(self, chosen: Rows) -> Sides:
        """The same for some of the patients."""
        return Sides(z=self.z[chosen], x=self.x[chosen])


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """An estimator and the booster that says how far it may be off: one size, or three quantiles of the error."""

    model: Any
    spread: Any

    def forecast(self, sides: Sides) -> Forecast:
        """Centre and expected size of errors of n patients."""
        center, found = evaluate(self.model, sides.z), evaluate(self.spread, sides.x)
        return Forecast.even(center, np.exp(found)) if found.ndim == 1 else Forecast.between(center, found)


def paired(sides: Sides, y: Array, tuned: Tuned, errors: Array, *, seed: int, quantiles: bool = False) -> Pair:
    """Estimator and size of errors of one set of patients, whose out-of-fold `errors` (n,) are known."""
    spread = boosted(sides.x, errors, QUANTILES, seed) if quantiles else fit_spread(sides.x, errors, seed)
    model = fit(sides.z, y, tuned, seed)
    # of an event too, what is stored of XGBoost is its own booster
    return Pair(model=model.model_ if tuned.algorithm == "xgboost" and tuned.task == "classification" else model, spread=spread)


def crossed(sides: Sides, y: Array, tuned: Tuned, cells: Labels | None, *, folds: int, seed: int) -> tuple[tuple[Pair, ...], Calibration]:
    """cv+: a pair for each fold, which has not seen the fold in any way, and the fold's errors divided by its sizes."""
    pairs, scores, which = [], np.empty(len(y)), np.empty(len(y), dtype=np.int64)
    for k, (inside, outside) in enumerate(split_by(len(y), folds, seed)):
        pairs.append(_blind(sides.rows(inside), y[inside], tuned, seed))
        scores[outside], which[outside] = pairs[-1].forecast(sides.rows(outside)).scaled(y[outside]), k
    return tuple(pairs), Calibration.of(scores, model=which, cells=cells)


def _blind(sides: Sides, y: Array, tuned: Tuned, seed: int) -> Pair:
    errors = np.empty(len(y))
    for inside, outside in split_by(len(y), INNER, seed + 1):
        errors[outside] = y[outside] - evaluate(fit(sides.z[inside], y[inside], tuned, seed), sides.z[outside])
    return paired(sides, y, tuned, errors, seed=seed)


def joined(pairs: Sequence[Pair], sides: Sides) -> Forecast:
    """The forecasts of all pairs for the same patients."""
    return Forecast.joined([pair.forecast(sides) for pair in pairs])
