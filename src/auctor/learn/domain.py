"""The domain of validity of a learner: what the training patients spanned, and where a patient falls outside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.errors import OutOfDomain
from auctor.learn.features import LOG, matrix
from auctor.learn.observed import Observed
from auctor.models.model import DrugModel
from auctor.population.plan import Plan
from auctor.population.virtual import Profiles

Array = NDArray[np.float64]


def span(profiles: Profiles, observed: Observed, x: Array, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Ranges over the training rows: covariates, doses (mg), intervals (h), infusion lengths (h) and every feature."""
    loading = profiles.loading_mg[rows]
    amounts = np.concatenate([profiles.dose_mg[rows], loading[loading > 0]])
    lengths = np.concatenate([profiles.infusion_h[rows], profiles.loading_infusion_h[rows][loading > 0]])
    return {
        "route": profiles.plan.route.value,
        "dose_mg": _range(amounts),
        "every_h": sorted(float(v) for v in np.unique(profiles.every_h[rows])),
        "infusion_h": _range(lengths),
        "covariates": {name: _range(values[rows]) for name, values in observed.covariates.items()},
        "features": {name: _range(x[rows, j]) for j, name in enumerate(profiles.plan.learning.features)},
    }


def _range(values: Array) -> list[float]:
    return [float(np.nanmin(values)), float(np.nanmax(values))]


def require_model(plan: Plan, case: Case, model: DrugModel) -> None:
    """Raise OutOfDomain when the drug or the version of the population model is not one the plan was simulated from."""
    if case.drug != plan.model.drug:
        raise OutOfDomain(where="drug", what=f"{plan.name} was trained for {plan.model.drug}", remedy="use a learner of this drug")
    if model.sha256 not in [m.sha256 for m in plan.models]:
        raise OutOfDomain(
            where="model", what=f"{plan.name} was not simulated from this {model.name}", remedy="train a plan that names this model"
        )


def require_dosing(domain: Mapping[str, Any], plan: Plan, case: Case) -> None:
    """Raise OutOfDomain for a route, dose, interval or infusion the training patients did not have."""
    for k, dose in enumerate(case.history.doses):
        where = f"doses[{k}]"
        if dose.route.value != domain["route"]:
            raise OutOfDomain(where=f"{where}.route", what="is not the route of the training patients", remedy="use another method")
        require_range(dose.amount_mg, domain["dose_mg"], plan.margin, where=f"{where}.amount", name="the dose")
        require_range(dose.duration_h, domain["infusion_h"], plan.margin, where=f"{where}.duration", name="the infusion length")
    if not plan.dosage.start and min(abs(case.history.doses[0].every_h - v) for v in domain["every_h"]) > 1e-6:
        raise OutOfDomain(where="doses[0].every", what="is not a dosing interval of the training patients", remedy="use another method")


def require_inside(domain: Mapping[str, Any], observed: Observed) -> None:
    """Raise OutOfDomain for a covariate or feature outside the training range; the text names it, not the patient's value."""
    margin = observed.plan.margin
    for name, bounds in domain["covariates"].items():
        require_range(float(observed.covariates[name][0]), bounds, margin, where=f"covariates.{name}", name=name)
    for name, value in zip(observed.plan.learning.features, matrix(observed)[0], strict=True):
        if not np.isfinite(value) and name.removeprefix(LOG).startswith("planned_"):
            raise OutOfDomain(where="current", what=f"the feature {name} is not known", remedy="give the current regimen")
        # a nominal sample is in time when it is in its window, which `of_case` has checked
        if not np.isnan(value) and not name.removeprefix(LOG).startswith("dt:"):
            require_range(float(value), domain["features"][name], margin, where="samples", name=f"the feature {name}")


def require_range(value: float, bounds: list[float], margin: float, *, where: str, name: str) -> None:
    """Raise OutOfDomain where a value lies outside the training range, widened by `margin` of it; `name` says what it is."""
    low, high = bounds
    slack = margin * (high - low) + 1e-9 * max(abs(low), abs(high))
    if not low - slack <= value <= high + slack:
        raise OutOfDomain(
            where=where,
            what=f"{name} is outside the training range {low:.4g} to {high:.4g}",
            remedy="use another method: the learner does not extrapolate",
        )
