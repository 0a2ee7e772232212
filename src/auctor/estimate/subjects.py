"""Subjects as the estimators take them, a case or the records of a table: padded timelines beside the observations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq, Case
from auctor.estimate.observations import Observations, of_case, of_records, select, stack_observations
from auctor.models.model import DrugModel
from auctor.pk.timeline import Batch, Timeline, build, from_records, stack
from auctor.records import Records

Source = Case | Records


def timeline_of(model: DrugModel, subject: Source) -> Timeline:
    """Its timeline, a concentration wanted at every sample of a case or every record of a table."""
    if isinstance(subject, Records):
        return from_records(model, subject)
    return build(model, subject.history, subject.covariates, np.asarray([s.time_h for s in subject.samples], dtype=np.float64))


def seen_of(model: DrugModel, subject: Source, *, blq: Blq | None = None) -> Observations:
    """What was measured, aligned with the timeline; `blq` None is a case's own method, M3 for a table."""
    if isinstance(subject, Records):
        return of_records(model, subject, blq=blq or Blq.M3)
    return of_case(subject, blq=blq)


def prepared(model: DrugModel, subjects: Sequence[Source], *, blq: Blq | None = None) -> tuple[Batch, Observations]:
    """All of them, stacked: arrays and observations with a leading subject axis."""
    batch = stack([timeline_of(model, s) for s in subjects])
    return batch, stack_observations([seen_of(model, s, blq=blq) for s in subjects], batch.arrays["wanted"].shape[1])


def part_of(batch: Batch, seen: Observations, rows: NDArray[np.int64]) -> tuple[Batch, Observations]:
    """Some subjects of a stack (with repeats), in that order."""
    return Batch({name: values[rows] for name, values in batch.arrays.items()}, len(rows), batch.n_wanted[rows]), select(seen, rows)
