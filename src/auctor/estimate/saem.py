"""Population estimation by SAEM: etas simulated by Metropolis steps, their sufficient statistics averaged, and closed-form updates.

Each iteration (1) moves every subject's eta by three Metropolis kernels (draws from the prior, all etas at once, one eta at a time);
(2) averages the statistics with step 1 while exploring, then k^-0.7; (3) updates: Omega and every theta with an eta of its own in closed
form (phi = mu(theta) + eta), sigma from the residuals, and the other numbers by damped Gauss-Newton steps on the samples' likelihood.
Reference: Kuhn E, Lavielle M, Comput Stat Data Anal 2005;49:1020-1038; Delyon B, Lavielle M, Moulines E, Ann Stat 1999;27:94-128.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.free import Free, Population, Table, with_sds, with_theta
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.estimate.population_objective import expand
from auctor.models.distributions import location
from auctor.models.occasions import occasion_of

Array = NDArray[np.float64]
Progress = Callable[[int, float], None]

EXPLORE, SMOOTH = 200, 400
SLOW = 0.7  # the averaging step is k^-0.7
ANNEAL = 0.95  # an SD or variance falls at most this fast while exploring, so that no eta freezes early
WANTED_ACCEPTANCE = 0.4
STEP = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """Where SAEM ended: the population, the last etas (n, p), and the path of the unconstrained vector (iterations, k)."""

    population: Population
    eta: Array
    path: Array


class _Chain:
    """The subjects' etas as a Markov chain, with proposal scales (p,) that adapt."""

    def __init__(self, table: Table, rng: np.random.Generator) -> None:
        self.table, self.rng = table, rng
        self.eta = np.zeros((table.n, len(table.free.model.eta_names)))
        self.single = np.full(self.eta.shape[1], 0.5)
        self.joint = 0.5

    def misfit(self, at: Population, eta: Array) -> Array:
        """-2 log likelihood of each subject's samples, (n,)."""
        f = self.table.predictions(at.theta, eta)
        with np.errstate(all="ignore"):
            total = np.asarray(sample_terms(self.table.residual(at), f, self.table.seen).sum(axis=1))
        return np.where(np.isfinite(total), total, np.inf)

    def move(self, at: Population) -> None:
        """One pass of the three kernels at the present population."""
        root, precision = np.linalg.cholesky(at.omega), np.asarray(np.linalg.inv(at.omega), dtype=np.float64)
        now = self.misfit(at, self.eta)
        n, p = self.eta.shape
        for _ in range(2):
            now, _ = self._accept(at, self.rng.standard_normal((n, p)) @ root.T, now, None)
        now, rate = self._accept(at, self.eta + self.joint * self.rng.standard_normal((n, p)) @ root.T, now, precision)
        self.joint *= 1 + 0.4 * (rate - WANTED_ACCEPTANCE)
        for k in range(p):
            shift = np.zeros((n, p))
            shift[:, k] = self.single[k] * np.sqrt(at.omega[k, k]) * self.rng.standard_normal(n)
            now, rate = self._accept(at, self.eta + shift, now, precision)
            self.single[k] *= 1 + 0.4 * (rate - WANTED_ACCEPTANCE)

    def _accept(self, at: Population, proposed: Array, now: Array, precision: Array | None) -> tuple[Array, float]:
        """Metropolis; without `precision` the proposals are draws from the prior, whose density cancels."""
        then = self.misfit(at, proposed)
        change = then - now
        if precision is not None:
            change = change + _squares(proposed, precision) - _squares(self.eta, precision)
        taken = np.log(self.rng.random(len(now))) < -0.5 * change
        self.eta = np.where(taken[:, None], proposed, self.eta)
        return np.where(taken, then, now), float(taken.mean())


def _squares(eta: Array, precision: Array) -> Array:
    return np.asarray(np.einsum("np,pq,nq->n", eta, precision, eta))


def saem(table: Table, *, seed: int = 0, progress: Progress | None = None, explore: int = EXPLORE, smooth: int = SMOOTH) -> Simulated:
    """SAEM from the model's own numbers; `progress` gets the iteration and -2 log likelihood of the simulated etas.

    Raises EstimationError for samples known only by a limit, which the closed forms cannot use.
    """
    if table.seen.state.any():
        raise EstimationError(where="method", what="SAEM cannot use samples outside the assay's range", remedy="use focei or laplace")
    chain = _Chain(table, np.random.default_rng(seed))
    step = _Maximise(table)
    at, path = table.free.start, [table.free.vector(table.free.start)]
    report = progress or (lambda iteration, ofv: None)
    for i in range(explore + smooth):
        chain.move(at)
        weight = 1.0 if i < explore else (i - explore + 1) ** -SLOW
        at, chain.eta = step(at, chain.eta, weight, annealing=i < explore)
        path.append(table.free.vector(at))
        report(i + 1, float(chain.misfit(at, chain.eta).sum()))
    # steps that shrink slower than 1/k, averaged: little informed etas would else freeze on their way (Polyak & Juditsky 1992)
    mean = np.mean(path[-max(3 * smooth // 4, 1) :], axis=0)
    return Simulated(population=table.free.population(mean), eta=chain.eta, path=np.stack(path))


class _Maximise:
    """The stochastic-approximation and maximisation steps; keeps the averaged statistics between iterations."""

    def __init__(self, table: Table) -> None:
        self.table, self.free = table, table.free
        self.referenced = _referenced(table)
        self.phi = np.zeros((table.n, len(self.free.model.eta_names)))
        self.second = np.zeros_like(self.free.model.omega)
        self.squares: Array | None = None

    def __call__(self, at: Population, eta: Array, weight: float, *, annealing: bool) -> tuple[Population, Array]:
        """The next population and the etas seen from it (phi = mu + eta stays)."""
        mu = self._mu(at.theta)
        phi = mu + eta
        self.phi += weight * (phi - self.phi)
        self.second += weight * (phi.T @ phi - self.second)
        theta = self._by_samples(at, eta, weight)
        theta = self._by_etas(replace(at, theta=theta))
        after = self._mu(theta)
        spread = (self.second - self.phi.T @ after - after.T @ self.phi + after.T @ after) / self.table.n
        omega = self._omega(at.omega, spread, annealing=annealing)
        moved = replace(at, theta=theta, omega=omega)
        return self._sigma(moved, phi - after, weight, annealing=annealing), phi - after

    def _mu(self, theta: Array) -> Array:
        """Typical values of the parameters with an eta, at each subject's first record, on eta's scale, (n, p); 0 where none adds."""
        model = with_theta(self.free.model, self.free.theta, theta)
        first = {name: np.asarray([r.covariates[name][0] for r in self.table.records]) for name in model.covariates}
        typical = model.typical(first)
        columns = []
        for name in model.eta_names:
            adds = occasion_of(name) == 0 and model.parameters[name].distribution != "boxcox"
            value = np.broadcast_to(typical[name], (self.table.n,)) if adds else np.zeros(self.table.n)
            columns.append(location(model.parameters[name], value) if adds else value)
        return np.stack(columns, axis=1)

    def _by_etas(self, at: Population) -> Array:
        """The referenced thetas that minimise the squares of phi - mu(theta) under Omega: Gauss-Newton, exact for a plain log theta."""
        theta, precision = at.theta.copy(), np.linalg.inv(at.omega)
        if not self.referenced:
            return theta
        for _ in range(3):
            rest = self.phi - self._mu(theta)
            slope = np.stack([self._slope(theta, k) for k in self.referenced], axis=-1)
            normal = np.einsum("npk,pq,nql->kl", slope, precision, slope)
            step = np.linalg.lstsq(normal, np.einsum("npk,pq,nq->k", slope, precision, rest), rcond=None)[0]
            for k, d in zip(self.referenced, step, strict=True):
                theta[k] = theta[k] * np.exp(np.clip(d, -1, 1)) if self.free.logged[k] else theta[k] + d
            theta = self.free.held(theta)
        return theta

    def _slope(self, theta: Array, k: int) -> Array:
        """d mu / d log theta_k (or theta_k), (n, p)."""
        up, down = self._beside(theta, k)
        return np.asarray((self._mu(up) - self._mu(down)) / (2 * STEP))

    def _by_samples(self, at: Population, eta: Array, weight: float) -> Array:
        """One damped Gauss-Newton step of the thetas without an eta, on the samples' likelihood at these etas."""
        theta = at.theta.copy()
        others = [k for k in range(len(theta)) if k not in self.referenced]
        if not others:
            return theta
        residual, seen = self.table.residual(at), self.table.seen
        slope = np.stack([self._slope_of_f(theta, eta, k) for k in others], axis=-1)
        near = expand(residual, seen, eta, (self.table.predictions(theta, eta), slope))
        score = -0.5 * np.einsum("nok,no->k", near.slope, near.score)
        step = np.linalg.lstsq(np.einsum("nok,no,nol->kl", near.slope, near.curvature, near.slope), score, rcond=None)[0]
        for k, d in zip(others, np.clip(weight * step, -0.3, 0.3), strict=True):
            theta[k] = theta[k] * np.exp(d) if self.free.logged[k] else theta[k] + d
        return self.free.held(theta)

    def _slope_of_f(self, theta: Array, eta: Array, k: int) -> Array:
        """d f / d log theta_k (or theta_k), (n, O)."""
        up, down = self._beside(theta, k)
        return np.asarray((self.table.predictions(up, eta) - self.table.predictions(down, eta)) / (2 * STEP))

    def _beside(self, theta: Array, k: int) -> tuple[Array, Array]:
        up, down = theta.copy(), theta.copy()
        up[k], down[k] = (theta[k] * np.exp(s) if self.free.logged[k] else theta[k] + s for s in (STEP, -STEP))
        return up, down

    def _omega(self, before: Array, spread: Array, *, annealing: bool) -> Array:
        omega = before.copy()
        for block in self.free.blocks:
            own = np.ix_(block, block)
            omega[own] = spread[own]
            if annealing:
                grow = np.sqrt(np.maximum(ANNEAL * np.diag(before)[list(block)] / np.diag(spread)[list(block)], 1.0))
                omega[own] *= np.outer(grow, grow)
        return omega

    def _sigma(self, at: Population, eta: Array, weight: float, *, annealing: bool) -> Population:
        """SDs of the residual error: those that fit these etas best, their squares averaged."""
        if not self.free.sigma:
            return at
        f = self.table.predictions(at.theta, eta)
        best = _best_sigma(at, self.free, self.table.seen, f)
        self.squares = best if self.squares is None else self.squares + weight * (best - self.squares)
        sds = dict(zip(self.free.sigma, np.sqrt(self.squares).tolist(), strict=True))
        if annealing:
            sds = {name: max(float(sd), ANNEAL * getattr(at.residual, name)) for name, sd in sds.items()}
        return replace(at, residual=with_sds(at.residual, sds))


def _referenced(table: Table) -> tuple[int, ...]:
    """Indices of the thetas whose change an eta can undo in every record of every subject, so that phi says all about them."""
    free = table.free
    rows = {name: np.concatenate([r.covariates[name] for r in table.records]) for name in free.model.covariates}
    owner = np.repeat(np.arange(table.n), [len(r) for r in table.records])
    before = free.model.typical(rows)
    return tuple(k for k in range(len(free.theta)) if _can_undo(free, k, (rows, before), owner))


def _can_undo(free: Free, k: int, at: tuple[dict[str, Array], dict[str, Array]], owner: NDArray[np.int64]) -> bool:
    rows, before = at
    theta = free.start.theta
    after = with_theta(free.model, free.theta, np.where(np.arange(len(theta)) == k, theta * 1.01 + (theta == 0) * 0.01, theta)).typical(
        rows
    )
    for name, value in after.items():
        a, b = (np.broadcast_to(np.asarray(v, dtype=np.float64), owner.shape) for v in (value, before[name]))
        if np.array_equal(a, b, equal_nan=True):
            continue
        if name not in free.model.eta_names or free.model.parameters[name].distribution == "boxcox":
            return False
        shift = location(free.model.parameters[name], a) - location(free.model.parameters[name], b)
        first = shift[np.searchsorted(owner, np.arange(owner[-1] + 1))]
        if not np.allclose(shift, first[owner], rtol=0, atol=1e-12):
            return False
    return True


def _best_sigma(at: Population, free: Free, seen: Observations, f: Array) -> Array:
    """Squares of the free SDs that fit best at these predictions, (k,): closed form for one of one kind, else minimised."""
    if (
        len(free.sigma) == 1
        and free.model.residual.kind != "combined1"
        and not all(getattr(at.residual, s) for s in ("proportional", "additive"))
    ):
        unit = with_sds(at.residual, {free.sigma[0]: 1.0})
        ratio = deviation(unit, f, seen.value) ** 2 / variance(unit, f)
        return np.asarray([np.sum(seen.weight * ratio) / np.sum(seen.weight)])
    from scipy.optimize import minimize

    def total(x: Array) -> float:
        sds = dict(zip(free.sigma, np.exp(np.clip(x, -30.0, 30.0)).tolist(), strict=True))
        return float(sample_terms(with_sds(at.residual, sds), f, seen).sum())

    start = np.log([getattr(at.residual, s) for s in free.sigma])
    return np.asarray(np.exp(2 * np.maximum(minimize(total, start, method="Nelder-Mead", options={"maxfev": 60}).x, -15.0)))
