"""The tiers of models without a closed form: matrix exponential where the equations are linear, an adaptive solver where they are not.

Inside, the state is one array: the amounts and, last, the area under the first output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from auctor.models.model import DrugModel, System
from auctor.models.spelled import spelled
from auctor.pk.adaptive import EXPECTED, adaptive, decaying
from auctor.pk.closed_form import ClosedForm
from auctor.pk.cycles import settled
from auctor.pk.density import Pulses, density_at
from auctor.pk.engine import jax, jnp
from auctor.pk.events import Span, State, Tier
from auctor.pk.exponential import expm, solve

Array = jax.Array
Names = dict[str, Any]
Advance = Callable[[Array, Array, Array, Array, Names], Array]  # state, inflow (n,), start time, length, parameters

GIVEN_AT, PULSES = "given at", "pulses"  # beside the parameters' names: no name has a space


def tier_of(model: DrugModel, infused: int) -> Tier:
    """The fastest tier that is exact for the model; `infused` is the bit mask of the compartments that infusions enter."""
    if model.system is None and model.structure.linear:
        return ClosedForm(model, jnp, infused)
    return Written(model, spelled(model), infused)


@dataclass(frozen=True)
class Written:
    """The tier of a system written out: linear ones by matrix exponential, others by an adaptive solver."""

    model: DrugModel
    system: System
    infused: int = -1

    @property
    def cyclic(self) -> bool:
        """Whether steady states are found from whole dosing intervals: the system is not linear with constant coefficients."""
        return not self.system.linear or bool(self.system.densities)

    @property
    def size(self) -> int:
        """Compartments."""
        return self.system.size

    @property
    def ports(self) -> tuple[int, ...]:
        """Compartments that a dose may enter: all."""
        return tuple(range(self.size))

    def rates(self, names: Mapping[str, Any]) -> Names:
        """The parameters and covariates that the equations read."""
        densities = [e for many in self.system.densities.values() for d in many for e in (d.share, d.shape, d.rate)]
        read = {n for e in (*self.system.derivatives, *self.system.outputs.values(), *densities) for n in e.names}
        return {name: value for name, value in names.items() if name in read}

    def advance(self, state: State, inflow: Sequence[Any], span: Span, rates: Names, pulses: Pulses | None = None) -> State:
        """The state `span` = (start, length h, last dose given at) later under constant `inflow` (mg/h by compartment)."""
        start, length, given = span
        known = {**rates, GIVEN_AT: given} | ({} if pulses is None else {PULSES: pulses, EXPECTED: jnp.max(pulses.amount)})
        into = jnp.stack([jnp.asarray(r, dtype=jnp.float64) + 0.0 * state[0] for r in inflow])
        return _parts(_stepper(self.model, self.cyclic)(jnp.stack(state), into, start, length, known))

    def through(self, state: State, phases: Sequence[tuple[Sequence[Any], Span]], rates: Names, pulses: Pulses | None = None) -> State:
        """One step after another: a scan, so that a solver is compiled once."""
        inflows = jnp.stack([jnp.stack([jnp.asarray(r, dtype=jnp.float64) + 0.0 * state[0] for r in inflow]) for inflow, _ in phases])
        spans = jnp.stack([jnp.stack([jnp.asarray(s, dtype=jnp.float64) for s in span]) for _, span in phases])

        def once(now: Array, phase: tuple[Array, Array]) -> tuple[Array, None]:
            inflow, span = phase
            return jnp.stack(self.advance(_parts(now), _parts(inflow), (span[0], span[1], span[2]), rates, pulses)), None

        return _parts(jax.lax.scan(once, jnp.stack(state), (inflows, spans))[0])

    def fixed_point(self, cycle: Callable[[State], State], span: Span, rates: Names, given: Any) -> State:
        """The state that one dosing interval gives back; area 0."""
        del rates  # the cycle knows them; `given` is what one interval brings (mg)
        n = self.size

        def once(state: Array) -> Array:
            return jnp.stack(cycle(_parts(state))).at[-1].set(0.0)

        if self.cyclic:
            return _parts(jnp.append(settled(lambda amounts: once(jnp.append(amounts, 0.0))[:n], n, jnp.asarray(given)), 0.0))
        del span
        return _parts(_unmoved(once, n))

    def constant(self, inflow: Sequence[Any], span: Span, rates: Names) -> State:
        """Where a constant inflow ends up: 0 = K a + b, read off one advance of an hour; linear systems only."""

        def hour(state: Array) -> Array:
            return jnp.stack(self.advance(_parts(state), inflow, (span[0], jnp.ones(()), span[2]), rates)).at[-1].set(0.0)

        return _parts(_unmoved(hour, self.size))

    def over(self, function: Callable[[Any, Any], State], single: bool) -> Callable[[Any, Any], State]:
        """Mapped over axis 0."""
        mapped: Callable[[Any, Any], State] = jax.vmap(function, in_axes=(0, None if single else 0))
        return mapped

    def read(self, state: State, rates: Names) -> tuple[Any, ...]:
        """The outputs, mg/L."""
        return _parts(_outputs(self.model, self.system, jnp.stack(state), rates))


def _unmoved(once: Callable[[Array], Array], n: int) -> Array:
    """The state (n + 1,) that an affine `once` leaves as it is, area 0: read off the empty body and a unit of each amount, in one call."""
    after = jax.vmap(once)(jnp.eye(n + 1, k=-1))  # row 0 is the empty body
    gained = after[0]
    return jnp.append(solve(jnp.eye(n) - (after[1:, :n] - gained[:n]).T, gained[:n]), 0.0)


@lru_cache(maxsize=64)
def _stepper(model: DrugModel, cyclic: bool) -> Advance:
    """How the equations of a model advance a state; kept, so that JAX traces it once however many places call it."""
    system = spelled(model)
    if not cyclic:
        return _linear(model, system)
    fed = {d.into for many in system.densities.values() for d in many}
    decays = [k for k in decaying(system) if k not in fed]
    return adaptive(lambda state, names, time: _slope(model, system, state, names, time), decays)


def _parts(state: Array) -> State:
    return tuple(state[k] for k in range(state.shape[0]))


def _amounts(system: System, state: Array) -> Names:
    return {f"A{k + 1}": state[k] for k in range(system.size)}


def _outputs(model: DrugModel, system: System, state: Array, names: Names) -> Array:
    """Every output in mg/L."""
    known = {**names, **_amounts(system, state)}
    return jnp.stack([jnp.asarray(e.evaluate(known, jnp)) for e in system.outputs.values()]) / model.scale


def _slope(model: DrugModel, system: System, state: Array, names: Names, time: Array) -> Array:
    """d state / dt without infusions; the last entry is the first output."""
    known = {**names, **_amounts(system, state), "t": time, "tad": time - names[GIVEN_AT]}
    parts = [jnp.asarray(e.evaluate(known, jnp), dtype=jnp.float64) for e in system.derivatives]
    if PULSES in names:
        into = [d.into for many in system.densities.values() for d in many]
        each = len(names[PULSES].time) // len(into)
        arriving = density_at(names[PULSES], time, jnp)
        for k, place in enumerate(into):
            parts[place] = parts[place] + jnp.sum(arriving[k * each : (k + 1) * each])
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

    found: Advance = jax.jit(advance)
    return found
