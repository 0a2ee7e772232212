"""The course of one patient: a scan over the timeline that advances the state and reads it off.

`course` is the traced definition (one patient); `concentrations` and `steady_profile` are the batched, compiled doors. The same steps
run in NumPy, over many draws at once, in `auctor.pk.direct`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.models.model import DrugModel
from auctor.pk.engine import bucket, jax, jnp
from auctor.pk.events import Tier
from auctor.pk.kept import Kept, side_by_side
from auctor.pk.steps import beginning, one_step, prepared, row_names
from auctor.pk.system import tier_of
from auctor.pk.timeline import Batch, repeat_to

Array = NDArray[np.float64]
Traced = jax.Array


BLOCK = 2048  # subjects a call: what they need stays in the processor's cache
FEW, MANY = 16, 1024  # draws a call: two sizes, since each compiles anew; up to FEW_CALLS calls of the small one
FEW_CALLS = 8


class Reading(NamedTuple):
    """What is read at each wanted time: concentration (mg/L) of its output, and AUC so far (mg*h/L) of the first output."""

    concentration: Traced
    auc: Traced


def course(model: DrugModel, timeline: Mapping[str, Any], eta: Traced, tier: Tier | None = None) -> Reading:
    """Concentration and cumulative AUC at the wanted times of one patient, for eta (n_eta,). Differentiable in eta.

    `tier` is how the model is advanced; by default the fastest one that is exact for it.
    """
    tier = tier or tier_of(model, timeline["infused"].shape[1])
    ready = prepared(model, tier, timeline, row_names(model, timeline["covariates"], eta, jnp), jnp)
    steady = ready.steps.steady
    # one steady state serves every event: it is no column of the scan
    alone = bool(steady) and steady[0].ndim == 0
    columns = ready.steps._replace(steady=() if alone else steady)

    def advance(carry: Any, step: Any) -> Any:
        return one_step(tier, ready, carry, step._replace(steady=steady) if alone else step, jnp)

    _, (outputs, area) = jax.lax.scan(advance, beginning(tier, columns.time[0], jnp), columns)
    read = outputs[0][ready.wanted] if len(outputs) == 1 else jnp.stack(outputs)[timeline["output"], ready.wanted]
    return Reading(read, area[ready.wanted])


@lru_cache(maxsize=256)
def compiled_batch(model: DrugModel) -> Kept:
    """`course` of many patients, each with one eta: compiled once per model and padded shape."""
    return Kept(jax.vmap(partial(course, model)), f"batch {model.sha256}")


@lru_cache(maxsize=256)
def compiled_draws(model: DrugModel) -> Kept:
    """`course` of one patient under many etas."""
    return Kept(jax.vmap(partial(course, model), in_axes=(None, 0)), f"draws {model.sha256}")


def concentrations(model: DrugModel, batch: Batch, eta: Array) -> Array:
    """Concentrations (n_subjects, n_wanted_padded) in mg/L for eta (n_subjects, n_eta); columns in the order asked for.

    Columns past a subject's own number of times repeat its last one.
    """
    return readings_of(model, batch, eta)[0]


def readings_of(model: DrugModel, batch: Batch, eta: Array) -> tuple[Array, Array]:
    """The same with the areas so far (mg*h/L) of the first output: (concentrations, areas), each (n_subjects, n_wanted_padded)."""
    etas, run = np.asarray(eta, dtype=np.float64), compiled_batch(model)

    def one(rows: slice) -> tuple[Array, Array]:
        n = len(etas[rows])
        size = BLOCK if batch.n > BLOCK else bucket(n)
        arrays = {name: repeat_to(values[rows], size) for name, values in batch.arrays.items()}
        concentration, area = run(arrays, repeat_to(etas[rows], size))
        return np.asarray(concentration)[:n], np.asarray(area)[:n]

    found = side_by_side(one, [slice(i, i + BLOCK) for i in range(0, batch.n, BLOCK)])
    return np.concatenate([c for c, _ in found]), np.concatenate([a for _, a in found])


def readings_of_draws(model: DrugModel, timeline: Mapping[str, Any], etas: Array) -> tuple[Array, Array]:
    """Concentrations and areas so far, (n_draws, n_wanted_padded), of one patient's timeline under many etas (n_draws, n_eta)."""
    n, run = len(etas), compiled_draws(model)
    size = FEW if n <= FEW * FEW_CALLS else MANY

    def one(part: Array) -> tuple[Array, Array]:
        concentration, area = run(timeline, np.concatenate([part, np.zeros((size - len(part), part.shape[1]))]))
        return np.asarray(concentration)[: len(part)], np.asarray(area)[: len(part)]

    found = side_by_side(one, [etas[i : i + size] for i in range(0, max(n, 1), size)])
    return np.concatenate([c for c, _ in found]), np.concatenate([a for _, a in found])
