"""From doses, covariates and times (or a table's records) to the padded event arrays that the engine scans.

Host side, NumPy. Order within one instant: a case's samples come before its doses (a sample at the dose time is a trough);
a table's records keep their own order, as in NONMEM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.errors import CaseError, ModelError, TableError
from auctor.models.model import DrugModel
from auctor.pk.engine import bucket
from auctor.records import Records

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

NONE, BOLUS, RATE, RESET, STEADY = range(5)


class Event(NamedTuple):
    """One row of the timeline before it becomes arrays; `order` settles ties in time.

    `amount` is mg for a bolus, signed mg/h for a rate change (mg when `modelled`: the rate is then F*amount/D).
    `absorbed`: bioavailability and lag apply. `span` delays the end of an infusion whose length is scaled by F.
    """

    time: float
    order: float
    kind: int = NONE
    amount: float = 0.0
    to_chain: bool = False
    absorbed: bool = False
    span: float = 0.0
    modelled: int = 0
    every: float = 0.0
    duration: float = 0.0
    wanted: int = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """Event arrays (E,), the covariate rows with the times at which they change, and where each wanted time sits.

    Row i of `covariates` (rows, n_covariates; order of `model.covariates`) is in force up to and including `knots[i]`.
    `steady` (S,) are the indices of steady-state events; `wanted` (O,) the event index of each wanted time.
    """

    time: Array
    kind: Ints
    amount: Array
    to_chain: NDArray[np.bool_]
    absorbed: NDArray[np.bool_]
    span: Array
    modelled: Ints
    every: Array
    duration: Array
    steady: Ints
    steady_slot: Ints
    knots: Array
    covariates: Array
    wanted: Ints
    count: Ints

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Numbers of events, steady-state events, covariate rows and wanted times."""
        return len(self.time), len(self.steady), len(self.covariates), len(self.wanted)


class Batch(NamedTuple):
    """Timelines of several subjects, padded and stacked: every array of `Timeline` with a leading subject axis."""

    arrays: dict[str, NDArray[np.generic]]
    n: int
    n_wanted: Ints


def build(model: DrugModel, regimen: Regimen, covariates: Covariates, times_h: Array | Sequence[float]) -> Timeline:
    """The timeline of a regimen with concentrations wanted at `times_h` (any order); covariates carried forward (LOCF).

    Raises CaseError for a dose the model cannot take (a swallowed dose in an intravenous model, and the reverse).
    """
    times = np.asarray(times_h, dtype=np.float64)
    if model.system is not None:
        from auctor.pk.system_events import system_build

        return system_build(model, model.system, regimen, covariates, times)
    last = float(times.max()) if times.size else 0.0
    events = [Event(float(t), 0.0, wanted=i) for i, t in enumerate(times)]
    for dose in regimen.doses:
        events += _dose_events(model, dose, last)
    changes = [t for t in covariates.change_times() if t < last]
    events += [Event(t, 0.0) for t in changes]
    rows = [covariates.at(t) for t in [-np.inf, *changes]]
    return _assemble(model, events, knots=changes, rows=rows, n_wanted=times.size)


def _dose_events(model: DrugModel, dose: Dose, last: float) -> list[Event]:
    _check_route(model, dose)
    to_chain = dose.route is Route.ORAL and model.structure.stages > 0
    modelled = dose.route is Route.ORAL and model.structure.absorption == "zero_order"
    absorbed = dose.route is Route.ORAL or model.structure.absorption == "none"
    events: list[Event] = []
    if dose.steady_state:
        events.append(
            _steady_event(
                model, Event(dose.time_h, -1.0, STEADY, dose.amount_mg, to_chain, absorbed, every=dose.every_h, duration=dose.duration_h)
            )
        )
    for k in range(dose.additional + 1):
        start = dose.time_h + k * dose.every_h
        if start <= last:
            events += _given(start, 2.0, dose.amount_mg, dose.duration_h, to_chain=to_chain, absorbed=absorbed, modelled=modelled)
    return events


def _check_route(model: DrugModel, dose: Dose) -> None:
    oral = model.structure.absorption != "none"
    if dose.route is Route.ORAL and not oral:
        raise CaseError(
            where="doses.route",
            what=f"{model.name} has no absorption: it cannot take an oral dose",
            remedy="use a model with absorption, or correct the route",
        )
    if dose.route is Route.IV and oral and model.structure.bioavailability is None:
        raise CaseError(
            where="doses.route",
            what=f"{model.name} describes swallowed doses only (its clearance is CL/F)",
            remedy="use a model fitted to intravenous doses, or correct the route",
        )


def _steady_event(model: DrugModel, event: Event) -> Event:
    if event.every <= 0:
        raise TableError(where="II", what="a steady-state dose needs its interval", remedy="give the dosing interval in hours")
    if event.duration > event.every:
        raise TableError(
            where="II", what="a steady-state infusion longer than its interval is not supported", remedy="write the doses out one by one"
        )
    if event.duration > 0 and event.absorbed and (model.structure.lag or model.structure.absorption == "zero_order"):
        raise TableError(
            where="SS",
            what="a steady-state infusion with a lag or a modelled duration is not supported yet",
            remedy="write the doses out one by one",
        )
    return event


def _given(start: float, order: float, amount: float, duration: float, *, to_chain: bool, absorbed: bool, modelled: bool) -> list[Event]:
    if modelled:
        return [
            Event(start, order, RATE, amount, False, True, modelled=1),
            Event(start, order, RATE, -amount, False, True, modelled=2),
        ]
    if duration <= 0:
        return [Event(start, order, BOLUS, amount, to_chain, absorbed)]
    if to_chain:
        raise TableError(
            where="RATE",
            what="an infusion into the absorption compartment is not supported",
            remedy="give the dose as a bolus or into the central compartment",
        )
    rate = amount / duration
    return [Event(start, order, RATE, rate, False, absorbed), Event(start, order, RATE, -rate, False, absorbed, span=duration)]


def from_records(model: DrugModel, records: Records) -> Timeline:
    """The timeline of one subject of a NONMEM-style table, a concentration wanted at every record; covariates backwards (NOCB).

    Raises TableError for event codes that this version does not handle.
    """
    if model.system is not None:
        from auctor.pk.system_events import system_from_records

        return system_from_records(model, model.system, records)
    clock = running_clock(records)
    resets = [clock[i] for i in range(len(records)) if records.evid[i] in (3, 4)]
    events: list[Event] = []
    for i in range(len(records)):
        order = 10.0 * i
        if records.evid[i] in (3, 4):
            events.append(Event(clock[i], order, RESET))
        if records.dosed[i]:
            until = min((t for t in resets if t > clock[i]), default=float(clock[-1]))
            events += _record_dose(model, records, i, start=float(clock[i]), until=until)
        events.append(Event(float(clock[i]), order + 5, wanted=i))
    rows = [{name: float(values[i]) for name, values in records.covariates.items()} for i in range(len(records))]
    knots, rows = merge_equal(list(clock), rows)
    return _assemble(model, events, knots=knots, rows=rows, n_wanted=len(records))


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


def _record_dose(model: DrugModel, records: Records, i: int, *, start: float, until: float) -> list[Event]:
    amount, rate, every = float(records.amt[i]), float(records.rate[i]), float(records.ii[i])
    to_chain, absorbed = _compartment(model, records, i)
    modelled = rate == -2
    duration = amount / rate if rate > 0 else 0.0
    _check_record(model, records, i, modelled=modelled)
    events: list[Event] = []
    if records.ss[i]:
        events.append(_steady_event(model, Event(start, 10.0 * i + 1, STEADY, amount, to_chain, absorbed, every=every, duration=duration)))
    for k in range(int(records.addl[i]) + 1):
        # an additional dose is given before whatever record shares its time
        order = 10.0 * i + 2 if k == 0 else -1.0
        if start + k * every <= until:
            events += _given(start + k * every, order, amount, duration, to_chain=to_chain, absorbed=absorbed, modelled=modelled)
    return events


def _compartment(model: DrugModel, records: Records, i: int) -> tuple[bool, bool]:
    """Whether the dose goes into the absorption chain, and whether F and lag apply to it."""
    cmt, known = int(records.cmt[i]), model.structure.cmt
    if cmt == 0:
        cmt = known["depot"] if model.structure.stages else known["central"]
    if cmt not in known.values():
        raise TableError(
            where=f"line {records.line[i]}, CMT",
            what=f"compartment {cmt} is not one of {model.name}'s {dict(known)}",
            remedy="correct CMT, or set structure.cmt in the model file",
        )
    to_chain = model.structure.stages > 0 and cmt == known.get("depot")
    return to_chain, to_chain or model.structure.stages == 0


def _check_record(model: DrugModel, records: Records, i: int, *, modelled: bool) -> None:
    where = f"line {records.line[i]}"
    if modelled and model.structure.duration is None:
        raise TableError(
            where=f"{where}, RATE",
            what=f"RATE=-2 needs a modelled duration, which {model.name} does not have",
            remedy="give the rate, or a model with zero-order absorption",
        )
    if records.ss[i] == 2 or (records.ss[i] and modelled):
        raise TableError(
            where=f"{where}, SS",
            what="SS=2 and steady state of a modelled duration are not supported yet",
            remedy="write the doses out one by one",
        )


def _assemble(
    model: DrugModel, events: list[Event], *, knots: Sequence[float], rows: Sequence[dict[str, float]], n_wanted: int
) -> Timeline:
    ordered = sorted(events, key=lambda e: (e.time + (e.span if not e.modelled else 0.0), e.order))
    columns = {name: np.asarray([getattr(e, name) for e in ordered]) for name in Event._fields}
    wanted = np.zeros(n_wanted, dtype=np.int64)
    steady_slot = np.zeros(len(ordered), dtype=np.int64)
    steady = [i for i, e in enumerate(ordered) if e.kind == STEADY]
    for slot, i in enumerate(steady):
        steady_slot[i] = slot
    for i, e in enumerate(ordered):
        if e.wanted >= 0:
            wanted[e.wanted] = i
    return Timeline(
        time=columns["time"].astype(float), kind=columns["kind"].astype(np.int64), amount=columns["amount"].astype(float),
        to_chain=columns["to_chain"].astype(bool), absorbed=columns["absorbed"].astype(bool), span=columns["span"].astype(float),
        modelled=columns["modelled"].astype(np.int64), every=columns["every"].astype(float), duration=columns["duration"].astype(float),
        steady=np.asarray(steady, dtype=np.int64), steady_slot=steady_slot, knots=np.asarray(knots, dtype=np.float64),
        covariates=covariate_rows(model, rows), wanted=wanted, count=np.asarray([len(ordered)]),
    )  # fmt: skip


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
    events, steady, rows, wanted = (max(t.size[k] for t in timelines) for k in range(4))
    sizes = (bucket(events, 32, factor=4), bucket(steady, 1) if steady else 0, bucket(rows, 1, factor=4), bucket(wanted, 16, factor=4))
    padded = [_pad(t, sizes) for t in timelines]
    arrays = {name: np.stack([p[name] for p in padded]) for name in padded[0]}
    return Batch(arrays, len(timelines), np.asarray([t.size[3] for t in timelines]))


def _pad(timeline: Timeline, sizes: tuple[int, int, int, int]) -> dict[str, NDArray[np.generic]]:
    events, steady, rows, wanted = sizes
    out: dict[str, NDArray[np.generic]] = {}
    lengths = {"steady": steady, "knots": rows - 1, "covariates": rows, "wanted": wanted, "output": wanted, "count": 1}
    edge = {"time", "covariates", "wanted", "steady"}
    for f in fields(timeline):
        values = getattr(timeline, f.name)
        more = lengths.get(f.name, events) - len(values)
        width = [(0, more)] + [(0, 0)] * (values.ndim - 1)
        if f.name == "knots":
            out[f.name] = np.pad(values, width, constant_values=np.inf)
        elif f.name in edge and len(values):
            out[f.name] = np.pad(values, width, mode="edge")
        else:
            out[f.name] = np.pad(values, width)
    return out


def repeat_to(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Subjects (n, ...) padded to `size` by repeating the last one, so that a batch has one of a few fixed shapes.

    >>> repeat_to(np.array([1, 2]), 4).tolist()
    [1, 2, 2, 2]
    """
    return np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)]) if len(values) < size else values
