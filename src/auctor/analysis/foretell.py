"""What each method says of a level that is not known yet: its predictive distribution, residual error included, at one time.

The distribution is kept as quantiles on one grid of probabilities, so that a level can be judged later from what was kept and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from auctor.analysis.methods import predictors
from auctor.analysis.run import lay_out
from auctor.case import Case, Metric, Target
from auctor.data.plausibility.likelihood import cumulative
from auctor.errors import EstimationError
from auctor.models.model import DrugModel, Residual
from auctor.predictor import Array, Predictor

FINE = tuple(round(0.005 * k, 3) for k in range(1, 200))
PROBABILITIES = (0.0005, 0.001, 0.0025, *FINE, 0.9975, 0.999, 0.9995)
DIGITS = 8
FARTHEST_SD = 6.0
_NO_TARGET = Target(metric=Metric.parse("AUC0-24"), low=0.0, high=1.0, source="none: levels are foretold, no exposure is judged")


def foretell(case: Case, model: DrugModel, time_h: float, *, n_draws: int, seed: int) -> dict[str, Mapping[str, float]]:
    """Quantiles (mg/L, by probability as text) of a level drawn at `time_h`, by each method that predicts concentrations.

    The case must not hold the level. A priori, MAP (Laplace) and posterior, as `analyse` would have answered; without a usable sample only
    the first. The same arguments give the same numbers. Raises EstimationError when no method has finite concentrations, CaseError as
    `analyse`.
    """
    target = case.target or (model.targets[0] if model.targets else _NO_TARGET)
    laid = lay_out(case, model, target=target, n_draws=n_draws, seed=seed)
    attempts = predictors(laid.question, None)
    able = {key: found for key, found in attempts.items() if not isinstance(found, str)}
    spread = {key: _spread(found, case, time_h) for key, found in able.items()}
    found: dict[str, Mapping[str, float]] = {
        key: quantiles(laid.question.ready.model.residual, f) for key, f in spread.items() if np.isfinite(f).all()
    }
    if not found:
        raise EstimationError(where="prediction", what="no finite concentration", remedy="analyse the course and read its warnings")
    return found


def _spread(method: Predictor, case: Case, time_h: float) -> Array:
    return np.asarray(method.predict(case.history, np.asarray([time_h])).values[:, 0], dtype=np.float64)


def quantiles(residual: Residual, f: Array) -> dict[str, float]:
    """Quantiles of a measured level when the true one is equally likely any of `f` (n,), mg/L.

    Inverts the mixture's distribution function on a grid, by linear interpolation of normal scores.

    >>> found = quantiles(Residual(proportional=0.0, additive=2.0), np.full(3, 10.0))
    >>> round(found["0.5"], 6), round(found["0.975"], 3)
    (10.0, 13.92)
    """
    from scipy.special import ndtri

    levels = _grid(residual, f)
    scores = ndtri(np.clip(mixture(residual, f, levels), 1e-12, 1 - 1e-12))
    keep = np.concatenate([[True], np.diff(scores) > 0])
    values = np.interp(_scores(), scores[keep], levels[keep])
    return {f"{p:g}": float(f"{value:.{DIGITS}g}") for p, value in zip(PROBABILITIES, values, strict=True)}


def mixture(residual: Residual, f: Array, levels: Array) -> Array:
    """P(a measured level <= each of `levels`), averaged over the draws `f`."""
    return np.asarray([np.mean(cumulative(residual, f, np.asarray(y))) for y in levels])


def _grid(residual: Residual, f: Array) -> Array:
    """Levels between which the mixture's distribution function is followed: dense where it rises."""
    from scipy.special import ndtri

    from auctor.estimate.objective import variance

    sd = np.sqrt(np.asarray(variance(residual, f), dtype=np.float64))
    z = np.concatenate([[-FARTHEST_SD], ndtri((np.arange(24) + 0.5) / 24), [FARTHEST_SD]])
    moved = f[:, None] * np.exp(sd[:, None] * z) if residual.kind == "log" else f[:, None] + sd[:, None] * z
    inner = np.quantile(moved[:, 1:-1], np.linspace(0, 1, 300))
    outer = np.concatenate([np.linspace(moved.min(), inner[0], 60), np.linspace(inner[-1], moved.max(), 60)])
    return np.unique(np.concatenate([inner, outer]))


@cache
def _scores() -> NDArray[np.float64]:
    from scipy.special import ndtri

    return np.asarray(ndtri(np.asarray(PROBABILITIES)))


def percentile(found: Mapping[str, float], level: float) -> float:
    """Where a level (mg/L) lies in kept quantiles, 0-100; beyond the outermost ones it is theirs (0.05, 99.95).

    >>> percentile({f"{p:g}": 10.0 * p for p in PROBABILITIES}, 2.5)
    25.0
    """
    from scipy.special import ndtr

    values = np.asarray([found[f"{p:g}"] for p in PROBABILITIES])
    return round(100.0 * float(ndtr(np.interp(level, values, _scores()))), 6)
