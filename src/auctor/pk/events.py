"""The events of one subject with the model's F, lag, modelled durations and rates applied, and the steady state a dose record stands for.

Arrays have events (or covariate rows) on axis 0 and, in NumPy, draws on a last axis; the same code runs under JAX for one patient at a
time. Semantics are NONMEM's, as in `auctor.pk.timeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from auctor.models.model import DrugModel, System
from auctor.models.spelled import spelled
from auctor.pk.administered import GIVEN, MODELLED_DURATION
from auctor.pk.density import Pulses
from auctor.pk.timeline import BOLUS, PULSE, RATE

Names = dict[str, Any]
State = tuple[Any, ...]
Span = tuple[Any, Any, Any]  # start, length, and when the last dose was given, h
CONSTANT = 24.0  # h
FIELDS = ("time", "kind", "amount", "door", "mode", "end", "overlap", "span", "every", "adds", "steady_slot")


class Tier(Protocol):
    """How a model is advanced: in closed form, by a matrix exponential, or by an ODE solver."""

    @property
    def size(self) -> int:
        """Compartments."""
        ...

    @property
    def cyclic(self) -> bool:
        """Whether steady states are found from whole dosing intervals; that of a constant infusion then too."""
        ...

    @property
    def ports(self) -> tuple[int, ...]:
        """Compartments that a dose may enter."""
        ...

    @property
    def infused(self) -> int:
        """A bit for each compartment that infusions enter; 0 where there is none."""
        ...

    def rates(self, names: Mapping[str, Any]) -> Any:
        """What a step needs of the individual parameters."""
        ...

    def advance(self, state: State, inflow: Sequence[Any], span: Span, rates: Any, pulses: Pulses | None = None) -> State:
        """The state after a step."""
        ...

    def through(self, state: State, phases: Sequence[tuple[Sequence[Any], Span]], rates: Any, pulses: Pulses | None = None) -> State:
        """The state after one step after another, each with its inflow and span."""
        ...

    def fixed_point(self, cycle: Callable[[State], State], span: Span, rates: Any, given: Any) -> State:
        """The state that one dosing interval (`cycle`), which brings `given` mg, gives back; area 0."""
        ...

    def constant(self, inflow: Sequence[Any], span: Span, rates: Any) -> State:
        """Where a constant inflow ends up; area 0."""
        ...

    def over(self, function: Callable[[Any, Any], State], single: bool) -> Callable[[Any, Any], State]:
        """`function` of (dose, rates) for several doses at once, on axis 0 (of the rates too unless `single`)."""
        ...

    def read(self, state: State, rates: Any) -> tuple[Any, ...]:
        """The outputs, mg/L."""
        ...


class Timed(NamedTuple):
    """Events in the order in which they happen, the new position of each old one (None: unmoved), and the covariate row of each."""

    events: Names
    rank: Any | None
    row: Any


def timed(model: DrugModel, timeline: Mapping[str, Any], rows: Names, xp: ModuleType) -> Timed:
    """Amounts and times with lag, F, and modelled durations and rates applied; as in NONMEM, a lagged dose takes its F from the record
    that ends the interval in which it arrives.
    """
    system = spelled(model)
    events = {name: timeline[name] for name in FIELDS}
    if not system.inputs:
        given, span = _lengths(events, events["amount"], 1.0, None, xp)
        events |= {"rate": given, "length": span, "lag": xp.zeros_like(events["time"]), "share": xp.ones_like(events["time"])}
        moved = _moved(events, xp)
        return Timed(moved, None, row_of(timeline["knots"], moved["time"], xp))
    own = at_row(rows, row_of(timeline["knots"], events["time"], xp), xp)
    dosed = (events["kind"] == BOLUS) | (events["kind"] == RATE) | (events["kind"] == PULSE)
    full_lag = _input(system, "lag", own, events["door"], 0.0, xp)
    lag = xp.where(dosed, full_lag, 0.0)
    arrived = at_row(rows, row_of(timeline["knots"], events["time"] + lag, xp), xp)
    share = _input(system, "F", arrived, events["door"], 1.0, xp)
    modelled = tuple(_input(system, key, arrived, events["door"], 1.0, xp) for key in ("duration", "rate"))
    rate, length = _lengths(events, events["amount"], share, modelled, xp)
    events |= {"rate": rate, "length": length, "lag": full_lag, "share": share, "given": events["time"], "late": lag}
    moved, rank = _resorted(_moved(events, xp), timeline["count"][0], xp)
    return Timed(moved, rank, row_of(timeline["knots"], moved["time"], xp))


def row_of(knots: Any, time: Any, xp: ModuleType) -> Any:
    """The covariate row in force at each time: the number of knots before it."""
    if knots.shape[0] == 0:
        return xp.zeros_like(time, dtype=int)
    return xp.sum(knots.reshape(-1, *[1] * time.ndim) < time[None], axis=0)


def at_row(rows: Any, row: Any, xp: ModuleType) -> Any:
    """Each quantity of `rows` (a dict of (R, ...) arrays) at the given rows; a single row is left to broadcast."""
    return {name: values if values.shape[0] == 1 else xp.take_along_axis(values, row, axis=0) for name, values in rows.items()}


def _input(system: System, key: str, names: Names, door: Any, default: float, xp: ModuleType) -> Any:
    """F, lag, duration or rate of each event's door."""
    found: Any = xp.full(door.shape, default)
    for number, formula in system.inputs.get(key, {}).items():
        found = xp.where(door == number - 1, formula.evaluate(names, xp), found)
    return found


def _lengths(events: Names, amount: Any, share: Any, modelled: tuple[Any, Any] | None, xp: ModuleType) -> tuple[Any, Any]:
    """Rate (mg/h) and length (h) of each event's infusion; a bolus has none."""
    mode, span = events["mode"], events["span"]
    constant = (mode == GIVEN) & (span <= 0)
    safe = xp.where(span > 0, span, 1.0)
    rate, length = amount / safe, share * safe
    if modelled is not None:
        over, speed = modelled
        rate = xp.where(mode == GIVEN, rate, xp.where(mode == MODELLED_DURATION, share * amount / over, speed))
        length = xp.where(mode == GIVEN, length, xp.where(mode == MODELLED_DURATION, over, share * amount / speed))
    return xp.where(constant, amount, rate), xp.where((mode == 0) | constant, 0.0, length)


def _moved(events: Names, xp: ModuleType) -> Names:
    """Rate changes with their sign, doses with their F, and every time with its lag and length."""
    before = events["overlap"] * events["every"]
    overlaps = (events["overlap"] > 0) & (events["kind"] == RATE)
    late = events.get("late", 0.0)
    left = events["lag"] + events["length"] - before
    running = xp.where(overlaps, (left > 0) * 1.0, 1.0)
    signed = xp.where(events["end"], -events["rate"], events["rate"]) * running
    whole = events["amount"] * xp.where(events["mode"] == 0, events["share"], 1.0)
    own = events["time"] + late + xp.where(events["end"], events["length"], 0.0)
    earlier = events["time"] + xp.where(events["end"], xp.maximum(left, 0.0), 0.0)
    moved = xp.where(overlaps, earlier, own)
    return {**events, "amount": xp.where(events["kind"] == RATE, signed, whole), "time": moved}


def _resorted(events: Names, count: Any, xp: ModuleType) -> tuple[Names, Any]:
    """Events in the order of their time, padding (all past `count`) last; and the new position of each old one."""
    place = xp.arange(events["time"].shape[0]).reshape(-1, *[1] * (events["time"].ndim - 1))
    real = place < count
    key = xp.where(real, events["time"], xp.inf)
    order = xp.argsort(key, axis=0, stable=True)
    # padding does nothing, but its time must not run ahead: it stands still at the last real event
    time = xp.where(real, events["time"], xp.max(xp.where(real, events["time"], -xp.inf), axis=0))
    moved = {n: xp.take_along_axis(xp.broadcast_to(v, order.shape), order, axis=0) for n, v in {**events, "time": time}.items()}
    return moved, xp.argsort(order, axis=0, stable=True)


class Dose(NamedTuple):
    """One steady-state record: what is given, where it goes, how fast, how often, how late."""

    time: Any
    amount: Any
    rate: Any
    length: Any
    every: Any
    lag: Any
    mode: Any
    place: Any


def dose_at(model: DrugModel, events: Names, at: Any, xp: ModuleType) -> Dose:
    """The steady-state records at positions `at` (S, ...), as arrays (S, ...)."""
    chosen = {name: xp.take_along_axis(values, at, axis=0) for name, values in events.items()}
    place = place_of(spelled(model), chosen["door"], xp)
    own = [chosen[name] for name in ("time", "amount", "rate", "length", "every", "lag", "mode")]
    return Dose._make([*own, place])


def place_of(system: System, door: Any, xp: ModuleType) -> Any:
    """The compartment (from 0) that a dose number leads to."""
    if not system.doors:
        return door
    found = door
    for k, place in enumerate(system.doors):
        found = xp.where(door == system.size + k, place, found)
    return found


def steady_state(model: DrugModel, tier: Tier, dose: Dose, rates: Any, pulses: Pulses | None, xp: ModuleType) -> State:
    """Steady state at a dose record, before its dose: the last one arrived `every` - lag ago; or that of a constant infusion."""
    system = spelled(model)
    # where whole intervals are followed a constant infusion is one that lasts as long as its interval
    every = xp.where(dose.every > 0, dose.every, CONSTANT)
    safe = dose._replace(every=every, length=xp.where(dose.every > 0, dose.length, CONSTANT))

    def cycle(state: State, until: Any) -> State:
        return _cycle(tier, (safe, pulses), rates, state, until, xp)

    span = (dose.time, every, dose.time)
    brought = xp.where(dose.mode > 0, dose.rate * safe.length, dose.amount)
    before = tier.fixed_point(lambda state: cycle(state, every), span, rates, brought)
    if "lag" in system.inputs and pulses is None:
        phase = every - xp.mod(dose.lag, every)
        moved = cycle(before, phase)
        before = tuple(xp.where(dose.lag > 0, a, b) for a, b in zip(moved, before, strict=True))
    if tier.infused and not tier.cyclic:
        constant = tier.constant([xp.where(dose.place == k, dose.rate, 0.0) for k in range(tier.size)], span, rates)
        before = tuple(xp.where(dose.every > 0, a, b) for a, b in zip(before, constant, strict=True))
    return (*before[:-1], xp.zeros_like(before[-1]))


def _cycle(tier: Tier, given: tuple[Dose, Pulses | None], rates: Any, state: State, until: Any, xp: ModuleType) -> State:
    """From just before an arrival, `until` hours on; earlier infusions that outlast the interval still run."""
    dose, pulses = given
    start = dose.time - dose.every  # the interval before the record, where the doses before it stand
    infused = dose.mode > 0
    if pulses is None:
        bolus = xp.where(infused, 0.0, dose.amount)
        state = (*(a + xp.where(dose.place == k, bolus, 0.0) for k, a in enumerate(state[:-1])), state[-1])
    if not tier.infused:
        return tier.advance(state, [0.0] * tier.size, (start, until, start), rates, pulses)
    running = xp.floor(dose.length / dose.every)
    first = xp.minimum(dose.length - running * dose.every, until)
    base = [xp.where((dose.place == k) & infused, dose.rate, 0.0) for k in range(tier.size)]
    phases = [
        ([b * (running + 1) for b in base], (start, first, start)),
        ([b * running for b in base], (start + first, until - first, start)),
    ]
    return tier.through(state, phases, rates, pulses)
