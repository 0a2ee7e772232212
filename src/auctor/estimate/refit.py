"""Refitting a published model to a table: FOCEI or SAEM, standard errors, and what changed.

SAEM's estimates are given FOCEI's objective and standard errors at the same point, so that the two methods can be compared.
Standard errors: the inverse of the objective's curvature in the unconstrained vector, carried to each number by the delta method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError, Notice, TableError
from auctor.estimate.focei import Fitted, Objective, as_fitted, hessian, minimise
from auctor.estimate.free import Free, Population, Table, free_of
from auctor.models.model import DrugModel
from auctor.records import Records

Array = NDArray[np.float64]
Progress = Callable[[int, float], None]
METHODS = ("fo", "foce", "focei", "laplace", "saem")


@dataclass(frozen=True, kw_only=True)
class Number:
    """One free number before and after, and its standard error; h, L, mg/L, variances of eta, SDs of the residual error."""

    name: str
    before: float
    after: float
    se: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Refit:
    """A refitted population: numbers in the order of `free.names`, objective before and after, etas (n, p) and their shrinkage (p,).

    `shrinkage` is 1 - SD(eta) / omega. `converged` only means something for the methods that minimise.
    """

    free: Free
    method: str
    population: Population
    numbers: tuple[Number, ...]
    ofv_before: float
    ofv: float
    eta: Array
    shrinkage: Array
    converged: bool
    n_subjects: int
    n_observations: int
    notices: tuple[Notice, ...] = field(default=())

    @property
    def model(self) -> DrugModel:
        """The model that was refitted, with its published numbers."""
        return self.free.model

    def __getitem__(self, name: str) -> Number:
        """One number by its name."""
        return next(n for n in self.numbers if n.name == name)


def refit(
    model: DrugModel,
    records: Sequence[Records],
    *,
    method: str = "focei",
    fixed: Iterable[str] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Refit:
    """Fit everything of `model` that is not `fixed` (see `free_of`) to the subjects of a table, from the model's own numbers.

    Subjects without a sample are left out. `seed` is SAEM's. `progress` gets the iteration and the objective so far.
    Raises TableError without a subject, EstimationError for an unknown method or name, or an objective that is not finite.
    """
    if method not in METHODS:
        raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
    used = tuple(r for r in records if r.observed.any())
    if not used:
        raise TableError(where="table", what="no subject with a sample", remedy="check EVID, MDV and DV")
    table = Table(free_of(model, fixed), used)
    objective = Objective(table, "focei" if method == "saem" else method)
    before = objective.value(table.free.vector(table.free.start))
    if method == "saem":
        from auctor.estimate.saem import saem

        fitted = as_fitted(objective, table.free.vector(saem(table, seed=seed, progress=progress).population))
    else:
        fitted = minimise(table, method=method, progress=progress)
    return _summary(table, objective, method, (before, fitted))


def _summary(table: Table, objective: Objective, method: str, fits: tuple[float, Fitted]) -> Refit:
    before, fitted = fits
    free, at = table.free, fitted.population
    covariance, notices = _covariance(objective, fitted)
    errors = standard_errors(free, fitted.x, covariance)
    starts, ends = free.natural(free.start), free.natural(at)
    numbers = (
        Number(name=n, before=float(starts[k]), after=float(ends[k]), se=float(errors[k]) if np.isfinite(errors[k]) else None)
        for k, n in enumerate(free.names)
    )
    converged = fitted.converged or method == "saem"
    if not converged:
        notices += (Notice(code="not-converged", where="refit", what=f"OFV still to gain {fitted.to_gain:.2g}", remedy="fix some numbers"),)
    return Refit(
        free=free,
        method=method,
        population=at,
        numbers=tuple(numbers),
        ofv_before=before,
        ofv=fitted.ofv,
        eta=fitted.eta,
        shrinkage=1 - fitted.eta.std(axis=0) / np.sqrt(np.diag(at.omega)),
        converged=converged,
        n_subjects=table.n,
        n_observations=table.n_observations,
        notices=notices,
    )


def _covariance(objective: Objective, fitted: Fitted) -> tuple[Array, tuple[Notice, ...]]:
    """Covariance of the unconstrained vector (k, k), twice the OFV's inverse Hessian; NaN, with a notice, when that is not positive."""
    objective.value(fitted.x)
    curvature = hessian(objective, fitted.x)
    if np.isfinite(curvature).all() and np.linalg.eigvalsh(curvature).min() > 1e-6:
        return np.asarray(2 * np.linalg.inv(curvature), dtype=np.float64), ()
    notice = Notice(
        code="no-standard-errors",
        where="refit",
        what="the objective is flat or not at a minimum in some direction",
        remedy="fix a number that the table says nothing about (a variance near 0, a covariate that does not vary)",
    )
    return np.full_like(curvature, np.nan), (notice,)


def standard_errors(free: Free, x: Array, covariance: Array) -> Array:
    """SE of each natural number (k,) from the covariance of the vector x (k, k), by the delta method."""
    step = 1e-5
    columns = [(free.natural(free.population(x + d)) - free.natural(free.population(x - d))) / (2 * step) for d in step * np.eye(len(x))]
    slope = np.stack(columns, axis=1)
    return np.asarray(np.sqrt(np.einsum("ik,kl,il->i", slope, covariance, slope)))
