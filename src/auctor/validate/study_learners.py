"""The learners a study can name: each is trained on the material of a design and answers with a point and a 90 % interval of F/CL.

One function a learner; a new one (another estimator, the amortised posterior) is one line in `LEARNERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from auctor.errors import PlanError
from auctor.learn.learner import Learner
from auctor.learn.observed import Observed
from auctor.learn.train import Material
from auctor.learn.tuning import evaluate, fit, fit_spread, tune
from auctor.population.virtual import Progress
from auctor.validate.comparators import Estimates

Answer = Callable[[Observed], Estimates]
XGBOOST = "XGBoost, trained on simulations"


def xgboost(made: Material, progress: Progress | None = None) -> Answer:
    """Gradient boosting as `auctor train` makes it (tuned, with split-conformal intervals), held in memory instead of stored."""
    plan, rows = made.profiles.plan, made.parts["train"]
    tuned = tune(made.x[rows], made.y[rows], plan.learning, progress)
    booster = fit(made.x[rows], made.y[rows], tuned, plan.learning.seed)
    spread = fit_spread(made.x[rows], made.y[rows] - tuned.out_of_fold, plan.learning.seed)
    held = made.parts["calibration"]
    scores = np.sort((made.y[held] - evaluate(booster, made.x[held])) / np.exp(evaluate(spread, made.x[held])))
    learner = Learner(plan=plan, booster=booster, spread=spread, scores=scores, card={}, folder=Path())

    def answer(observed: Observed) -> Estimates:
        point, low, high = learner.interval(observed)
        return Estimates(point=point, low=low, high=high)

    return answer


LEARNERS: Mapping[str, tuple[str, Callable[[Material, Progress | None], Answer]]] = MappingProxyType({"xgboost": (XGBOOST, xgboost)})


def trained(names: tuple[str, ...], made: Material, progress: Progress | None = None) -> dict[str, Answer]:
    """The named learners, trained: the words of its row -> what answers. Raises PlanError for a name that is none."""
    for name in names:
        if name not in LEARNERS:
            raise PlanError(where=f"learners.{name}", what="is not a learner", remedy=f"choose from {', '.join(LEARNERS)}")
    return {LEARNERS[name][0]: LEARNERS[name][1](made, progress) for name in names}
