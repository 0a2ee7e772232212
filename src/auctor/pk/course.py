"""The course of one patient: a scan over the timeline that advances the state in closed form and reads it off.

`course` is the traced definition (one patient); `concentrations` and `steady_profile` are the batched, compiled doors.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.models.model import DrugModel
from auctor.pk.disposition import modes
from auctor.pk.engine import bucket, jax, jnp
from auctor.pk.kept import Kept
from auctor.pk.propagate import Rates, State, advance, empty, steady_after_bolus, steady_before_bolus, steady_before_infusion
from auctor.pk.system import require_named, resorted, system_course
from auctor.pk.timeline import BOLUS, RATE, RESET, STEADY, Batch, repeat_to

Array = NDArray[np.float64]
Traced = jax.Array


class Reading(NamedTuple):
    """What is read at each wanted time: concentration (mg/L) and AUC so far (mg*h/L) in the central compartment."""

    concentration: Traced
    auc: Traced


class _Step(NamedTuple):
    time: Traced
    kind: Traced
    amount: Traced
    to_chain: Traced
    steady: State
    rates: Rates
    clearance: Traced
    volume: Traced


def course(model: DrugModel, timeline: Mapping[str, Traced], eta: Traced) -> Reading:
    """Concentration and cumulative AUC at the wanted times of one patient, for eta (n_eta,). Differentiable in eta."""
    if model.system is not None:
        return Reading(*system_course(model, model.system, timeline, eta))
    params = _row_params(model, timeline["covariates"], eta)
    events, rank = _timed(model, timeline, params)
    row = jnp.searchsorted(timeline["knots"], events["time"], side="left")
    rates = jax.tree.map(lambda values: values[row], _rates(model, params))
    s = model.structure
    lag = jnp.where(events["absorbed"], params[s.lag][row], 0.0) if s.lag else None
    steady = _steady_states(s.stages, events, rates, lag, rank[timeline["steady"]])
    steps = _Step(
        events["time"],
        events["kind"],
        events["amount"],
        events["to_chain"],
        steady,
        rates,
        params[s.clearance][row],
        params[s.central][row],
    )
    start = (empty(s.stages, rates.body.rate.shape[-1]), jnp.zeros(()), events["time"][0], jnp.zeros(()))
    _, reading = jax.lax.scan(_step, start, steps)
    wanted = rank[timeline["wanted"]]
    return Reading(reading.concentration[wanted], reading.auc[wanted])


def _row_params(model: DrugModel, covariates: Traced, eta: Traced) -> dict[str, Traced]:
    columns = {name: covariates[:, k] for k, name in enumerate(model.covariates)}
    values = model.individual(columns, eta, jnp)
    return {name: jnp.broadcast_to(value, covariates.shape[:1]) for name, value in values.items()}


def _rates(model: DrugModel, params: Mapping[str, Traced]) -> Rates:
    rate = model.structure.rate
    body = modes(model.structure, params)
    return Rates(params[rate] if rate and model.structure.stages else jnp.zeros_like(body.rate[..., 0]), body)


def _timed(model: DrugModel, timeline: Mapping[str, Traced], params: Mapping[str, Traced]) -> tuple[dict[str, Traced], Traced]:
    """Events with F, lag and modelled durations applied, in time order again; and the new position of each old one."""
    s = model.structure
    names = ("time", "kind", "amount", "to_chain", "absorbed", "span", "modelled", "every", "duration", "steady_slot")
    events = {name: timeline[name] for name in names}
    time, infused = events["time"], events["kind"] == RATE
    own = jnp.searchsorted(timeline["knots"], time, side="left")
    share = jnp.where(events["absorbed"], params[s.bioavailability][own], 1.0) if s.bioavailability else jnp.ones_like(time)
    lag = jnp.where(events["absorbed"] & (events["kind"] != STEADY), params[s.lag][own], 0.0) if s.lag else 0.0
    length = params[s.duration][own] if s.duration else jnp.ones_like(time)
    # RATE given: F stretches the infusion; RATE=-2: F scales the amount that is spread over the modelled length
    events["amount"] = events["amount"] * jnp.where(events["modelled"] > 0, share / length, jnp.where(infused, 1.0, share))
    events["duration"] = events["duration"] * share
    events["time"] = time + lag + events["span"] * share + jnp.where(events["modelled"] == 2, length, 0.0)
    if s.lag is None and s.duration is None and s.bioavailability is None:
        return events, jnp.arange(time.shape[0])
    return resorted(events, timeline["count"][0])


def _steady_states(stages: int, events: Mapping[str, Traced], rates: Rates, lag: Traced | None, at: Traced) -> State:
    """The state each event would take over, (E, ...); only the few steady-state events `at` (S,) are computed."""
    compartments = rates.body.rate.shape[-1]
    if at.shape[0] == 0:
        n = events["time"].shape[0]
        return State(jnp.zeros((n, stages)), jnp.zeros((n, compartments)))
    amount, every, duration, to_chain = (events[name][at] for name in ("amount", "every", "duration", "to_chain"))
    own = jax.tree.map(lambda values: values[at], rates)
    given = _Given(amount, to_chain, jnp.where(every > 0, every, 1.0), duration, None if lag is None else lag[at])
    states = jax.vmap(partial(_steady_state, stages))(own, given)
    slot = events["steady_slot"]
    return State(states.chain[slot], states.body[slot])


class _Given(NamedTuple):
    amount: Traced
    to_chain: Traced
    every: Traced
    duration: Traced
    lag: Traced | None


def _steady_state(stages: int, rates: Rates, dose: _Given) -> State:
    """Steady state at a dose time, before the dose: the last one arrived `every` - lag hours ago."""
    if dose.lag is None:
        bolus = steady_before_bolus(rates, stages=stages, amount=dose.amount, to_chain=dose.to_chain, every=dose.every)
    else:
        arrived = steady_after_bolus(rates, stages=stages, amount=dose.amount, to_chain=dose.to_chain, every=dose.every)
        bolus = advance(arrived, rates, dose.every - jnp.mod(dose.lag, dose.every), jnp.zeros(()))
    length = jnp.where(dose.duration > 0, dose.duration, 1.0)
    infusion = steady_before_infusion(rates, stages=stages, rate=dose.amount / length, duration=length, every=dose.every)
    infused = dose.duration > 0
    return State(jnp.where(infused, infusion.chain, bolus.chain), jnp.where(infused, infusion.body, bolus.body))


def _step(carry: tuple[State, Traced, Traced, Traced], step: _Step) -> tuple[tuple[State, Traced, Traced, Traced], Reading]:
    state, infusion, time, auc = carry
    dt = jnp.maximum(step.time - time, 0.0)
    moved = advance(state, step.rates, dt, infusion)
    # what has left is CL * AUC: exact for elimination from the central compartment alone
    auc = auc + (infusion * dt + state.total() - moved.total()) / step.clearance
    state = _applied(moved, step)
    infusion = jnp.where(step.kind == RATE, infusion + step.amount, jnp.where((step.kind == RESET) | (step.kind == STEADY), 0.0, infusion))
    return (state, infusion, step.time, auc), Reading(state.body[0] / step.volume, auc)


def _applied(state: State, step: _Step) -> State:
    bolus = jnp.where(step.kind == BOLUS, step.amount, 0.0)
    chain = state.chain
    if chain.shape[0]:
        chain = chain.at[0].add(jnp.where(step.to_chain, bolus, 0.0))
        bolus = jnp.where(step.to_chain, 0.0, bolus)
    body = state.body.at[0].add(bolus)
    emptied = jnp.where(step.kind == RESET, 0.0, 1.0)
    taken = step.kind == STEADY
    return State(jnp.where(taken, step.steady.chain, chain * emptied), jnp.where(taken, step.steady.body, body * emptied))


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
    size = bucket(batch.n)
    arrays = {name: repeat_to(values, size) for name, values in batch.arrays.items()}
    concentration, _ = compiled_batch(model)(arrays, repeat_to(np.asarray(eta, dtype=np.float64), size))
    return np.asarray(concentration)[: batch.n]


def steady_profile(
    model: DrugModel, params: Mapping[str, Any], dose_mg: Any, every_h: Any, times_h: Any, *, duration_h: Any = 0.0
) -> Array:
    """Steady-state concentrations (n, k) mg/L at `times_h` (n, k) h after a dose, given every `every_h` for ever.

    `params` name -> (n,); `dose_mg`, `every_h`, `duration_h` (n,) or scalars. At a dose time the trough is returned.
    The dose goes into the absorption chain when the model has one, else into the central compartment.
    """
    require_named(model)
    times = np.asarray(times_h, dtype=np.float64)
    n = times.shape[0]
    full = {name: np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)) for name, value in params.items()}
    dose, every, duration = (np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)) for v in (dose_mg, every_h, duration_h))
    (values,) = compiled_steady(model)(full, dose, every, duration, times)
    return np.asarray(values)


@lru_cache(maxsize=256)
def compiled_steady(model: DrugModel) -> Kept:
    """The compiled batch of steady-state profiles behind `steady_profile`."""
    return Kept(jax.vmap(partial(_steady_profile, model)), f"steady {model.sha256}")


def _steady_profile(model: DrugModel, params: dict[str, Traced], dose: Traced, every: Traced, duration: Traced, times: Traced) -> Traced:
    s = model.structure
    rates = jax.tree.map(lambda values: values[0], _rates(model, {name: value[None] for name, value in params.items()}))
    amount = dose * params[s.bioavailability] if s.bioavailability else dose
    length = params[s.duration] if s.duration else duration
    phase = jnp.mod(times - (params[s.lag] if s.lag else 0.0), every)
    phase = jnp.where(phase > 0, phase, every)
    start = steady_after_bolus(rates, stages=s.stages, amount=amount, to_chain=jnp.asarray(s.stages > 0), every=every)
    swallowed = jax.vmap(lambda t: advance(start, rates, t, jnp.zeros(())).body[0])(phase)
    if s.stages:
        return swallowed / params[s.central]
    infused = _infused_profile(rates, amount, jnp.where(length > 0, length, 1.0), every, phase)
    return jnp.where(length > 0, infused, swallowed) / params[s.central]


def _infused_profile(rates: Rates, amount: Traced, length: Traced, every: Traced, phase: Traced) -> Traced:
    rate = amount / length
    before = steady_before_infusion(rates, stages=0, rate=rate, duration=length, every=every)
    ended = advance(before, rates, length, rate)
    during = jax.vmap(lambda t: advance(before, rates, jnp.minimum(t, length), rate).body[0])(phase)
    after = jax.vmap(lambda t: advance(ended, rates, jnp.maximum(t - length, 0.0), jnp.zeros(())).body[0])(phase)
    return jnp.where(phase <= length, during, after)
