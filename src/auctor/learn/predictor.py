"""One patient's exposure by a trained learner: a conformal predictive distribution, carried to other regimens by linearity.

A learner of F/CL answers areas and averages of any regimen at steady state; one of another target answers that target alone, of the kind of
regimen it was trained for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Dose, Metric, MetricKind, Regimen, Route, given_times
from auctor.errors import Notice, OutOfDomain
from auctor.learn.domain import require_dosing, require_inside, require_model, require_range
from auctor.learn.drivers import explained
from auctor.learn.histories import recorded
from auctor.learn.learner import N_DRAWS, Learner
from auctor.learn.observed import of_case
from auctor.learn.scales import natural
from auctor.models.model import DrugModel
from auctor.population.targets import STEADY
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


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedTarget:
    """A `Predictor` of one metric alone, under the patient's own regimen: `values` (n_draws,) and `point` in mg*h/L or mg/L.

    Of a model that is linear in the dose it also answers for other doses of the same interval and infusion at steady state.
    """

    name: str
    notices: tuple[Notice, ...]
    values: Array
    point: float
    learner: Learner
    case: Case

    def predict(self, regimen: Regimen, times_h: Array) -> Prediction:
        """Always raises OutOfDomain: this learner knows one metric, not the course."""
        del regimen, times_h
        what = f"{self.learner.plan.name} predicts {self.learner.plan.target.name} alone, not the concentration course"
        raise OutOfDomain(where="ml", what=what, remedy="use MAP or posterior for the curve")

    def exposure(self, regimen: Regimen, metric: Metric) -> Draws:
        """The metric that was learned. Raises OutOfDomain for any other, and for a regimen that is not of the kind that was trained."""
        plan = self.learner.plan
        if plan.target.measured != metric:
            what = f"{plan.name} predicts {plan.target.name}, not {metric.name}"
            raise OutOfDomain(where="metric", what=what, remedy="use MAP or posterior, or a learner of this metric")
        factor = self._of_steady(regimen) if plan.target.at == STEADY else self._of_history(regimen, metric)
        return Draws(values=self.values * factor, point=self.point * factor)

    def _of_steady(self, regimen: Regimen) -> float:
        """The dose over the patient's own; 1 for a nonlinear model, which is answered for that dose alone; 0 without doses."""
        if not regimen.doses:
            return 0.0
        dose, own = _steady_dose(regimen), _going_on(self.case)
        same = dose.every_h == own.every_h and dose.duration_h == own.duration_h and dose.route is own.route
        linear = self.learner.plan.proportional
        if not same or (not linear and dose.amount_mg != own.amount_mg):
            what = "is not the patient's own interval, infusion and route" if linear else "is not the patient's own regimen"
            raise OutOfDomain(where="regimen", what=what, remedy="use MAP or posterior")
        if dose.amount_mg != own.amount_mg:
            domain = self.learner.card["domain"]
            require_range(dose.amount_mg, domain["dose_mg"], self.learner.plan.margin, where="regimen.amount", name="the dose")
        return dose.amount_mg / own.amount_mg

    def _of_history(self, regimen: Regimen, metric: Metric) -> float:
        def until(course: Regimen) -> list[tuple[float, float, float, Route]]:
            return [(t, d.amount_mg, d.duration_h, d.route) for t, d in given_times(course, until_h=metric.stop_h)]

        if until(regimen) != until(self.case.history):
            what = f"is not the patient's own doses until {metric.stop_h:g} h after the first"
            raise OutOfDomain(where="regimen", what=what, remedy="use MAP or posterior")
        return 1.0


def predictor(learner: Learner, case: Case, model: DrugModel) -> LearnedExposure | LearnedTarget:
    """Build this patient's predictor, after every check of the domain (OutOfDomain with the reason)."""
    domain, plan = learner.card["domain"], learner.plan
    require_model(plan, case, model)
    if plan.target.proportional and model.structure.disposition not in DISPOSITIONS:
        raise OutOfDomain(where="model", what="is not linear, so exposure is not proportional to the dose", remedy="use another method")
    missing = [name for name in plan.needed if name not in case.covariates.series]
    if missing:
        raise OutOfDomain(where=f"covariates.{missing[0]}", what="is not given", remedy="give it: the learner uses it")
    require_dosing(domain, plan, case)
    observed = recorded(of_case(plan, case), [case.history])
    require_inside(domain, observed)
    learner.require_near(observed)
    center, _ = learner.estimate(observed)
    levels = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    values, point = natural(plan, learner.distribution(observed, levels)[0]), float(natural(plan, center)[0])
    notices = _notices(case, observed.value, learner)
    if plan.target.proportional:
        sentence = explained(learner, observed)
        return LearnedExposure(name="ML", notices=notices, values=values, point=point, learner=learner, explained=sentence)
    if plan.target.quantity == "CL/F":
        return LearnedExposure(name="ML", notices=notices, values=1 / values[::-1], point=1 / point, learner=learner)
    per = _going_on(case).amount_mg if plan.scale == "per_dose" else 1.0
    return LearnedTarget(name="ML", notices=notices, values=values * per, point=point * per, learner=learner, case=case)


def _going_on(case: Case) -> Dose:
    """The dose that goes on: the current regimen's, or the last one of the history where it repeats."""
    doses = case.current.doses if case.current else case.history.doses
    if not doses or doses[-1].every_h <= 0:
        raise OutOfDomain(where="current", what="no repeated dose that goes on is known", remedy="give the current regimen")
    return doses[-1]


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
    dose = _steady_dose(regimen)
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


def _steady_dose(regimen: Regimen) -> Dose:
    """The one repeated dose of a regimen at steady state; OutOfDomain for any other."""
    dose = regimen.doses[0] if len(regimen.doses) == 1 else None
    if dose is None or not dose.steady_state or dose.every_h <= 0:
        raise OutOfDomain(where="regimen", what="is not one dose repeated at steady state", remedy="use MAP or posterior")
    return dose
