"""One gap between events of a nonlinear system: Dormand-Prince 8(7), every lane with its own step, and no solver for a decaying depot.

The coefficients are diffrax's; the loop is ours because it is several times faster for many short solves (docs/adr/0002). The error of a
step is held to `RTOL` of each amount. Reference: Prince & Dormand, J Comput Appl Math 1981;7:67-75; starting step and step control:
Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 2nd ed. 1993, II.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from auctor.models.model import System
from auctor.models.systems import linear_in
from auctor.pk.engine import jax, jnp

Array = jax.Array
Names = dict[str, Array]
Slope = Callable[[Array, Names, Array], Array]  # state, parameters, time -> d state / dt without infusions
Field = Callable[[Array, Array], Array]  # amounts that are integrated, h since the gap began -> their d/dt
Advance = Callable[[Array, Array, Array, Array, Names], Array]  # state, infusion (n,), start time, length, parameters

RTOL = 1e-9
FADED = 1e-3  # an amount below this share of what it was when the gap began is held to an absolute error
TRACE = 1e-8  # and one below this share of the largest amount
MOST_STEPS = 20_000
ORDER = 8
EXPECTED = "expected amount"  # beside the parameters' names: what is still to arrive, where the gap may begin with nothing


class _Tableau(NamedTuple):
    """Row j of `lower` makes stage j from the stages before it; `nodes`, `weights` and `errors` have one entry a stage."""

    nodes: tuple[float, ...]
    lower: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]


@cache
def _dopri8() -> _Tableau:
    import diffrax

    table = diffrax.Dopri8.tableau
    used = int(np.flatnonzero((np.asarray(table.b_sol) != 0) | (np.asarray(table.b_error) != 0))[-1]) + 1
    rows = ((), *(tuple(map(float, row)) for row in table.a_lower))
    nodes = (0.0, *map(float, table.c))
    return _Tableau(nodes[:used], rows[:used], tuple(map(float, table.b_sol[:used])), tuple(map(float, table.b_error[:used])))


class _Gap(NamedTuple):
    """What holds between two events: the state (n + 1,) at its start, `infusion` (n,), start time, length (h) and parameters."""

    state: Array
    infusion: Array
    time: Array
    length: Array
    names: Names


def decaying(system: System) -> tuple[int, ...]:
    """The compartments whose equation holds no amount but their own and is linear in it: their course is an exponential.

    >>> from auctor.models.expressions import parse
    >>> odes = tuple(parse(text, where="odes") for text in ("-KA * A1", "KA * A1 - VM * A2 / (KM + A2)"))
    >>> decaying(System(derivatives=odes, outputs={}, inputs={}, linear=False))
    (0,)
    """
    states = [f"A{k + 1}" for k in range(system.size)]
    return tuple(
        k for k, e in enumerate(system.derivatives) if linear_in(e, states) and not e.names & {s for s in states if s != states[k]}
    )


def adaptive(slope: Slope, decays: Sequence[int]) -> Advance:
    """The advance of a system by its equations; NaN where they cannot be integrated. A state of inf (no steady state) stays inf.

    `slope` gives d state / dt, (n + 1,), the last entry being the first output; `decays` are the compartments of `decaying`.
    Differentiable forward; the steps are held fixed under the derivative.
    """
    slope = jax.jit(slope)  # traced once, however often it is called

    def advance(state: Array, infusion: Array, time: Array, length: Array, names: Names) -> Array:
        gap = _Gap(state, infusion, time, length, names)
        finite = jnp.all(jnp.isfinite(state))
        rest = [k for k in range(state.shape[0]) if k not in decays]
        n = state.shape[0]
        known = jnp.stack([state, jnp.zeros(n), jnp.ones(n)]) if decays else state[None]
        slopes = jax.vmap(lambda a: slope(a, names, time))(known)
        field, whole = _field(slope, gap, slopes, (decays, rest))
        start, floor = state[jnp.asarray(rest)], _floor(gap, slopes[0])[jnp.asarray(rest)]
        begin = _Start(jnp.where(finite, start, 0.0), floor, jnp.where(finite, length, 0.0))
        ended, solved = _solve(field, begin)
        return jnp.where(finite, jnp.where(solved, whole(ended, length), jnp.nan), jnp.where(length > 0, jnp.max(state), state))

    # compiled as one function: traced once, however many places advance a state
    found: Advance = jax.jit(advance)
    return found


def _floor(gap: _Gap, slope: Array) -> Array:
    """The size below which an amount's error need not shrink with it, (n + 1,)."""
    inflow = jnp.concatenate([gap.infusion, jnp.zeros(1)])
    arriving = jnp.abs(slope + inflow) * gap.length
    size = jnp.max(jnp.abs(gap.state)) + jnp.max(arriving) + gap.names.get(EXPECTED, 0.0)
    return jax.lax.stop_gradient(FADED * jnp.abs(gap.state) + TRACE * size + 1e-30)


def _field(slope: Slope, gap: _Gap, slopes: Array, split: tuple[Sequence[int], Sequence[int]]) -> tuple[Field, Field]:
    """d/dt of the amounts that are integrated, at (amounts, h since the gap began); and the whole state there.

    `slopes` are those at the gap's beginning, of no amounts and of amounts of 1; `split` the decaying amounts and the others.
    """
    decays, rest = split
    order = np.argsort([*decays, *rest])
    inflow = jnp.concatenate([gap.infusion, jnp.zeros(1)])
    # the slope of a decaying amount is c - k a, whatever the other amounts are
    closed = [(gap.state[k], slopes[2, k] - slopes[1, k], slopes[1, k] + inflow[k]) for k in decays]

    def whole(amounts: Array, t: Array) -> Array:
        known = [a * jnp.exp(rate * t) + input_ * t * _mean_growth(rate * t) for a, rate, input_ in closed]
        every = [*known, *(amounts[i] for i in range(len(rest)))]
        return jnp.stack([every[i] for i in order])

    def field(amounts: Array, t: Array) -> Array:
        found = slope(whole(amounts, t), gap.names, gap.time + t) + inflow
        return jnp.stack([found[k] for k in rest])

    return field, whole


def _mean_growth(x: Array) -> Array:
    """(exp(x) - 1) / x, 1 at 0."""
    small = jnp.abs(x) < 1e-5
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1 + x / 2 + x * x / 6, jnp.expm1(safe) / safe)


class _Start(NamedTuple):
    """What is integrated: the amounts, the size below which their error need not shrink, and for how long (h)."""

    amounts: Array
    floor: Array
    length: Array


def _solve(field: Field, start: _Start) -> tuple[Array, Array]:
    """The amounts at `length`, and whether they were reached within `MOST_STEPS`."""
    length = start.length

    def more(carry: tuple[Array, Array, Array, Array]) -> Array:
        _, t, _, count = carry
        return (t < length) & (count < MOST_STEPS)

    def once(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        amounts, t, h, count = carry
        last = h >= length - t
        own = jnp.where(last, length - t, h)
        reached, error = _step(field, amounts, t, own)
        miss = _miss(error, amounts, reached, start.floor)
        good = miss <= 1
        factor = jnp.where(jnp.isfinite(miss), jnp.clip(0.9 * jnp.maximum(miss, 1e-12) ** (-1 / ORDER), 0.2, 10.0), 0.2)
        on = jnp.where(good, jnp.where(last, length, t + own), t)
        amounts = jnp.where(good, reached, amounts)
        return amounts, jax.lax.stop_gradient(on), jax.lax.stop_gradient(own * factor), count + 1

    first = _first_step(field, start)
    ended, t, _, _ = jax.lax.while_loop(more, once, (start.amounts, jnp.zeros(()), first, jnp.asarray(0)))
    return ended, t >= length


def _step(field: Field, amounts: Array, t: Array, h: Array) -> tuple[Array, Array]:
    """One step of `h`: the amounts and the estimate of their error. A loop over the stages: written out they take far longer to compile."""
    table = _dopri8()
    count = len(table.nodes)
    lower = jnp.asarray([(*row, *(0.0,) * (count - len(row))) for row in table.lower])
    nodes, weights, errors = (jnp.asarray(values) for values in (table.nodes, table.weights, table.errors))

    def stage(i: Array, stages: Array) -> Array:
        at = amounts + h * jnp.sum(lower[i][:, None] * stages, axis=0)
        return stages.at[i].set(field(at, t + nodes[i] * h))

    stages = jax.lax.fori_loop(0, count, stage, jnp.zeros((count, amounts.shape[0])))
    return amounts + h * jnp.sum(weights[:, None] * stages, axis=0), h * jnp.sum(errors[:, None] * stages, axis=0)


def _miss(error: Array, before: Array, after: Array, floor: Array) -> Array:
    """Root mean square of the error in units of what is allowed, held out of the derivative."""
    allowed = RTOL * jnp.maximum(floor, jnp.maximum(jnp.abs(before), jnp.abs(after)))
    return jax.lax.stop_gradient(jnp.sqrt(jnp.mean((error / allowed) ** 2)))


def _first_step(field: Field, start: _Start) -> Array:
    """A step whose first two terms promise the wanted error. Reference: Hairer, Nørsett & Wanner, II.4, the algorithm before (4.15)."""
    amounts, floor, length = start
    zero = jnp.zeros_like(amounts)
    slope = field(amounts, jnp.zeros(()))
    size, speed = _miss(amounts, amounts, zero, floor), _miss(slope, amounts, zero, floor)
    guess = jnp.minimum(jnp.where((size > 0) & (speed > 0), 0.01 * size / jnp.where(speed > 0, speed, 1.0), 1e-6), length)
    bend = _miss(field(amounts + guess * slope, guess) - slope, amounts, zero, floor) / jnp.where(guess > 0, guess, 1.0)
    steepest = jnp.maximum(speed, bend)
    wanted = jnp.where(steepest > 0, (0.01 / jnp.where(steepest > 0, steepest, 1.0)) ** (1 / ORDER), length)
    found = jnp.minimum(jnp.minimum(100 * guess, wanted), length)
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(found), found, 1e-6 * length))
