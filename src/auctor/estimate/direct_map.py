"""MAP of one patient in NumPy, for models with a closed form: the same search as `auctor.estimate.map`, ready without compiling.

First derivatives of the predictions are central differences (all points in one pass of the engine), the rest is the same arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.descent import Evaluate, Matrix, Point, first, moving, newton, steepest, stepped, unsettled
from auctor.estimate.modes import Lanes, MapFit, distinct, fit_of, starting_points
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.models.model import DrugModel, Residual
from auctor.pk.direct import readings
from auctor.pk.timeline import Timeline

Array = NDArray[np.float64]

STEP = 2e-5  # of u: truncation and rounding of a central difference are both near 1e-10
ROUGH, FINE = (1e-3, 40), (2e-8, 80)  # slope at which the work is done, and most steps


def direct_map(model: DrugModel, timeline: Timeline, seen: Observations, *, starts: int | None = None) -> MapFit:
    """The distinct modes of one patient; `seen` (O,) aligned with the timeline's wanted times.

    Raises EstimationError where the objective is not finite from any start.
    """
    points = starting_points(model, starts)
    owner, fine = searched(1, points, partial(_parts, model, timeline, seen))
    return fit_of(model, 1, owner, fine)


def searched(n: int, u: Array, evaluate: Evaluate) -> tuple[NDArray[np.int64], Lanes]:
    """The distinct optima of n subjects from lanes u (lanes, p), as many of each, subject after subject; whose each is, and the lanes."""
    rough = _lanes(_rough(evaluate, u))
    owner, found = distinct(n, rough.value, rough.u)
    return owner, _lanes(_fine(evaluate, found))


def settled(u: Array, evaluate: Evaluate) -> Lanes:
    """Where lanes u (lanes, p) come to rest by Fisher scoring alone, to a slope of 1e-3: for predictions known to a solver's tolerance.

    The Hessian is the expected one, which needs no second differences.
    """
    return _lanes(_rough(evaluate, u))


def _rough(evaluate: Evaluate, u: Array) -> Point:
    at = first(evaluate, u.T, np.full(len(u), 1e-3), np)
    for _ in range(ROUGH[1]):
        if not moving(at, ROUGH[0], np).any():
            break
        at = stepped(at, evaluate, ROUGH[0], np)
    return at


def _fine(evaluate: Evaluate, u: Array) -> Point:
    at, begun = first(evaluate, u.T, np.full(len(u), 1e-12), np), np.full(len(u), np.inf)
    for _ in range(FINE[1]):
        if not unsettled(at, begun, FINE[0], np).any():
            break
        at, begun = newton(at, evaluate, FINE[0], np)
    return at


def _lanes(at: Point) -> Lanes:
    p = at.u.shape[0]
    rows = [[at.curvature[max(i, j)][min(i, j)] for j in range(p)] for i in range(p)]
    slope = steepest(at, np) / (1.0 + np.abs(at.value))
    return Lanes(u=at.u.T, value=at.value, damping=at.damping, slope=slope, hessian=np.moveaxis(np.asarray(rows), -1, 0))


def _parts(model: DrugModel, timeline: Timeline, seen: Observations, u: Array) -> tuple[Array, Array, Matrix]:
    """OFV (lanes,), gradient (p, lanes) and Fisher curvature at u (p, lanes)."""
    own = Observations(*(values[None] if values.size else values for values in seen))
    return objective_of(model, own, lambda etas: readings(model, timeline, etas)[0], u)


def objective_of(model: DrugModel, own: Observations, predict: Callable[[Array], Array], u: Array) -> tuple[Array, Array, Matrix]:
    """The same from `predict`, which takes etas ((2p + 1) lanes, p), shift after shift, to levels (.., O); `own` (lanes, O) or (1, O)."""
    p, lanes = u.shape
    root = np.linalg.cholesky(model.omega)
    shifts = np.concatenate([np.zeros((1, p)), STEP * np.eye(p), -STEP * np.eye(p)])
    points = (u.T[None] + shifts[:, None]).reshape(-1, p)
    with np.errstate(all="ignore"):  # a point too far out is worth infinity, not a warning
        f = predict(points @ root.T).reshape(2 * p + 1, lanes, -1)
        return _objective(model.residual, own, (f[0], (f[1 : p + 1] - f[p + 1 :]) / (2 * STEP)), u)


def _objective(residual: Residual, own: Observations, predicted: tuple[Array, Array], u: Array) -> tuple[Array, Array, Matrix]:
    """Predictions (lanes, O) and slopes (p, lanes, O) to the objective; derivatives by the prediction are differences too."""
    (f, slopes), p = predicted, len(u)
    h = 1e-5 * np.maximum(np.abs(f), 1e-6)
    terms, up, down = (sample_terms(residual, f + d, own) for d in (0.0, h, -h))
    by_f = (up - down) / (2 * h)
    weight = own.weight * _expected_curvature(residual, f, h)
    value = terms.sum(axis=-1) + np.sum(u**2, axis=0)
    gradient = np.sum(slopes * by_f, axis=-1) + 2 * u
    curvature = tuple(
        tuple(np.sum(slopes[i] * weight * slopes[j], axis=-1) + (2.0 if i == j else 0.0) for j in range(i + 1)) for i in range(p)
    )
    return value, gradient, curvature


def _expected_curvature(residual: Residual, f: Array, h: Array) -> Array:
    """E[d2/df2 of a sample's OFV] = 2 (d misfit/df)^2 / v + (v'/v)^2."""
    v = variance(residual, f)
    dv = (variance(residual, f + h) - variance(residual, f - h)) / (2 * h)
    dm = (deviation(residual, f + h, np.ones_like(f)) - deviation(residual, f - h, np.ones_like(f))) / (2 * h)
    return np.asarray(2 * dm**2 / v + (dv / v) ** 2)
