"""From doses, covariates and times (or a table's records) to the padded event arrays that the engine scans: NONMEM's semantics.

Host side, NumPy, one timeline for every model. Order within one instant: a case's samples come before its doses (a sample at the dose time
is a trough); a table's records keep their own order, as in NONMEM. An infusion is two rate changes. A steady-state dose whose infusion
outlasts its interval leaves earlier ones running: each is a pair of rate changes of its own (`overlap` k-th dose before).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen
from auctor.errors import ModelError
from auctor.models.model import DrugModel, System
from auctor.models.spelled import spelled
from auctor.pk.administered import GIVEN, Given, of_record, of_regimen
from auctor.pk.sizes import bucket, close_bucket
from auctor.records import Records

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE, BOLUS, RATE, RESET, STEADY, PULSE = range(6)
MOST_OVERLAP = 40
EARLIER = 30  # doses before a steady state that may still be arriving, where a dose arrives by a density


class Event(NamedTuple):
    """One row: `amount` mg (or mg/h for a constant infusion at steady state), `span` = amount/rate h where the rate is given.

    `order` settles ties in time; `door` is the dose number of `auctor.models.spelled`, from 0; `end` ends an infusion.
    """

    time: float
    order: float
    kind: int = NONE
    amount: float = 0.0
    door: int = 0
    mode: int = 0
    end: bool = False
    overlap: int = 0
    span: float = 0.0
    every: float = 0.0
    adds: bool = False
    wanted: int = -1

    def nominal(self) -> float:
        """The time at which it happens where no formula of the model moves it."""
        return self.time + max(self.span - self.overlap * self.every, 0.0) if self.end else self.time


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Event arrays (E,), the covariate rows with the times at which they change, and where each wanted time sits.

    Row i of `covariates` (rows, n_covariates; order of `model.covariates`) is in force up to and including `knots[i]`.
    `steady` (S,) are the indices of steady-state events, `pulses` (D,) those of doses that arrive by a density; `wanted` (O,) the event
    index of each wanted time and `output` (O,) which output it reads. `infused` is empty: its width is a bit mask of infused compartments.
    """

    time: Array
    kind: Ints
    amount: Array
    door: Ints
    mode: Ints
    end: NDArray[np.bool_]
    overlap: Ints
    span: Array
    every: Array
    adds: NDArray[np.bool_]
    steady: Ints
    steady_slot: Ints
    pulses: Ints
    knots: Array
    covariates: Array
    wanted: Ints
    output: Ints
    count: Ints
    infused: Ints

    @property
    def size(self) -> tuple[int, ...]:
        """Numbers of events, steady-state events, covariate rows, wanted times and doses that arrive by a density."""
        return len(self.time), len(self.steady), len(self.covariates), len(self.wanted), len(self.pulses)


class Batch(NamedTuple):
    """Timelines of several subjects, padded and stacked: every array of `Timeline` with a leading subject axis."""

    arrays: dict[str, NDArray[np.generic]]
    n: int
    n_wanted: Ints


def build(model: DrugModel, regimen: Regimen, covariates: Covariates, times_h: Array | Sequence[float]) -> Timeline:
    """The timeline of a regimen with concentrations (first output) wanted at `times_h` (any order); covariates carried forward (LOCF).

    A value holds from its own time on: what is given or read then has it already, what was in the body until then had the one before.

    Raises CaseError for a dose the model cannot take (a swallowed dose in an intravenous model, and the reverse).
    """
    times = np.asarray(times_h, dtype=np.float64)
    last = float(times.max()) if times.size else 0.0
    events = [Event(t, 0.0, wanted=i) for i, t in enumerate(times.tolist())]
    for given in of_regimen(model, regimen):
        events += _of_epoch(events, _dose(spelled(model), given, last))
    changes = [t for t in covariates.change_times() if t <= last]
    knots = [_just_before(t) for t in changes]
    events += [Event(t, 0.0) for t in knots]
    rows = [covariates.at(t) for t in [-math.inf, *changes]]
    return _assemble(model, events, knots=knots, rows=rows, outputs=np.zeros(times.size, dtype=np.int64))


def _just_before(time_h: float) -> float:
    """The last moment before a time; before 0 one that compiled code does not round to 0 (a subnormal number would be)."""
    return min(math.nextafter(time_h, -math.inf), time_h - 1e-300)


def from_records(model: DrugModel, records: Records) -> Timeline:
    """The timeline of one subject of a NONMEM-style table, a concentration wanted at every record; covariates backwards (NOCB).

    Raises TableError for what the model does not define.
    """
    clock = running_clock(records)
    resets = [float(clock[i]) for i in range(len(records)) if records.evid[i] in (3, 4)]
    events: list[Event] = []
    for i in range(len(records)):
        if records.evid[i] in (3, 4):
            events.append(Event(float(clock[i]), 10.0 * i, RESET))
        if records.dosed[i]:
            until = min((t for t in resets if t > clock[i]), default=float(clock[-1]))
            events += _of_epoch(events, _dose(spelled(model), of_record(model, records, i, float(clock[i])), until))
        events.append(Event(float(clock[i]), 10.0 * i + 5, wanted=i))
    rows = [{name: float(values[i]) for name, values in records.covariates.items()} for i in range(len(records))]
    knots, rows = merge_equal(list(clock), rows)
    return _assemble(model, events, knots=knots, rows=rows, outputs=_output_positions(spelled(model), records.cmt))


def running_clock(records: Records) -> Array:
    """Table times made to run on across resets, where the clock may start again."""
    shift = 0.0
    out: list[float] = []
    for i, t in enumerate(records.time_h):
        if i and records.evid[i] in (3, 4) and t + shift < out[-1]:
            shift = out[-1] - t
        out.append(float(t + shift))
    return np.asarray(out)


def merge_equal(clock: list[float], rows: list[dict[str, float]]) -> tuple[list[float], list[dict[str, float]]]:
    """Covariate rows with repeats dropped; the knot of a row is the time of the last record it holds for."""
    knots: list[float] = []
    kept = [rows[0]]
    for i in range(1, len(rows)):
        if rows[i] != kept[-1]:
            knots.append(clock[i - 1])
            kept.append(rows[i])
    return knots, kept


def _output_positions(system: System, cmt: Ints) -> Ints:
    """The output each record reads: that of its CMT, else the first."""
    places = {number: k for k, number in enumerate(system.outputs)}
    return np.asarray([places.get(int(c), 0) for c in cmt], dtype=np.int64)


def _dose(system: System, given: Given, until: float) -> Iterator[Event]:
    kind = PULSE if given.door + 1 in system.densities else BOLUS
    base = Event(given.time, given.order + 2, kind, given.amount, given.door, given.mode, every=given.every)
    if given.mode == GIVEN:
        base = base._replace(span=given.amount / given.rate if given.amount > 0 else math.inf)
    if given.steady:
        # a case's samples at the same instant come first (order 0) and must already see the steady state
        yield from _steady(given, base._replace(order=given.order + 1 if given.of_table else -1.0))
    if given.amount <= 0:
        return
    for k in range(given.additional + 1):
        start = given.time + k * given.every
        if start <= until:
            # in a table an additional dose is given before whatever record shares its time; a case's sample there is a trough
            yield from _one(base._replace(time=start, order=base.order if k == 0 or not given.of_table else -1.0))


def _of_epoch(before: list[Event], new: Iterable[Event]) -> list[Event]:
    """The new events; a dose that arrives by a density keeps (in `overlap`) how many times the body has been emptied before it."""
    found = list(new)
    epoch = sum(e.kind == RESET or (e.kind == STEADY and not e.adds) for e in (*before, *found))
    return [e._replace(overlap=epoch) if e.kind == PULSE else e for e in found]


def _one(base: Event) -> Iterator[Event]:
    if base.mode == 0:
        yield base
        return
    yield base._replace(kind=RATE)
    yield base._replace(kind=RATE, end=True)


def _steady(given: Given, base: Event) -> Iterator[Event]:
    constant = given.amount <= 0 and given.rate > 0
    amount = given.rate if constant else given.amount
    yield base._replace(kind=STEADY, amount=amount, adds=given.steady == 2)
    if base.kind == PULSE:
        # what earlier doses still bring is theirs: they stand in the timeline, before the record
        for k in range(1, EARLIER + 1):
            yield base._replace(time=base.time - k * given.every, order=-2.0)
    if base.mode == 0 or constant:
        return
    # F or a modelled length may stretch the infusion: room for more than the table's own numbers say
    most = math.ceil(2 * base.span / given.every) + 1 if base.mode == GIVEN else 4
    for k in range(1, min(most, MOST_OVERLAP) + 1):
        for end in (False, True):
            yield base._replace(kind=RATE, overlap=k, end=end, order=base.order + 0.5)


def _assemble(model: DrugModel, events: list[Event], *, knots: Sequence[float], rows: list[dict[str, float]], outputs: Ints) -> Timeline:
    # rate changes of a steady state whose infusion is over before its interval is are no events
    real = [e for e in events if not (e.overlap and e.mode == GIVEN and e.span <= e.overlap * e.every and not _moved(model))]
    ordered = sorted(real, key=lambda e: (e.nominal(), e.order))
    column = dict(zip(Event._fields, np.asarray(ordered, dtype=np.float64).T.reshape(len(Event._fields), -1), strict=True))
    kind, asked = column["kind"].astype(np.int64), column["wanted"].astype(np.int64)
    steady, wanted = np.flatnonzero(kind == STEADY), np.zeros(len(outputs), dtype=np.int64)
    wanted[asked[asked >= 0]] = np.flatnonzero(asked >= 0)
    slot = np.zeros(len(ordered), dtype=np.int64)
    slot[steady] = np.arange(len(steady))
    own: dict[str, Any] = {name: column[name].astype(_KINDS.get(name, np.float64)) for name in _COLUMNS}
    return Timeline(
        **{**own, "span": np.where(np.isfinite(own["span"]), own["span"], 0.0)},
        steady=steady, steady_slot=slot, pulses=np.flatnonzero(kind == PULSE), knots=np.asarray(knots, dtype=np.float64),
        covariates=covariate_rows(model, rows), wanted=wanted, count=np.asarray([len(ordered)]), output=outputs,
        infused=np.zeros((0, _infused(spelled(model), ordered)), dtype=np.int64),
    )  # fmt: skip


_COLUMNS = ("time", "kind", "amount", "door", "mode", "end", "overlap", "span", "every", "adds")
_KINDS: dict[str, type] = {"kind": np.int64, "door": np.int64, "mode": np.int64, "overlap": np.int64, "end": np.bool_, "adds": np.bool_}


def _moved(model: DrugModel) -> bool:
    """Whether a formula of the model (F, lag, a modelled length) may move an event."""
    return bool(spelled(model).inputs)


def _infused(system: System, events: Iterable[Event]) -> int:
    """A bit for each compartment that an infusion enters."""
    places = {system.into[e.door] for e in events if e.kind in (RATE, STEADY) and e.mode > 0}
    return sum(1 << place for place in places)


def covariate_rows(model: DrugModel, rows: Sequence[dict[str, float]]) -> Array:
    """Covariates (rows, n_covariates) in the order of `model.covariates`; ModelError for one that is not given."""
    missing = [name for name in model.covariates if name not in rows[0]]
    if missing:
        raise ModelError(
            where=f"covariates.{missing[0]}", what=f"{model.name} needs it and it is not given", remedy=f"give {', '.join(missing)}"
        )
    return np.asarray([[row[name] for name in model.covariates] for row in rows], dtype=np.float64).reshape(
        len(rows), len(model.covariates)
    )


def stack(timelines: Sequence[Timeline]) -> Batch:
    """Pad timelines to common fixed sizes and stack them."""
    events, steady, rows, wanted, pulses = (max(t.size[k] for t in timelines) for k in range(5))
    # one patient at a time must find compiled code that fits; a batch pays for padding many times over
    size = partial(bucket, smallest=16, factor=4) if len(timelines) < 32 else close_bucket
    sizes = {
        "time": size(events), "steady": bucket(steady, 1) if steady else 0, "covariates": bucket(rows, 1),
        "wanted": size(wanted), "pulses": bucket(pulses, 1) if pulses else 0,
        "infused": int(np.bitwise_or.reduce([t.infused.shape[1] for t in timelines])),
    }  # fmt: skip
    padded = [_pad(t, sizes) for t in timelines]
    arrays = {name: np.stack([p[name] for p in padded]) for name in padded[0]}
    return Batch(arrays, len(timelines), np.asarray([t.size[3] for t in timelines]))


_NAMES = tuple(f.name for f in fields(Timeline))


def _pad(timeline: Timeline, sizes: dict[str, int]) -> dict[str, NDArray[np.generic]]:
    lengths = {**sizes, "knots": sizes["covariates"] - 1, "output": sizes["wanted"], "count": 1}
    return {
        name: np.zeros((0, sizes["infused"]), dtype=np.int64) if name == "infused" else _padded(name, getattr(timeline, name), lengths)
        for name in _NAMES
    }


def _padded(name: str, values: NDArray[Any], lengths: dict[str, int]) -> NDArray[Any]:
    size = lengths.get(name, lengths["time"])
    if len(values) == size:
        return values
    out = np.zeros((size, *values.shape[1:]), dtype=values.dtype)
    out[: len(values)] = values
    if name == "knots":
        out[len(values) :] = np.inf
    elif name in ("time", "covariates", "wanted", "steady", "pulses") and len(values):
        out[len(values) :] = values[-1]
    return out


def repeat_to(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Subjects (n, ...) padded to `size` by repeating the last one, so that a batch has one of a few fixed shapes.

    >>> repeat_to(np.array([1, 2]), 4).tolist()
    [1, 2, 2, 2]
    """
    return np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)]) if len(values) < size else values


__all__ = [
    *("BARE", "BOLUS", "Batch", "Event", "MODELLED_DURATION", "NONE", "PULSE", "RATE", "RESET", "STEADY", "Timeline"),
    *("build", "covariate_rows", "from_records", "merge_equal", "repeat_to", "running_clock", "stack"),
]
