"""What a search finds: starting points, the distinct optima among where lanes came to rest, and the fit made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.models.model import DrugModel

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

GRADIENT_TOLERANCE = 1e-7
UNUSABLE = "check doses, samples and units; a nonlinear model may have no steady state under the recorded dose"
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43)


@dataclass(frozen=True, kw_only=True, eq=False)
class Mode:
    """One local optimum of one subject: eta (p,), its OFV, covariance (p, p) and log mass (Laplace, relative)."""

    eta: Array
    ofv: float
    covariance: Array
    log_mass: float


@dataclass(frozen=True, kw_only=True, eq=False)
class MapFit:
    """The distinct modes of every subject, best mode first, and whether the best one met the gradient tolerance.

    `lanes` are all modes one after the other: etas (L, p), OFV (L,), covariances (L, p, p) and log masses (L,); those of subject i are
    lanes[first[i]] up to lanes[first[i + 1]].
    """

    etas: Array
    ofvs: Array
    covariances: Array
    log_masses: Array
    first: Ints
    converged: NDArray[np.bool_]

    @cached_property
    def modes(self) -> tuple[tuple[Mode, ...], ...]:
        """Per subject, best first."""
        return tuple(tuple(self._mode(k) for k in range(a, b)) for a, b in pairwise(self.first.tolist()))

    def _mode(self, k: int) -> Mode:
        return Mode(eta=self.etas[k], ofv=float(self.ofvs[k]), covariance=self.covariances[k], log_mass=float(self.log_masses[k]))

    @property
    def eta(self) -> Array:
        """The best mode of each subject, (n, p)."""
        return self.etas[self.first[:-1]]

    @property
    def ofv(self) -> Array:
        """Its OFV, (n,)."""
        return self.ofvs[self.first[:-1]]

    @property
    def sd(self) -> Array:
        """Standard deviation of each eta from the inverse Hessian at the mode, (n, p)."""
        return np.asarray(np.sqrt(np.diagonal(self.covariances[self.first[:-1]], axis1=1, axis2=2)))

    @classmethod
    def together(cls, fits: Sequence[MapFit]) -> MapFit:
        """The fits of several groups of subjects as one, in order."""
        sizes = np.concatenate([np.diff(one.first) for one in fits])
        names = ("etas", "ofvs", "covariances", "log_masses", "converged")
        joined = {name: np.concatenate([getattr(one, name) for one in fits]) for name in names}
        return cls(first=np.concatenate([[0], np.cumsum(sizes)]), **joined)

    def masses(self, subject: int) -> Array:
        """The posterior mass of each of a subject's modes by Laplace's method, adding up to 1."""
        logs = self.log_masses[self.first[subject] : self.first[subject + 1]]
        share = np.exp(logs - logs.max())
        return np.asarray(share / share.sum())


def cholesky_of_omega(model: DrugModel) -> Array:
    """L with Omega = L L'."""
    return np.asarray(np.linalg.cholesky(model.omega), dtype=np.float64)


def require_etas(model: DrugModel) -> None:
    """Raise EstimationError for a model whose patients do not differ."""
    if not model.eta_names:
        raise EstimationError(
            where=model.name, what="the model has no between-subject variability to estimate", remedy="give at least one parameter an iiv"
        )


@lru_cache(maxsize=256)
def starting_points(model: DrugModel, count: int | None = None) -> Array:
    """Starts in u, (count, p): the prior mode, then fixed points spread over the prior (a Halton set within 1.5 SD); 2p + 1 by default."""
    p = len(model.eta_names)
    count = 2 * p + 1 if count is None else count
    if count == 1:
        return np.zeros((1, p))
    inverse = NormalDist().inv_cdf  # importing SciPy for it would take longer than the whole search
    shares = 0.07 + 0.86 * np.stack([_van_der_corput(count - 1, PRIMES[k % len(PRIMES)]) for k in range(p)], axis=1)
    return np.vstack([np.zeros((1, p)), [[inverse(share) for share in row] for row in shares.tolist()]])


def _van_der_corput(count: int, base: int) -> Array:
    """The first `count` terms of the sequence in that base, from 1 on (a Halton set has one prime base per axis)."""
    out = np.zeros(count)
    left, share = np.arange(1, count + 1), 1.0 / base
    while left.any():
        out += (left % base) * share
        left, share = left // base, share / base
    return out


@dataclass(eq=False)
class Lanes:
    """Where lanes are: u (lanes, p), OFV and damping (lanes,), and for Newton the relative slope and the Hessian."""

    u: Array
    value: Array
    damping: Array
    slope: Array
    hessian: Array


def distinct(n: int, values: Array, points: Array) -> tuple[Ints, Array]:
    """Subject index and point of each candidate optimum: the best of every subject and what ended more than 0.05 prior SD away."""
    value, u = values.reshape(n, -1), points.reshape(n, -1, points.shape[1])
    if not np.isfinite(value).any(axis=1).all():
        raise EstimationError(where="MAP", what="the objective is not finite from any start", remedy=UNUSABLE)
    best = np.argmin(value, axis=1)
    apart = np.isfinite(value) & (np.abs(u - u[np.arange(n), best][:, None]).max(axis=2) > 0.05)
    owners, found = list(range(n)), list(u[np.arange(n), best])
    for i in np.flatnonzero(apart.any(axis=1)):
        kept = [u[i, best[i]]]
        for k in sorted(np.flatnonzero(apart[i]), key=lambda k: value[i, k]):
            if all(np.abs(u[i, k] - other).max() > 0.05 for other in kept):
                kept.append(u[i, k])
        owners += [int(i)] * (len(kept) - 1)
        found += kept[1:]
    order = np.argsort(owners, kind="stable")
    return np.asarray(owners)[order], np.stack(found)[order]


def fit_of(model: DrugModel, n: int, owner: Ints, fine: Lanes) -> MapFit:
    """The fit of n subjects from lanes that have come to rest, `owner` saying whose each is."""
    root = cholesky_of_omega(model)
    flat = fine.slope < GRADIENT_TOLERANCE
    values, vectors = np.linalg.eigh(fine.hessian / 2)
    # curvature below a tenth of the prior's can only come from a saddle or a kink: bounded so that the SD stays meaningful
    values = np.maximum(values, 0.1)
    spread = root @ vectors
    covariance = (spread / values[:, None, :]) @ np.swapaxes(spread, 1, 2)
    mass = -0.5 * (fine.value + np.log(values).sum(axis=1))
    etas = fine.u @ root.T
    order = np.lexsort((fine.value, owner))
    counts = np.bincount(owner, minlength=n)
    if (counts > 1).any():
        groups = np.split(order, np.cumsum(counts)[:-1])
        kept = [_unique(own.tolist(), etas, flat) for own in groups]
        order, counts = np.concatenate([np.asarray(own) for own in kept]), np.asarray([len(own) for own in kept])
    first = np.concatenate([[0], np.cumsum(counts)])
    return MapFit(
        etas=etas[order], ofvs=fine.value[order], covariances=covariance[order], log_masses=mass[order], first=first,
        converged=flat[order][first[:-1]],
    )  # fmt: skip


def _unique(own: list[int], etas: Array, flat: NDArray[np.bool_]) -> list[int]:
    """The best mode, and the others that are real optima and lie apart from every better one."""
    kept = own[:1]
    for k in own[1:]:
        if flat[k] and all(np.abs(etas[k] - etas[other]).max() > 0.01 for other in kept):
            kept.append(k)
    return kept
