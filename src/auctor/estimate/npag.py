"""NPAG: support points estimated on a population by the adaptive grid.

Each cycle: likelihoods of the grid -> weights (interior point) -> condensation -> error magnitude -> test -> expansion around what is left.
Reference: Yamada WM et al., Pharmaceutics 2021;13:42 (the algorithm and its constants); Lindsay BG, Ann Stat 1983 (the certificate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.errors import EstimationError
from auctor.estimate.mixing import Scaled, best_weights, directional_derivative, independent, log_mixture, scaled
from auctor.estimate.observations import Observations, of_case, of_records, select, stack_observations
from auctor.estimate.support import ErrorModel, SupportPoints, etas_at, log_likelihood, magnified
from auctor.models.model import DrugModel
from auctor.pk.course import compiled_draws
from auctor.pk.timeline import Batch, Timeline, build, from_records, stack
from auctor.records import Records

Array = NDArray[np.float64]
Values = Mapping[str, Array]

BLOCK = 256  # points evaluated in one call of the engine: one shape, compiled once
LIGHT = 1e-3  # condensation: points lighter than this share of the heaviest go
FIRST_EPS, LAST_EPS = 0.2, 1e-4  # expansion: a new point on either side at this share of the range
NEAR = 1e-4  # share of the range within which a new point is the old one
STILL, SETTLED = 1e-4, 1e-2  # log likelihood: change that shortens the steps; change over a round of steps that ends the search
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
    largest Lindsay D found in the box: -2 log likelihood lies at most 2 * certificate above the least one (as far as D was probed).
    """

    support: SupportPoints
    neg2ll: Array
    best: float
    certificate: float
    converged: bool


class Population:
    """Subjects made ready for the engine: `predicted` gives (k, n, O) concentrations mg/L at k etas; `seen` arrays are (n, O)."""

    def __init__(self, model: DrugModel, subjects: Sequence[Case] | Sequence[Records]) -> None:
        if not subjects:
            raise EstimationError(where="NPAG", what="no subject", remedy="give at least one subject with samples")
        self.model = model
        self.batch: Batch = stack([_timeline(model, s) for s in subjects])
        self.seen: Observations = stack_observations([_seen(model, s) for s in subjects], self.batch.arrays["wanted"].shape[1])

    def predicted(self, etas: Array) -> Array:
        """Concentrations (k, n, O), columns past a subject's own samples meaningless (their weight is 0)."""
        run, columns = compiled_draws(self.model), []
        for i in range(self.batch.n):
            own = {name: values[i] for name, values in self.batch.arrays.items()}
            blocks = [np.asarray(run(own, _filled(etas[at : at + BLOCK]))[0]) for at in range(0, len(etas), BLOCK)]
            columns.append(np.concatenate(blocks)[: len(etas)])
        return np.stack(columns, axis=1)


def _timeline(model: DrugModel, subject: Case | Records) -> Timeline:
    if isinstance(subject, Records):
        return from_records(model, subject)
    return build(model, subject.history, subject.covariates, [s.time_h for s in subject.samples])


def _seen(model: DrugModel, subject: Case | Records) -> Observations:
    return of_records(model, subject) if isinstance(subject, Records) else of_case(subject)


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
    subjects: Sequence[Case] | Sequence[Records],
    ranges: Mapping[str, tuple[float, float]],
    error: ErrorModel,
    *,
    derive: Callable[[Values], Values] = lambda values: values,
    settings: Settings | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> NpagFit:
    """Estimate a discrete distribution of parameters from the subjects' samples, in `ranges` (engine units, name -> low, high).

    The names are the model's parameters, or any coordinates of which `derive` makes those (`{"CL": v["KE"] * v["V"], "V": v["V"]}`).
    `error` is where its size starts from, or stays (`settings.fit_error`). `progress(cycle, -2LL)` is told after every cycle.
    Raises EstimationError for an empty population or range, for a subject that no point of the first grid can explain.
    """
    settings = settings or Settings()
    _check(ranges)
    task = _Task(population=Population(model, subjects), ranges=ranges, derive=derive)
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
        support=support, neg2ll=np.asarray(trace), best=-2.0 * best.value, certificate=certificate(task, best, settings), converged=converged
    )


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
    start = sobol(settings.grid, len(task.ranges), settings.seed)
    now = task.weighed(start, task.predicted(start), error)
    eps, stride, last, settled = FIRST_EPS, GAMMA_STEP, -np.inf, -np.inf
    best, trace = now._replace(value=-np.inf), list[float]()
    for cycle in range(settings.cycles):
        now = _condensed(task, now)
        if settings.fit_error:
            now, stride = _resized(task, now, stride)
        best = now if now.value > best.value else best
        trace.append(-2.0 * now.value)
        told(cycle + 1, trace[-1])
        if abs(now.value - last) <= STILL:
            eps /= 2
            if eps <= LAST_EPS:
                if abs(now.value - settled) <= SETTLED:
                    return best, trace, True
                settled, eps = now.value, FIRST_EPS
        last = now.value
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
    """The grid with a new point on either side of every point along every axis, weighed."""
    more = _neighbours(now.u, eps)
    if not len(more):
        return now
    return task.weighed(np.concatenate([now.u, more]), np.concatenate([now.f, task.predicted(more)]), now.error)


def _neighbours(u: Array, eps: float) -> Array:
    """New points (m, p) inside the cube, none within `NEAR` (city-block) of another."""
    p = u.shape[1]
    steps = eps * np.concatenate([np.eye(p), -np.eye(p)])
    tried = (u[:, None, :] + steps).reshape(-1, p)
    tried = tried[((tried >= 0) & (tried <= 1)).all(axis=1)]
    pool = np.concatenate([u, tried])
    near = np.abs(tried[:, None, :] - pool[None, :, :]).sum(axis=2) <= NEAR
    earlier = np.arange(len(pool))[None, :] < len(u) + np.arange(len(tried))[:, None]
    return np.asarray(tried[~(near & earlier).any(axis=1)])


def certificate(task: _Task, found: _State, settings: Settings) -> float:
    """The largest Lindsay D over the first grid, the points found and their neighbours at every step length."""
    around = [found.u] + [_neighbours(found.u, FIRST_EPS / 2**k) for k in range(11)]
    probes = np.concatenate([sobol(settings.grid, found.u.shape[1], settings.seed), *around])
    with np.errstate(over="ignore"):
        logs = log_likelihood(found.error, task.predicted(probes), task.population.seen).T
        own = log_mixture(task.likelihood(found.f, found.error), found.weights)
    return float(directional_derivative(np.exp(logs - own[:, None]), np.ones(len(own))).max())
