"""Several algorithms tuned on the training part of one plan, side by side by cross-validated error; nobody else is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.estimators.registry import algorithm
from auctor.learn.histories import inputs, recorded, settings
from auctor.learn.scores import Score, resamples, score
from auctor.learn.train import histories, prepare
from auctor.learn.tuning import Tuned, tune
from auctor.population.plan import Plan
from auctor.population.virtual import Progress

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One algorithm: out-of-fold RMSE of the modelled quantity (0.1: about 10 %), and over that of the first, with bootstrap intervals."""

    name: str
    rmse: Score
    ratio: Score
    tuned: Tuned

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "algorithm": self.name,
            "cv_rmse": self.rmse.as_dict(),
            "ratio_to_first": self.ratio.as_dict(),
            "chosen": dict(self.tuned.configuration),
            "configurations": len(self.tuned.table),
        }


def compare(plan: Plan, names: Sequence[str], progress: Progress | None = None) -> tuple[Compared, ...]:
    """Tune each algorithm with the plan's folds, seed and number of configurations, in its own search space where the plan's is another's.

    Raises PlanError for a name that is not in the registry or whose package is missing, before anything is simulated.
    """
    if not names:
        raise PlanError(where="algorithms", what="names none", remedy="write for example --algorithms xgboost,elastic_net")
    for name in names:
        algorithm(name).require()
    made = prepare(plan, progress)
    rows = made.parts["train"]
    found: list[Tuned] = []
    squares: list[Array] = []
    for name in names:
        own = name == plan.learning.algorithm
        asked = replace(plan, learning=replace(plan.learning, algorithm=name, grid=plan.learning.grid if own else {}))
        view = recorded(replace(made.observed, plan=asked), histories(replace(made.profiles, plan=asked)))
        found.append(tune(inputs(view)[rows], made.y[rows], asked.learning, progress, task=plan.target.task, fixed=settings(asked)))
        squares.append((found[-1].predicted - made.y[rows]) ** 2)
    return tuple(_compared(name, one, squares[k], squares[0]) for k, (name, one) in enumerate(zip(names, found, strict=True)))


def _compared(name: str, tuned: Tuned, squares: Array, first: Array) -> Compared:
    rows = resamples(len(squares))
    both = np.stack([squares, first])
    drawn = np.sqrt(both[:, rows].mean(axis=2))
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    ratio = Score(value=float(np.sqrt(squares.mean() / first.mean())), low=float(low), high=float(high))
    return Compared(name=name, rmse=score(lambda e: np.sqrt(np.mean(e, axis=-1)), squares, rows=rows), ratio=ratio, tuned=tuned)
