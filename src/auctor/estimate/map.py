"""Maximum a posteriori estimation: a batched, damped second-order method with several starts.

Works in u with eta = L u, Omega = L L', where the prior is u'u. Fisher (Gauss-Newton) steps from every start, then Newton
steps on each distinct optimum, whose Hessian is the central difference of the exact gradient: one compiled function serves all.
Reference for the objective: Kang D et al., Clin Transl Sci 2012 (MAP in NONMEM); Le Louedec F et al., CPT PSP 2021;10:1208 (mapbayr).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations, select
from auctor.estimate.outputs import residual_at
from auctor.models.mechanism import mechanism
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import course
from auctor.pk.engine import jax, jnp
from auctor.pk.kept import Kept
from auctor.pk.timeline import Batch, repeat_to

Array = NDArray[np.float64]
Traced = jax.Array

FISHER_STEPS, NEWTON_STEPS = 30, 30
GRADIENT_TOLERANCE = 1e-7
DIFFERENCE = 1e-4
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
CHUNKS = (1, 8, 64, 512)
UNUSABLE = "check doses, samples and units; a nonlinear model may have no steady state under the recorded dose"
WORK = 600_000  # points x events evaluated in one call, which bounds its memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Mode:
    """One local optimum of one subject: eta (p,), its OFV, covariance (p, p) and log mass (Laplace, relative)."""

    eta: Array
    ofv: float
    covariance: Array
    log_mass: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MapFit:
    """Per subject, best mode first: the distinct modes, and whether the best one met the gradient tolerance."""

    modes: tuple[tuple[Mode, ...], ...]
    converged: NDArray[np.bool_]

    @property
    def eta(self) -> Array:
        """The best mode of each subject, (n, p)."""
        return np.stack([m[0].eta for m in self.modes])

    @property
    def ofv(self) -> Array:
        """Its OFV, (n,)."""
        return np.asarray([m[0].ofv for m in self.modes])

    @property
    def sd(self) -> Array:
        """Standard deviation of each eta from the inverse Hessian at the mode, (n, p)."""
        return np.stack([np.sqrt(np.diag(m[0].covariance)) for m in self.modes])


def cholesky_of_omega(model: DrugModel) -> Array:
    """L with Omega = L L'."""
    return np.asarray(np.linalg.cholesky(model.omega), dtype=np.float64)


def _rows(batch: Batch, seen: Observations, part: NDArray[np.int64]) -> tuple[dict[str, NDArray[Any]], Observations]:
    """Those subjects' arrays and observations (with repeats)."""
    return {name: values[part] for name, values in batch.arrays.items()}, select(seen, part)


class _Numbers(NamedTuple):
    """What models of one mechanism may differ in: the root of omega (p, p), and proportional, additive and power of the residual error."""

    root: Array
    error: Array


def _numbers(model: DrugModel) -> _Numbers:
    r = model.residual
    return _Numbers(cholesky_of_omega(model), np.asarray([r.proportional, r.additive, r.power], dtype=np.float64))


def _parts(model: DrugModel, timeline: dict[str, Traced], seen: Observations, u: Traced) -> tuple[Traced, Traced, Traced]:
    return _parts_with(model, _numbers(model), timeline, seen, u)


def _parts_with(
    model: DrugModel, numbers: _Numbers, timeline: dict[str, Traced], seen: Observations, u: Traced
) -> tuple[Traced, Traced, Traced]:
    """OFV, its exact gradient and its expected (Fisher) curvature in u, from first derivatives of f alone."""
    root, residual = jnp.asarray(numbers.root), residual_at(model, timeline, jnp)
    if len(model.residuals) < 2:
        residual = replace(residual, **dict(zip(("proportional", "additive", "power"), numbers.error, strict=True)))

    def predicted(x: Traced) -> tuple[Traced, Traced]:
        f = course(model, timeline, root @ x).concentration
        return f, f

    jacobian, f = jax.jacfwd(predicted, has_aux=True)(u)
    terms, slope = jax.jvp(lambda g: sample_terms(residual, g, seen, jnp), (f,), (jnp.ones_like(f),))
    weight = seen.weight * _expected_curvature(residual, f)
    value = jnp.sum(terms) + jnp.sum(u**2)
    return value, jacobian.T @ slope + 2 * u, jnp.einsum("op,o,oq->pq", jacobian, weight, jacobian) + 2 * jnp.eye(u.shape[0])


def _expected_curvature(residual: Residual, f: Traced) -> Traced:
    """E[d2/df2 of a sample's OFV] = 2 (d misfit/df)^2 / v + (v'/v)^2."""
    v, dv = jax.jvp(lambda g: variance(residual, g, jnp), (f,), (jnp.ones_like(f),))
    _, dm = jax.jvp(lambda g: deviation(residual, g, jnp.ones_like(g), jnp), (f,), (jnp.ones_like(f),))
    curvature: Traced = 2 * dm**2 / v + (dv / v) ** 2
    return curvature


_KEPT: dict[str, Kept] = {}


@lru_cache(maxsize=128)
def _compiled(model: DrugModel) -> Kept:
    key = f"map {mechanism(model)}"
    if key not in _KEPT:
        over_points = jax.vmap(partial(_parts_with, model), in_axes=(None, None, None, 0))
        _KEPT[key] = Kept(jax.vmap(over_points, in_axes=(None, 0, 0, 0)), key)
    return _KEPT[key]


class _Evaluator:
    """`_parts` at points (n, k, p) of a chunk of subjects, padded to one of a few sizes so that nothing recompiles."""

    def __init__(self, model: DrugModel, arrays: dict[str, NDArray[Any]], seen: Observations) -> None:
        self.n = len(seen.value)
        size = next(c for c in CHUNKS if c >= self.n)
        self.run, self.numbers = _compiled(model), _numbers(model)
        self.arrays = {name: repeat_to(values, size) for name, values in arrays.items()}
        self.seen = Observations(*map(partial(repeat_to, size=size), seen))
        self.size = size

    def __call__(self, points: Array) -> tuple[Array, Array, Array]:
        value, gradient, fisher = self.run(self.numbers, self.arrays, self.seen, repeat_to(points, self.size))
        usable = np.isfinite(value) & np.isfinite(gradient).all(axis=-1)
        return np.where(usable, value, np.inf)[: self.n], np.asarray(gradient)[: self.n], np.asarray(fisher)[: self.n]


@dataclass(eq=False)
class _Search:
    """Damped descent of many points at once; every array has the points' leading shape."""

    u: Array
    value: Array
    gradient: Array
    curvature: Array
    damping: Array

    def trial(self) -> Array:
        """The next point of each search; a step of more than 3 prior SDs leaves the region where curvature means anything."""
        eye = np.eye(self.u.shape[-1])
        curvature = np.where(np.isfinite(self.curvature), self.curvature, 0.0)
        curvature = _positive(curvature) + self.damping[..., None, None] * eye
        step = -np.linalg.solve(curvature, np.nan_to_num(self.gradient)[..., None])[..., 0]
        length = np.abs(step).max(axis=-1, keepdims=True)
        return np.asarray(self.u + step * np.minimum(1.0, 3.0 / np.maximum(length, 1e-300)), dtype=np.float64)

    def take(self, u: Array, value: Array, gradient: Array, curvature: Array) -> None:
        """Accept what does not get worse (beyond rounding), and damp the rest."""
        better = value <= self.value + 1e-13 * (1.0 + np.abs(np.where(np.isfinite(self.value), self.value, 0.0)))
        self.u = np.where(better[..., None], u, self.u)
        self.value = np.where(better, value, self.value)
        self.gradient = np.where(better[..., None], gradient, self.gradient)
        self.curvature = np.where(better[..., None, None], curvature, self.curvature)
        self.damping = np.where(better, np.maximum(self.damping / 8, 1e-12), np.maximum(self.damping * 8, 1e-3))

    def settled(self, tolerance: float) -> NDArray[np.bool_]:
        """Flat, or no step helps any more."""
        return np.asarray((np.abs(self.gradient).max(axis=-1) < tolerance) | (self.damping > 1e10))


def _positive(curvature: Array) -> Array:
    """The curvature with its eigenvalues made positive, so that every step goes down (a saddle is left, not sought)."""
    values, vectors = np.linalg.eigh((curvature + np.swapaxes(curvature, -1, -2)) / 2)
    floored = np.maximum(np.abs(values), 1e-3)
    return np.asarray((vectors * floored[..., None, :]) @ np.swapaxes(vectors, -1, -2), dtype=np.float64)


def starting_points(model: DrugModel, count: int | None = None) -> Array:
    """Starts in u, (count, p): the prior mode, then fixed points spread over the prior (a Halton set within 1.5 SD); 2p + 1 by default."""
    p = len(model.eta_names)
    count = 2 * p + 1 if count is None else count
    if count == 1:
        return np.zeros((1, p))
    from scipy.special import ndtri  # not scipy.stats, whose import takes longer than the whole search

    spread = ndtri(0.07 + 0.86 * np.stack([_van_der_corput(count - 1, PRIMES[k % len(PRIMES)]) for k in range(p)], axis=1))
    return np.vstack([np.zeros((1, p)), spread])


def _van_der_corput(count: int, base: int) -> Array:
    """The first `count` terms of the sequence in that base, from 1 on (a Halton set has one prime base per axis)."""
    out = np.zeros(count)
    left, share = np.arange(1, count + 1), 1.0 / base
    while left.any():
        out += (left % base) * share
        left, share = left // base, share / base
    return out


def map_batch(model: DrugModel, batch: Batch, seen: Observations, *, starts: int | None = None) -> MapFit:
    """MAP of every subject of a batch; `seen` arrays (n, O) aligned with the batch's wanted times; `starts` per subject (2p + 1).

    Raises EstimationError when a subject has no finite objective from any start.
    """
    if not model.eta_names:
        raise EstimationError(
            where=model.name, what="the model has no between-subject variability to estimate", remedy="give at least one parameter an iiv"
        )
    rough = _search_all(model, batch, seen, starting_points(model, starts))
    owner, found = _distinct(rough)
    modes, flat = _polish(model, batch, seen, owner, found)
    grouped: list[list[tuple[Mode, bool]]] = [[] for _ in range(batch.n)]
    for k, mode, ok in zip(owner, modes, flat, strict=True):
        grouped[k].append((mode, bool(ok)))
    ordered = [sorted(g, key=lambda pair: pair[0].ofv) for g in grouped]
    return MapFit(modes=tuple(_unique(g) for g in ordered), converged=np.asarray([g[0][1] for g in ordered]))


def _search_all(model: DrugModel, batch: Batch, seen: Observations, starts: Array) -> _Search:
    """Fisher descent from every start of every subject: arrays (n, k, ...)."""
    pieces = []
    for part in _chunks(batch, batch.n):
        evaluate = _Evaluator(model, *_rows(batch, seen, part))
        u = np.repeat(starts[None], evaluate.n, axis=0)
        value, gradient, fisher = evaluate(u)
        search = _Search(u, value, gradient, fisher, np.full(value.shape, 1e-3))
        for _ in range(FISHER_STEPS):
            trial = search.trial()
            search.take(trial, *evaluate(trial))
            if search.settled(1e-2).all():
                break
        pieces.append(search)
    return _Search(*(np.concatenate([getattr(s, name) for s in pieces]) for name in ("u", "value", "gradient", "curvature", "damping")))


def _chunks(batch: Batch, n: int) -> list[NDArray[np.int64]]:
    points = 11
    room = WORK / (points * batch.arrays["time"].shape[1])
    size = max(c for c in CHUNKS if c <= max(room, 1))
    return [np.arange(i, min(i + size, n)) for i in range(0, n, size)]


def _distinct(rough: _Search) -> tuple[list[int], Array]:
    """Subject index and point of each candidate optimum: the best of every subject and what ended more than 0.05 prior SD away."""
    owner: list[int] = []
    points: list[Array] = []
    for i in range(len(rough.value)):
        order = [k for k in np.argsort(rough.value[i], kind="stable") if np.isfinite(rough.value[i, k])]
        if not order:
            raise EstimationError(where="MAP", what="the objective is not finite from any start", remedy=UNUSABLE)
        kept: list[Array] = []
        for k in order:
            if all(np.abs(rough.u[i, k] - other).max() > 0.05 for other in kept):
                kept.append(rough.u[i, k])
        owner += [i] * len(kept)
        points += kept
    return owner, np.stack(points)


def _polish(model: DrugModel, batch: Batch, seen: Observations, owner: list[int], points: Array) -> tuple[list[Mode], Array]:
    """Newton from each candidate; the modes with their exact curvature, and whether each met the gradient tolerance."""
    root = cholesky_of_omega(model)
    modes: list[Mode] = []
    flat: list[NDArray[np.bool_]] = []
    for part in _chunks(batch, len(owner)):
        evaluate = _Evaluator(model, *_rows(batch, seen, np.asarray(owner)[part]))
        search = _newton(evaluate, points[part])
        modes += [_mode(root, search.u[i], float(search.value[i]), search.curvature[i]) for i in range(len(part))]
        flat.append(np.abs(search.gradient).max(axis=-1) < GRADIENT_TOLERANCE * (1 + np.abs(search.value)))
    return modes, np.concatenate(flat)


def _newton(evaluate: _Evaluator, u: Array) -> _Search:
    value, gradient, hessian = _with_hessian(evaluate, u)
    search = _Search(u, value, gradient, hessian, np.full(value.shape, 1e-12))
    for _ in range(NEWTON_STEPS):
        trial = search.trial()
        search.take(trial, *_with_hessian(evaluate, trial))
        if search.settled(1e-9).all():
            break
    return search


def _with_hessian(evaluate: _Evaluator, u: Array) -> tuple[Array, Array, Array]:
    """Value and exact gradient at u (n, p), and the Hessian by central differences of the gradient."""
    p = u.shape[1]
    shifts = np.concatenate([np.zeros((1, p)), DIFFERENCE * np.eye(p), -DIFFERENCE * np.eye(p)])
    value, gradient, _ = evaluate(u[:, None, :] + shifts)
    hessian = (gradient[:, 1 : p + 1] - gradient[:, p + 1 :]) / (2 * DIFFERENCE)
    return value[:, 0], gradient[:, 0], (hessian + np.swapaxes(hessian, 1, 2)) / 2


def _mode(root: Array, u: Array, value: float, hessian: Array) -> Mode:
    values, vectors = np.linalg.eigh(hessian / 2)
    # curvature below a tenth of the prior's can only come from a saddle or a kink: bounded so that the SD stays meaningful
    values = np.maximum(values, 0.1)
    spread = root @ vectors
    return Mode(eta=root @ u, ofv=value, covariance=(spread / values) @ spread.T, log_mass=-0.5 * (value + float(np.log(values).sum())))


def _unique(found: list[tuple[Mode, bool]]) -> tuple[Mode, ...]:
    """The best mode, and the others that are real optima and lie apart from every better one."""
    kept = [found[0][0]]
    for mode, flat in found[1:]:
        if flat and all(np.abs(mode.eta - other.eta).max() > 0.01 for other in kept):
            kept.append(mode)
    return tuple(kept)
