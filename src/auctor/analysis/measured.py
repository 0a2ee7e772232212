"""Where a new measurement would lie: the draws of the concentration with the residual error of the model around each."""

from __future__ import annotations

import numpy as np

from auctor.estimate.objective import variance
from auctor.models.model import Residual
from auctor.predictor import Array

STRATA = 200  # draws that stand for all: the middles of as many equal shares of the sorted ones
LEAST = 1e-12  # mg/L: below it a proportional error says nothing (`variance` would take W = 1)
STEPS = 40


def measured_interval(residual: Residual, draws: Array, *, share: float = 0.9) -> tuple[Array, Array]:
    """The central interval that holds `share` of new measurements at each time: (n_times,) and (n_times,), mg/L, never below 0.

    `draws` are (n_draws, n_times) concentrations without measurement error, mg/L. Solves F(y) = p for the mixture
    F(y) = mean over draws of Phi((y - c) / sd(c)), on the log scale for a log error, by bisection.

    >>> low, high = measured_interval(Residual(proportional=0.1, additive=0.0), np.full((100, 1), 10.0))
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (8.355, 11.645)
    """
    centre = np.maximum(_stratified(draws), LEAST)
    spread = np.sqrt(np.asarray(variance(residual, centre), dtype=np.float64))
    if residual.kind == "log":
        low, high = (np.exp(_quantile(p, np.log(centre), spread)) for p in ((1 - share) / 2, (1 + share) / 2))
        return low, high
    low, high = (np.maximum(_quantile(p, centre, spread), 0.0) for p in ((1 - share) / 2, (1 + share) / 2))
    return low, high


def _stratified(draws: Array) -> Array:
    """At most `STRATA` of the sorted draws of each time, evenly spread over them."""
    n = draws.shape[0]
    if n <= STRATA:
        return draws
    middles = ((np.arange(STRATA) + 0.5) / STRATA * n - 0.5).round().astype(int)
    return np.asarray(np.sort(draws, axis=0)[middles], dtype=np.float64)


def _quantile(p: float, centre: Array, spread: Array) -> Array:
    """Where mean Phi((y - centre) / spread) over the first axis is `p`."""
    from scipy.special import ndtr

    low, high = (centre - 9 * spread).min(axis=0), (centre + 9 * spread).max(axis=0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        under = ndtr((middle - centre) / spread).mean(axis=0) < p
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return np.asarray((low + high) / 2, dtype=np.float64)
