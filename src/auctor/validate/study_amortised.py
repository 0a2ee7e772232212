"""The amortised posterior as a row of a study: each patient as a case, answered through `Predictor`, beside the study's limit.

It knows the published residual errors of its models, so it is asked where the noise is full; patients outside its training are refused,
and the row is of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.case import MetricKind
from auctor.errors import OutOfDomain, PlanError
from auctor.learn.amortised.store import Amortised
from auctor.population.profiles import Profiles
from auctor.validate.comparators import Estimates
from auctor.validate.metrics import Score, accuracy, error_ratio, least_relative
from auctor.validate.own_course import is_readable
from auctor.validate.study_rows import AMORTISED, AMORTISED_LEAST

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class AmortisedRow:
    """F/CL (h/L), or the target, of the patients that were answered, `kept` (n,) of all: mean, and the point of `least` relative error."""

    found: Estimates
    least: Estimates
    kept: NDArray[np.bool_]

    def scores(self, truth: Array, *, seed: int) -> dict[str, dict[str, Score]]:
        """Accuracy of both points over the patients that were answered; `truth` (n,) is of all."""
        both = {AMORTISED: self.found, AMORTISED_LEAST: self.least}
        return {name: accuracy(one.point, truth[self.kept], interval=(one.low, one.high), seed=seed) for name, one in both.items()}

    def ratio(self, limit: Estimates, truth: Array, *, seed: int) -> Score:
        """rRMSE over that of the limit, of the same patients."""
        return error_ratio(self.found.point, limit.point[self.kept], truth[self.kept], seed=seed)

    def beside(self, others: Mapping[str, Estimates], truth: Array, *, seed: int) -> dict[str, Score]:
        """rRMSE of the point of least relative error over that of each other method, of the same patients."""
        true = truth[self.kept]
        return {name: error_ratio(self.least.point, other.point[self.kept], true, seed=seed) for name, other in others.items()}


def amortised_row(amortised: Amortised, profiles: Profiles, rows: Rows, *, draws: int) -> AmortisedRow:
    """Each of the rows answered. Raises PlanError where the target is neither F/CL nor a metric in hours from the first dose, or nobody is
    inside the training.
    """
    target = profiles.plan.target
    if not (target.proportional or is_readable(target)):
        what = "is neither F/CL nor a metric in hours from the first dose"
        raise PlanError(where=f"{profiles.plan.name}.target", what=what, remedy="leave `amortised` out of the study")
    answers = [_answer(amortised, profiles, int(i), draws) for i in rows]
    kept = np.asarray([one is not None for one in answers])
    if not kept.any():
        raise PlanError(where=f"{profiles.plan.name}.amortised", what="was trained for none of the patients", remedy="choose another plan")
    mean, least, low, high = np.asarray([one for one in answers if one is not None]).T
    both = [Estimates(point=point, low=low, high=high) for point in (mean, least)]
    return AmortisedRow(found=both[0], least=both[1], kept=kept)


def _answer(amortised: Amortised, profiles: Profiles, i: int, draws: int) -> Sequence[float] | None:
    """(mean, point of least relative error, 5 %, 95 %) of F/CL or the target; None for a patient outside the training."""
    plan = profiles.plan
    metric, asked, rate = plan.metric, profiles.regimen(i), 1.0
    if plan.target.proportional:
        asked, rate = profiles.steady(i, until_h=metric.stop_h), float(profiles.dose_mg[i]) / float(profiles.every_h[i])
        rate *= metric.stop_h - metric.start_h if metric.kind is MetricKind.AUC else 1.0
    case = replace(profiles.case(i), drug=amortised.plan.drugs[0])  # a study calls all models by its one drug
    try:
        found = amortised.estimate(case, draws).exposure(asked, metric)
    except OutOfDomain:
        return None
    return [value / rate for value in (found.point, float(least_relative(found.values)), *found.interval(0.9))]
