"""What was measured, as arrays beside the timeline: value (mg/L), weight, and what is known of a sample outside the assay's range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Blq, Case, Sample
from auctor.errors import CaseError
from auctor.models.model import DrugModel
from auctor.records import Records

Array = NDArray[np.float64]

MEASURED, BELOW, ABOVE, POSITIVE = 0, 1, 2, 4


class Observations(NamedTuple):
    """Aligned with the wanted times, (O,) or stacked (n, O): `value` mg/L, `weight` of its part of the OFV (0 unused), `state`, `limit`.

    `state` adds BELOW (only known to be under `limit`), ABOVE (only known to be over it) and POSITIVE (conditioned on a level above 0,
    M4); 0 is a plain measurement. A `state` of width 0 says that every sample is one: no censored term is then even compiled.
    """

    value: Array
    weight: Array
    state: NDArray[Any]
    limit: Array

    @property
    def censored(self) -> NDArray[np.bool_]:
        """Where only a limit is known; the shape of `value`."""
        known = (self.state & (BELOW | ABOVE)) != 0
        return known if known.shape == self.value.shape else np.zeros(self.value.shape, dtype=bool)


def of_case(case: Case, *, blq: Blq | None = None) -> Observations:
    """A case's samples, (O,); an unused one weighs nothing, one below its LLOQ is treated by `blq` (None: by the case's own method).

    Raises CaseError for a weight that is negative or not finite.
    """
    samples = case.samples
    below, above = (np.asarray([getattr(s, name) for s in samples], dtype=np.int64) for name in ("below_lloq", "above_uloq"))
    seen = Observations(
        np.asarray([s.value for s in samples], dtype=np.float64),
        np.asarray([_weight(s, i) for i, s in enumerate(samples)], dtype=np.float64),
        below * BELOW + above * ABOVE,
        np.asarray([(s.uloq if s.above_uloq else s.lloq) or 0.0 for s in samples], dtype=np.float64),
    )
    return by_method(seen, case.blq if blq is None else blq)


def _weight(sample: Sample, i: int) -> float:
    if not 0 <= sample.weight < np.inf:
        raise CaseError(where=f"samples[{i}].weight", what="not a number from 0 up", remedy="write 1 to count it once, 0 to leave it out")
    return float(sample.weight) if sample.used else 0.0


def of_records(model: DrugModel, records: Records, *, blq: Blq = Blq.M3) -> Observations:
    """A table's observation rows, converted from the model's concentration unit; other rows weigh nothing."""
    rows = records.observed
    seen = Observations(
        np.where(rows, records.dv, 0.0) / model.scale,
        np.where(rows, records.weight, 0.0),
        (rows & records.blq).astype(np.int64) * BELOW + (rows & records.alq).astype(np.int64) * ABOVE,
        np.where(rows, np.where(records.alq, records.uloq, records.lloq), 0.0) / model.scale,
    )
    return by_method(seen, blq)


def by_method(seen: Observations, blq: Blq) -> Observations:
    """The same samples with those below their LLOQ treated by M1, M3 or M4.

    >>> one = Observations(np.zeros(1), np.ones(1), np.asarray([BELOW]), np.ones(1))
    >>> by_method(one, Blq.M1).weight.tolist(), by_method(one, Blq.M4).state.tolist()
    ([0.0], [5])
    """
    if blq is Blq.M1:
        return seen._replace(weight=np.where((seen.state & BELOW) != 0, 0.0, seen.weight))
    return seen._replace(state=seen.state | POSITIVE) if blq is Blq.M4 else seen


def above_limit(seen: Observations, which: NDArray[np.bool_], uloq: Array | float) -> Observations:
    """The same samples, those of `which` (O,) only known to be above `uloq` mg/L (the assay's upper limit).

    >>> one = Observations(np.ones(1), np.ones(1), np.zeros(1, int), np.zeros(1))
    >>> above_limit(one, np.asarray([True]), 40.0).limit.tolist()
    [40.0]
    """
    state = np.where(which, (seen.state & POSITIVE) | ABOVE, seen.state)
    return seen._replace(state=state, limit=np.where(which, uloq, seen.limit))


def stack_observations(many: Sequence[Observations], width: int) -> Observations:
    """Observations of several subjects padded to `width` with unused entries and stacked; `state` of width 0 when all is measured."""
    value, weight, state, limit = (
        np.stack([np.pad(values, (0, width - len(values))) for values in column]) for column in zip(*many, strict=True)
    )
    return Observations(value, weight, state if state.any() else state[:, :0], limit)


def select(seen: Observations, part: NDArray[np.int64] | int) -> Observations:
    """The observations of some subjects of a stack (or of one)."""
    return Observations(*(values[part] for values in seen))


def of_times(seen: Observations, times: NDArray[np.int64]) -> Observations:
    """Some samples of one subject; a `state` of width 0 stays so."""
    state = seen.state[times] if len(seen.state) else seen.state
    return Observations(seen.value[times], seen.weight[times], state, seen.limit[times])
