"""A typical patient's course read at any times through one compiled shape, so that all checks of a model share one compilation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen
from auctor.errors import AuctorError
from auctor.models.checks import read_checks
from auctor.models.expressions import parse
from auctor.models.mechanism import mechanism
from auctor.models.model import DrugModel, System
from auctor.models.spelled import spelled
from auctor.pk.direct import is_direct, readings
from auctor.pk.timeline import build, stack

Array = NDArray[np.float64]

ROWS, TIMES = 4, 48  # 48 times and a few doses fit a timeline of 64 events


class Curve(NamedTuple):
    """Concentrations in the model's own unit and the area under the first output so far (that unit times h), at the times asked."""

    concentration: Array
    area: Array


def _typical(model: DrugModel) -> DrugModel:
    """The model without etas: models that differ in variability alone share its compiled course.

    The amounts are outputs too where the model is written out.
    """
    plain = {name: replace(p, omega=None, iov=None, iov_when=None, distribution="lognormal") for name, p in model.parameters.items()}
    bare = replace(model, parameters=plain, eta_names=(), omega=np.zeros((0, 0)))
    if model.system is not None:
        bare = replace(bare, system=_with_amounts(model.system), residuals={})
    return replace(bare, sha256=mechanism(bare))


def _with_amounts(system: System) -> System:
    """The amount in every compartment (mg) after the outputs proper."""
    states = {-k: parse(f"A{k}", where="amounts") for k in range(1, system.size + 1)}
    return replace(system, outputs={**system.outputs, **states})


@lru_cache(maxsize=256)
def _room(model: DrugModel) -> tuple[int, int]:
    """Steady-state records and infused compartments (a bit each) that the checks of a file bring: one program serves them all."""
    steady, infused = 0, 0
    for check in read_checks(model):
        try:
            timeline = build(model, check.regimen(), Covariates.constant(check.patient), [0.0])
        except AuctorError:  # said where the check itself is run
            continue
        steady, infused = max(steady, len(timeline.steady)), infused | timeline.infused.shape[1]
    return steady, infused


class Probe:
    """One typical patient (every eta zero) under one regimen; `output` is the position of the output that is read."""

    def __init__(self, model: DrugModel, regimen: Regimen, patient: Mapping[str, float], *, output: int = 0) -> None:
        self.model, self._room = _typical(model), _room(model)
        self.regimen, self.output = regimen, output
        self.covariates = Covariates.constant(patient)
        self._compartments = 0 if model.system is None else model.system.size

    def read(self, times_h: Iterable[float]) -> Curve:
        """The course at the times (n,) in any order; a reading at a dose time is that before the dose."""
        times = np.asarray(list(times_h), dtype=np.float64)
        if is_direct(self.model):
            found = readings(self.model, build(self.model, self.regimen, self.covariates, times), np.zeros((1, len(self.model.eta_names))))
            return Curve(*(part[0] * self.model.scale for part in found))
        levels, areas = self._compiled(times)
        return Curve(levels[:, 0], areas[:, 0])

    def amounts(self, times_h: Iterable[float]) -> Array:
        """Amounts (mg) in every compartment of a written-out model, (n_times, n_compartments), read as `read` reads."""
        return self._compiled(np.asarray(list(times_h), dtype=np.float64))[0][:, 1:]

    def _compiled(self, times: Array) -> tuple[Array, Array]:
        """The output and the amounts, and the areas beside them, each (n_times, 1 + compartments): one pass, and one program for both."""
        size = ROWS * TIMES
        blocks = [self._block(times[k : k + size]) for k in range(0, len(times), size)]
        levels, areas = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        return levels, areas

    def _block(self, times: Array) -> tuple[Array, Array]:
        from auctor.pk.course import compiled_batch

        filled = np.concatenate([times, np.full(ROWS * TIMES - len(times), times[-1])]).reshape(ROWS, TIMES)
        arrays = dict(stack([build(self.model, self.regimen, self.covariates, row) for row in filled]).arrays)
        steady, infused = self._room
        if arrays["steady"].shape[1] < steady:  # the last event of a row is a reading: what its dose of 0 would bring is never taken over
            arrays["steady"] = np.full((ROWS, steady), arrays["time"].shape[1] - 1)
        arrays["infused"] = np.zeros((ROWS, 0, infused | arrays["infused"].shape[2]), dtype=np.int64)
        own = len(spelled(self.model).outputs) - self._compartments
        outputs = np.asarray([self.output, *range(own, own + self._compartments)])
        arrays["wanted"] = np.repeat(arrays["wanted"][:, :TIMES], len(outputs), axis=1)
        arrays["output"] = np.tile(outputs, (ROWS, TIMES))
        found = compiled_batch(self.model)(arrays, np.zeros((ROWS, len(self.model.eta_names))))
        levels, areas = (np.asarray(part).reshape(-1, len(outputs))[: len(times)] * self.model.scale for part in found)
        return levels, areas
