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
TOGETHER = 400_000  # readings x draws x arriving doses at a time


def is_direct(model: DrugModel) -> bool:
    """Whether the model has a closed form, so that this path can answer."""
    return model.system is None and model.structure.linear


def readings(model: DrugModel, timeline: Timeline, etas: Array) -> tuple[Array, Array]:
    """Concentrations (mg/L) and areas so far (mg*h/L) at the wanted times, (n_draws, n_wanted), for etas (n_draws, n_eta)."""
    parts = [_readings(model, timeline, etas[i : i + BLOCK]) for i in range(0, len(etas), BLOCK)]
    concentration, area = zip(*parts, strict=True)
    return np.concatenate(concentration), np.concatenate(area)


def _readings(model: DrugModel, timeline: Timeline, etas: Array) -> tuple[Array, Array]:
    tier = ClosedForm(model, np, timeline.infused.shape[1])
    columns = {name: getattr(timeline, name)[:, None] for name in _PER_EVENT}
    arrays: dict[str, Any] = {**vars(timeline), **columns}
    ready = prepared(model, tier, arrays, row_names(model, timeline.covariates, etas, np), np)
    steady = ready.steps.steady
    alone = bool(steady) and steady[0].ndim == 1
    steps = ready.steps._replace(steady=() if alone else steady)
    carry, found = beginning(tier, steps.time[0], np), []
    quiet = _only_read(ready)
    for first, last in _runs(quiet, _together(ready, len(etas))):
        if quiet[first]:
            found.append(_read_between(tier, ready, carry, steps.time[first:last]))
            continue
        step = each(itemgetter(first), steps)
        carry, (outputs, area) = one_step(tier, ready, carry, step._replace(steady=steady) if alone else step, np)
        found.append((outputs[0][None], area[None]))
    return _picked([f[0] for f in found], ready.wanted, len(etas)), _picked([f[1] for f in found], ready.wanted, len(etas))


def _only_read(ready: Prepared) -> NDArray[np.bool_]:
    """Events (E,) at which nothing happens, where that is the same for every draw and rates never change."""
    kind = ready.steps.kind
    quiet = (kind == NONE).all(axis=1) & (kind == kind[:, :1]).all()
    return quiet if ready.rates is not None else np.zeros(len(kind), dtype=bool)


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


def _read_between(tier: ClosedForm, ready: Prepared, carry: Carry, times: Array) -> tuple[Array, Array]:
    """Concentrations and areas (times, draws) from the state after the last event, which stays as it is."""
    assert ready.rates is not None
    dt = np.maximum(times - carry.time, 0.0)
    inflow = dict(zip([k for k in range(tier.size) if tier.infused >> k & 1], carry.inflow, strict=True))
    pulses = active(ready.pulses, ready.epochs, carry.epoch, carry.cut, np)
    if pulses is not None:
        pulses = Pulses(*(values[:, None] for values in pulses))
    moved = tier.advance(carry.state, [inflow.get(k, 0.0) for k in range(tier.size)], (carry.time, dt, carry.given), ready.rates, pulses)
    return tier.read(moved, ready.rates)[0], moved[-1]


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
    table = np.concatenate([np.broadcast_to(v, (len(v), n)) for v in found])
    if wanted.shape[1] == 1:  # the same events for every draw
        return np.ascontiguousarray(table[wanted[:, 0]].T)
    return np.ascontiguousarray(np.take_along_axis(table, wanted, axis=0).T)
