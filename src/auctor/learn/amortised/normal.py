"""The normal approximation that the network starts from: Gauss-Newton steps on the logarithm of the levels, under each model.

With t = log(level + c) and slopes S = dt/dz around the current centre z0, the posterior of z ~ N(0, I) is N(mu, A^-1), A = I + S' V^-1 S,
mu = A^-1 S' V^-1 (t - t(z0) + S z0). The slopes are secants over one SD, so that they hold over the population; half the squared bend is
added to V. Reference: Tarantola A, Inverse Problem Theory, SIAM 2005, eq. 3.37 (linearised Gaussian inference).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.learn.amortised.shown import Shown, spread
from auctor.models.model import DrugModel

Array = NDArray[np.float64]
Levels = Callable[[Array], Array]  # standardised etas (n, p) -> concentrations (n, k)
STEPS = (1.0, 0.5)  # half-width of the secants of each Gauss-Newton step, in SD of the population
FARTHEST = 4.0  # SD: where a step would leave the population, it is cut short
ABSURD = 1e6  # mg/L: where a formula crosses zero at etas that no patient has, a course may run away
LEAST_SHARE = 0.05  # of a level: no proportional error below that is used for the transformation


@dataclass(frozen=True, kw_only=True, eq=False)
class Normal:
    """n patients under one model: N(`mean` (n, p), A^-1) with A = `root` @ root' (n, p, p).

    `residual` (n, k) the standardised distance of each level from PRED, `slope` (n, k, p) over the level's SD at the last centre,
    `log_sd` (n, k); `evidence` (n,) log p(levels) of the approximation; `misfit` (n,) the squared Mahalanobis distance of the levels.
    """

    mean: Array
    root: Array
    residual: Array
    slope: Array
    log_sd: Array
    evidence: Array
    misfit: Array


def approximate(model: DrugModel, levels: Levels, shown: Shown) -> Normal:
    """Gauss-Newton from the population's centre, in as many steps as `STEPS` has."""
    n, p = len(shown.level), len(model.eta_names)
    offset = _offset(model)
    # a level under its limit is taken for half of it, with a whole unit of log as its error: the network and the likelihood know better
    level = np.where(shown.below, 0.5 * shown.level, shown.level)
    sd = np.where(shown.below, 1.0, spread(model.residual, level) / (level + offset))
    seen = np.log(level + offset)
    centre, residual = np.zeros((n, p)), np.zeros_like(seen)
    for k, half in enumerate(STEPS):
        at, slope, bend = _expanded(levels, centre, half, offset)
        variance = sd**2 + 0.5 * np.sum(bend**2, axis=-1) * (1.0 if k == 0 else 0.0)
        moved = seen - at + np.einsum("nkp,np->nk", slope, centre)
        weight = np.where(shown.used, 1.0 / variance, 0.0)
        found = _solved(moved, slope, weight)
        residual = np.where(shown.used, (seen - at) / sd, 0.0) if k == 0 else residual
        centre = np.clip(found[0], -FARTHEST, FARTHEST)
    mean, root = centre, found[1]
    misfit, evidence = _evidence(moved, weight, found)
    return Normal(
        mean=mean,
        root=root,
        residual=residual,
        slope=np.where(shown.used[..., None], slope / np.sqrt(variance)[..., None], 0.0),
        log_sd=np.where(shown.used, np.log(sd), 0.0),
        evidence=evidence - np.sum(np.where(shown.used, np.log(level + offset), 0.0), axis=1),
        misfit=misfit,
    )


def _offset(model: DrugModel) -> float:
    """c of log(level + c), mg/L: about where the additive error takes over from the proportional one."""
    low, high = (float(spread(model.residual, np.asarray(f))) for f in (1e-9, 1e6))
    return low / max(high / 1e6, LEAST_SHARE) + 1e-9


def _expanded(levels: Levels, centre: Array, half: float, offset: float) -> tuple[Array, Array, Array]:
    """t (n, k), its secant slopes and second differences (n, k, p) at `centre` (n, p)."""

    def read(z: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.log(np.nan_to_num(levels(z), nan=0.0).clip(0.0, ABSURD) + offset)

    at = read(centre)
    steps = half * np.eye(centre.shape[1])
    above, below = ([read(centre + sign * step) for step in steps] for sign in (1.0, -1.0))
    up, down = np.stack(above, axis=-1), np.stack(below, axis=-1)
    return at, (up - down) / (2 * half), (up + down - 2 * at[..., None]) / half**2


def _solved(moved: Array, slope: Array, weight: Array) -> tuple[Array, Array]:
    a = np.eye(slope.shape[-1]) + np.einsum("nk,nkp,nkq->npq", weight, slope, slope)
    b = np.einsum("nk,nkp,nk->np", weight, slope, moved)
    return np.linalg.solve(a, b[..., None])[..., 0], np.linalg.cholesky(a)


def _evidence(moved: Array, weight: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
    """(misfit, log evidence) with r' V^-1 r - mu' A mu = r' (V + S S')^-1 r."""
    mean, root = found
    fitted = np.sum(np.einsum("npq,np->nq", root, mean) ** 2, axis=1)
    misfit = np.maximum(np.sum(weight * moved**2, axis=1) - fitted, 0.0)
    log_root = np.sum(np.log(np.diagonal(root, axis1=1, axis2=2)), axis=1)
    scale = 0.5 * np.sum(np.where(weight > 0, np.log(np.maximum(weight, 1e-300)), 0.0), axis=1)
    return misfit, -0.5 * misfit - log_root + scale
