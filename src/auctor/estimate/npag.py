"""NPAG: support points estimated on a population by the adaptive grid.

Each cycle: likelihoods of the grid -> weights (interior point) -> condensation -> error magnitude -> test -> expansion around what is left.
Two additions keep it from settling early: every point is also tried at its own Gauss-Newton step, and every round of shrinking steps
starts with fresh probes of the whole box, climbed to where Lindsay's D says that a point would help.
Reference: Yamada WM et al., Pharmaceutics 2021;13:42 (the algorithm and its constants); Lindsay BG, Ann Stat 1983;11:86-94 (D).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq
from auctor.errors import EstimationError
from auctor.estimate.mixing import Scaled, best_weights, directional_derivative, independent, log_mixture, scaled
from auctor.estimate.subjects import Source, prepared
from auctor.estimate.support import ErrorModel, SupportPoints, etas_at, log_likelihood, magnified, standardised
from auctor.models.model import DrugModel
from auctor.pk.course import course
from auctor.pk.engine import jax
from auctor.pk.kept import Kept

Array = NDArray[np.float64]
Values = Mapping[str, Array]

BLOCK, SUBJECTS = 64, 64  # points and subjects evaluated in one call of the engine: few shapes, compiled once
LIGHT = 1e-3  # condensation: points lighter than this share of the heaviest go
FIRST_EPS, LAST_EPS = 0.2, 1e-4  # expansion: a new point on either side at this share of the range
NEAR = 1e-4  # share of the range within which a new point is the old one
SLOPE_STEP = 1e-5  # share of the range over which predictions are differenced
CLIMBS = 6  # Gauss-Newton steps from a probe
DAMPING = (1e-6, 0.1, 10.0)  # of the Gauss-Newton step, in shares of the curvature
SETTLED = 1e-3  # change of the log likelihood over a round of shrinking steps that ends the search
GAMMA_STEP, GAMMA_LEAST = 0.1, 0.01


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and how wide to search: points of the first (Sobol) grid, most cycles, whether the error's size is fitted, seed."""

    grid: int = 2048
    cycles: int = 500
    fit_error: bool = True
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class NpagFit:
    """The estimated support points and how they were reached.

    `neg2ll` (cycles,) is -2 log likelihood (with its 2 pi) after each cycle and `support` belongs to `best` of them; `certificate` is the
    largest Lindsay D met by probing the box: were it the true maximum, -2 log likelihood would lie at most 2 * certificate above the least
    one. D has narrow peaks that probes can miss, so that it is evidence and no proof: compare seeds.
    """

    support: SupportPoints
    neg2ll: Array
    best: float
    certificate: float
    converged: bool


class Population:
    """Subjects made ready for the engine: `predicted` gives (k, n, O) concentrations mg/L at k etas; `seen` arrays are (n, O)."""

    def __init__(self, model: DrugModel, subjects: Sequence[Source], *, blq: Blq | None = None) -> None:
        if not subjects:
            raise EstimationError(where="NPAG", what="no subject", remedy="give at least one subject with samples")
        self.model = model
        self.batch, self.seen = prepared(model, subjects, blq=blq)

    def predicted(self, etas: Array) -> Array:
        """Concentrations (k, n, O), columns past a subject's own samples meaningless (their weight is 0)."""
        run = _compiled(self.model)
        out = []
        for first in range(0, self.batch.n, SUBJECTS):
            arrays = {name: values[first : first + SUBJECTS] for name, values in self.batch.arrays.items()}
            blocks = [np.asarray(run(arrays, _filled(etas[at : at + BLOCK]))[0]) for at in range(0, len(etas), BLOCK)]
            out.append(np.concatenate(blocks, axis=1)[:, : len(etas)])
        return np.ascontiguousarray(np.concatenate(out).swapaxes(0, 1))


@lru_cache(maxsize=64)
def _compiled(model: DrugModel) -> Kept:
    """Concentrations (n, BLOCK, O) of some subjects, each at the same etas."""

    def concentration(timeline: Mapping[str, jax.Array], eta: jax.Array) -> jax.Array:
        return course(model, timeline, eta).concentration

    return Kept(jax.vmap(jax.vmap(concentration, in_axes=(None, 0)), in_axes=(0, None)), f"points {model.sha256}")


def _filled(etas: Array) -> Array:
    return np.concatenate([etas, np.repeat(etas[-1:], BLOCK - len(etas), axis=0)])


class _State(NamedTuple):
    """A weighed grid: points `u` (k, p) in the unit cube, their predictions `f` (k, n, O), weights (k,) and log likelihood."""

    u: Array
    f: Array
    weights: Array
    value: float
    error: ErrorModel


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """What stays the same: the subjects, the box searched in the user's coordinates, and the way from there to the model's parameters."""

    population: Population
    ranges: Mapping[str, tuple[float, float]]
    derive: Callable[[Values], Values]
    first: Array

    def parameters(self, u: Array) -> Values:
        """The model's parameters (k,) each at points u of the unit cube."""
        low, high = np.asarray(list(self.ranges.values()), dtype=np.float64).T
        return self.derive(dict(zip(self.ranges, (low + u * (high - low)).T, strict=True)))

    def predicted(self, u: Array) -> Array:
        """Predictions (k, n, O)."""
        values = self.parameters(u)
        return self.population.predicted(etas_at(self.population.model, values, np.stack(list(values.values()), axis=1)))

    def likelihood(self, f: Array, error: ErrorModel) -> Scaled:
        """Likelihoods (n, k)."""
        return scaled(log_likelihood(error, f, self.population.seen).T)

    def weighed(self, u: Array, f: Array, error: ErrorModel) -> _State:
        """The best weights on these points."""
        likelihood = self.likelihood(f, error)
        weights = best_weights(likelihood.psi)
        return _State(u, f, weights, float(log_mixture(likelihood, weights).sum()), error)


def npag(
    model: DrugModel,
    subjects: Sequence[Source],
    ranges: Mapping[str, tuple[float, float]],
    error: ErrorModel,
    *,
    derive: Callable[[Values], Values] = lambda values: values,
    settings: Settings | None = None,
    blq: Blq | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> NpagFit:
    """Estimate a discrete distribution of parameters from the subjects' samples, in `ranges` (engine units, name -> low, high).

    The names are the model's parameters, or any coordinates of which `derive` makes those (`{"CL": v["KE"] * v["V"], "V": v["V"]}`).
    `error` is where its size starts from, or stays (`settings.fit_error`). `blq`: as `seen_of`.
    `progress(cycle, -2LL)` is told after every cycle.
    Raises EstimationError for an empty population or range, for several outputs, for a subject that no point of the first grid can explain.
    """
    settings = settings or Settings()
    _check(ranges)
    if len(model.residuals) > 1:
        raise EstimationError(where=model.name, what="several outputs with errors of their own", remedy="use a model with one output")
    first = sobol(settings.grid, len(ranges), settings.seed)
    task = _Task(population=Population(model, subjects, blq=blq), ranges=ranges, derive=derive, first=first)
    best, trace, converged = _search(task, error, settings, progress or (lambda cycle, value: None))
    values = task.parameters(best.u)
    support = SupportPoints(
        parameters=tuple(values),
        points=np.stack(list(values.values()), axis=1),
        probabilities=best.weights,
        error=best.error,
        provenance=_provenance(task, best, len(trace), converged),
    )
    return NpagFit(
        support=support,
        neg2ll=np.asarray(trace),
        best=-2.0 * best.value,
        certificate=_certificate(task, best, settings.seed + 10_000),
        converged=converged,
    )


def prior_box(model: DrugModel, *, spread: float = 3.0) -> dict[str, tuple[float, float]]:
    """Ranges `spread` SDs of eta to either side of every parameter that varies, engine units.

    >>> from auctor.models.reader import read_model
    >>> {name: (round(low, 4), round(high, 4)) for name, (low, high) in prior_box(read_model("phenobarbital_grasela1985")).items()}
    {'CL': (0.0027, 0.0083), 'V': (0.5958, 1.5467)}
    """
    box = {}
    for k, name in enumerate(model.eta_names):
        parameter, reach = model.parameters[name], spread * float(np.sqrt(model.omega[k, k]))
        if parameter.distribution == "lognormal":
            box[name] = (parameter.value * float(np.exp(-reach)), parameter.value * float(np.exp(reach)))
        else:
            box[name] = (parameter.value - reach, parameter.value + reach)
    return box


def _check(ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in ranges.items():
        if not (np.isfinite([low, high]).all() and low < high):
            raise EstimationError(where=f"ranges.{name}", what="not a range", remedy="give finite low < high in engine units")


def _provenance(task: _Task, best: _State, cycles: int, converged: bool) -> dict[str, str]:
    return {
        "method": "NPAG (Yamada 2021), auctor",
        "model": f"{task.population.model.name}, sha256 {task.population.model.sha256}",
        "subjects": str(task.population.batch.n),
        "ranges": ", ".join(f"{name} {low:g}-{high:g}" for name, (low, high) in task.ranges.items()),
        "result": f"-2 log likelihood {-2 * best.value:.6f} after {cycles} cycles, {'converged' if converged else 'not converged'}",
    }


def _search(task: _Task, error: ErrorModel, settings: Settings, told: Callable[[int, float], None]) -> tuple[_State, list[float], bool]:
    """The best grid met, -2 log likelihood of every cycle, and whether a whole round of shrinking steps changed nothing."""
    now = task.weighed(task.first, task.predicted(task.first), error)
    eps, stride, settled, rounds = 0.0, GAMMA_STEP, -np.inf, 0
    best, trace = now._replace(value=-np.inf), list[float]()
    for cycle in range(settings.cycles):
        now = _condensed(task, now)
        if settings.fit_error:
            now, stride = _resized(task, now, stride)
        best = now if now.value > best.value else best
        trace.append(-2.0 * now.value)
        told(cycle + 1, trace[-1])
        eps /= 2
        if eps <= LAST_EPS:
            if abs(now.value - settled) <= SETTLED:
                return best, trace, True
            settled, eps, rounds = now.value, FIRST_EPS, rounds + 1
            now = _joined(task, now, _explored(task, now, sobol(settings.grid // 2, len(task.ranges), settings.seed + rounds)))
        now = _expanded(task, now, eps)
    return best, trace, False


def sobol(count: int, dimensions: int, seed: int) -> Array:
    """`count` points (count, dimensions) of a scrambled Sobol sequence in the unit cube."""
    from scipy.stats import qmc  # slow to import, and only an estimation needs it

    return np.asarray(qmc.Sobol(dimensions, seed=seed).random_base2(max(1, int(np.ceil(np.log2(count)))))[:count])


def _condensed(task: _Task, now: _State) -> _State:
    """The points that carry weight and tell subjects apart, weighed again."""
    heavy = np.flatnonzero(now.weights > LIGHT * now.weights.max())
    kept = heavy[independent(task.likelihood(now.f[heavy], now.error).psi)]
    return task.weighed(now.u[kept], now.f[kept], now.error)


def _resized(task: _Task, now: _State, stride: float) -> tuple[_State, float]:
    """The error's size moved up or down by `stride` if that helps, and the next stride."""
    trials = [task.weighed(now.u, now.f, magnified(now.error, factor)) for factor in (1 + stride, 1 / (1 + stride))]
    better = max(trials, key=lambda t: t.value)
    moved = better.value > now.value
    stride *= 2.0 if moved else 0.5
    return (better if moved else now), (stride if stride > GAMMA_LEAST else GAMMA_STEP)


def _expanded(task: _Task, now: _State, eps: float) -> _State:
    """The grid with each point's neighbours at `eps` and its Gauss-Newton steps, weighed."""
    near = _distinct(now.u, _neighbours(now.u, eps), NEAR)
    steps = _distinct(now.u, np.concatenate(list(_moves(task, now, now.u, now.f))), NEAR * 1e-3)
    return _joined(task, now, np.concatenate([near, steps]))


def _joined(task: _Task, now: _State, more: Array) -> _State:
    if not len(more):
        return now
    return task.weighed(np.concatenate([now.u, more]), np.concatenate([now.f, task.predicted(more)]), now.error)


def _neighbours(u: Array, eps: float) -> Array:
    """A point on either side of every point along every axis, (m, p), those inside the cube."""
    p = u.shape[1]
    steps = eps * np.concatenate([np.eye(p), -np.eye(p)])
    tried = (u[:, None, :] + steps).reshape(-1, p)
    return np.asarray(tried[((tried >= 0) & (tried <= 1)).all(axis=1)])


def _distinct(u: Array, tried: Array, near: float) -> Array:
    """Those of `tried` (m, p) that lie further than `near` (city-block) from every point of `u` and every earlier one of themselves."""
    pool = np.concatenate([u, tried])
    close = np.abs(tried[:, None, :] - pool[None, :, :]).sum(axis=2) <= near
    earlier = np.arange(len(pool))[None, :] < len(u) + np.arange(len(tried))[:, None]
    return np.asarray(tried[~(close & earlier).any(axis=1)])


def _moves(task: _Task, now: _State, u: Array, f: Array) -> Array:
    """Damped Gauss-Newton steps up Lindsay's D from points u (k, p) with predictions f, (dampings, k, p).

    D is a sum of the subjects' likelihood ratios: its ascent is least squares in which each subject counts by its ratio.
    """
    k, p = u.shape
    inward = np.where(u + SLOPE_STEP <= 1, SLOPE_STEP, -SLOPE_STEP)
    shifted = u[:, None, :] + inward[:, :, None] * np.eye(p)
    z = standardised(now.error, f, task.population.seen)
    moved = standardised(now.error, task.predicted(shifted.reshape(-1, p)), task.population.seen).reshape(k, p, *z.shape[1:])
    slope = (moved - z[:, None]) / inward[:, :, None, None]
    ratio = _log_ratio(task, now, f)
    share = np.exp(ratio - ratio.max(axis=1, keepdims=True))
    curvature = np.einsum("kpno,kqno,kn->kpq", slope, slope, share, optimize=True)
    down = -np.einsum("kpno,kno,kn->kp", slope, z, share, optimize=True)
    ridge = np.einsum("kpp->kp", curvature) + 1e-3 * np.trace(curvature, axis1=1, axis2=2)[:, None] + 1e-12
    steps = [np.linalg.solve(curvature + d * ridge[:, None, :] * np.eye(p), down[..., None])[..., 0] for d in DAMPING]
    return np.asarray(np.clip(u + np.stack(steps), 0.0, 1.0))


def _explored(task: _Task, now: _State, probes: Array) -> Array:
    """Points where D is positive, climbed to from the likeliest of `probes` for each subject and from those of the largest D."""
    f = task.predicted(probes)
    ratio = _log_ratio(task, now, f)
    chosen = np.unique(np.concatenate([np.argsort(-ratio, axis=0)[:2].ravel(), np.argsort(-_summed(ratio))[: task.population.batch.n]]))
    u, f = probes[chosen], f[chosen]
    height = _summed(_log_ratio(task, now, f))
    for _ in range(CLIMBS):
        for tried in _moves(task, now, u, f):
            f_tried = task.predicted(tried)
            higher = _summed(_log_ratio(task, now, f_tried))
            better = higher > height
            u, f = np.where(better[:, None], tried, u), np.where(better[:, None, None], f_tried, f)
            height = np.where(better, higher, height)
    return _distinct(now.u, u[height > np.log(task.population.batch.n)], NEAR)


def _summed(ratio: Array) -> Array:
    """Log of the sum of likelihood ratios, log(D + n), (k,): without overflow."""
    top = ratio.max(axis=1)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(top), top + np.log(np.exp(ratio - top[:, None]).sum(axis=1)), -np.inf)


def _log_ratio(task: _Task, now: _State, f: Array) -> Array:
    """log p(y_i | point) / p(y_i | F), (k, n), at points with these predictions."""
    own = log_mixture(task.likelihood(now.f, now.error), now.weights)
    return np.asarray(np.maximum(log_likelihood(now.error, f, task.population.seen) - own, -1e6))


def _certificate(task: _Task, best: _State, seed: int) -> float:
    """The largest D over the first grid, the points found, their neighbours at every step length, and climbs from fresh probes."""
    around = [_neighbours(best.u, FIRST_EPS / 2**k) for k in range(12)]
    climbed = _explored(task, best, sobol(len(task.first), best.u.shape[1], seed))
    ratio = _log_ratio(task, best, task.predicted(np.concatenate([task.first, best.u, *around, climbed])))
    with np.errstate(over="ignore"):
        return float(directional_derivative(np.exp(ratio.T), np.ones(ratio.shape[1])).max())
