"""Fitting the network: Adam on the negative log probability of each patient's true model and etas, fresh noise in every epoch.

Expected over patients of the prior this is least where q is the posterior (Papamakarios & Murray 2016, arXiv 1605.06376, with the prior as
proposal, so that nothing needs to be corrected afterwards).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.amortised.inputs import Inputs, raw_inputs, scale_of, standardised, whitened
from auctor.learn.amortised.network import Shape, context, log_density, log_models, start
from auctor.learn.amortised.normal import Normal, approximate
from auctor.learn.amortised.shown import Shown, show
from auctor.learn.amortised.world import World
from auctor.pk.engine import jax, jnp
from auctor.population.virtual import Progress, stream

Array = NDArray[np.float64]
CLIP, EPS = 5.0, 1e-7  # the largest norm of a gradient


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Weights (float32) and scales by name, their `shape`, the largest `misfit` of each model's own patients, and the losses.

    `losses` one an epoch: mean negative log probability of the truth over training and held-out patients; `normal_loss` before training.
    """

    weights: dict[str, np.ndarray]
    scale: dict[str, Array]
    shape: Shape
    misfit: tuple[float, ...]
    losses: tuple[tuple[float, float], ...]
    normal_loss: float


def look(world: World, shown: Shown) -> list[Normal]:
    """The normal approximation of every patient under every model."""
    return [approximate(model, lambda z, m=m: world.levels(m, z), shown) for m, model in enumerate(world.plan.models)]  # type: ignore[misc]


def fit_network(world: World, progress: Progress | None = None) -> Fitted:
    """Train on the world of a plan; the last `held` share of the patients is only looked at."""
    plan, network = world.plan, world.plan.network
    rng = stream(plan.seed, "noise")
    held = len(world) - round(len(world) * plan.held)
    shown = show(world, rng)
    normals = look(world, shown)
    raw = raw_inputs(shown, normals)
    scale = scale_of(raw)
    etas = tuple(len(m.eta_names) for m in plan.models)
    shape = Shape(samples=raw.samples.shape[-1], patient=raw.patient.shape[-1], etas=etas, width=network.width, bins=network.bins)
    trainer = _Trainer(shape, network.rate, _steps(world, held) * network.epochs)
    weights, state, losses = start(shape, network.seed), None, []
    normal_loss = trainer.loss(weights, _tables(world, raw, normals, scale, slice(held, None)))
    for epoch in range(network.epochs):
        if epoch:
            shown = show(world, rng)
            normals = look(world, shown)
            raw = raw_inputs(shown, normals)
        train = _tables(world, raw, normals, scale, slice(0, held))
        weights, state, loss = trainer.epoch(weights, state, train, (rng, _steps(world, held)))
        losses.append((loss, trainer.loss(weights, _tables(world, raw, normals, scale, slice(held, None)))))
        if progress:
            progress("train", (epoch + 1) / network.epochs)
    misfit = tuple(_farthest(world, shown, one, m) for m, one in enumerate(normals))
    return Fitted(weights=weights, scale=scale, shape=shape, misfit=misfit, losses=tuple(losses), normal_loss=normal_loss)


def _steps(world: World, held: int) -> int:
    return max(1, held // world.plan.network.batch)


def _farthest(world: World, shown: Shown, one: Normal, m: int) -> float:
    """The largest misfit per sample among model m's own patients."""
    own = (world.model_index == m) & shown.used.any(axis=1)
    return float((one.misfit[own] / shown.used[own].sum(axis=1)).max()) if own.any() else 0.0


Table = dict[str, np.ndarray]


def _tables(world: World, raw: Inputs, normals: Sequence[Normal], scale: dict[str, Array], rows: slice) -> list[Table]:
    """One table of float32 arrays a model: inputs and whitened etas of that model's own patients."""
    ready, found = standardised(raw, scale), []
    for m, one in enumerate(normals):
        u, log_root = whitened(one, world.z[:, : one.mean.shape[1]])
        parts = {"samples": ready.samples, "used": ready.used, "patient": ready.patient, "evidence": ready.evidence, "u": u}
        own = np.flatnonzero(world.model_index == m)
        own = own[(own >= rows.start) & (own < (rows.stop or len(world)))]
        found.append({name: values[own].astype(np.float32) for name, values in (parts | {"log_root": log_root}).items()})
    return found


class _Trainer:
    """Compiled once: the loss over tables of every model, and one epoch of Adam with a rate that falls along a cosine."""

    def __init__(self, shape: Shape, rate: float, steps: int) -> None:
        import optax

        self.shape = shape
        schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.01)
        self.rule = optax.chain(optax.clip_by_global_norm(CLIP), optax.adam(schedule, eps=EPS))
        self._loss = jax.jit(self._traced)
        self._epoch = jax.jit(self._scanned)

    def _traced(self, weights: Any, tables: Any) -> Any:
        total: Any = 0.0
        count = 0
        for m, table in enumerate(tables):
            found = context(weights, (table["samples"], table["used"], table["patient"]), jnp)
            models = log_models(weights, found, table["evidence"], jnp)[:, m]
            etas = log_density(weights, self.shape, m, (found, table["u"]), jnp) + table["log_root"]
            total, count = total - jnp.sum(models + etas), count + len(models)
        return total / count

    def loss(self, weights: Any, tables: Sequence[Table]) -> float:
        """The mean negative log probability."""
        return float(self._loss(weights, list(tables)))

    def _scanned(self, weights: Any, state: Any, tables: Any) -> Any:
        def step(carry: Any, part: Any) -> Any:
            own, kept = carry
            loss, slope = jax.value_and_grad(self._traced)(own, part)
            update, kept = self.rule.update(slope, kept, own)
            return (jax.tree.map(jnp.add, own, update), kept), loss

        (weights, state), losses = jax.lax.scan(step, (weights, state), tables)
        return weights, state, losses.mean()

    def epoch(self, weights: Any, state: Any, tables: Sequence[Table], order: tuple[np.random.Generator, int]) -> tuple[Any, Any, float]:
        """One pass in random order, every batch with as many patients of each model."""
        rng, steps = order
        state = self.rule.init(weights) if state is None else state
        batched = [_batched(table, rng.permutation(len(table["u"])), steps) for table in tables]
        weights, state, loss = self._epoch(weights, state, batched)
        return {name: np.asarray(values) for name, values in weights.items()}, state, float(loss)


def _batched(table: Table, order: NDArray[np.int64], steps: int) -> Table:
    size = len(order) // steps
    return {name: values[order[: size * steps]].reshape(steps, size, *values.shape[1:]) for name, values in table.items()}
