"""The individual posterior by sampling-importance-resampling from a heavy-tailed mixture of the Laplace modes.

Proposal: each mode's Gaussian widened to a Student t (5 degrees of freedom), mixed by Laplace mass, with more of them where an eta alone
reaches further than the curvature says (`tails`). A pilot adds a component at its weighted draws and tells how many proposals the draws
asked for need; its own draws are then left out, since weights that decide when to stop are biased towards what has been seen: tails come
out too thin. The effective sample size ESS = (sum w)^2 / sum w^2 of what follows says how well the proposals fit; should it fall
short, further batches are drawn, and all but the pilot are weighed against the mixture of all proposals.
Reference: Rubin DB, Bayesian Statistics 3, 1988, 395-402; Cornuet JM et al., Scand J Stat 2012;39:798-812 (adaptive multiple sampling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.modes import Mode
from auctor.estimate.tails import tails

Array = NDArray[np.float64]

DEGREES = 5.0
WIDEN = 1.1
SPARE, MOST = 2.0, 16.0  # proposals for a draw, where all weigh alike, and at most
MOST_BATCHES, ADAPTED = 5, 4.0  # batches of proposals; what the component at the weighted draws weighs beside the best mode


@dataclass(frozen=True, kw_only=True, eq=False)
class Resampled:
    """Equally weighted draws of eta (n, p), the effective sample size of what they were drawn from, and log of the marginal likelihood.

    `log_marginal` is the importance-sampling estimate of log of the integral of exp(-OFV/2) / (2 pi)^(p/2); subtract log|Omega|/2
    for log p(samples) up to the constant the OFV drops.
    """

    etas: Array
    ess: float
    log_marginal: float


def importance_resample(modes: Sequence[Mode], ofv: Callable[[Array], Array], *, n_draws: int, seed: int) -> Resampled:
    """Draw from exp(-OFV/2): a pilot, importance weights, systematic resampling. `ofv` maps (n, p) to (n,).

    Raises EstimationError when no proposal has a finite weight.
    """
    rng, begun = np.random.default_rng(seed), (*modes, *tails(modes, ofv))
    pilot = _Weighted((begun,), *_valued(_propose(begun, n_draws, rng), ofv))
    proposal = (*begun, _adapted(modes, pilot))
    n = math.ceil(n_draws * min(SPARE * n_draws / pilot.ess, MOST))
    drawn = _Weighted((proposal,), *_valued(_propose(proposal, n, rng), ofv))
    while drawn.ess < n_draws and len(drawn.proposals) < MOST_BATCHES:
        proposal = (*proposal, _adapted(modes, drawn))
        etas, target = _valued(_propose(proposal, n, rng), ofv)
        drawn = _Weighted((*drawn.proposals, proposal), np.concatenate([drawn.etas, etas]), np.concatenate([drawn.target, target]))
    share = drawn.share
    chosen = np.searchsorted(np.cumsum(share), (np.arange(n_draws) + rng.random()) / n_draws).clip(0, len(share) - 1)
    return Resampled(etas=drawn.etas[chosen], ess=drawn.ess, log_marginal=drawn.log_marginal)


@dataclass(frozen=True)
class _Weighted:
    """As many draws from each of `proposals`: all of them `etas` (n, p), and log of the density sought there, `target` (n,)."""

    proposals: tuple[tuple[Mode, ...], ...]
    etas: Array
    target: Array

    @cached_property
    def log_weight(self) -> Array:
        """Against the equal mixture of all proposals, (n,)."""
        densities = np.stack([_log_density(modes, self.etas) for modes in self.proposals])
        return np.asarray(self.target - np.logaddexp.reduce(densities, axis=0) + np.log(len(self.proposals)))

    @cached_property
    def share(self) -> Array:
        """The weights, normalised."""
        weight = np.exp(self.log_weight - self.log_weight.max())
        return np.asarray(weight / weight.sum())

    @property
    def ess(self) -> float:
        """The effective sample size."""
        return float(1.0 / np.sum(self.share**2))

    @property
    def log_marginal(self) -> float:
        """The log of the integral, without the constants that the OFV drops."""
        top = self.log_weight.max()
        return float(top + np.log(np.exp(self.log_weight - top).mean()) - 0.5 * self.etas.shape[1] * np.log(2 * np.pi))


def _valued(etas: Array, ofv: Callable[[Array], Array]) -> tuple[Array, Array]:
    """The draws and log of the density sought, minus infinity where it is not finite; EstimationError where it is nowhere."""
    target = -0.5 * ofv(etas)
    target = np.where(np.isfinite(target), target, -np.inf)
    if not np.isfinite(target.max()):
        raise EstimationError(where="posterior", what="no draw has a finite likelihood", remedy="check doses, samples and units")
    return etas, target


def _adapted(modes: Sequence[Mode], drawn: _Weighted) -> Mode:
    """A further component at the weighted mean and covariance of the proposals, drawn towards the best mode's where few of them count."""
    best, p = modes[0], drawn.etas.shape[1]
    mean = drawn.share @ drawn.etas
    apart = drawn.etas - mean
    seen = np.einsum("n,np,nq->pq", drawn.share, apart, apart)
    covariance = (drawn.ess * seen + p * best.covariance) / (drawn.ess + p)
    return replace(best, eta=mean, covariance=covariance, log_mass=max(m.log_mass for m in modes) + math.log(ADAPTED))


def resample_beside_idle(
    modes: Sequence[Mode], ofv: Callable[[Array], Array], omega: Array, idle: NDArray[np.bool_], *, n_draws: int, seed: int
) -> Resampled:
    """The same where `idle` etas (p,) move no sample and covary with no other eta: those are drawn from their prior, `omega` (p, p).

    Importance weights in the other dimensions alone are exact, and far more even than in all of them.
    """
    if not idle.any():
        return importance_resample(modes, ofv, n_draws=n_draws, seed=seed)
    free = np.flatnonzero(~idle)

    def widened(etas: Array) -> Array:
        full = np.zeros((len(etas), len(idle)))
        full[:, free] = etas
        return full

    own = [replace(m, eta=m.eta[free], covariance=m.covariance[np.ix_(free, free)]) for m in modes]
    drawn = importance_resample(own, lambda etas: ofv(widened(etas)), n_draws=n_draws, seed=seed)
    root = np.linalg.cholesky(omega[np.ix_(idle, idle)])
    etas = widened(drawn.etas)
    etas[:, idle] = np.random.default_rng([seed, len(idle)]).standard_normal((n_draws, len(root))) @ root.T
    return replace(drawn, etas=etas, log_marginal=drawn.log_marginal + float(np.log(np.diag(root)).sum()))


def _mixture(modes: Sequence[Mode]) -> Array:
    mass = np.exp(np.asarray([m.log_mass for m in modes]) - max(m.log_mass for m in modes))
    # a mode the Laplace mass thinks negligible still gets proposals: its mass may be wrong
    return np.asarray(np.maximum(mass / mass.sum(), 0.02) / np.maximum(mass / mass.sum(), 0.02).sum())


def _propose(modes: Sequence[Mode], n: int, rng: np.random.Generator) -> Array:
    p = len(modes[0].eta)
    which = np.searchsorted(np.cumsum(_mixture(modes)), (np.arange(n) + 0.5) / n).clip(0, len(modes) - 1)
    normal, chi = rng.standard_normal((n, p)), rng.chisquare(DEGREES, n)
    roots = np.stack([np.linalg.cholesky(m.covariance) for m in modes])
    centres = np.stack([m.eta for m in modes])
    step = np.einsum("npq,nq->np", roots[which], normal) * WIDEN
    return np.asarray(centres[which] + step / np.sqrt(chi / DEGREES)[:, None])


def _log_density(modes: Sequence[Mode], eta: Array) -> Array:
    parts = np.stack([_log_student(eta, m.eta, m.covariance * WIDEN**2) for m in modes])
    return np.asarray(np.logaddexp.reduce(parts + np.log(_mixture(modes))[:, None], axis=0))


def _log_student(eta: Array, centre: Array, scale: Array) -> Array:
    """Log density of the multivariate Student t, (n,). Reference: Kotz & Nadarajah, Multivariate t Distributions, 2004, eq. 1.1."""
    p = len(centre)
    root = np.linalg.cholesky(scale)
    distance = np.sum(np.linalg.solve(root, (eta - centre).T) ** 2, axis=0)
    constant = math.lgamma((DEGREES + p) / 2) - math.lgamma(DEGREES / 2) - p / 2 * math.log(DEGREES * math.pi)
    return np.asarray(constant - np.log(np.diag(root)).sum() - (DEGREES + p) / 2 * np.log1p(distance / DEGREES))
