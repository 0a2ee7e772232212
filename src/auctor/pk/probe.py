"""A typical patient's course read at any times through one compiled shape, so that all checks of a model share one compilation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen
from auctor.models.expressions import parse
from auctor.models.mechanism import mechanism
from auctor.models.model import DrugModel, System
from auctor.pk.direct import is_direct, readings
from auctor.pk.timeline import build, stack

Array = NDArray[np.float64]

ROWS, TIMES = 4, 60  # 60 times and a few doses fit a timeline of 128 events


class Curve(NamedTuple):
    """Concentrations in the model's own unit and the area under the first output so far (that unit times h), at the times asked."""

    concentration: Array
    area: Array


def _typical(model: DrugModel) -> DrugModel:
    """The model without etas: models that differ in variability alone share its compiled course."""
    plain = {name: replace(p, omega=None, iov=None, iov_when=None, distribution="lognormal") for name, p in model.parameters.items()}
    bare = replace(model, parameters=plain, eta_names=(), omega=np.zeros((0, 0)))
    return replace(bare, sha256=mechanism(bare))


class Probe:
    """One typical patient (every eta zero) under one regimen; `output` is the position of the output that is read."""

    def __init__(self, model: DrugModel, regimen: Regimen, patient: Mapping[str, float], *, output: int = 0) -> None:
        self.model = _typical(model)
        self.regimen, self.output = regimen, output
        self.covariates = Covariates.constant(patient)

    def read(self, times_h: Iterable[float]) -> Curve:
        """The course at the times (n,) in any order; a reading at a dose time is that before the dose."""
        times = np.asarray(list(times_h), dtype=np.float64)
        if is_direct(self.model):
            found = readings(self.model, build(self.model, self.regimen, self.covariates, times), np.zeros((1, len(self.model.eta_names))))
            return Curve(*(part[0] * self.model.scale for part in found))
        size = ROWS * TIMES
        blocks = [self._block(times[k : k + size]) for k in range(0, len(times), size)]
        return Curve(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))

    def _block(self, times: Array) -> Curve:
        filled = np.concatenate([times, np.full(ROWS * TIMES - len(times), times[-1])]).reshape(ROWS, TIMES)
        batch = stack([build(self.model, self.regimen, self.covariates, row) for row in filled])
        arrays = dict(batch.arrays)
        if self.output:
            arrays["output"] = np.full_like(arrays["output"], self.output)
        from auctor.pk.course import compiled_batch

        found = compiled_batch(self.model)(arrays, np.zeros((ROWS, len(self.model.eta_names))))
        return Curve(*(np.asarray(part)[:, :TIMES].reshape(-1)[: len(times)] * self.model.scale for part in found))


def amounts(model: DrugModel, system: System, regimen: Regimen, patient: Mapping[str, float], times_h: Array) -> Array:
    """Amounts (mg) in every compartment of a written-out model, (n_times, n_compartments), typical patient."""
    states = {k + 1: parse(f"A{k + 1}", where=model.name) for k in range(system.size)}
    bare = replace(model, system=replace(system, outputs=states), residuals={}, scale=1.0)
    return np.stack([Probe(bare, regimen, patient, output=k).read(times_h).concentration for k in range(system.size)], axis=1)
