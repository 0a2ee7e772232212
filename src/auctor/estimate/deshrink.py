"""De-shrunken estimates: what an empirical Bayes estimate (EBE) would be without the pull of the prior towards the typical patient.

Near the mode the EBE is a ridge estimator. In whitened axes z = L^-1 eta (Omega = L L') turned so that the conditional covariance is
diagonal with entries s (the shrinkage of that direction, 0..1), the samples carry information phi = (1 - s) / s and

    z_EBE = (1 - s) z_ML,   E[z_EBE | z] = (1 - s) z,   Var over patients of z_EBE = 1 - s.

`unbiased` divides by (1 - s): E[.|z] = z, over-dispersed (variance 1 + s/(1-s)). `variance` divides by sqrt(1 - s): the patients' variance
is Omega again. `ridge` follows the abstract of Baklouti S et al., Clin Pharmacokinet 2022;61:749: a ridge estimate with penalty lambda,
corrected for its bias, lambda chosen for least imprecision. The abstract gives no formula and the full text was not at hand, so the
correction here is the first-order one of Singh B et al., Sankhya B 1986;48:342 ("almost unbiased" generalized ridge), and
the imprecision is its mean squared error at the EBE: with b = lambda / (phi + lambda),

    z_lambda = (1 - b^2) z_ML,   MSE = b^4 z^2 + (1 - b^2)^2 / phi,   summed over the directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError, Notice
from auctor.estimate.diagnostics import linearise
from auctor.estimate.patient import Estimate
from auctor.estimate.table import TableEstimate
from auctor.records import Records

Array = NDArray[np.float64]

METHODS = ("unbiased", "variance", "ridge")
LIMIT = 0.9  # a direction shrunk more than this holds too little of the samples to be scaled up
PENALTIES = np.concatenate([[0.0], np.logspace(-4, 4, 321)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Deshrunk:
    """A de-shrunken eta (p,), the shrinkage of each eta SE^2/omega^2 (p,), and how many directions were left as they were.

    `sd` (p,) is the sampling SD of the new estimate around the patient's true eta; of a direction left alone it is the conditional SD.
    `penalty` is the lambda chosen by `ridge`.
    """

    eta: Array
    sd: Array
    shrinkage: Array
    left: int
    penalty: float | None = None


def deshrink(eta: Array, covariance: Array, omega: Array, *, method: str = "unbiased", limit: float = LIMIT) -> Deshrunk:
    """De-shrink one patient's EBE (p,) from its conditional covariance (p, p) and Omega (p, p).

    Exact when the model is linear in eta with normal errors. A direction with shrinkage above `limit` is left at the EBE.
    Raises EstimationError for an unknown method.

    >>> one = deshrink(np.array([0.3]), np.array([[0.04]]), np.array([[0.16]]))
    >>> one.shrinkage.round(6).tolist(), one.eta.round(6).tolist()
    ([0.25], [0.4])
    """
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    root = np.linalg.cholesky(omega)
    inner = np.linalg.solve(root, np.linalg.solve(root, covariance).T)
    shrunk, turn = np.linalg.eigh((inner + inner.T) / 2)
    shrunk = np.maximum(shrunk, 1e-12)
    axes = root @ turn
    z = np.linalg.solve(axes, eta)
    open_ = shrunk <= limit
    s = np.where(open_, shrunk, 0.5)  # any value inside (0, 1): those directions are put back below
    z_ml = z / (1 - s)
    share, penalty = _shares(method, z, z_ml, s, open_)
    new = np.where(open_, share * z_ml, z)
    spread = np.where(open_, share**2 * s / (1 - s), shrunk)
    return Deshrunk(
        eta=axes @ new,
        sd=np.sqrt(np.sum(axes**2 * spread, axis=1)),
        shrinkage=np.diag(covariance) / np.diag(omega),
        left=int((~open_).sum()),
        penalty=penalty,
    )


def _shares(method: str, z: Array, z_ml: Array, s: Array, open_: NDArray[np.bool_]) -> tuple[Array, float | None]:
    """What is kept of the maximum-likelihood estimate in each direction."""
    if method == "unbiased":
        return np.ones_like(s), None
    if method == "variance":
        return np.sqrt(1 - s), None
    information = (1 - s) / s
    b2 = (PENALTIES[:, None] / (information + PENALTIES[:, None])) ** 2
    error = np.where(open_, b2**2 * z**2 + (1 - b2) ** 2 / information, 0.0).sum(axis=1)
    best = int(np.argmin(error))
    return 1 - b2[best], float(PENALTIES[best])


def deshrink_population(etas: Array, omega: Array) -> Array:
    """Etas of many patients (n, p) moved and scaled to mean 0 and variance Omega: Omega^(1/2) Var(EBE)^(-1/2) (EBE - mean).

    Symmetric square roots; the sample covariance (n - 1). For diagnostics: it uses the other patients, so it is not one patient's estimate.

    >>> new = deshrink_population(np.array([[-0.1], [0.0], [0.1]]), np.array([[0.09]]))
    >>> float(np.var(new, ddof=1).round(9))
    0.09
    """
    centred = etas - etas.mean(axis=0)
    spread = np.atleast_2d(np.cov(centred.T, ddof=1))
    return np.asarray(centred @ _power(spread, -0.5) @ _power(omega, 0.5))


def _power(matrix: Array, exponent: float) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-300) ** exponent) @ vectors.T)


def deshrink_table(
    estimate: TableEstimate, records: Sequence[Records], *, method: str = "unbiased", limit: float = LIMIT
) -> list[Deshrunk]:
    """De-shrink every subject of a table estimate, with the expected conditional covariance at its eta (`Linearised.covariance`)."""
    omega, parts = estimate.model.omega, linearise(estimate, records)
    return [
        deshrink(s.eta, part.covariance(omega), omega, method=method, limit=limit) for s, part in zip(estimate.subjects, parts, strict=True)
    ]


def deshrunken_estimate(estimate: Estimate, *, method: str = "unbiased", limit: float = LIMIT) -> Estimate:
    """A `Predictor` at the de-shrunken eta of a MAP estimate (one draw), from the mode's exact Hessian.

    Raises EstimationError when the estimate holds no mode (an a-priori one).
    """
    if not estimate.modes:
        raise EstimationError(where=estimate.name, what="no mode to de-shrink", remedy="give a MAP, Laplace or posterior estimate")
    best = estimate.modes[0]
    found = deshrink(best.eta, best.covariance, estimate.model.omega, method=method, limit=limit)
    notices = estimate.notices
    if found.left:
        notices += (
            Notice(
                code="not-deshrunk",
                where="De-shrunken",
                what=f"{found.left} of {len(found.eta)} directions hold too little of the samples and stay at the MAP",
                remedy="take a sample that tells more, or read the posterior",
            ),
        )
    return replace(
        estimate, name="De-shrunken", etas=found.eta[None], eta_point=found.eta, sd=found.sd, notices=notices, ofv=None, mean_is_point=False
    )
