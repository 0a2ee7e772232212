"""The learning curve: a plan's learner trained on more and more of its training patients, judged on the same held-out ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.guard import guard
from auctor.learn.learner import Learner
from auctor.learn.scales import truth
from auctor.learn.scores import Score, accuracy
from auctor.learn.train import Material, fitted, shown
from auctor.population.virtual import Progress, stream

Rows = NDArray[np.int64]
LEAST = 30  # training patients: fewer leave cross-validation folds that say nothing
MEASURES = ("rRMSE", "rMPE", "out20", "coverage")


@dataclass(frozen=True, kw_only=True)
class Step:
    """A learner trained on `size` patients: its scores on the held-out ones, with bootstrap 95 % intervals, and its trees."""

    size: int
    scores: Mapping[str, Score]
    trees: int


def default_sizes(train: int) -> tuple[int, ...]:
    """Halves of the training part down to some 100 patients, the smallest first.

    >>> default_sizes(5250)
    (164, 328, 656, 1312, 2625, 5250)
    """
    sizes = [train]
    while sizes[-1] >= 250:
        sizes.append(sizes[-1] // 2)
    return tuple(reversed(sizes))


def check_sizes(made: Material, sizes: Sequence[int]) -> tuple[int, ...]:
    """Sizes in rising order; PlanError for one that the training part does not hold."""
    most = len(made.parts["train"])
    for size in sizes:
        if not LEAST <= size <= most:
            raise PlanError(
                where="--sizes",
                what=f"{size} is not between {LEAST} and the {most} training patients of {made.profiles.plan.name}",
                remedy="give sizes within, or raise profiles and train in the plan",
            )
    return tuple(sorted(set(sizes)))


def learning_curve(made: Material, sizes: Sequence[int], progress: Progress | None = None) -> tuple[Step, ...]:
    """Train on nested subsets of the training part and judge each on all test patients, against the truth.

    Each size is tuned, fitted and calibrated as `train` does it; the calibration and test patients are the same for every size, and the
    bootstrap resamples too, so that differences between sizes are paired. Raises LeakageError, PlanError.
    """
    if made.profiles.plan.target.event:
        where = f"{made.profiles.plan.name}.target.event"
        raise PlanError(where=where, what="has no relative error to draw", remedy="read the scores in the card of auctor train")
    guard(made, shown)
    order = stream(made.profiles.plan.seed, "learning-curve").permutation(made.parts["train"])
    found = []
    for k, size in enumerate(check_sizes(made, sizes)):
        found.append(_step(made, np.sort(order[:size])))
        if progress:
            progress("learning curve", (k + 1) / len(sizes))
    return tuple(found)


def _step(made: Material, rows: Rows) -> Step:
    learner, tuned = fitted(replace(made, parts={**made.parts, "train": rows}), Path())
    return Step(size=len(rows), scores=judged(learner, made), trees=tuned.rounds)


def judged(learner: Learner, made: Material) -> dict[str, Score]:
    """rRMSE, rMPE, out20 and coverage of the 90 % interval on the test part."""
    rows = made.parts["test"]
    point, low, high = learner.interval(made.observed.rows(rows))
    found = accuracy(point, truth(made.profiles)[rows], interval=(low, high), seed=learner.plan.seed)
    return {name: found[name] for name in MEASURES}
