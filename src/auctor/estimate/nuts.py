"""The individual posterior by the No-U-Turn sampler (blackjax), where importance resampling needs a second opinion.

Chains run in u with eta = L u and density exp(-OFV/2), metric and step size adapted in Stan's windows. The library steps and tunes the
step size; the metric is a matrix root kept on the host, which starts as that of the Laplace modes, so that no LAPACK call is traced.
Reference: Hoffman MD, Gelman A, J Mach Learn Res 2014;15:1593-1623; Betancourt M, arXiv 1701.02434 (multinomial variant).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.errors import EstimationError, Notice
from auctor.estimate.chains import RHAT_LIMIT, bulk_ess, rank_rhat
from auctor.estimate.map import MapFit, Mode, cholesky_of_omega, ofv_and_slope
from auctor.estimate.observations import Observations, select
from auctor.estimate.patient import LOW_ESS, Estimate, _search_notices, fit, iov_notices
from auctor.estimate.search import point_density
from auctor.estimate.subjects import prepared
from auctor.models.model import DrugModel
from auctor.pk.engine import jax, jnp
from auctor.pk.kept import Kept
from auctor.pk.timeline import Batch

Array = NDArray[np.float64]
Traced = jax.Array

CHUNK = 25  # transitions a call: every length of warm-up and of chain then shares one compiled function
ACCEPTANCE = 0.8
FIRST_STEP = 0.5
LONGEST = 4  # chains that have not mixed are continued, up to so many times the length asked for
LAPLACE_WEIGHT = 10.0  # the metric before a window counts as so many of its draws


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Draws of several cases: `etas` (cases, chains, n, p), `divergences` (cases,), split R-hat and bulk ESS (cases, p) of each eta."""

    etas: Array
    divergences: NDArray[np.int64]
    rhat: Array
    ess: Array


def nuts_estimate(
    model: DrugModel, case: Case, n_draws: int = 1000, seed: int = 0, *, warmup: int = 500, chains: int = 2, found: MapFit | None = None
) -> Estimate:
    """The full posterior by NUTS: `n_draws` in all chains together; the point is the posterior mean, `ess` the least bulk ESS of an eta.

    Chains whose rank-normalised split R-hat is above 1.01 are continued to up to four times their length and thinned. What is then still
    above, or a divergent transition, is the notice `nuts-diagnostics`, which blocks signing. `found` reuses a search already made.
    Raises EstimationError when no chain can be started.
    """
    found = found or fit(model, case)
    drawn = sample_cases(model, [case], [found.modes[0]], n_draws=n_draws, seed=seed, warmup=warmup, chains=chains)
    etas = thinned(drawn.etas[0], n_draws)
    return Estimate(
        name="NUTS",
        model=model,
        case=case,
        etas=etas,
        eta_point=etas.mean(axis=0),
        notices=(*_search_notices(found), *_notices(drawn), *iov_notices(model, case)),
        sd=etas.std(axis=0),
        ofv=found.modes[0][0].ofv,
        ess=float(drawn.ess[0].min()),
        modes=found.modes[0],
        mean_is_point=True,
    )


def sample_cases(
    model: DrugModel,
    cases: Sequence[Case],
    modes: Sequence[Sequence[Mode]],
    *,
    n_draws: int = 1000,
    seed: int = 0,
    warmup: int = 500,
    chains: int = 2,
    longest: int = LONGEST,
) -> Sampled:
    """NUTS on several cases side by side, each with its modes; otherwise as `sample_batch`."""
    return sample_batch(model, prepared(model, cases), modes, n_draws=n_draws, seed=seed, warmup=warmup, chains=chains, longest=longest)


def sample_batch(
    model: DrugModel,
    subjects: tuple[Batch, Observations],
    modes: Sequence[Sequence[Mode]],
    *,
    n_draws: int = 1000,
    seed: int = 0,
    warmup: int = 500,
    chains: int = 2,
    longest: int = LONGEST,
) -> Sampled:
    """NUTS on stacked subjects side by side, each with its modes; at least `n_draws` a subject, in whole chunks of 25 a chain, 100 at
    the least.

    Deterministic in `seed` and the order of the subjects. Raises EstimationError for a count below 1 or a density that is nowhere finite.
    """
    if min(n_draws, chains, longest) < 1:
        raise EstimationError(where="NUTS", what="no draws asked for", remedy="give at least one draw and one chain")
    running = _Chains(model, _Start.of(model, subjects, modes, chains, np.random.default_rng(seed)))
    running.warm_up(warmup)
    length = max(4, -(-n_draws // (chains * CHUNK)))
    etas, divergent = running.sample(length)
    for _ in range(longest - 1):
        if max(rank_rhat(one).max() for one in etas) <= RHAT_LIMIT:
            break
        more, also = running.sample(length)
        etas, divergent = np.concatenate([etas, more], axis=2), divergent + also
    rhat, ess = (np.stack([measure(one) for one in etas]) for measure in (rank_rhat, bulk_ess))
    return Sampled(etas=etas, divergences=divergent, rhat=rhat, ess=ess)


def thinned(etas: Array, n_draws: int) -> Array:
    """`n_draws` (n_draws, p) of the chains (chains, n, p), evenly spaced over each chain."""
    chains, n, p = etas.shape
    each = -(-n_draws // chains)
    return etas[:, np.linspace(0, n - 1, each).round().astype(int)].reshape(-1, p)[:n_draws]


def _notices(drawn: Sampled) -> tuple[Notice, ...]:
    divergences, rhat, ess = int(drawn.divergences[0]), float(drawn.rhat[0].max()), float(drawn.ess[0].min())
    notices: tuple[Notice, ...] = ()
    if divergences or not rhat <= RHAT_LIMIT:
        what = f"the chains did not explore the posterior well (R-hat {rhat:.3f}, {divergences} divergent transitions)"
        remedy = "ask for more draws and a longer warm-up, and compare with importance resampling"
        notices += (Notice(code="nuts-diagnostics", where="NUTS", what=what, remedy=remedy, blocks_signing=True),)
    if ess < LOW_ESS:
        remedy = "read the posterior interval with care; ask for more draws"
        notices += (Notice(code="low-ess", where="NUTS", what=f"effective sample size {ess:.0f} is low", remedy=remedy),)
    return notices


# --- one lane is one chain of one case --------------------------------------------------------------------------------


class _Lane(NamedTuple):
    """What a chain's density depends on: its case's timeline and observations, and the root of its metric (u = root z)."""

    timeline: dict[str, Any]
    seen: Observations
    root: Any


class _Tuning(NamedTuple):
    """The state of the library's dual averaging, as arrays."""

    log_step: Any
    log_step_mean: Any
    step: Any
    error: Any
    centre: Any


def _log_density(model: DrugModel, lane: _Lane) -> Any:
    """-OFV/2 at z, whose gradient comes from the forward-mode derivatives of the search: it compiles in half the time of reverse mode."""
    parts = jax.jit(partial(point_density, model))

    def forward(z: Traced) -> tuple[Traced, Traced]:
        value, gradient = parts(lane.timeline, lane.seen, lane.root @ z)
        return -0.5 * value, -0.5 * (lane.root.T @ gradient)

    density = jax.custom_vjp(lambda z: forward(z)[0])
    density.defvjp(forward, lambda slope, cotangent: (cotangent * slope,))
    return density


def _transitions(model: DrugModel, lane: _Lane, moving: tuple[Any, _Tuning], adapting: Traced, keys: Traced) -> Any:
    """One chain over `keys` (n, 2): the end's (state, tuning), every position z (n, p) and whether each transition diverged."""
    from blackjax.adaptation.step_size import DualAveragingAdaptationState, dual_averaging_adaptation
    from blackjax.mcmc import nuts

    kernel, density = nuts.build_kernel(), _log_density(model, lane)
    _, retuned, _ = dual_averaging_adaptation(ACCEPTANCE)

    def step(carry: tuple[Any, _Tuning], key: Traced) -> tuple[Any, Any]:
        state, tuning = carry
        length = jnp.exp(jnp.where(adapting, tuning.log_step, tuning.log_step_mean))
        state, info = kernel(key, state, density, length, jnp.ones_like(state.position))
        new = _Tuning(*retuned(DualAveragingAdaptationState(*tuning), info.acceptance_rate))
        return (state, jax.tree.map(partial(jnp.where, adapting), new, tuning)), (state.position, info.is_divergent)

    return jax.lax.scan(step, moving, keys)


@lru_cache(maxsize=32)
def _compiled(model: DrugModel) -> Kept:
    import blackjax

    lanes = jax.vmap(partial(_transitions, model), in_axes=(0, 0, None, 0))
    return Kept(lanes, f"nuts {model.sha256} {blackjax.__version__}")


class _Start(NamedTuple):
    """Every lane's data, first position u (lanes, p), log density, slope in u, the number of chains a case, and the random stream."""

    lane: _Lane
    u: Array
    value: Array
    slope: Array
    chains: int
    rng: np.random.Generator

    @classmethod
    def of(
        cls,
        model: DrugModel,
        subjects: tuple[Batch, Observations],
        modes: Sequence[Sequence[Mode]],
        chains: int,
        rng: np.random.Generator,
    ) -> _Start:
        """Chains start in turn at the modes of their case, each at a draw of the Laplace approximation there."""
        batch, seen = subjects
        placed = []
        for i, own in enumerate(modes):
            evaluate = partial(ofv_and_slope, model, batch, seen, np.full(chains, i))
            placed.append(_first(evaluate, *_whitened(model, own), chains, rng))
        rows = np.repeat(np.arange(len(modes)), chains)
        roots = np.stack([_mixture_root(*_whitened(model, own), own) for own in modes])
        lane = _Lane({name: values[rows] for name, values in batch.arrays.items()}, select(seen, rows), roots[rows])
        u, value, slope = (np.concatenate(column) for column in zip(*placed, strict=True))
        return cls(lane, u, value, slope, chains, rng)


def _whitened(model: DrugModel, modes: Sequence[Mode]) -> tuple[Array, Array]:
    """The modes' places (m, p) and covariances (m, p, p) in u."""
    to_u = np.linalg.inv(cholesky_of_omega(model))
    return np.stack([to_u @ m.eta for m in modes]), np.stack([to_u @ m.covariance @ to_u.T for m in modes])


def _mixture_root(centres: Array, covariances: Array, modes: Sequence[Mode]) -> Array:
    """Root of the covariance of the mixture of the modes by their Laplace mass, (p, p)."""
    share = np.exp(np.asarray([m.log_mass for m in modes]) - max(m.log_mass for m in modes))
    share /= share.sum()
    apart = centres - share @ centres
    return np.asarray(np.linalg.cholesky(np.einsum("m,mpq->pq", share, covariances) + np.einsum("m,mp,mq->pq", share, apart, apart)))


def _first(
    evaluate: Callable[[Array], tuple[Array, Array]], centres: Array, covariances: Array, chains: int, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """First positions of one case's chains (chains, p) with log density and slope; the mode itself where the draw has no density."""
    which, normal = np.arange(chains) % len(centres), rng.standard_normal((chains, centres.shape[1]))
    drawn = centres[which] + np.einsum("cpq,cq->cp", np.linalg.cholesky(covariances)[which], normal)
    for points in (drawn, centres[which]):
        value, gradient = evaluate(points)
        if np.isfinite(value).all():
            return points, -0.5 * value, -0.5 * gradient
    raise EstimationError(where="NUTS", what="the density is not finite at the modes", remedy="check doses, samples and units")


class _Chains:
    """All lanes in motion; positions are kept in z, where the metric is the identity."""

    def __init__(self, model: DrugModel, start: _Start) -> None:
        self.run, self.to_eta = _compiled(model), cholesky_of_omega(model)
        self.lane, self.chains, self.rng = start.lane, start.chains, start.rng
        root = start.lane.root
        position = np.linalg.solve(root, start.u[..., None])[..., 0]
        self.state: tuple[Any, ...] = (position, start.value, np.einsum("lpq,lp->lq", root, start.slope))
        self.tuning = _tuning(np.full(len(root), FIRST_STEP))

    def warm_up(self, length: int) -> None:
        """Stan's three phases: step size alone, metric in windows that double, step size alone."""
        first, windows, last = windows_of(length)
        self._advance(first, adapting=True)
        for size in windows:
            u, _ = self._advance(size, adapting=True)
            self._new_metric(u)
            self.tuning = _tuning(np.exp(self.tuning.log_step_mean))
        self._advance(last, adapting=True)

    def sample(self, chunks: int) -> tuple[Array, NDArray[np.int64]]:
        """Etas (cases, chains, n, p) and the number of divergent transitions of each case."""
        u, divergent = self._advance(chunks, adapting=False)
        etas = u @ self.to_eta.T
        return etas.reshape(-1, self.chains, *etas.shape[1:]), divergent.reshape(-1, self.chains * divergent.shape[1]).sum(axis=1)

    def _advance(self, chunks: int, *, adapting: bool) -> tuple[Array, NDArray[np.bool_]]:
        """Positions u (lanes, n, p) and divergences (lanes, n) of that many chunks."""
        from blackjax.mcmc.hmc import HMCState

        positions, divergent = [], []
        for _ in range(chunks):
            keys = self.rng.integers(0, 2**32, (len(self.lane.root), CHUNK, 2), dtype=np.uint32)
            out = self.run(self.lane, (HMCState(*self.state), self.tuning), np.asarray(adapting), keys)
            self.state, self.tuning = out[:3], _Tuning(*(np.asarray(leaf) for leaf in out[3:8]))
            positions.append(np.asarray(out[8]))
            divergent.append(np.asarray(out[9]))
        return np.einsum("lpq,lnq->lnp", self.lane.root, np.concatenate(positions, axis=1)), np.concatenate(divergent, axis=1)

    def _new_metric(self, u: Array) -> None:
        """The covariance of a window's draws of all chains of a case, drawn towards the metric before; the state keeps its place in u."""
        pooled = u.reshape(-1, self.chains * u.shape[1], u.shape[2])
        apart, n, old = pooled - pooled.mean(axis=1, keepdims=True), pooled.shape[1], self.lane.root
        seen = np.repeat(np.einsum("cnp,cnq->cpq", apart, apart), self.chains, axis=0)
        root = np.linalg.cholesky((seen + LAPLACE_WEIGHT * old @ np.swapaxes(old, 1, 2)) / (n + LAPLACE_WEIGHT))
        change = np.linalg.solve(root, old)  # z new = root new^-1 root old z
        position, value, slope = self.state
        moved = np.einsum("lpq,lq->lp", change, position)
        self.state = (moved, value, np.linalg.solve(np.swapaxes(change, 1, 2), np.asarray(slope)[..., None])[..., 0])
        self.lane = self.lane._replace(root=root)


def _tuning(step: Array) -> _Tuning:
    """Dual averaging started (again) at those step sizes (lanes,)."""
    from blackjax.adaptation.step_size import dual_averaging_adaptation

    begin, _, _ = dual_averaging_adaptation(ACCEPTANCE)
    return _Tuning(*(np.broadcast_to(np.asarray(leaf), step.shape) for leaf in begin(step)))


def windows_of(length: int) -> tuple[int, list[int], int]:
    """Chunks of the first phase, of each metric window and of the last phase for a warm-up of `length` transitions (at least 100).

    >>> windows_of(500)
    (3, [1, 2, 4, 8], 2)
    """
    total = max(4, -(-length // CHUNK))
    first, last = max(1, round(0.15 * total)), max(1, round(0.1 * total))
    left, size, windows = total - first - last, 1, []
    while left:
        windows.append(size if left >= 3 * size else left)
        left, size = left - windows[-1], 2 * size
    return first, windows, last
