"""The course of a model written as differential equations: matrix exponential where it is linear, an adaptive solver where it is not.

Same scan over events as `auctor.pk.course`, same readings. The state is the amounts and, last, the area under the first output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from auctor.errors import ModelError
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel, System
from auctor.pk.adaptive import adaptive, decaying
from auctor.pk.cycles import settled
from auctor.pk.engine import jax, jnp
from auctor.pk.exponential import expm, solve
from auctor.pk.system_events import GIVEN, MODELLED_DURATION
from auctor.pk.timeline import BOLUS, RATE, RESET, STEADY

Array = jax.Array
Names = dict[str, Array]
Advance = Callable[[Array, Array, Array, Array, Names], Array]  # state, infusion (n,), start time, length, parameters

CONSTANT = 24.0  # h: the steady state of a constant infusion is what a day of it leaves as it is


class _Step(NamedTuple):
    time: Array
    kind: Array
    amount: Array
    cmt: Array
    steady: Array
    adds: Array
    names: Names


def system_course(model: DrugModel, system: System, timeline: Mapping[str, Array], eta: Array) -> tuple[Array, Array]:
    """Concentration (mg/L) of each wanted time's output, and area under the first output so far (mg*h/L)."""
    rows = _row_names(model, timeline["covariates"], eta)
    events, rank = _timed(system, timeline, rows)
    row = jnp.searchsorted(timeline["knots"], events["time"], side="left")
    names = {name: values[row] for name, values in rows.items()}
    advance = _linear(model, system) if system.linear else _adaptive(model, system)
    steady = _steady_states(system, advance, events, names, rank[timeline["steady"]])
    steps = _Step(events["time"], events["kind"], events["amount"], events["cmt"], steady, events["adds"], names)
    start = (jnp.zeros(system.size + 1), jnp.zeros(system.size), events["time"][0])
    _, states = jax.lax.scan(lambda carry, step: _step(advance, carry, step), start, steps)
    wanted = rank[timeline["wanted"]]
    read = jax.vmap(lambda a, own: _outputs(model, system, a, own))(states, names)
    return read[wanted, timeline["output"]], states[wanted, -1]


def _row_names(model: DrugModel, covariates: Array, eta: Array) -> Names:
    columns = {name: covariates[:, k] for k, name in enumerate(model.covariates)}
    values = {**columns, **model.individual(columns, eta, jnp)}
    return {name: jnp.broadcast_to(jnp.asarray(value, dtype=jnp.float64), covariates.shape[:1]) for name, value in values.items()}


def _amounts(system: System, state: Array) -> Names:
    return {f"A{k + 1}": state[k] for k in range(system.size)}


def _outputs(model: DrugModel, system: System, state: Array, names: Names) -> Array:
    """Every output in mg/L."""
    known = {**names, **_amounts(system, state)}
    return jnp.stack([jnp.asarray(e.evaluate(known, jnp)) for e in system.outputs.values()]) / model.scale


def _slope(model: DrugModel, system: System, state: Array, names: Names, time: Array) -> Array:
    """d state / dt without infusions; the last entry is the first output."""
    known = {**names, **_amounts(system, state), "t": time}
    parts = [jnp.asarray(e.evaluate(known, jnp), dtype=jnp.float64) for e in system.derivatives]
    return jnp.stack([*parts, _outputs(model, system, state, names)[0]])


def _linear(model: DrugModel, system: System) -> Advance:
    n = system.size + 1

    def advance(state: Array, infusion: Array, time: Array, length: Array, names: Names) -> Array:
        def slope(a: Array) -> Array:
            return _slope(model, system, a, names, time)

        zero = jnp.zeros(n)
        inflow = slope(zero) + jnp.concatenate([infusion, jnp.zeros(1)])
        joined = jnp.zeros((n + 1, n + 1)).at[:n, :n].set(jax.jacfwd(slope)(zero)).at[:n, n].set(inflow)
        return jnp.sum(expm(joined * length)[:n] * jnp.concatenate([state, jnp.ones(1)]), axis=1)

    return advance


def _adaptive(model: DrugModel, system: System) -> Advance:
    return adaptive(lambda state, names, time: _slope(model, system, state, names, time), decaying(system))


def _input(system: System, key: str, names: Names, cmt: Array, default: float) -> Array:
    """F, lag, duration or rate of each event's compartment, (E,)."""
    formulas: Mapping[int, Expression] = system.inputs.get(key, {})
    size = cmt.shape
    table = [
        jnp.broadcast_to(jnp.asarray(formulas[k + 1].evaluate(names, jnp) if k + 1 in formulas else default), size)
        for k in range(system.size)
    ]
    return jnp.stack(table)[cmt, jnp.arange(size[0])]


def _timed(system: System, timeline: Mapping[str, Array], rows: Names) -> tuple[Names, Array]:
    """Amounts and times with lag, F, and modelled durations and rates applied, in time order; and each event's new position.

    As in NONMEM, a lagged dose takes its F from the record that ends the interval in which it arrives.
    """
    columns = ("time", "kind", "amount", "cmt", "mode", "end", "overlap", "span", "every", "adds", "steady_slot")
    events = {name: timeline[name] for name in columns}
    own = _at(timeline["knots"], rows, events["time"])
    dosed = (events["kind"] == BOLUS) | (events["kind"] == RATE)
    lag = jnp.where(events["kind"] == STEADY, 0.0, _input(system, "lag", own, events["cmt"], 0.0)) * dosed
    arrived = _at(timeline["knots"], rows, events["time"] + lag)
    share = _input(system, "F", arrived, events["cmt"], 1.0)
    rate, length = _infusion(system, events, arrived, share)
    events["length"] = length
    events["rate"] = rate
    events["lag"] = _input(system, "lag", own, events["cmt"], 0.0)
    before = events["overlap"] * events["every"]
    left = events["lag"] + length - before
    running = jnp.where(events["overlap"] > 0, (left > 0) * 1.0, 1.0)
    sign = jnp.where(events["end"], -1.0, 1.0)
    events["amount"] = jnp.where(
        events["kind"] == RATE, sign * rate * running, events["amount"] * jnp.where(events["mode"] == 0, share, 1.0)
    )
    own_time = events["time"] + lag + jnp.where(events["end"], length, 0.0)
    earlier = events["time"] + jnp.where(events["end"], jnp.maximum(left, 0.0), 0.0)
    events["time"] = jnp.where(events["overlap"] > 0, earlier, own_time)
    return resorted(events, timeline["count"][0])


def _at(knots: Array, rows: Names, time: Array) -> Names:
    row = jnp.searchsorted(knots, time, side="left")
    return {name: values[row] for name, values in rows.items()}


def _infusion(system: System, events: Names, names: Names, share: Array) -> tuple[Array, Array]:
    """Rate (mg/h) and length (h) of each event's infusion; a bolus has none."""
    amount, mode, cmt = events["amount"], events["mode"], events["cmt"]
    duration = _input(system, "duration", names, cmt, 1.0)
    modelled = _input(system, "rate", names, cmt, 1.0)
    span = jnp.where(events["span"] > 0, events["span"], 1.0)
    rate = jnp.where(mode == GIVEN, amount / span, jnp.where(mode == MODELLED_DURATION, share * amount / duration, modelled))
    length = jnp.where(mode == GIVEN, share * span, jnp.where(mode == MODELLED_DURATION, duration, share * amount / modelled))
    constant = (mode == GIVEN) & (events["span"] <= 0)
    return jnp.where(constant, amount, rate), jnp.where((mode == 0) | constant, 0.0, length)


def resorted(events: Names, count: Array) -> tuple[Names, Array]:
    """Events (E,) in the order of their time, padding (all past `count`) last; and the new position of each old one."""
    real = jnp.arange(events["time"].shape[0]) < count
    order = jnp.argsort(jnp.where(real, events["time"], jnp.inf), stable=True)
    # padding does nothing, but its time must not run ahead: it stands still at the last real event
    last = jnp.max(jnp.where(real, events["time"], -jnp.inf))
    events["time"] = jnp.where(real, events["time"], last)
    return {name: values[order] for name, values in events.items()}, jnp.argsort(order)


def _steady_states(system: System, advance: Advance, events: Names, names: Names, at: Array) -> Array:
    """The state each event would take over, (E, n + 1); only the steady-state events `at` (S,) are computed."""
    if at.shape[0] == 0:
        return jnp.zeros((events["time"].shape[0], system.size + 1))
    chosen = {name: values[at] for name, values in events.items()}
    own = {name: values[at] for name, values in names.items()}
    states = jax.vmap(lambda dose, known: _steady_state(system, advance, dose, known))(chosen, own)
    return states[events["steady_slot"]]


def _steady_state(system: System, advance: Advance, dose: Names, names: Names) -> Array:
    """Steady state at a dose record, before its dose: the last one arrived `every` - lag ago; or that of a constant infusion."""
    n = system.size
    unit = (jnp.arange(n) == dose["cmt"]) * 1.0
    if not system.linear:
        endless = _repeated(dose)
        before = settled(lambda a: _cycle(advance, endless, names, unit, jnp.append(a, 0.0), None)[:n], n)
        found = jnp.append(before, 0.0)
        return _cleared(found, advance, endless, names, unit) if "lag" in system.inputs else found
    every = jnp.where(dose["every"] > 0, dose["every"], 1.0)
    safe = {**dose, "every": every}
    zero = jnp.zeros(n + 1)
    cycled = _cycle(advance, safe, names, unit, zero, None)
    kept = jax.vmap(
        lambda a: advance(a, jnp.zeros(n), dose["time"], every, names) - advance(zero, jnp.zeros(n), dose["time"], every, names)
    )(jnp.eye(n + 1))
    repeated = jnp.concatenate([solve(jnp.eye(n) - kept[:n, :n].T, cycled[:n]), jnp.zeros(1)])
    constant = _constant(advance, dose, names, unit)
    return jnp.where(dose["every"] > 0, _cleared(repeated, advance, safe, names, unit), constant)


def _repeated(dose: Names) -> Names:
    """The dose of a nonlinear steady state: a constant infusion is one that lasts as long as its interval."""
    constant = dose["every"] <= 0
    every = jnp.where(constant, CONSTANT, dose["every"])
    return {**dose, "every": every, "length": jnp.where(constant, CONSTANT, dose["length"])}


def _cleared(before: Array, advance: Advance, dose: Names, names: Names, unit: Array) -> Array:
    """The steady state moved on to the record's time when the dose arrives late; the area starts at 0."""
    phase = dose["every"] - jnp.mod(dose["lag"], dose["every"])
    moved = jnp.where(dose["lag"] > 0, _cycle(advance, dose, names, unit, before, phase), before)
    return moved.at[-1].set(0.0)


def _cycle(advance: Advance, dose: Names, names: Names, unit: Array, state: Array, upto: Array | None) -> Array:
    """From just before an arrival, `upto` hours (one interval) on; earlier infusions that outlast the interval still run."""
    every = dose["every"]
    until = every if upto is None else upto
    running = jnp.floor(dose["length"] / every)
    first = jnp.minimum(dose["length"] - running * every, until)
    infused = dose["mode"] > 0
    state = state.at[: unit.shape[0]].add(jnp.where(infused, 0.0, dose["amount"]) * unit)
    base = jnp.where(infused, dose["rate"], 0.0) * unit
    phases = (jnp.stack([base * (running + 1), base * running]), jnp.stack([first, until - first]))
    # a scan rather than two calls: the solver is compiled once
    return jax.lax.scan(lambda a, phase: (advance(a, phase[0], dose["time"], phase[1], names), None), state, phases)[0]


def _constant(advance: Advance, dose: Names, names: Names, unit: Array) -> Array:
    """Where a constant infusion of `rate` into the compartment ends up: 0 = K a + b, read off one advance of an hour."""
    n = unit.shape[0]
    zero, hour = jnp.zeros(n + 1), jnp.ones(())
    kept = jax.vmap(lambda a: advance(a, jnp.zeros(n), dose["time"], hour, names) - advance(zero, jnp.zeros(n), dose["time"], hour, names))(
        jnp.eye(n + 1)
    )
    gained = advance(zero, dose["rate"] * unit, dose["time"], hour, names)
    return jnp.concatenate([solve(jnp.eye(n) - kept[:n, :n].T, gained[:n]), jnp.zeros(1)])


def _step(advance: Advance, carry: tuple[Array, Array, Array], step: _Step) -> tuple[tuple[Array, Array, Array], Array]:
    state, infusion, time = carry
    moved = advance(state, infusion, time, jnp.maximum(step.time - time, 0.0), step.names)
    n = infusion.shape[0]
    unit = (jnp.arange(n) == step.cmt) * 1.0
    dosed = moved.at[:n].add(jnp.where(step.kind == BOLUS, step.amount, 0.0) * unit)
    emptied = dosed.at[:n].set(0.0)
    area = dosed[-1]
    taken = jnp.where(step.adds, dosed + step.steady, step.steady.at[-1].set(area))
    state = jnp.where(step.kind == RESET, emptied, jnp.where(step.kind == STEADY, taken, dosed))
    stopped = (step.kind == RESET) | ((step.kind == STEADY) & ~step.adds)
    infusion = jnp.where(stopped, 0.0, infusion + jnp.where(step.kind == RATE, step.amount, 0.0) * unit)
    return (state, infusion, step.time), state


def require_named(model: DrugModel) -> None:
    """Raise ModelError for a written-out model where only the named structures have a closed form."""
    if model.system is not None:
        raise ModelError(
            where=model.name, what="is written as differential equations", remedy="use a model with a named structure for this"
        )
