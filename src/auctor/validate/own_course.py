"""Targets that no F/CL gives: levels and exposure of many draws, read together off each patient's own history by the engine.

Equations and saturable models have nothing else; a linear model whose target is counted from the first dose is read the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Metric
from auctor.errors import PlanError
from auctor.learn.labels import asked_times as sampled_times
from auctor.models.model import DrugModel
from auctor.pk.course import BLOCK, readings_of
from auctor.pk.exposure import asked_times, read_off
from auctor.pk.kept import side_by_side
from auctor.pk.sizes import bucket
from auctor.pk.timeline import Batch, Timeline, build, stack
from auctor.population.targets import FIRST_DOSE, RELATIVE, PlanTarget
from auctor.population.virtual import Profiles

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnCourse:
    """Timelines of n patients that are read at their `samples` first, then where the metric asks.

    `compiled` is the model as published: one program serves it whatever residual error an estimator is told. `call` lanes go to a call,
    so that there is one program.
    """

    compiled: DrugModel
    batch: Batch
    samples: int
    metric: Metric
    call: int

    def read(self, etas: Array) -> tuple[Array, Array]:
        """Levels (n, d, samples) and the metric (n, d) for etas (n, d, p)."""
        n, d = etas.shape[:2]
        owner, flat = np.repeat(np.arange(n), d), etas.reshape(n * d, -1)
        found = side_by_side(lambda start: self._some(owner, flat, start), range(0, n * d, self.call))
        levels, values = (np.concatenate(part)[: n * d] for part in zip(*found, strict=True))
        return levels.reshape(n, d, self.samples), values.reshape(n, d)

    def _some(self, owner: Rows, etas: Array, start: int) -> tuple[Array, Array]:
        lanes = np.minimum(np.arange(start, start + self.call), len(owner) - 1)
        who = owner[lanes]
        part = Batch({name: values[who] for name, values in self.batch.arrays.items()}, len(lanes), self.batch.n_wanted[who])
        concentration, area = readings_of(self.compiled, part, etas[lanes])
        return concentration[:, : self.samples], read_off(self.metric, concentration[:, self.samples :], area[:, self.samples :])


def is_readable(target: PlanTarget) -> bool:
    """Whether a target that is no F/CL can be read off a patient's history: a metric in hours from the first dose, but not per dose."""
    return target.at == FIRST_DOSE and target.scale in ("log", RELATIVE, "plain") and target.measured is not None


def own_course(profiles: Profiles, rows: Rows, model: DrugModel) -> OwnCourse:
    """What is asked of these rows under `model`. Raises PlanError for a target that is no metric from the first dose on."""
    target, plan = profiles.plan.target, profiles.plan
    if not is_readable(target):
        what = "is neither F/CL nor a metric in hours from the first dose"
        raise PlanError(where=f"{plan.name}.target", what=what, remedy='write at = "first_dose" and scale = "log"')
    times = sampled_times(profiles, rows)
    lines = [_line(profiles, int(i), model, target.metric, own) for i, own in zip(rows, times, strict=True)]
    lanes = len(rows) * (2 * len(model.eta_names) + 1)
    return OwnCourse(
        compiled=model, batch=stack(lines), samples=times.shape[1], metric=target.metric, call=min(bucket(lanes), BLOCK)
    )  # fmt: skip


def _line(profiles: Profiles, i: int, model: DrugModel, metric: Metric, sampled: Sequence[float]) -> Timeline:
    known = profiles.regimen(i)
    return build(model, known, profiles.covariates_of(i), np.concatenate([np.asarray(sampled), asked_times(known, metric)]))
