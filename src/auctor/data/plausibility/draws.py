"""Draws of eta that serve every hypothesis about a case at once: importance sampling from a mixture that holds the prior.

Components, in u with eta = L u and Omega = L L': the prior N(0, I); the posterior as recorded; that without each sample; and those with
all levels in another unit where that suits the typical patient better. Each posterior is a normal at its mode with precision I + 0.6 A, A
being the samples' Fisher information: wider than the posterior where samples tell something, the prior elsewhere. The weight
prior / mixture is bounded by the number of components (Hesterberg T, Technometrics 1995;37:185-194), so no hypothesis lacks draws that
the prior would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen
from auctor.estimate.descent import Point, first, moving, stepped
from auctor.estimate.direct_map import objective_of
from auctor.estimate.observations import Observations
from auctor.models.model import DrugModel
from auctor.pk.direct import is_direct, readings
from auctor.pk.exposure import curves
from auctor.pk.timeline import build

Array = NDArray[np.float64]
Levels = Callable[[Array], Array]  # etas (n, p) -> concentrations (n, times)

TEMPER = 0.6
STEPS, SLOPE = 8, 0.2  # a proposal need not sit at the mode exactly


class Draws(NamedTuple):
    """`etas` (n, p) and log of prior over proposal density, (n,)."""

    etas: Array
    log_weight: Array


def levels_of(model: DrugModel, regimen: Regimen, times_h: Array, covariates: Covariates) -> Levels:
    """Concentrations at those times as a function of etas: in NumPy where there is a closed form, compiled otherwise."""
    if not is_direct(model):
        return lambda etas: curves(model, regimen, times_h, covariates, etas)
    timeline = build(model, regimen, covariates, times_h)

    def direct(etas: Array) -> Array:
        with np.errstate(all="ignore"):
            return readings(model, timeline, etas)[0]

    return direct


def draw(model: DrugModel, predict: Levels, lanes: Observations, *, still: NDArray[np.bool_], n: int, seed: int) -> Draws:
    """About `n` draws for the data sets `lanes`, arrays (lanes, K), the first of them as recorded.

    `still` (p,) are etas that move no sample and covary with no other: they are drawn from the prior.
    """
    components = _components(model, predict, lanes, np.flatnonzero(~still))
    rng, each = np.random.default_rng(seed), -(-n // len(components))
    u = np.concatenate([mean + rng.standard_normal((each, len(mean))) @ root.T for mean, root in components])
    log_q = np.logaddexp.reduce([_log_normal(u, mean, root) for mean, root in components], axis=0) - np.log(len(components))
    log_prior = -0.5 * np.sum(u**2, axis=1)
    return Draws(u @ np.linalg.cholesky(model.omega).T, log_prior - log_q)


def _components(model: DrugModel, predict: Levels, lanes: Observations, free: NDArray[np.int64]) -> list[tuple[Array, Array]]:
    """Mean and root of the covariance of each component in u."""
    p = len(model.eta_names)
    found = [(np.zeros(p), np.eye(p))]
    if not lanes.value.size or not len(free):
        return found
    at = _descended(_part(model, free), lambda etas: predict(_widened(etas, free, p)), lanes)
    for k in np.flatnonzero(np.isfinite(at.value)):
        found.append((_widened(at.u[:, k], free, p), _root(_curvature(at, int(k)), free, p)))
    return found


def _part(model: DrugModel, free: NDArray[np.int64]) -> DrugModel:
    """The model with those etas alone."""
    return replace(model, eta_names=tuple(model.eta_names[i] for i in free), omega=model.omega[np.ix_(free, free)])


def _widened(part: Array, free: NDArray[np.int64], p: int) -> Array:
    full = np.zeros((*part.shape[:-1], p))
    full[..., free] = part
    return full


def _descended(model: DrugModel, predict: Levels, lanes: Observations) -> Point:
    """Fisher steps of all data sets together from the typical patient."""
    n, p = len(lanes.value), len(model.eta_names)

    def evaluate(u: Array) -> tuple[Array, Array, tuple[tuple[Array, ...], ...]]:
        return objective_of(model, lanes, predict, u)

    with np.errstate(all="ignore"):
        at = first(evaluate, np.zeros((p, n)), np.full(n, 1e-3), np)
        for _ in range(STEPS):
            if not moving(at, SLOPE, np).any():
                break
            at = stepped(at, evaluate, SLOPE, np)
    return at


def _curvature(at: Point, lane: int) -> Array:
    p = len(at.u)
    return np.asarray([[at.curvature[max(i, j)][min(i, j)][lane] for j in range(p)] for i in range(p)]) / 2


def _root(precision: Array, free: NDArray[np.int64], p: int) -> Array:
    """R with R R' the covariance: the tempered posterior's in the free etas, the prior's in the others."""
    n = len(free)
    values, vectors = np.linalg.eigh(np.eye(n) + TEMPER * (precision - np.eye(n)))
    full = np.eye(p)
    full[np.ix_(free, free)] = vectors / np.sqrt(np.maximum(values, 1.0))
    return full


def _log_normal(u: Array, mean: Array, root: Array) -> Array:
    z = np.linalg.solve(root, (u - mean).T)
    return np.asarray(-0.5 * np.sum(z**2, axis=0) - np.log(np.abs(np.linalg.det(root))))
