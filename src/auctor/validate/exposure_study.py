"""The honest table of a plan: the learner beside covariates only, MAP, and the posterior mean, on held-out virtual patients.

Experiment E1 (tacrolimus AUC0-12 from C0, C1, C3) after Woillard 2021, Pharmacol Res 167:105578; see DESIGN "Honest numbers".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.circular import marked
from auctor.learn.store import learner_for, open_plan
from auctor.learn.train import prepare
from auctor.models.model import Residual
from auctor.population.plan import Plan
from auctor.population.virtual import Progress, residual_of
from auctor.validate.comparators import Estimates, Patients, a_priori, map_estimates, map_fit, patients, posterior, with_error
from auctor.validate.metrics import Score, accuracy, error_ratio, score_table

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.float64]
NOISELESS_SD = 0.02  # relative SD given to MAP and the posterior for levels without noise: a zero has no posterior density
LIMIT, LEAST, LEARNED = "posterior mean (the limit in RMSE)", "posterior, least rRMSE (its limit)", "XGBoost, trained on simulations"


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: method -> measure -> score.

    `ratio` is the learner's rRMSE over that of the posterior mean, `strict` over the least rRMSE any estimator can reach;
    `ess_p05` the 5th percentile over patients of the posterior's effective sample size.
    """

    plan: str
    metric: str
    noise: str
    patients: int
    rows: Mapping[str, Mapping[str, Score]]
    ratio: Score
    strict: Score
    ess_p05: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; shares as fractions, rounded to six decimals."""
        rows = {method: {name: score.as_dict() for name, score in scores.items()} for method, scores in self.rows.items()}
        head = {"plan": self.plan, "metric": self.metric, "noise": self.noise, "patients": self.patients}
        return {
            **head,
            "methods": rows,
            "ratio_to_limit": self.ratio.as_dict(),
            "ratio_to_least": self.strict.as_dict(),
            "ess_p05": round(self.ess_p05, 1),
            "notes": list(self.notes),
        }

    def table(self) -> Table:
        """For the terminal: percent with 95 % bootstrap intervals."""
        title = f"{self.plan}: {self.metric}, {self.patients} held-out virtual patients, noise {self.noise}"
        return score_table(self.rows, title=title, caption=self._caption())

    def _caption(self) -> str:
        over = [f"{r.value:.3f} ({r.low:.3f} to {r.high:.3f})" for r in (self.ratio, self.strict)]
        return "\n".join(
            (f"rRMSE of the learner over that of the posterior mean: {over[0]}; over the least possible: {over[1]}", *self.notes)
        )


def exposure_study(plan: Plan | str, progress: Progress | None = None, *, at_most: int | None = None, draws: int = 1000) -> Study:
    """Judge a plan's learner on its held-out patients (all, or the first `at_most`).

    The learner comes from the cache or is trained. Raises PlanError for a plan of several models, whose limit is not one posterior.
    """
    read = plan if isinstance(plan, Plan) else open_plan(plan)
    if len(read.models) > 1:
        raise PlanError(
            where=f"{read.name}.models", what="are several", remedy="the limit is defined for one generating model: use a plan with one"
        )
    if not read.target.proportional:
        raise PlanError(
            where=f"{read.name}.target.scale", what="is not F/CL, which this table compares", remedy='use scale "dose_rate" or "typical"'
        )
    learner = learner_for(read, progress)
    made = prepare(read, progress)
    rows = made.parts["test"][:at_most]
    who = patients(made.profiles, rows)
    found, ess = _comparators(read, who, draws, progress)
    learned = marked(LEARNED, circular=learner.circular)
    found[learned] = _learned(learner.interval(made.observed.rows(rows)))
    scores = {m: accuracy(e.point, who.truth, interval=(e.low, e.high), seed=read.seed) for m, e in found.items()}
    ratio, strict = (error_ratio(found[learned].point, found[m].point, who.truth, seed=read.seed) for m in (LIMIT, LEAST))
    return Study(
        plan=read.name,
        metric=read.metric.name,
        noise=read.noise,
        patients=len(rows),
        rows=scores,
        ratio=ratio,
        strict=strict,
        ess_p05=float(np.quantile(ess, 0.05)),
        notes=_notes(read),
    )


def _learned(interval: tuple[Array, Array, Array]) -> Estimates:
    point, low, high = interval
    return Estimates(point=point, low=low, high=high)


def _comparators(plan: Plan, who: Patients, draws: int, progress: Progress | None) -> tuple[dict[str, Estimates], Array]:
    matched, fit = who, map_fit(who)
    found = {"covariates only": a_priori(who), "MAP, published residual error": map_estimates(who, fit)}
    if plan.noise != "full":
        matched = replace(who, model=with_error(who.model, matched_error(plan)))
        fit = map_fit(matched)
        found["MAP, residual error as in the data"] = map_estimates(matched, fit)
    # a posterior from almost noise-free levels is thin and curved: its proposals are used less well
    limit = posterior(matched, fit, draws if plan.noise != "none" else 5 * draws, progress)
    return found | {LIMIT: limit.mean, LEAST: limit.least}, limit.ess


def matched_error(plan: Plan) -> Residual:
    """The residual error that matches the plan's noise; 2 % where it has none."""
    found = residual_of(plan, plan.model)
    return found if plan.noise != "none" else replace(found, proportional=NOISELESS_SD, source="numerical floor for noise-free levels")


def _notes(plan: Plan) -> tuple[str, ...]:
    if plan.noise == "none":
        return (f"levels carry no noise: MAP and posterior are given a residual SD of {100 * NOISELESS_SD:g} % instead",)
    return ("the published residual error is that of the data: one MAP",) if plan.noise == "full" else ()
