"""What was measured, as arrays beside the timeline: value (mg/L), used or not, below the limit or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.models.model import DrugModel
from auctor.records import Records

Array = NDArray[np.float64]


class Observations(NamedTuple):
    """Aligned with the wanted times, (O,) or stacked (n, O): `value` mg/L, `weight` 1 used | 0 not, `censored` and its `limit`."""

    value: Array
    weight: Array
    censored: NDArray[np.bool_]
    limit: Array


def of_case(case: Case) -> Observations:
    """A case's samples; an unused one weighs nothing, one below its LLOQ is censored there (method M3).

    Reference: Beal SL, J Pharmacokinet Pharmacodyn 2001;28:481-504 (M3).
    """
    samples = case.samples
    return Observations(
        np.asarray([s.value for s in samples], dtype=np.float64),
        np.asarray([float(s.used) for s in samples], dtype=np.float64),
        np.asarray([s.below_lloq for s in samples], dtype=bool),
        np.asarray([s.lloq or 0.0 for s in samples], dtype=np.float64),
    )


def of_records(model: DrugModel, records: Records) -> Observations:
    """A table's observation rows, converted from the model's concentration unit; other rows weigh nothing."""
    seen = records.observed
    return Observations(
        np.where(seen, records.dv, 0.0) / model.scale,
        seen.astype(np.float64),
        seen & records.blq,
        np.where(seen, records.lloq, 0.0) / model.scale,
    )


def stack_observations(many: Sequence[Observations], width: int) -> Observations:
    """Observations of several subjects padded to `width` with unused entries and stacked."""
    return Observations(*(np.stack([np.pad(values, (0, width - len(values))) for values in column]) for column in zip(*many, strict=True)))


def select(seen: Observations, part: NDArray[np.int64] | int) -> Observations:
    """The observations of some subjects of a stack (or of one)."""
    return Observations(seen.value[part], seen.weight[part], seen.censored[part], seen.limit[part])
