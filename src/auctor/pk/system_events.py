"""The timeline of a model written as differential equations: any compartment, NONMEM's F, lag, RATE -1 and -2, SS 1 and 2.

An infusion is two rate changes. A steady-state dose whose infusion outlasts its interval leaves earlier ones running: each is a pair of
rate changes of its own (`overlap` k-th dose before), which the engine switches off where it has ended already.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Regimen, Route
from auctor.errors import CaseError, TableError
from auctor.models.model import DrugModel, System
from auctor.pk.timeline import BOLUS, NONE, RATE, RESET, STEADY, Timeline, covariate_rows, merge_equal, running_clock
from auctor.records import Records

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

GIVEN, MODELLED_DURATION, MODELLED_RATE = 1, 2, 3
MOST_OVERLAP = 40


class SystemEvent(NamedTuple):
    """One row: `amount` mg (or mg/h for a constant infusion at steady state), `span` = amount/rate h where the rate is given."""

    time: float
    order: float
    kind: int = NONE
    amount: float = 0.0
    cmt: int = 0
    mode: int = 0
    end: bool = False
    overlap: int = 0
    span: float = 0.0
    every: float = 0.0
    adds: bool = False
    wanted: int = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class SystemTimeline(Timeline):
    """A `Timeline` with the columns of `SystemEvent`; `output` (O,) is the position among the system's outputs."""

    cmt: Ints
    mode: Ints
    end: NDArray[np.bool_]
    overlap: Ints
    adds: NDArray[np.bool_]
    output: Ints


class Given(NamedTuple):
    """One dose record in the table's terms."""

    time: float
    order: float
    amount: float
    rate: float
    cmt: int
    every: float
    additional: int
    steady: int
    where: str


def system_from_records(model: DrugModel, system: System, records: Records) -> SystemTimeline:
    """One subject of a table; covariates hold backwards (NOCB). Raises TableError for what the model does not define."""
    clock = running_clock(records)
    resets = [float(clock[i]) for i in range(len(records)) if records.evid[i] in (3, 4)]
    events: list[SystemEvent] = []
    for i in range(len(records)):
        if records.evid[i] in (3, 4):
            events.append(SystemEvent(float(clock[i]), 10.0 * i, RESET))
        if records.dosed[i]:
            until = min((t for t in resets if t > clock[i]), default=float(clock[-1]))
            events += _dose(system, _given(records, i, float(clock[i])), until)
        events.append(SystemEvent(float(clock[i]), 10.0 * i + 5, wanted=i))
    rows = [{name: float(values[i]) for name, values in records.covariates.items()} for i in range(len(records))]
    knots, rows = merge_equal(list(clock), rows)
    return _assemble(model, system, events, knots=knots, rows=rows, outputs=_output_positions(system, records.cmt))


def _given(records: Records, i: int, time: float) -> Given:
    return Given(
        time=time, order=10.0 * i, amount=float(records.amt[i]), rate=float(records.rate[i]), cmt=max(int(records.cmt[i]), 1),
        every=float(records.ii[i]), additional=int(records.addl[i]), steady=int(records.ss[i]), where=f"line {records.line[i]}",
    )  # fmt: skip


def system_build(model: DrugModel, system: System, regimen: Regimen, covariates: Covariates, times_h: Array) -> SystemTimeline:
    """A case's regimen with concentrations (first output) wanted at `times_h`; covariates carried forward (LOCF)."""
    last = float(times_h.max()) if times_h.size else 0.0
    events = [SystemEvent(float(t), 0.0, wanted=i) for i, t in enumerate(times_h)]
    for dose in regimen.doses:
        place = "depot" if dose.route is Route.ORAL else "central"
        if place not in model.structure.cmt:
            raise CaseError(where="doses.route", what=f"{model.name} takes no {dose.route.value} dose", remedy=f"set structure.cmt.{place}")
        rate = -2.0 if model.structure.cmt[place] in system.inputs.get("duration", {}) else dose.rate_mg_h
        given = Given(
            dose.time_h,
            1.0,
            dose.amount_mg,
            rate,
            model.structure.cmt[place],
            dose.every_h,
            dose.additional,
            int(dose.steady_state),
            "doses",
        )
        events += _dose(system, given, last)
    changes = [t for t in covariates.change_times() if t < last]
    events += [SystemEvent(t, 0.0) for t in changes]
    rows = [covariates.at(t) for t in [-np.inf, *changes]]
    return _assemble(model, system, events, knots=changes, rows=rows, outputs=np.zeros(len(times_h), dtype=np.int64))


def _output_positions(system: System, cmt: Ints) -> Ints:
    """The output each record reads: that of its CMT, else the first."""
    places = {number: k for k, number in enumerate(system.outputs)}
    return np.asarray([places.get(int(c), 0) for c in cmt], dtype=np.int64)


def _dose(system: System, given: Given, until: float) -> Iterator[SystemEvent]:
    mode = _mode(system, given)
    base = SystemEvent(given.time, given.order + 2, BOLUS, given.amount, given.cmt - 1, mode, every=given.every)
    if mode == GIVEN:
        base = base._replace(span=given.amount / given.rate if given.amount > 0 else math.inf)
    if given.steady:
        # a case's samples at the same instant come first (order 0) and must already see the steady state
        order = given.order + 1 if given.where != "doses" else -1.0
        yield from _steady(given, base._replace(order=order))
    if given.amount <= 0:
        return
    for k in range(given.additional + 1):
        start = given.time + k * given.every
        if start <= until:
            # an additional dose is given before whatever record shares its time
            yield from _one(base._replace(time=start, order=base.order if k == 0 else -1.0))


def _one(base: SystemEvent) -> Iterator[SystemEvent]:
    if base.mode == 0:
        yield base
        return
    yield base._replace(kind=RATE)
    yield base._replace(kind=RATE, end=True)


def _mode(system: System, given: Given) -> int:
    if not 1 <= given.cmt <= system.size:
        raise TableError(where=f"{given.where}, CMT", what=f"compartment {given.cmt} is not in the model", remedy=f"use 1 to {system.size}")
    needs = {-2.0: ("duration", MODELLED_DURATION), -1.0: ("rate", MODELLED_RATE)}
    if given.rate in needs:
        key, mode = needs[given.rate]
        if given.cmt not in system.inputs.get(key, {}):
            raise TableError(
                where=f"{given.where}, RATE",
                what=f"RATE={given.rate:g} needs doses.{key} of compartment {given.cmt}",
                remedy="add it to the model file",
            )
        return mode
    return GIVEN if given.rate > 0 else 0


def _steady(given: Given, base: SystemEvent) -> Iterator[SystemEvent]:
    constant = given.amount <= 0 and given.rate > 0
    if given.every <= 0 and not constant:
        raise TableError(
            where=f"{given.where}, II", what="a steady-state dose needs its interval", remedy="give the dosing interval in hours"
        )
    if given.steady == 2 and constant:
        raise TableError(where=f"{given.where}, SS", what="SS=2 of a constant infusion is not supported", remedy="use SS=1")
    amount = given.rate if constant else given.amount
    yield base._replace(kind=STEADY, amount=amount, adds=given.steady == 2)
    if base.mode == 0 or constant:
        return
    # F or a modelled length may stretch the infusion: room for more than the table's own numbers say
    most = math.ceil(2 * base.span / given.every) + 1 if base.mode == GIVEN else 4
    for k in range(1, min(most, MOST_OVERLAP) + 1):
        for end in (False, True):
            yield base._replace(kind=RATE, overlap=k, end=end, order=base.order + 0.5)


def _assemble(
    model: DrugModel, system: System, events: list[SystemEvent], *, knots: Sequence[float], rows: list[dict[str, float]], outputs: Ints
) -> SystemTimeline:
    ordered = sorted(events, key=lambda e: (e.time, e.order))
    column = {name: np.asarray([getattr(e, name) for e in ordered]) for name in SystemEvent._fields}
    steady = [i for i, e in enumerate(ordered) if e.kind == STEADY]
    slot, wanted = np.zeros(len(ordered), dtype=np.int64), np.zeros(len(outputs), dtype=np.int64)
    slot[steady] = np.arange(len(steady))
    wanted[column["wanted"][column["wanted"] >= 0]] = np.flatnonzero(column["wanted"] >= 0)
    blank = {name: np.zeros(len(ordered), dtype=kind) for name, kind in _UNUSED}
    names = [f.name for f in fields(SystemTimeline) if f.name in column and f.name != "wanted"]
    own: dict[str, Any] = {name: column[name].astype(_KINDS.get(name, np.float64)) for name in names}
    return SystemTimeline(
        **{**blank, **own, "span": np.where(np.isfinite(own["span"]), own["span"], 0.0)},
        steady=np.asarray(steady, dtype=np.int64),
        steady_slot=slot,
        knots=np.asarray(knots, dtype=np.float64),
        covariates=covariate_rows(model, rows),
        wanted=wanted,
        count=np.asarray([len(ordered)]),
        output=outputs,
    )


_UNUSED = (("to_chain", bool), ("absorbed", bool), ("modelled", int), ("duration", float))
_KINDS: dict[str, type] = {"kind": np.int64, "cmt": np.int64, "mode": np.int64, "overlap": np.int64, "end": np.bool_, "adds": np.bool_}
