"""Accuracy of predicted exposures with bootstrap confidence intervals, in the field's own measures.

With e = (predicted - reference) / reference: rMPE = mean(e), rRMSE = sqrt(mean(e^2)), out20 = share with |e| > 20 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measure with its bootstrap 95 % confidence interval.

    >>> str(Score(value=0.0812, low=0.078, high=0.084))
    '8.1 % (7.8 to 8.4)'
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"

    def as_dict(self) -> dict[str, float]:
        """For JSON, rounded to six decimals."""
        return {"value": round(self.value, 6), "low": round(self.low, 6), "high": round(self.high, 6)}


MEASURES: Mapping[str, Statistic] = {
    "rMPE": lambda e: np.mean(e, axis=-1),
    "rRMSE": lambda e: np.sqrt(np.mean(e * e, axis=-1)),
    "out20": lambda e: np.mean(np.abs(e) > 0.20, axis=-1),
    "out30": lambda e: np.mean(np.abs(e) > 0.30, axis=-1),
}


def resamples(n: int, *, times: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """Row numbers of bootstrap resamples, shape (times, n); the same for every method of a comparison, so ratios are paired."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, n, size=(times, n))


def score(statistic: Statistic, values: Array, *, rows: NDArray[np.int64] | None = None) -> Score:
    """A statistic of per-patient values (n,) with its percentile bootstrap interval."""
    drawn = statistic(values[resamples(len(values)) if rows is None else rows])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(value=float(statistic(values)), low=float(low), high=float(high))


def accuracy(predicted: Array, reference: Array, *, interval: tuple[Array, Array] | None = None, seed: int = 0) -> dict[str, Score]:
    """rMPE, rRMSE, out20, out30 and, with `interval` (low, high), the share of references inside it; all (n,) inputs.

    >>> found = accuracy(np.array([1.1, 0.9]), np.array([1.0, 1.0]))
    >>> round(found["rMPE"].value, 12), round(found["rRMSE"].value, 12)
    (0.0, 0.1)
    """
    rows = resamples(len(reference), seed=seed)
    error = (predicted - reference) / reference
    found = {name: score(statistic, error, rows=rows) for name, statistic in MEASURES.items()}
    if interval is not None:
        inside = ((reference >= interval[0]) & (reference <= interval[1])).astype(np.float64)
        found["coverage"] = score(MEASURES["rMPE"], inside, rows=rows)
    return found


def brier(predicted: Array, happened: Array, *, seed: int = 0) -> Score:
    """Mean squared difference of a probability and what happened (0 or 1), both (n,): 0 is perfect (Brier, Mon Weather Rev 1950;78:1-3).

    >>> brier(np.array([0.0, 1.0]), np.array([0.0, 1.0])).value
    0.0
    """
    return score(MEASURES["rMPE"], (predicted - happened) ** 2, rows=resamples(len(happened), seed=seed))
