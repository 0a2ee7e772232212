"""One event after another: what both the compiled scan (`auctor.pk.course`) and the NumPy loop (`auctor.pk.direct`) do at each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from auctor.models.model import Density, DrugModel
from auctor.models.spelled import spelled
from auctor.pk.density import Pulses
from auctor.pk.events import Names, State, Tier, Timed, at_row, dose_at, place_of, row_of, steady_state, timed
from auctor.pk.timeline import BOLUS, PULSE, RATE, RESET, STEADY


class Step(NamedTuple):
    """One event: `place` the compartment of its dose, `steady` the state a steady-state record takes over, `rates` where they change."""

    time: Any
    kind: Any
    amount: Any
    place: Any
    adds: Any
    steady: State
    rates: Any


class Carry(NamedTuple):
    """What goes on: state, inflow (mg/h, of the infused compartments), time, the last dose's time, and how often and when last emptied."""

    state: State
    inflow: tuple[Any, ...]
    time: Any
    given: Any
    epoch: Any
    cut: Any


@dataclass(frozen=True)
class Prepared:
    """A subject's steps (events on axis 0), the rates where they never change, the doses that arrive by densities, and where to read.

    `by_row` are the rates of each covariate row and the row (E,) of each event, in NumPy where it is the same for every draw.
    `epochs` (D, ...) are how often the body had been emptied when each of those doses was given.
    """

    steps: Step
    rates: Any | None
    by_row: tuple[Any, Any] | None
    pulses: Pulses | None
    epochs: Any
    wanted: Any


def row_names(model: DrugModel, covariates: Any, eta: Any, xp: ModuleType) -> Names:
    """Every covariate and individual parameter for each covariate row, (R, ...); `covariates` (R, n), `eta` (n_eta,) or (draws, n_eta)."""
    column = (slice(None), *[None] * (eta.ndim - 1))
    columns = {name: covariates[:, k][column] for k, name in enumerate(model.covariates)}
    values = {**columns, **model.individual(columns, eta, xp)}
    shape = (covariates.shape[0], *eta.shape[:-1])
    return {name: xp.broadcast_to(xp.asarray(value, dtype=np.float64), shape) for name, value in values.items()}


def prepared(model: DrugModel, tier: Tier, timeline: Mapping[str, Any], rows: Names, xp: ModuleType) -> Prepared:
    """The events as steps, with rates, steady states and arriving doses worked out for the parameters in `rows`."""
    found = timed(model, timeline, rows, xp)
    by_row, events = tier.rates(rows), found.events
    single = timeline["covariates"].shape[0] == 1
    alike = xp is np and not single and found.row.shape[1:] == (1,)
    # the rates of every event of every draw would be most of the work where rows and draws can be looked up
    rates = each(lambda v: v[0], by_row) if single else None if alike else _of_events(by_row, found.row, xp)
    pulses, epochs = _pulses(model, timeline, found, rows, xp)
    steady = _steady(model, tier, timeline, found, (by_row, single, pulses, epochs), xp)
    place = place_of(spelled(model), events["door"], xp)
    steps = Step(events["time"], events["kind"], events["amount"], place, events["adds"], steady, None if single else rates)
    wanted = timeline["wanted"] if found.rank is None else xp.take_along_axis(found.rank, timeline["wanted"], axis=0)
    return Prepared(steps, rates if single else None, (by_row, found.row[:, 0]) if alike else None, pulses, epochs, wanted)


def _of_events(by_row: Any, row: Any, xp: ModuleType) -> Any:
    """The rates at events, from those of the covariate rows."""
    return each(lambda v: xp.take_along_axis(v, row, axis=0), by_row)


def each(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` on every array of nested tuples and dicts.

    >>> each(lambda v: v + 1, (1, {"a": 2}))
    (2, {'a': 3})
    """
    if isinstance(tree, dict):
        return {name: each(function, value) for name, value in tree.items()}
    if isinstance(tree, tuple):
        parts = [each(function, value) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return None if tree is None else function(tree)


def _pulses(model: DrugModel, timeline: Mapping[str, Any], found: Timed, rows: Names, xp: ModuleType) -> tuple[Pulses | None, Any]:
    at = timeline["pulses"]
    if at.shape[0] == 0:
        return None, None
    at = at if found.rank is None else xp.take_along_axis(found.rank, at, axis=0)
    chosen = {name: xp.take_along_axis(values, at, axis=0) for name, values in found.events.items() if name != "steady_slot"}
    own = at_row(rows, row_of(timeline["knots"], chosen["time"], xp), xp)
    # padding repeats the last one: only the first counts
    first = (xp.arange(at.shape[0]).reshape(-1, *[1] * (at.ndim - 1)) == 0) | (at != xp.roll(at, 1, axis=0))
    amount = xp.where(first & (chosen["kind"] == PULSE), chosen["amount"], 0.0)
    parts = [
        _density(density, xp.where(chosen["door"] == number - 1, amount, 0.0), chosen["time"], own, xp)
        for number, densities in spelled(model).densities.items()
        for density in densities
    ]
    return Pulses(*(xp.concatenate(column, axis=0) for column in zip(*parts, strict=True))), xp.concatenate(
        [chosen["overlap"]] * len(parts)
    )


def _density(density: Density, amount: Any, time: Any, names: Names, xp: ModuleType) -> Pulses:
    values = [e.evaluate(names, xp) for e in (density.share, density.shape, density.rate)]
    size = xp.broadcast_shapes(amount.shape, *(xp.shape(value) for value in values))  # of many draws: (doses, draws)
    share, shape, rate = (xp.broadcast_to(value, size) for value in values)
    return Pulses(xp.broadcast_to(time, size), amount * share, shape, rate)


def active(pulses: Pulses | None, epochs: Any, epoch: Any, cut: Any, xp: ModuleType) -> Pulses | None:
    """The doses not cleared by an emptying of the body after they were given, nor of a steady state that is still to come."""
    if pulses is None:
        return None
    return pulses._replace(amount=xp.where((epochs == epoch) | ((epochs < epoch) & (pulses.time >= cut)), pulses.amount, 0.0))


def _steady(
    model: DrugModel, tier: Tier, timeline: Mapping[str, Any], found: Timed, known: tuple[Any, bool, Pulses | None, Any], xp: ModuleType
) -> State:
    """The state each event would take over, (E, ...) by compartment; only the steady-state events are computed; () without any."""
    by_row, single, pulses, epochs = known
    at = timeline["steady"]
    if at.shape[0] == 0:
        return ()
    at = at if found.rank is None else xp.take_along_axis(found.rank, at, axis=0)
    doses = dose_at(model, found.events, at, xp)
    own = each(lambda v: v[0], by_row) if single else _of_events(by_row, xp.take_along_axis(found.row, at, axis=0), xp)
    slots = found.events["steady_slot"]
    if at.shape[0] == 1:
        return _with_series(model, tier, found, (doses, own, pulses, epochs, at), (0, single), xp)
    if pulses is not None:
        states = [_with_series(model, tier, found, (doses, own, pulses, epochs, at), (k, single), xp) for k in range(at.shape[0])]
        stacked = [xp.stack(values) for values in zip(*states, strict=True)]
    else:
        stacked = list(tier.over(lambda dose, known: steady_state(model, tier, dose, known, None, xp), single)(doses, own))
    return tuple(xp.take_along_axis(xp.broadcast_to(v, (v.shape[0], *slots.shape[1:])), slots, axis=0) for v in stacked)


def _with_series(model: DrugModel, tier: Tier, found: Timed, known: tuple[Any, ...], which: tuple[int, bool], xp: ModuleType) -> State:
    """The steady state of the k-th steady-state record, with the arriving doses of its own series."""
    (doses, own, pulses, epochs, at), (k, single) = known, which

    def chosen(values: Any) -> Any:
        return values[k]

    series = None
    if pulses is not None:
        series = pulses._replace(amount=xp.where(epochs == _epoch_at(found.events, at[k : k + 1], xp), pulses.amount, 0.0))
    return steady_state(model, tier, each(chosen, doses), own if single else each(chosen, own), series, xp)


def _epoch_at(events: Names, at: Any, xp: ModuleType) -> Any:
    """How often the body has been emptied up to and with the record at `at` (1, ...)."""
    stops = (events["kind"] == RESET) | ((events["kind"] == STEADY) & ~events["adds"])
    return xp.take_along_axis(xp.cumsum(stops, axis=0), at, axis=0)


def beginning(tier: Tier, time: Any, xp: ModuleType) -> Carry:
    """A body without drug at the time of the first event."""
    nothing = xp.zeros_like(time)
    places = sum(tier.infused >> k & 1 for k in range(tier.size))
    return Carry((nothing,) * (tier.size + 1), (nothing,) * places, time, time, nothing, xp.full_like(nothing, -np.inf))


def one_step(tier: Tier, ready: Prepared, carry: Carry, step: Step, xp: ModuleType) -> tuple[Carry, tuple[tuple[Any, ...], Any]]:
    """From one event to the next, and the outputs (mg/L) and area (mg*h/L) just after it."""
    rates = step.rates if ready.rates is None else ready.rates
    dt = xp.maximum(step.time - carry.time, 0.0)
    arriving = active(ready.pulses, ready.epochs, carry.epoch, carry.cut, xp)
    inflow = dict(zip([k for k in range(tier.size) if tier.infused >> k & 1], carry.inflow, strict=True))
    span = (carry.time, dt, carry.given)
    moved = tier.advance(carry.state, [inflow.get(k, 0.0) for k in range(tier.size)], span, rates, arriving)
    bolus = step.kind == BOLUS
    dosed = [a + xp.where(bolus & (step.place == k), step.amount, 0.0) if k in tier.ports else a for k, a in enumerate(moved[:-1])]
    emptied, steady = step.kind == RESET, step.kind == STEADY
    kept = [xp.where(emptied, 0.0, a) for a in dosed]
    if step.steady:
        kept = [xp.where(steady, xp.where(step.adds, a + s, s), a) for a, s in zip(kept, step.steady[:-1], strict=True)]
    state = (*kept, moved[-1])
    stopped = emptied | (steady & ~step.adds)
    flows = {k: xp.where(stopped, 0.0, r + xp.where((step.kind == RATE) & (step.place == k), step.amount, 0.0)) for k, r in inflow.items()}
    dose = bolus | (step.kind == PULSE) | steady | ((step.kind == RATE) & (step.amount > 0))
    given = xp.where(dose, step.time, carry.given)
    epoch, cut = carry.epoch + stopped, xp.where(stopped, step.time, carry.cut)
    return Carry(state, tuple(flows.values()), step.time, given, epoch, cut), (tier.read(state, rates), state[-1])
