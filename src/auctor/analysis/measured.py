"""Where a new measurement would lie: the draws of the concentration with the residual error of the model around each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.objective import variance
from auctor.models.model import Residual
from auctor.predictor import Array

STRATA = 200  # draws that stand for all: the middles of as many equal shares of the sorted ones
REACHED = 1e-12  # the last step of Newton's method against the bounds that hold the root
LEAST = 1e-12  # mg/L: below it a proportional error says nothing (`variance` would take W = 1)
STEPS, BEGUN, NEWTON = 40, 10, 6  # of the bisection; those before Newton's method finds the root; of that


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
    return np.ascontiguousarray(np.sort(np.ascontiguousarray(draws.T), axis=1)[:, middles].T)  # a row of its own for each time: faster


def _quantile(p: float, centre: Array, spread: Array) -> Array:
    """Where mean Phi((y - centre) / spread) over the first axis is `p`: forty halvings, most of which a root that is known decides."""
    low, high = (centre - 9 * spread).min(axis=0), (centre + 9 * spread).max(axis=0)
    low, high = _halved(low, high, lambda y: _beyond(p, y, centre, spread) < 0, BEGUN)
    root, reached = _roots(p, (low, high), centre, spread)
    others = ~reached

    def below(y: Array) -> NDArray[np.bool_]:
        left = y < root
        left[others] = _beyond(p, y[others], centre[:, others], spread[:, others]) < 0
        return left

    low, high = _halved(low, high, below, STEPS - BEGUN)
    return np.asarray((low + high) / 2, dtype=np.float64)


def _beyond(p: float, y: Array, centre: Array, spread: Array) -> Array:
    """How far the mixture's distribution function at y is above p."""
    from scipy.special import ndtr

    return np.asarray(ndtr((y - centre) / spread).mean(axis=0) - p)


def _halved(low: Array, high: Array, below: Callable[[Array], NDArray[np.bool_]], steps: int) -> tuple[Array, Array]:
    """The bounds of a root after so many halvings; `below` says where the middle lies below it."""
    for _ in range(steps):
        middle = (low + high) / 2
        left = below(middle)
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return low, high


def _roots(p: float, bounds: tuple[Array, Array], centre: Array, spread: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The quantiles by Newton's method within their bounds, and which of them it reached."""
    low, high = bounds
    found, step = (low + high) / 2, high - low
    for _ in range(NEWTON):
        density = (np.exp(-0.5 * ((found - centre) / spread) ** 2) / spread).mean(axis=0) / math.sqrt(2 * math.pi)
        with np.errstate(all="ignore"):  # between two draws far apart the density is 0
            step = _beyond(p, found, centre, spread) / density
        found = np.clip(np.nan_to_num(found - step), low, high)
    return found, np.abs(step) <= REACHED * (high - low)
