"""The weights of a mixing distribution on given points: a convex problem, solved by Burke's interior-point method.

Maximise sum_i log(sum_k Psi_ik w_k) over w >= 0, sum_k w_k = 1, where Psi_ik = p(y_i | point k). The optimum is unique in the mixture.
Reference: Yamada WM et al., Pharmaceutics 2021;13:42, section 2.2 and appendix A; Lindsay BG, Ann Stat 1983;11:86-94 (the certificate).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError

Array = NDArray[np.float64]

TOLERANCE = 1e-10
MOST_STEPS = 300
BACK_OFF = 0.99995  # the share of the way to the boundary that a step may take
DISTINCT = 1e-8  # a point whose column is this close to the others' span adds nothing


class Scaled(NamedTuple):
    """Likelihoods (n, k) with each subject's largest divided out: Psi = psi * exp(log_top[:, None])."""

    psi: Array
    log_top: Array


class _Iterate(NamedTuple):
    """lam (k,) the weights times n, w (n,) the reciprocal mixture, y (k,) the slacks 1 - Psi'w."""

    lam: Array
    w: Array
    y: Array


def scaled(log_likelihood: Array) -> Scaled:
    """Likelihoods from their logarithms (n, k), without underflow.

    Raises EstimationError when a subject has no finite likelihood at any point.
    """
    top = log_likelihood.max(axis=1)
    if not np.isfinite(top).all():
        remedy = "widen the ranges, or check that subject's doses, samples and units"
        raise EstimationError(
            where=f"subject {int(np.argmin(np.isfinite(top))) + 1}", what="no point has a finite likelihood", remedy=remedy
        )
    return Scaled(np.exp(log_likelihood - top[:, None]), top)


def log_mixture(likelihood: Scaled, weights: Array) -> Array:
    """log p(y_i | F) of each subject, (n,), under the mixing distribution with these weights (k,)."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(likelihood.psi @ weights) + likelihood.log_top)


def best_weights(psi: Array) -> Array:
    """The maximum-likelihood weights (k,) for likelihoods psi (n, k); rows may carry any positive factor.

    Primal-dual Newton steps on w * Psi lam = 1, Psi'w + y = 1, lam * y = mu, with mu to 0.
    Raises EstimationError when it does not reach its tolerance.

    >>> best_weights(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])).round(6).tolist()
    [0.666667, 0.333333]
    """
    psi = psi / psi.max(axis=1, keepdims=True)
    now, mu, spread = _start(psi), 1.0, 0.0
    for _ in range(MOST_STEPS):
        now, step = _step(psi, now, spread * mu)
        mixture = psi @ now.lam
        mu, residual = float(now.lam @ now.y) / len(now.lam), float(np.abs(1.0 - now.w * mixture).max())
        gap = abs(float(np.log(now.w * mixture).sum())) / (1.0 + abs(float(np.log(mixture).sum())))
        if max(mu, residual, gap) < TOLERANCE:
            return np.asarray(now.lam / now.lam.sum())
        lagging = mu < TOLERANCE < residual
        spread = 1.0 if lagging else min(0.3, max((1 - step) ** 2, (residual - mu) / (residual + 100 * mu)))
    raise EstimationError(where="mixing weights", what=f"no optimum in {MOST_STEPS} steps", remedy="use fewer or more distinct points")


def _start(psi: Array) -> _Iterate:
    lam = np.ones(psi.shape[1])
    w = 1.0 / (psi @ lam)
    shrink = 2.0 * float((psi.T @ w).max())
    return _Iterate(lam * shrink, w / shrink, 1.0 - psi.T @ w / shrink)


def _step(psi: Array, now: _Iterate, target: float) -> tuple[_Iterate, float]:
    """One Newton step towards lam * y = target, and the shorter of the primal and dual step lengths."""
    normal = (psi * (now.lam / now.y)) @ psi.T + np.diag(psi @ now.lam / now.w)
    dw = np.linalg.solve(normal, 1.0 / now.w - psi @ (target / now.y))
    dy = -psi.T @ dw
    dlam = target / now.y - now.lam - now.lam / now.y * dy
    primal = _length(dlam / now.lam)
    dual = min(_length(dy / now.y), _length(dw / now.w))
    return _Iterate(now.lam + primal * dlam, now.w + dual * dw, now.y + dual * dy), min(primal, dual)


def _length(relative: Array) -> float:
    return min(1.0, BACK_OFF / max(-float(relative.min()), 0.5))


def directional_derivative(likelihood: Array, mixture: Array) -> Array:
    """Lindsay's D (k,) of likelihoods (n, k) against the mixture's (n,): sum_i p(y_i | point) / p(y_i | F) - n.

    F is the maximum-likelihood mixing distribution over a set of points exactly when D <= 0 on all of them; and for any F,
    2 * max(D, 0) bounds how far its -2 log likelihood lies above the least one. Reference: Lindsay 1983, theorem 4.1.

    >>> psi = np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.1]])
    >>> directional_derivative(psi, psi @ np.array([0.5, 0.5, 0.0])).tolist()
    [0.0, 0.0, -1.6]
    """
    return np.asarray((likelihood / mixture[:, None]).sum(axis=0) - len(mixture))


def independent(psi: Array) -> NDArray[np.int64]:
    """Indices, in order, of points whose likelihood columns are linearly independent (pivoted, rank-revealing QR)."""
    from scipy.linalg import qr

    columns = psi / np.linalg.norm(psi, axis=0)
    triangle, order = qr(columns, mode="r", pivoting=True)
    rank = min(triangle.shape)
    lengths = np.linalg.norm(triangle[:, :rank], axis=0)
    kept = np.abs(np.diag(triangle)) >= DISTINCT * lengths
    return np.sort(order[:rank][kept]).astype(np.int64)
