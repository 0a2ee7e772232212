"""The density of a measured level, and its distribution function, residual error included; censored levels by their probability."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations, of_case
from auctor.models.model import Residual

Array = NDArray[np.float64]


def observed(case: Case) -> tuple[Observations, NDArray[np.bool_]]:
    """All samples of a case, each with weight 1, (K,); and which of them an estimation would look at.

    How far an analyst lets a sample count says nothing about how likely it is.
    """
    seen = of_case(case)
    counted = np.asarray([case.counts(s) for s in case.samples], dtype=bool)
    return seen._replace(weight=np.ones(len(case.samples))), counted


def log_density(residual: Residual, f: Array, seen: Observations) -> Array:
    """Natural log of each sample's density per mg/L (its probability where censored) at levels f (..., K); -inf where f is not finite.

    >>> one = Observations(np.asarray([10.0]), np.ones(1), np.zeros(1, dtype=np.int64), np.zeros(1))
    >>> log_density(Residual(proportional=0.0, additive=1.0), np.asarray([10.0]), one).round(4).tolist()
    [-0.9189]
    """
    with np.errstate(all="ignore"):
        terms = -0.5 * sample_terms(residual, f, seen)
    of_log = np.log(np.maximum(seen.value, 1e-300)) if residual.kind == "log" else 0.0
    found = terms - np.where(seen.censored, 0.0, 0.5 * math.log(2 * math.pi) + of_log)
    return np.asarray(np.where(np.isfinite(found), found, -np.inf))


def cumulative(residual: Residual, f: Array, y: Array) -> Array:
    """P(a measured value <= y) at levels f, elementwise."""
    from scipy.special import ndtr

    with np.errstate(all="ignore"):
        z = deviation(residual, f, y) / np.sqrt(variance(residual, f))
    return np.asarray(ndtr(np.where(np.isfinite(z), z, 0.0)))


def scaled(seen: Observations, factor: float) -> Observations:
    """The same samples with values and limits times `factor`."""
    return seen._replace(value=seen.value * factor, limit=seen.limit * factor)


def one(seen: Observations, k: int) -> Observations:
    """Sample k alone, (1,)."""
    return Observations(*(column[k : k + 1] for column in seen))


def log_density_if(residual: Residual, f: Array, seen: Observations, factor: float) -> Array:
    """Log density of the recorded numbers if the true ones are `factor` times as large: that of the true ones, times the Jacobian."""
    return log_density(residual, f, scaled(seen, factor)) + np.where(seen.censored, 0.0, math.log(factor))
