"""One patient's exposure by a trained learner: a conformal predictive distribution, carried to other regimens by linearity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Metric, MetricKind, Regimen
from auctor.errors import Notice, OutOfDomain
from auctor.learn.domain import require_dosing, require_inside, require_model
from auctor.learn.drivers import explained
from auctor.learn.learner import N_DRAWS, Learner
from auctor.learn.observed import of_case
from auctor.models.model import DrugModel
from auctor.predictor import Draws, Prediction

Array = NDArray[np.float64]
DISPOSITIONS = ("one_compartment", "two_compartment")  # the linear ones, in which F/CL does not depend on the dose
NOT_INDEPENDENT = Notice(
    code="not-independent",
    where="ml",
    what="the learner was trained on simulations of the same population model as MAP and posterior",
    remedy="do not count its agreement as independent evidence",
)

CIRCULAR_LABEL = Notice(
    code="circular-label",
    where="ml",
    what="the learner was trained to give the MAP estimate of the same model, not the exposure itself (circular label)",
    remedy="read it as a fast copy of MAP, not as a second opinion",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedExposure:
    """A `Predictor` of exposure alone: `values` (n_draws,) and `point` are F/CL in h/L, that is average mg/L per mg/h.

    Draws are the conformal quantiles at 2,000 equally spaced levels, so that an interval read off them is the conformal one.
    `explained` says in a sentence what moved the estimate.
    """

    name: str
    notices: tuple[Notice, ...]
    values: Array
    point: float
    learner: Learner
    explained: str = ""

    @property
    def circular(self) -> bool:
        """Whether the learner's label was a MAP estimate of the same model."""
        return self.learner.circular

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Always raises OutOfDomain: this learner knows the exposure, not the course."""
        del regimen, times_h
        raise OutOfDomain(
            where="ml",
            what=f"{self.learner.plan.name} predicts exposure alone, not the concentration course",
            remedy="use MAP or posterior for the curve",
        )

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """AUC = F/CL * dose rate * window, Cavg = F/CL * dose rate, of a regimen at steady state.

        Raises OutOfDomain for another metric, for a regimen that is not at steady state over the window, or one whose
        window is not a whole number of intervals.
        """
        factor = _dose_rate(regimen, metric, self.learner)
        if metric.kind is MetricKind.AUC:
            factor *= metric.stop_h - metric.start_h
        return Draws(values=self.values * factor, point=self.point * factor)


def predictor(learner: Learner, case: Case, model: DrugModel) -> LearnedExposure:
    """Build this patient's predictor, after every check of the domain (OutOfDomain with the reason)."""
    domain, plan = learner.card["domain"], learner.plan
    require_model(plan, case, model)
    if model.structure.disposition not in DISPOSITIONS:
        raise OutOfDomain(where="model", what="is not linear, so exposure is not proportional to the dose", remedy="use another method")
    missing = [name for name in plan.covariates if name not in case.covariates.series]
    if missing:
        raise OutOfDomain(where=f"covariates.{missing[0]}", what="is not given", remedy="give it: the learner uses it")
    require_dosing(domain, plan, case)
    observed = of_case(plan, case)
    require_inside(domain, observed)
    center, spread = learner.estimate(observed)
    levels = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    values = np.exp(center[0] + spread[0] * learner.quantiles(levels))
    return LearnedExposure(
        name="ML",
        notices=_notices(case, observed.value, learner),
        values=values,
        point=float(np.exp(center[0])),
        learner=learner,
        explained=explained(learner, observed),
    )


def _notices(case: Case, values: Array, learner: Learner) -> tuple[Notice, ...]:
    always = (NOT_INDEPENDENT, *((CIRCULAR_LABEL,) if learner.circular else ()))
    unused = sum(s.used for s in case.samples) - int(np.isfinite(values).sum())
    if unused <= 0:
        return always
    more = Notice(
        code="samples-unused",
        where="ml.samples",
        what=f"{unused} of the samples are not among those the learner looks at",
        remedy="MAP and posterior use them all",
    )
    return (*always, more)


def _dose_rate(regimen: Regimen, metric: Metric, learner: Learner) -> float:
    """mg/h of a regimen at steady state over the metric's window."""
    if metric.kind not in (MetricKind.AUC, MetricKind.CAVG):
        raise OutOfDomain(
            where="metric", what=f"{learner.plan.name} predicts AUC and Cavg, not {metric.name}", remedy="use MAP or posterior"
        )
    if not regimen.doses:
        return 0.0
    dose = regimen.doses[0] if len(regimen.doses) == 1 else None
    if dose is None or not dose.steady_state or dose.every_h <= 0:
        raise OutOfDomain(where="regimen", what="is not one dose repeated at steady state", remedy="use MAP or posterior")
    window = metric.stop_h - metric.start_h
    whole = abs(window / dose.every_h - round(window / dose.every_h)) < 1e-9 and window >= dose.every_h
    covered = dose.time_h <= metric.start_h and metric.stop_h <= dose.time_h + (dose.additional + 1) * dose.every_h + 1e-9
    if not whole or not covered:
        raise OutOfDomain(
            where="metric",
            what=f"{metric.name} is not a whole number of dosing intervals of the regimen",
            remedy="choose a window that is, or use MAP or posterior",
        )
    if dose.route.value != learner.card["domain"]["route"]:
        raise OutOfDomain(where="regimen.route", what="is not the route of the training patients", remedy="use MAP or posterior")
    return dose.amount_mg / dose.every_h
