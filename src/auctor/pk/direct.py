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
from auctor.pk.steps import beginning, each, one_step, prepared, row_names
from auctor.pk.timeline import Timeline

Array = NDArray[np.float64]

BLOCK = 5000  # draws worked on at a time


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
    rows = row_names(model, timeline.covariates, etas, np)
    ready = prepared(model, tier, arrays, rows, np)
    carry, found = beginning(tier, ready.steps.time[0], np), []
    steady = ready.steps.steady
    alone = bool(steady) and steady[0].ndim == 1
    for k in range(len(timeline.time)):
        step = each(itemgetter(k), ready.steps._replace(steady=() if alone else steady))
        carry, (outputs, area) = one_step(tier, ready, carry, step._replace(steady=steady) if alone else step, np)
        found.append((outputs[0], area))
    wanted = ready.wanted
    return _picked([f[0] for f in found], wanted, len(etas)), _picked([f[1] for f in found], wanted, len(etas))


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
    """Values (draws, wanted) from values by event, each broadcast over the draws."""
    table = np.stack([np.broadcast_to(v, (n,)) for v in found])
    places = np.broadcast_to(wanted, (wanted.shape[0], n))
    return np.ascontiguousarray(np.take_along_axis(table, places, axis=0).T)
