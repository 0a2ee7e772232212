"""Closed-form advance of a linear model's state by a time step, and its steady state; no ODE solver.

State: amounts (mg) in the absorption chain (n stages, may be 0) and in the disposition compartments (central first).
Shapes are those of one patient at one time; `jax.vmap` supplies the rest.
"""

from __future__ import annotations

from typing import NamedTuple

from auctor.pk.disposition import Modes
from auctor.pk.engine import jax, jnp
from auctor.pk.erlang import chain_decay, chain_to_mode, mean_decay

Array = jax.Array


class State(NamedTuple):
    """Amounts in mg: `chain` (stages,), `body` (compartments,)."""

    chain: Array
    body: Array

    def total(self) -> Array:
        """Everything not yet eliminated, mg."""
        return jnp.sum(self.chain) + jnp.sum(self.body)


class Rates(NamedTuple):
    """What a step needs: the chain's rate (1/h; unused when the chain is empty) and the disposition modes."""

    chain: Array
    body: Modes


def empty(stages: int, compartments: int) -> State:
    """A body without drug."""
    return State(jnp.zeros(stages), jnp.zeros(compartments))


def advance(state: State, rates: Rates, dt: Array, infusion: Array) -> State:
    """The state `dt` hours later under a constant `infusion` (mg/h) into the central compartment."""
    arrived = infusion * dt * mean_decay(rates.body.rate * dt)
    if state.chain.shape[0]:
        arrived = arrived + _from_chain(state.chain, rates, dt)
    body = _decayed(state.body, rates.body, dt) + _mode_sum(arrived, rates.body)
    return State(_chain_after(state.chain, rates.chain * dt), body)


def _decayed(body: Array, modes: Modes, dt: Array) -> Array:
    # sums of products, not dot products: under vmap those would become batched matrix calls, which XLA does not fuse on a CPU
    return jnp.sum(jnp.exp(-modes.rate * dt)[:, None, None] * modes.projector * body, axis=(0, 2))


def _from_chain(chain: Array, rates: Rates, dt: Array) -> Array:
    """What each mode has received from the chain, (m,): stage j has n - j steps to go."""
    stages = chain.shape[0]
    beta = rates.body.rate * dt
    reached = chain_to_mode(stages, jnp.broadcast_to(rates.chain * dt, beta.shape), beta)
    return jnp.sum(reached * chain[::-1], axis=-1)


def _chain_after(chain: Array, alpha: Array) -> Array:
    stages = chain.shape[0]
    if stages == 0:
        return chain
    share = chain_decay(stages, alpha)
    return jnp.stack([jnp.sum(share[: i + 1] * chain[i::-1]) for i in range(stages)])


def steady_after_bolus(rates: Rates, *, stages: int, amount: Array, to_chain: Array, every: Array) -> State:
    """Steady state just after a bolus of `amount` mg given every `every` h (into the chain where `to_chain`, else central).

    Solves z = T z + dose by forward substitution down the chain, then mode by mode: exact, no repeated dosing.
    """
    chain = _steady_chain(stages, rates.chain * every, jnp.where(to_chain, amount, 0.0))
    modes = rates.body
    arriving = jnp.where(to_chain, 0.0, amount) * jnp.ones_like(modes.rate)
    if stages:
        arriving = arriving + _from_chain(chain, rates, every)
    return State(chain, _mode_sum(arriving / -jnp.expm1(-modes.rate * every), modes))


def _steady_chain(stages: int, alpha: Array, amount: Array) -> Array:
    if stages == 0:
        return jnp.zeros(0)
    share = chain_decay(stages, alpha)
    left = -jnp.expm1(-alpha)
    values = [amount / left]
    for i in range(1, stages):
        values.append(jnp.sum(share[1 : i + 1] * jnp.stack(values[::-1])) / left)
    return jnp.stack(values)


def steady_before_bolus(rates: Rates, *, stages: int, amount: Array, to_chain: Array, every: Array) -> State:
    """Steady state just before such a bolus, without subtracting the dose (which would cost the digits of a deep trough)."""
    after = steady_after_bolus(rates, stages=stages, amount=amount, to_chain=to_chain, every=every)
    modes = rates.body
    decayed = jnp.where(to_chain, 0.0, amount) / jnp.expm1(modes.rate * every)
    return State(_chain_after(after.chain, rates.chain * every), jnp.where(to_chain, after.body, _mode_sum(decayed, modes)))


def steady_before_infusion(rates: Rates, *, stages: int, rate: Array, duration: Array, every: Array) -> State:
    """Steady state just before an infusion of `rate` mg/h for `duration` h (<= `every`) repeated every `every` h."""
    modes = rates.body
    gained = rate * duration * mean_decay(modes.rate * duration) * jnp.exp(-modes.rate * (every - duration))
    return State(jnp.zeros(stages), _mode_sum(gained / -jnp.expm1(-modes.rate * every), modes))


def _mode_sum(amounts: Array, modes: Modes) -> Array:
    return jnp.sum(amounts[:, None] * modes.projector[:, :, 0], axis=0)
