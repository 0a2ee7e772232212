"""One patient in NumPy: the closed forms of the engine over many draws of eta at once, without JAX and without compiling.

A process that answers for one patient is ready in a fraction of a second this way, and it is a second implementation of the event loop
that the compiled one is tested against. Models without a closed form go through `auctor.pk.course`.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.models.model import DrugModel
from auctor.pk.closed_form import ClosedForm
from auctor.pk.density import Pulses
from auctor.pk.steps import Carry, Prepared, active, beginning, each, one_step, prepared, row_names
from auctor.pk.timeline import NONE, Timeline

Array = NDArray[np.float64]

BLOCK = 5000  # draws worked on at a time
TOGETHER = 48_000  # readings x draws x arriving doses at a time: a few arrays of so many stay in a core's cache
# events from which on covariates that change are looked up by row and read in runs; a shorter course (a patient's samples) goes event by
# event, so that a search that differences it ends at the same estimates, to the last bit, as those of kept results
LONG = 100


def is_direct(model: DrugModel) -> bool:
    """Whether the model has a closed form, so that this path can answer."""
    return model.system is None and model.structure.linear


def readings(model: DrugModel, timeline: Timeline, etas: Array) -> tuple[Array, Array]:
    """Concentrations (mg/L) and areas so far (mg*h/L) at the wanted times, (n_draws, n_wanted), for etas (n_draws, n_eta)."""
    concentration, area = _readings(model, timeline, etas, (0, 1))
    return concentration, area


def concentrations(model: DrugModel, timeline: Timeline, etas: Array) -> Array:
    """The concentrations of `readings` alone."""
    return _readings(model, timeline, etas, (0,))[0]


def _readings(model: DrugModel, timeline: Timeline, etas: Array, which: tuple[int, ...]) -> list[Array]:
    """Concentrations (0), areas (1) or both."""
    blocks = []
    for k in range(0, len(etas), BLOCK):
        found, wanted = _walked(model, timeline, etas[k : k + BLOCK])
        blocks.append([_picked([runs[part] for runs in found], wanted, len(etas[k : k + BLOCK])) for part in which])
    return [part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*blocks, strict=True)]


def _walked(model: DrugModel, timeline: Timeline, etas: Array) -> tuple[list[tuple[Any, Any]], Any]:
    """Concentrations and areas of the events, in runs, and which of them are wanted."""
    tier = ClosedForm(model, np, timeline.infused.shape[1])
    columns = {name: getattr(timeline, name)[:, None] for name in _PER_EVENT}
    arrays: dict[str, Any] = {**vars(timeline), **columns}
    ready = prepared(model, tier, arrays, row_names(model, timeline.covariates, etas, np), np)
    steady = ready.steps.steady
    alone = bool(steady) and steady[0].ndim == 1
    steps = ready.steps._replace(steady=() if alone else steady)
    carry = beginning(tier, steps.time[0], np)
    found: list[tuple[Any, Any]] = []
    quiet = _only_read(ready)
    for first, last in _runs(quiet, _together(ready, len(etas))):
        rates = _rates(ready, first)
        if quiet[first]:
            found.append(_read_between(tier, (ready, rates), carry, steps.time[first:last]))
            continue
        step = each(itemgetter(first), steps)
        step = step if rates is None else step._replace(rates=rates)
        carry, (outputs, area) = one_step(tier, ready, carry, step._replace(steady=steady) if alone else step, np)
        found.append((outputs[0][None], area[None]))
    return found, ready.wanted


def _only_read(ready: Prepared) -> NDArray[np.bool_]:
    """Events (E,) at which nothing happens, where that is the same for every draw and so are the covariate rows; the last event under a
    row is none of them: from its state the next row goes on.
    """
    kind = ready.steps.kind
    if ready.rates is None and (ready.by_row is None or len(kind) < LONG):
        return np.zeros(len(kind), dtype=bool)
    quiet = np.asarray((kind == NONE).all(axis=1) & (kind == kind[:, :1]).all())
    if ready.by_row is not None:
        row = ready.by_row[1]
        quiet[:-1] &= row[:-1] == row[1:]
    return quiet


def _rates(ready: Prepared, event: int) -> Any | None:
    """The rates up to an event, None where each draw and event has its own."""
    if ready.by_row is None:
        return ready.rates
    by_row, row = ready.by_row
    return each(itemgetter(row[event]), by_row)


def _together(ready: Prepared, draws: int) -> int:
    """How many readings at a time: what they need stays within some tens of MB."""
    doses = 1 if ready.pulses is None else len(ready.pulses.time)
    return max(1, TOGETHER // (doses * draws))


def _runs(quiet: NDArray[np.bool_], most: int) -> list[tuple[int, int]]:
    """Events one by one, but those at which nothing happens in runs of at most so many."""
    runs: list[tuple[int, int]] = []
    for k in range(len(quiet)):
        if quiet[k] and runs and quiet[runs[-1][0]] and k - runs[-1][0] < most:
            runs[-1] = (runs[-1][0], k + 1)
        else:
            runs.append((k, k + 1))
    return runs


def _read_between(tier: ClosedForm, known: tuple[Prepared, Any], carry: Carry, times: Array) -> tuple[Array, Array]:
    """Concentrations and areas (times, draws) from the state after the last event, which stays as it is."""
    ready, rates = known
    dt = np.maximum(times - carry.time, 0.0)
    inflow = dict(zip([k for k in range(tier.size) if tier.infused >> k & 1], carry.inflow, strict=True))
    pulses = active(ready.pulses, ready.epochs, carry.epoch, carry.cut, np)
    if pulses is not None:
        pulses = Pulses(*(values[:, None] for values in pulses))
    moved = tier.advance(carry.state, [inflow.get(k, 0.0) for k in range(tier.size)], (carry.time, dt, carry.given), rates, pulses)
    return tier.read(moved, rates)[0], moved[-1]


_PER_EVENT = (
    "time",
    "kind",
    "amount",
    "door",
    "mode",
    "end",
    "overlap",
    "span",
    "every",
    "adds",
    "steady_slot",
    "steady",
    "pulses",
    "wanted",
)


def _picked(found: list[Any], wanted: Any, n: int) -> Array:
    """Values (draws, wanted) from runs of values by event, each broadcast over the draws."""
    if wanted.shape[1] > 1:
        table = np.concatenate([np.broadcast_to(v, (len(v), n)) for v in found])
        return np.ascontiguousarray(np.take_along_axis(table, wanted, axis=0).T)
    # the same events for every draw: each run goes to its places at once
    picked, place, first = np.empty((n, len(wanted))), np.full(sum(map(len, found)), -1), 0
    place[wanted[:, 0]] = np.arange(len(wanted))
    for values in found:
        there = place[first : first + len(values)]
        picked[:, there[there >= 0]] = values[there >= 0].T
        first += len(values)
    return picked
