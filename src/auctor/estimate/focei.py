"""Population estimation by minimising the objective of FO, FOCE, FOCEI or Laplace over theta, Omega and the residual error.

BFGS over the unconstrained vector of `Free`, from the curvature of the subjects' own gradients (BHHH). At every point the conditional
modes are found again from the last ones, so tightly that central differences of each subject's objective are exact to 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from auctor.errors import EstimationError
from auctor.estimate.free import Population, Table
from auctor.estimate.population_objective import METHODS, Found, Likelihood, objectives

Array = NDArray[np.float64]
Progress = Callable[[int, float], None]

STEP = 1e-4
FLAT = 1e-2  # largest slope of the OFV by a unit of the vector (about a logarithm) at which BFGS stops
CLOSE = 1e-4  # OFV still to be gained, by the local curvature, below which the fit counts as converged


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A minimum: population, its vector x (k,), OFV and each subject's part (n,), etas (n, p) and gradients of OFV_i by x (n, k).

    `to_gain` is the OFV that the local curvature says is still to be had; `converged` when that is below 1e-4.
    """

    population: Population
    x: Array
    ofv: float
    individual: Array
    eta: Array
    gradients: Array
    to_gain: float
    evaluations: int

    @property
    def converged(self) -> bool:
        """Whether nothing more is to be gained."""
        return self.to_gain < CLOSE


class Objective:
    """The OFV of a table as a function of the unconstrained vector, with its gradient; remembers the last modes as starts.

    Raises EstimationError for an unknown method or a table without a single sample.
    """

    def __init__(self, table: Table, method: str = "focei") -> None:
        if method not in METHODS:
            raise EstimationError(where="method", what=f"{method!r} is not a method", remedy=f"choose one of {', '.join(METHODS)}")
        if table.n_observations == 0:
            raise EstimationError(where="table", what="no sample to fit", remedy="check EVID, MDV and DV")
        self.table, self.method = table, method
        self.evaluations = 0
        self._start = np.zeros((table.n, len(table.free.model.eta_names)))
        self._known: tuple[Array, Found, Array] | None = None

    def at(self, x: Array) -> tuple[Array, Found]:
        """OFV_i (n,) and the expansion at x (k,)."""
        if self._known is None or not np.array_equal(self._known[0], x):
            found, values = self._found(self.table.free.population(x), self._start, None)
            self.evaluations += 1
            self._known = (np.array(x), found, values)
            if np.isfinite(values).all():
                self._start = found.at.eta
        return self._known[2], self._known[1]

    def value(self, x: Array) -> float:
        """The OFV; infinite where a prediction is."""
        with np.errstate(all="ignore"):
            total = float(self.at(x)[0].sum())
        return total if np.isfinite(total) else np.inf

    def gradients(self, x: Array) -> Array:
        """d OFV_i / d x, (n, k), by central differences with the modes found again on both sides."""
        base = self.at(x)[1]
        columns = []
        for d in STEP * np.eye(len(x)):
            above, below = (self._found(self.table.free.population(x + s), base.at.eta, base.hessian)[1] for s in (d, -d))
            columns.append((above - below) / (2 * STEP))
        return np.stack(columns, axis=1)

    def gradient(self, x: Array) -> Array:
        """d OFV / d x, (k,)."""
        return np.asarray(self.gradients(x).sum(axis=0))

    def _found(self, at: Population, start: Array, hessian: Array | None) -> tuple[Found, Array]:
        what = Likelihood(self.method, self.table.residual(at), at.omega, self.table.seen)
        values, found = objectives(what, partial(self.table.slopes, at.theta), start, hessian)
        return found, values


def minimise(table: Table, *, method: str = "focei", start: Population | None = None, progress: Progress | None = None) -> Fitted:
    """Fit the free numbers of `table` from `start` (the model's own by default); `progress` gets the iteration and the OFV.

    Raises EstimationError when the objective is not finite at the start.
    """
    from scipy.optimize import minimize

    objective = Objective(table, method)
    x = table.free.vector(start or table.free.start)
    if not np.isfinite(objective.value(x)):
        raise EstimationError(where="start", what="the objective is not finite there", remedy="check doses, samples, units and the model")
    report = progress or (lambda iteration, ofv: None)
    count = iter(range(1, 10_000))
    for _ in range(3):  # a line search that fails far from the minimum is begun again with fresh curvature
        solved = minimize(
            objective.value,
            x,
            jac=objective.gradient,
            method="BFGS",
            callback=lambda x: report(next(count), objective.value(x)),
            options={"gtol": FLAT, "maxiter": 200, "hess_inv0": _inverse_curvature(objective.gradients(x))},
        )
        x = np.asarray(solved.x)
        fitted = as_fitted(objective, x)
        if fitted.converged:
            break
    return fitted


def _inverse_curvature(gradients: Array) -> Array:
    """Inverse of the OFV's curvature, half the sum of g g' over subjects (Berndt, Hall, Hall & Hausman 1974), bounded."""
    values, vectors = np.linalg.eigh(0.5 * gradients.T @ gradients)
    inverse = (vectors / np.maximum(values, 1e-3 * values.max() + 1e-12)) @ vectors.T
    return np.asarray((inverse + inverse.T) / 2)


def as_fitted(objective: Objective, x: Array) -> Fitted:
    """What is known at x: the objective, etas and gradients there."""
    values, found = objective.at(x)
    gradients = objective.gradients(x)
    total = gradients.sum(axis=0)
    return Fitted(
        population=objective.table.free.population(x),
        x=x,
        ofv=float(values.sum()),
        individual=values,
        eta=found.at.eta,
        gradients=gradients,
        to_gain=float(0.5 * total @ _inverse_curvature(gradients) @ total),
        evaluations=objective.evaluations,
    )


def hessian(objective: Objective, x: Array) -> Array:
    """The OFV's Hessian by x, (k, k): central differences of the gradient, symmetrised."""
    step = 10 * STEP
    rows = [(objective.gradient(x + d) - objective.gradient(x - d)) / (2 * step) for d in step * np.eye(len(x))]
    return np.asarray((np.stack(rows) + np.stack(rows).T) / 2)
