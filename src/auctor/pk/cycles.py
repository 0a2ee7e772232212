"""The steady state of a nonlinear system: the fixed point of one dosing interval, found by Newton's method.

Derivatives follow from the implicit function theorem, not from the iterations. Where a repeated dose exceeds what can be eliminated
there is no steady state: the amounts are then inf, and NaN where none was found for another reason; never a number.
Reference: Ortega & Rheinboldt, Iterative Solution of Nonlinear Equations in Several Variables, 1970, 13.3: started from an empty body,
Newton's method rises to the steady state of saturable elimination without passing it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from auctor.pk.adaptive import FADED
from auctor.pk.engine import jax, jnp
from auctor.pk.exponential import product, solve

Array = jax.Array
Cycle = Callable[[Array], Array]  # amounts (n,) just before a dose -> amounts before the next

MOST_CYCLES = 80
DOUBLINGS = 14  # a steady state is one that 2**14 = 16,384 further doses would bring about
GROWN = 1e7
CLOSE = 1e-9
SWITCHING, ENOUGH = 1e-7, 12
NOISE = 1e-6  # a residual below it may rise again: that is the solver's error, not Newton's
TRACE = 1e-7  # an amount below this share of the largest, or below FADED of what one interval brings, is held to an absolute error


class _Search(NamedTuple):
    """Amounts (n,), the jacobian (n, n) and result (n,) of a cycle from those before, the largest amount one dose leaves, the relative
    residual, the last step relative to the amounts, and how many were tried.
    """

    amounts: Array
    jacobian: Array
    plain: Array
    one: Array
    residual: Array
    step: Array
    tried: Array


def settled(cycle: Cycle, n: int, given: Array) -> Array:
    """The amounts (n,) that one cycle, which brings `given` mg, leaves as they are.

    inf where they grow without bound, NaN where none is found.
    """

    # every number the cycle closes over is an argument, so that the cycle is traced once and differentiated only where that is asked for
    plain, held = jax.closure_convert(cycle, jnp.zeros(n))
    found: Array = _root(jax.jit(plain), n, given, *held)
    return found


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _root(cycle: Callable[..., Array], n: int, given: Array, *held: Array) -> Array:
    found: Array = _searched(lambda amounts: cycle(amounts, *held), jnp.zeros(n), given)
    return found


@_root.defjvp
def _root_moves(cycle: Callable[..., Array], n: int, primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    """By the implicit function theorem: (1 - d cycle / d amounts) d amounts = d cycle / d held."""
    held, moved = primals[1:], tangents[1:]
    amounts: Array = _root(cycle, n, *primals)

    def along(direction: Array) -> Array:
        turned: Array = jax.jvp(lambda a: cycle(a, *held), (amounts,), (direction,))[1]
        return turned

    brought = jax.jvp(lambda *values: cycle(amounts, *values), held, moved)[1]
    return amounts, solve(jnp.eye(n) - jax.vmap(along)(jnp.eye(n)).T, brought)


def _searched(cycle: Cycle, start: Array, given: Array) -> Array:
    n, inf = start.shape[0], jnp.asarray(jnp.inf)

    def grown(s: _Search) -> Array:
        return jnp.max(jnp.abs(s.amounts)) > GROWN * s.one

    def even(s: _Search) -> Array:
        # equations that switch at a time cannot be integrated more evenly than this: one interval gives the amounts back all the same
        return (s.tried >= ENOUGH) & (s.residual <= SWITCHING)

    def going(s: _Search) -> Array:
        return (s.step > CLOSE) & ~even(s) & (s.tried < MOST_CYCLES) & jnp.all(jnp.isfinite(s.amounts)) & ~grown(s)

    begin = _Search(start, jnp.zeros((n, n)), start, inf, inf, inf, jnp.asarray(0))
    ended = jax.lax.while_loop(going, lambda s: _improved(cycle, s, given), begin)
    close = (ended.step <= CLOSE) | even(ended)
    fading = _fades(ended.jacobian)
    # a fixed point from which a deviation does not fade is one that repeated doses run past
    endless = grown(ended) | (close & (fading > 0.5) & (fading <= n))
    return jnp.where(endless, jnp.inf, jnp.where(close & (fading <= 0.5), ended.amounts, jnp.nan))


def _improved(cycle: Cycle, s: _Search, given: Array) -> _Search:
    """One Newton step, or a plain cycle where Newton's last one made things worse or the next would leave the possible amounts."""
    after, jacobian = _with_jacobian(cycle, s.amounts)
    residual = _relative(after - s.amounts, after, given)
    worse = ~(residual <= jnp.maximum(2 * s.residual, NOISE))
    # one elimination for the step and the inverse
    eye = jnp.eye(after.shape[0])
    solved = jax.vmap(lambda right: solve(eye - jacobian, right))(jnp.concatenate([(after - s.amounts)[None], eye]))
    step = solved[0]
    trial = s.amounts + step
    impossible = ~jnp.all(jnp.isfinite(trial)) | jnp.any((trial < 0) & (after >= 0) & (trial < -CLOSE * jnp.max(jnp.abs(after))))
    taken = jnp.where(worse, s.plain, jnp.where(impossible, after, trial))
    # the step cannot become smaller than the error of the cycle times how strongly the fixed point amplifies it
    amplified = jnp.maximum(1.0, jnp.abs(jnp.trace(solved[1:])))
    moved = jnp.where(worse | impossible, jnp.inf, _relative(step, trial, given) / amplified)
    one = jnp.where(s.tried == 0, jnp.max(jnp.abs(after)), s.one)
    return _Search(taken, jacobian, after, one, jnp.where(worse, jnp.inf, residual), moved, s.tried + 1)


def _with_jacobian(cycle: Cycle, amounts: Array) -> tuple[Array, Array]:
    def both(a: Array) -> tuple[Array, Array]:
        after = cycle(a)
        return after, after

    jacobian, after = jax.jacfwd(both, has_aux=True)(amounts)
    return after, jacobian


def _relative(change: Array, size: Array, given: Array) -> Array:
    """The largest change of an amount relative to it, or to an amount so small that the solver holds it to an absolute error."""
    floor = TRACE * jnp.max(jnp.abs(size)) + FADED * given + 1e-300
    return jnp.max(jnp.abs(change) / (jnp.abs(size) + floor))


def _fades(jacobian: Array) -> Array:
    """|trace of jacobian^(2^14)|: 0 where a deviation dies out, about 1 where it never does, large or NaN where it grows."""
    idle = jnp.all(jacobian == jnp.eye(jacobian.shape[0]), axis=1)  # a compartment that nothing enters or leaves
    power = jnp.where(idle[:, None], 0.0, jacobian)
    power = jax.lax.fori_loop(0, DOUBLINGS, lambda _, p: product(p, p), power)
    return jnp.abs(jnp.trace(power))
