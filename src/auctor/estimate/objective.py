"""The individual objective (OFV): -2 log of likelihood times prior, up to the constant NONMEM drops.

OFV(eta) = sum_j [log v_j + (y_j - f_j)^2 / v_j] + eta' Omega^-1 eta, with v_j from the residual error at f_j (interaction);
a censored sample adds -2 log Phi((LLOQ - f) / sd) instead. This is the quantity mapbayr and posologyr minimise.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from auctor.estimate.observations import Observations
from auctor.models.model import Residual


def variance(residual: Residual, f: Any, xp: ModuleType = np) -> Any:
    """Residual variance at prediction `f` (mg/L)^2; 1 where the model gives none (a proportional error at f = 0, as NONMEM's W = 1).

    >>> float(variance(Residual(proportional=0.1, additive=0.5), 10.0))
    1.25
    """
    if residual.kind == "log":
        return xp.full_like(f, residual.proportional**2)
    if residual.kind == "combined1":
        spread = (residual.additive + residual.proportional * f) ** 2
    else:
        spread = residual.additive**2 + (residual.proportional * f) ** 2
    return xp.where(spread > 0, spread, 1.0)


def sample_terms(residual: Residual, f: Any, seen: Observations, xp: ModuleType = np) -> Any:
    """Each sample's part of the OFV, 0 where its weight is 0; shape of `f` broadcast with the observations."""
    v = variance(residual, f, xp)
    misfit = deviation(residual, f, seen.value, xp)
    terms = xp.log(v) + misfit**2 / v
    if _maybe_censored(seen.censored):
        z = (seen.limit - f) / xp.sqrt(v)
        terms = xp.where(seen.censored, -2.0 * _log_normal_cdf(z, xp), terms)
    return seen.weight * terms


def _maybe_censored(censored: Any) -> bool:
    """False only for a NumPy mask without a censored sample: a traced one is not known yet."""
    return bool(censored.any()) if isinstance(censored, np.ndarray) else True


def _log_normal_cdf(z: Any, xp: ModuleType) -> Any:
    if xp is np:
        from scipy.special import log_ndtr

        return log_ndtr(z)
    from jax.scipy.special import log_ndtr as traced

    return traced(z)


def deviation(residual: Residual, f: Any, y: Any, xp: ModuleType = np) -> Any:
    """y - f, or log y - log f for a log error; `y` <= 0 there counts as f (such a row carries no weight)."""
    if residual.kind != "log":
        return y - f
    tiny = 1e-300
    return xp.where(y > 0, xp.log(xp.where(y > 0, y, 1.0)) - xp.log(xp.maximum(f, tiny)), 0.0)
