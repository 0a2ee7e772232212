"""Parameters under which repeated doses settle: what a nonlinear model does not promise.

The engine answers inf for a dose that exceeds what can be eliminated, and NaN for equations it could not solve. Neither reaches a reader:
draws that contradict a recorded steady state are impossible and left out, and a regimen that too many draws cannot settle under is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Regimen
from auctor.errors import EstimationError, Notice, OutOfDomain
from auctor.models.model import DrugModel
from auctor.models.spelled import spelled
from auctor.pk.exposure import curves

Array = NDArray[np.float64]

MOST_UNSETTLED = 0.04  # of the draws: the upper end of a 90 % interval must be a number
TOLD = 0.05
MOST_ROUNDS = 20


def may_not_settle(model: DrugModel, regimen: Regimen) -> bool:
    """Whether the regimen's steady state may not exist: it has one, and the model's equations are not linear."""
    return not spelled(model).linear and any(d.steady_state for d in regimen.doses)


def settles(model: DrugModel, case: Case, etas: Array) -> NDArray[np.bool_]:
    """Under which etas (n, p) every recorded steady state exists, (n,)."""
    if not may_not_settle(model, case.history):
        return np.ones(len(etas), dtype=bool)
    times = np.asarray([d.time_h for d in case.history.doses if d.steady_state])
    return np.asarray(np.isfinite(curves(model, case.history, times, case.covariates, etas)).all(axis=1))


def settled_draws(model: DrugModel, case: Case, draw: Callable[[int], Array], n: int) -> tuple[Array, tuple[Notice, ...]]:
    """The first `n` of the etas that `draw(n)` gives, round after round, under which the recorded steady state exists.

    A notice says so where more than 5 % are left out. Raises EstimationError where fewer than one in twenty would be kept.
    """
    first = draw(n)
    kept = [first[settles(model, case, first)]]
    if len(kept[0]) * MOST_ROUNDS < n:
        raise EstimationError(
            where="doses",
            what="no steady state under the recorded regimen for almost all parameters of the model",
            remedy="check the doses and their units; write the doses out one by one if the patient is not at steady state",
        )
    while sum(map(len, kept)) < n:
        more = draw(n)
        kept.append(more[settles(model, case, more)])
    return np.concatenate(kept)[:n], _told(1 - sum(map(len, kept)) / (len(kept) * n))


def _told(share: float) -> tuple[Notice, ...]:
    if share <= TOLD:
        return ()
    what = f"{100 * share:.0f} % of the population has no steady state under the recorded dose: it exceeds what they can eliminate"
    remedy = "check that the patient is at steady state; the level may still be rising"
    return (Notice(code="no-steady-state", where="doses", what=what, remedy=remedy, blocks_signing=True),)


def settled_values(model: DrugModel, values: Array, *, n_draws: int) -> Array:
    """Values (rows, ...), draws first and below them what the point is the mean over, as they are: the few infinite ones stand for
    levels that rise without end.

    Raises OutOfDomain where more than `MOST_UNSETTLED` of the draws, or the single row that is the point, have no steady state, and where
    the equations could not be solved.
    """
    flat = values.reshape(len(values), -1)
    if np.isnan(flat).any():
        what = f"the equations could not be solved for {100 * np.isnan(flat).any(axis=1).mean():.3g} % of the parameter sets"
        raise OutOfDomain(where=model.name, what=what, remedy="check doses and covariates, or use another model")
    endless: NDArray[np.bool_] = np.isinf(flat).max(axis=1)
    share, point_lost = float(endless[:n_draws].mean()), len(endless) == n_draws + 1 and bool(endless[-1])
    if share > MOST_UNSETTLED or point_lost:
        whom = "the estimated parameters" if point_lost else f"{100 * share:.0f} % of the draws"
        raise OutOfDomain(
            where=model.name,
            what=f"no steady state under this regimen for {whom}: it exceeds what can be eliminated",
            remedy="choose a lower daily dose, and measure again before steady state is assumed",
        )
    return values
