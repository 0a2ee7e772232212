"""The learners a study can name: each is trained on the material of a design and answers with a point and a 90 % interval of F/CL.

Any algorithm of the registry; the words of its row are in `LEARNERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from auctor.errors import PlanError
from auctor.learn.estimators.registry import ALGORITHMS
from auctor.learn.histories import settings
from auctor.learn.observed import Observed
from auctor.learn.train import Material, calibrated
from auctor.learn.training import Sides
from auctor.learn.tuning import tune
from auctor.population.virtual import Progress
from auctor.validate.comparators import Estimates
from auctor.validate.study_rows import TRAINED

Answer = Callable[[Observed], Estimates]


def learner(name: str, made: Material, progress: Progress | None = None) -> Answer:
    """An algorithm of the registry as `auctor train` makes it (tuned, with conformal intervals), held in memory instead of stored."""
    learning = made.profiles.plan.learning
    if name != learning.algorithm:  # its own search space
        learning = replace(learning, algorithm=name, grid={})
    plan = replace(made.profiles.plan, learning=learning)
    own = replace(made, profiles=replace(made.profiles, plan=plan))
    rows = made.parts["train"]
    sides = Sides(z=made.x, x=made.x)
    tuned = tune(sides.z[rows], made.y[rows], learning, progress, fixed=settings(plan))
    found = calibrated(own, sides, tuned, Path())

    def answer(observed: Observed) -> Estimates:
        point, low, high = found.interval(observed)
        return Estimates(point=point, low=low, high=high)

    return answer


# those that read the features of a plan; one that reads a history would have to be told it
LEARNERS: Mapping[str, str] = MappingProxyType(
    {n: f"{a.title.split(':')[0]}, {TRAINED}" for n, a in ALGORITHMS.items() if a.reads == "features"}
)

XGBOOST = LEARNERS["xgboost"]


def alone(name: str, model: str) -> str:
    """The row of a learner that was trained on one of a design's models.

    >>> alone("XGBoost, trained on simulations", "x_2020")
    'XGBoost, trained on simulations of x_2020 alone'
    """
    return f"{name} of {model} alone"


def trained(names: tuple[str, ...], made: Material, progress: Progress | None = None) -> dict[str, Answer]:
    """The named learners, trained: the words of its row -> what answers. Raises PlanError for a name that is none."""
    for name in names:
        if name not in LEARNERS:
            raise PlanError(where=f"learners.{name}", what="is not a learner", remedy=f"choose from {', '.join(LEARNERS)}")
    return {LEARNERS[name]: learner(name, made, progress) for name in names}
