"""The population objective: -2 log of each subject's marginal likelihood by FO, FOCE, FOCEI or Laplace, less NONMEM's n log(2 pi).

All four are one formula around a point eta of the conditional objective l(eta) = sum_j terms + eta' Omega^-1 eta:

    OFV_i = l + log|Omega| + log|A| - h' A^-1 h,    h = half the gradient of l,    A = half its curvature

FO expands at eta = 0, the others at the mode (h = 0). FO and FOCE take the residual variance at eta = 0 and A from first derivatives;
FOCEI takes the variance at the mode and for A the expected curvature (what nlmixr2 also calls `laplace`); Laplace the exact Hessian.
Reference: Wang Y, J Pharmacokinet Pharmacodyn 2007;34:575-593.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.models.model import Residual

Array = NDArray[np.float64]

METHODS = ("fo", "foce", "focei", "laplace")
STEPS = 60
SETTLED = 1e-20  # h' A^-1 h at which a mode counts as found: eta is then within 1e-10 conditional SDs
DIFFERENCE = 1e-4


class Curves(Protocol):
    """Predictions (n, O) in mg/L and their derivatives (n, O, p) by eta, for eta (n, p)."""

    def __call__(self, eta: Array) -> tuple[Array, Array]:
        """Predictions and derivatives at eta."""


class Expansion(NamedTuple):
    """The conditional objective of n subjects around eta (n, p).

    `slope` (n, O, p) is the derivative of the predictions on the residual's scale (their logarithm for a log error);
    `term`, `score`, `curvature` (n, O) are each sample's part of l, its first derivative, and half its expected second one.
    """

    eta: Array
    slope: Array
    term: Array
    score: Array
    curvature: Array

    def conditional(self, precision: Array) -> Array:
        """l(eta) of each subject, (n,)."""
        return np.asarray(self.term.sum(axis=1) + np.einsum("np,pq,nq->n", self.eta, precision, self.eta))

    def half_gradient(self, precision: Array) -> Array:
        """Half of dl/deta, (n, p)."""
        return np.asarray(0.5 * np.einsum("nop,no->np", self.slope, self.score) + self.eta @ precision)

    def information(self, precision: Array) -> Array:
        """Half the expected curvature of l, (n, p, p): positive definite."""
        weighted = self.slope * self.curvature[..., None]
        return np.asarray(np.swapaxes(self.slope, 1, 2) @ weighted + precision)


class Found(NamedTuple):
    """The conditional modes: the expansion there, half the exact Hessian of l (n, p, p), and whether each was reached."""

    at: Expansion
    hessian: Array
    converged: NDArray[np.bool_]


def expand(residual: Residual, seen: Observations, eta: Array, curves: tuple[Array, Array], at: Array | None = None) -> Expansion:
    """Expand around eta (n, p) from `curves` (f, df/deta). With `at` (n, O) the variance is that of these fixed predictions.

    Raises EstimationError for a censored sample when the variance is fixed (FO and FOCE have no likelihood for it).
    """
    f, slope = curves
    if residual.kind == "log":
        slope = slope / np.maximum(f, 1e-300)[..., None]
    if at is not None and bool((seen.censored & (seen.weight > 0)).any()):
        raise EstimationError(
            where="method", what="FO and FOCE cannot use samples below the limit", remedy="use focei or laplace, or leave them out"
        )
    v, growth = _variance(residual, f if at is None else at)
    growth = growth if at is None else np.zeros_like(growth)
    misfit = deviation(residual, f, seen.value)
    term = np.log(v) + misfit**2 / v
    score = growth - 2 * misfit / v - growth * misfit**2 / v
    curvature = 1 / v + 0.5 * growth**2
    parts = (seen.weight * term, seen.weight * score, seen.weight * curvature)
    if seen.state.any():
        parts = _with_censored(residual, seen, f, parts)
    return Expansion(eta, slope, *parts)


def _variance(residual: Residual, f: Array) -> tuple[Array, Array]:
    """Residual variance at f and the derivative of its logarithm; exact for the quadratic kinds, 1e-9 relative for others."""
    v = np.asarray(variance(residual, f))
    if residual.kind == "log":
        return v, np.zeros_like(v)
    step = 1e-4 * np.maximum(np.abs(f), 1e-8)
    # where the model gives no variance it is 1 by convention, and flat: no derivative across that jump
    growth = (np.asarray(variance(residual, f + step)) - np.asarray(variance(residual, f - step))) / (2 * step * v)
    return v, np.where(f == 0, 0.0, growth)


def _with_censored(residual: Residual, seen: Observations, f: Array, parts: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    """Replace the parts of samples that are only known by a limit (M3, M4) by their own terms and central differences of these."""
    step = 1e-4 * np.maximum(np.abs(f), 1e-3)
    below, here, above = (sample_terms(residual, f + k * step, seen) for k in (-1, 0, 1))
    worth = np.maximum(f, 1e-300) if residual.kind == "log" else np.ones_like(f)
    own = (here, worth * (above - below) / (2 * step), np.maximum(0.5 * worth**2 * (above - 2 * here + below) / step**2, 0.0))
    low, mid, high = (np.where(seen.state != 0, mine, plain) for mine, plain in zip(own, parts, strict=True))
    return low, mid, high


class Likelihood(NamedTuple):
    """What the marginal likelihood is of: the approximation, residual error, Omega (p, p) and observations (n, O)."""

    method: str
    residual: Residual
    omega: Array
    seen: Observations


def objectives(what: Likelihood, curves: Curves, start: Array, hessian: Array | None = None) -> tuple[Array, Found]:
    """OFV_i of each subject (n,) and its expansion; the mode is sought from `start` (n, p).

    `hessian` of a near-by problem's `Found` makes a warm start. Raises EstimationError for an unknown method.

    >>> def curves(eta):  # one sample of a constant: y = 10 + eta + eps
    ...     return 10 + eta, np.ones((*eta.shape, 1))
    >>> seen = Observations(np.array([[11.0]]), np.ones((1, 1)), np.zeros((1, 0), int), np.zeros((1, 1)))
    >>> what = Likelihood("focei", Residual(proportional=0.0, additive=1.0), np.array([[4.0]]), seen)
    >>> round(float(objectives(what, curves, np.zeros((1, 1)))[0][0]), 9)  # log 5 + 1 / 5
    1.809437912
    """
    method, residual, omega, seen = what
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    fixed = curves(np.zeros_like(start))[0] if method in ("fo", "foce") else None
    precision = np.asarray(np.linalg.inv(omega), dtype=np.float64)

    def expanded(eta: Array) -> Expansion:
        return expand(residual, seen, eta, curves(eta), fixed)

    if method == "fo":
        at = expanded(np.zeros_like(start))
        found = Found(at, at.information(precision), np.ones(len(start), dtype=bool))
    else:
        found = modes(expanded, precision, start, hessian)
    if method != "laplace":
        return marginal(found, omega), found
    exact = half_hessian(expanded, precision, found.at)
    return marginal(found._replace(hessian=exact), omega, exact=True), found


def marginal(found: Found, omega: Array, *, exact: bool = False) -> Array:
    """OFV_i (n,) from an expansion, by the module's formula."""
    precision = np.asarray(np.linalg.inv(omega), dtype=np.float64)
    information = found.at.information(precision)
    h = found.at.half_gradient(precision)
    gain = np.einsum("np,np->n", h, np.linalg.solve(information, h[..., None])[..., 0])
    curvature = found.hessian if exact else information
    log_ratio = np.linalg.slogdet(curvature)[1] + np.linalg.slogdet(omega)[1]
    return np.asarray(found.at.conditional(precision) + log_ratio - gain)


def modes(expanded: Callable[[Array], Expansion], precision: Array, start: Array, hessian: Array | None = None) -> Found:
    """The conditional mode of each subject from `start` (n, p): damped Fisher steps, then steps with one exact Hessian.

    With a `hessian` of a near-by problem only the last part is done (warm start).
    """
    at = expanded(start)
    if hessian is None:
        at, _ = _descend(expanded, precision, at, lambda near: near.information(precision), 1e-5)
        hessian = half_hessian(expanded, precision, at)
    exact = _where_positive(hessian, at.information(precision))
    at, reached = _descend(expanded, precision, at, lambda near: exact, SETTLED)
    return Found(at, hessian, reached)


def half_hessian(expanded: Callable[[Array], Expansion], precision: Array, at: Expansion) -> Array:
    """Half the exact Hessian of l at each subject's eta, (n, p, p), by central differences of its exact gradient."""
    columns = [
        (expanded(at.eta + d).half_gradient(precision) - expanded(at.eta - d).half_gradient(precision)) / (2 * DIFFERENCE)
        for d in DIFFERENCE * np.eye(at.eta.shape[1])
    ]
    hessian = np.stack(columns, axis=-1)
    return np.asarray((hessian + np.swapaxes(hessian, 1, 2)) / 2)


def _where_positive(hessian: Array, information: Array) -> Array:
    """The exact Hessian, or the expected one where the exact one is not safely positive definite."""
    usable = np.asarray(np.isfinite(hessian).all(axis=(1, 2)))
    hessian = np.where(usable[:, None, None], hessian, information)
    positive: NDArray[np.bool_] = np.linalg.eigvalsh(hessian).min(axis=1) > 1e-3 * np.linalg.eigvalsh(information).min(axis=1)
    return np.where(positive[:, None, None], hessian, information)


def _descend(
    expanded: Callable[[Array], Expansion], precision: Array, at: Expansion, curvature: Callable[[Expansion], Array], settled: float
) -> tuple[Expansion, NDArray[np.bool_]]:
    """Damped steps until h' A^-1 h < `settled` in every subject, or nothing helps any more."""
    damping = np.zeros(len(at.eta))
    gain = np.full(len(at.eta), np.inf)
    for _ in range(STEPS):
        step, gain = _step(at, precision, curvature(at), damping)
        if np.all((gain < settled) | (damping > 1e8)):
            break
        trial = expanded(at.eta + np.where((gain < settled)[:, None], 0.0, step))
        before, after = at.conditional(precision), trial.conditional(precision)
        better = after <= before + 1e-11 * (1 + np.abs(before))
        at = Expansion(*(np.where(better.reshape(-1, *(1,) * (new.ndim - 1)), new, old) for new, old in zip(trial, at, strict=True)))
        damping = np.where(better, np.where(damping > 1e-3, damping / 8, 0.0), np.maximum(8 * damping, 0.1))
    return at, gain < max(settled, 1e-12)


def _step(at: Expansion, precision: Array, curvature: Array, damping: Array) -> tuple[Array, Array]:
    """The next step of every subject (n, p), and the h' A^-1 h it promises (n,)."""
    h = at.half_gradient(precision)
    diagonal = np.einsum("npp->np", curvature)
    damped = curvature + damping[:, None, None] * np.eye(h.shape[1]) * diagonal[:, None, :]
    step = -np.linalg.solve(damped, h[..., None])[..., 0]
    gain = -np.einsum("np,np->n", h, step)
    # a step of more than 3 prior SDs leaves the region where the curvature means anything
    length = np.abs(step * np.sqrt(np.diag(precision))).max(axis=1, keepdims=True)
    return step * np.minimum(1.0, 3.0 / np.maximum(length, 1e-300)), np.asarray(gain)
