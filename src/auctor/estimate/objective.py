"""The individual objective (OFV): -2 log of likelihood times prior, up to the constant NONMEM drops.

OFV(eta) = sum_j w_j [log v_j + (y_j - f_j)^2 / v_j] + eta' Omega^-1 eta, with v_j from the residual error at f_j (interaction) and
w_j the sample's weight, usually 1. This is the quantity mapbayr and posologyr minimise. Of a sample outside the assay's range only the
limit is known: with Phi the normal distribution and z = (limit - f) / sd, its part is

    below, M3:  -2 log Phi(z)                      above:  -2 log Phi(-z)
    M4: every likelihood is divided by Phi(f / sd), the probability of a level above 0, and below is then log[Phi(z) - Phi(-f / sd)]

Reference: Beal SL, J Pharmacokinet Pharmacodyn 2001;28:481-504.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from auctor.estimate.observations import ABOVE, BELOW, POSITIVE, Observations
from auctor.models.model import Residual

# SD of 1e-12 mg/L, a million times under any assay: a proportional error would otherwise reward a prediction that decays to nothing
VARIANCE_FLOOR = 1e-24


def variance(residual: Residual, f: Any, xp: ModuleType = np) -> Any:
    """Residual variance at prediction `f`, (mg/L)^2, or of log y for a log error; never below `VARIANCE_FLOOR`.

    combined: additive^2 + (proportional f)^2; combined1: (additive + proportional f)^2; power: (additive + proportional f^power)^2;
    log: proportional^2. Where the model gives none at all (a proportional error at f = 0) it is proportional^2, NONMEM's W = 1.

    >>> float(variance(Residual(proportional=0.1, additive=0.5), 10.0))
    1.25
    >>> float(variance(Residual(proportional=0.1, additive=0.5, kind="combined1"), 10.0))
    2.25
    """
    spread = _spread(residual, f, xp)
    return xp.maximum(xp.where(spread > 0, spread, residual.proportional**2), VARIANCE_FLOOR)


def _spread(residual: Residual, f: Any, xp: ModuleType) -> Any:
    if residual.kind == "log":
        return xp.full_like(f, residual.proportional**2, dtype=np.float64)
    if residual.kind == "power":
        grown = xp.where(f > 0, xp.where(f > 0, f, 1.0) ** residual.power, 0.0)
        return (residual.additive + residual.proportional * grown) ** 2
    if residual.kind == "combined1":
        return (residual.additive + residual.proportional * f) ** 2
    return residual.additive**2 + (residual.proportional * f) ** 2


def sample_terms(residual: Residual, f: Any, seen: Observations, xp: ModuleType = np) -> Any:
    """Each sample's part of the OFV, 0 where its weight is 0; shape of `f` broadcast with the observations.

    >>> seen = Observations(np.asarray([9.0]), np.asarray([1.0]), np.asarray([0]), np.asarray([0.0]))
    >>> sample_terms(Residual(proportional=0.0, additive=1.0), np.asarray([10.0]), seen).tolist()
    [1.0]
    """
    v = variance(residual, f, xp)
    terms = xp.log(v) + deviation(residual, f, seen.value, xp) ** 2 / v
    if _maybe_censored(seen.state):
        terms = censored_terms(residual, f, (xp.sqrt(v), terms), seen, xp)
    return seen.weight * terms


def _maybe_censored(state: Any) -> bool:
    """False for observations without limits, and for a NumPy mask without a censored sample: a traced one is not known yet."""
    return bool(state.any()) if isinstance(state, np.ndarray) else state.shape[-1] > 0


def censored_terms(residual: Residual, f: Any, at: tuple[Any, Any], seen: Observations, xp: ModuleType = np) -> Any:
    """The terms with those of censored and of conditioned samples replaced; `at` is the residual SD and the plain terms."""
    sd, plain = at
    below, above = (seen.state & BELOW) != 0, (seen.state & ABOVE) != 0
    # a level with a log error is above 0 whatever happens: M4 is M3
    positive = (seen.state & POSITIVE) != 0 if residual.kind != "log" else xp.zeros_like(below)
    z = deviation(residual, f, seen.limit, xp) / sd
    nothing = xp.zeros_like(z) if residual.kind == "log" else f / sd
    within, under_zero, over_zero = _log_normal_cdf(xp.stack([xp.where(above, -z, z), -nothing, nothing]), xp)
    both = below & positive
    # log[Phi(z) - Phi(-f/sd)] without cancellation; the stand-in keeps unused entries finite
    between = xp.log(-xp.expm1(xp.where(both, xp.minimum(under_zero - within, -1e-300), -1.0)))
    terms = xp.where(below | above, -2.0 * (within + xp.where(both, between, 0.0)), plain)
    return terms + xp.where(positive, 2.0 * over_zero, 0.0)


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
