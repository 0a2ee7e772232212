r"""The kernel of every linear absorption: a chain of equal first-order steps feeding one exponential mode.

For a chain rate k and a mode rate l over a step h, with alpha = k h and beta = l h, an amount that has N steps to go
adds to the mode after the step

    F_N = alpha^N / (N-1)! * G_N,   G_N(alpha, beta) = int_0^1 u^(N-1) exp(-alpha u - beta (1-u)) du.

G is the scaled incomplete gamma function e^{-beta} Gamma(N) gamma*(N, alpha - beta) written so that nothing overflows,
equal rates (alpha = beta) are an ordinary point, and dG_N/dalpha = -G_{N+1}, dG_N/dbeta = G_{N+1} - G_N.
Arrays of any one shape; results are tuples of arrays, so that XLA fuses everything into one loop over patients.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

Values = tuple[Any, ...]


def _switch(stages: int) -> float:
    """|alpha - beta| above which the upward recurrence is used: its error grows as prod(N / x), some tens of roundings here."""
    return max(0.5, 0.35 * stages)


def _terms(stages: int) -> int:
    """Series length for a truncation error below 1e-17 of the sum at the switch."""
    x, term, count = _switch(stages), 1.0, 0
    while term > 1e-18:
        count += 1
        term *= x / (stages + count)
    return count + 1


def mode_integrals(stages: int, alpha: Any, beta: Any, xp: ModuleType) -> Values:
    """G_1 .. G_stages; `alpha`, `beta` >= 0 of one shape.

    Errors: none; 0 <= G_N <= 1/N for every finite input. Reference: DLMF 8.2.6 (gamma*), 8.8 (recurrences).

    >>> g = mode_integrals(2, np.asarray(1.0), np.asarray(1.0), np)
    >>> bool(np.allclose(g, [np.exp(-1.0), np.exp(-1.0) / 2], rtol=1e-14))
    True
    """
    if xp is np:
        same = np.ndim(alpha) > 0 and np.shape(alpha) == np.shape(beta)
        return _split(stages, alpha, beta) if same else _integrals(stages, alpha, beta, np)
    found: Values = _traced()(stages, alpha, beta)
    return found


def _split(stages: int, alpha: Any, beta: Any) -> Values:
    """`_integrals` of arrays in NumPy: each entry by its own formula, which leaves every figure as it is."""
    x = alpha - beta
    near = np.abs(x) <= _switch(stages)
    decay, far = np.exp(-alpha), ~near
    if not near.any():
        return tuple(_by_recurrence(stages, x, decay, np.exp(-beta)))
    found = [np.empty_like(x) for _ in range(stages)]
    parts = [(near, _by_series(stages, x[near], decay[near]))]
    parts += [(far, _by_recurrence(stages, x[far], decay[far], np.exp(-beta[far])))] if far.any() else []
    for where, values in parts:
        for whole, value in zip(found, values, strict=True):
            whole[where] = value
    return tuple(found)


def _integrals(stages: int, alpha: Any, beta: Any, xp: ModuleType) -> Values:
    x = alpha - beta
    near = xp.abs(x) <= _switch(stages)
    small, large = xp.where(near, x, 0.0), xp.where(near, _switch(stages) + 1.0, x)
    decay = xp.exp(-alpha)
    series = _by_series(stages, small, decay)
    recurrence = _by_recurrence(stages, large, decay, xp.exp(-beta))
    return tuple(xp.where(near, a, b) for a, b in zip(series, recurrence, strict=True))


def _by_series(stages: int, x: Any, decay: Any) -> list[Any]:
    total = 1.0 + x / (stages + _terms(stages))
    for k in range(_terms(stages) - 1, 0, -1):
        total = 1.0 + total * x * (1.0 / (stages + k))
    values = [decay * total * (1.0 / stages)]
    for n in range(stages - 1, 0, -1):
        values.append((x * values[-1] + decay) * (1.0 / n))
    return values[::-1]


def _by_recurrence(stages: int, x: Any, decay: Any, decay_of_mode: Any) -> list[Any]:
    inverse = 1.0 / x
    values = [(decay_of_mode - decay) * inverse]
    for n in range(1, stages):
        values.append((n * values[-1] - decay) * inverse)
    return values


def _traced() -> Any:
    """The same under JAX with its own derivative: one more integral instead of the derivative of a series."""
    if not _TRACED:
        from auctor.pk.engine import jax, jnp

        @partial(jax.custom_jvp, nondiff_argnums=(0,))
        def integrals(stages: int, alpha: Any, beta: Any) -> Values:
            return _integrals(stages, alpha, beta, jnp)

        @integrals.defjvp
        def _slope(stages: int, primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Values, Values]:
            longer = integrals(stages + 1, *primals)
            d_alpha, d_beta = tangents
            slopes = (-after * d_alpha + (after - value) * d_beta for value, after in pairwise(longer))
            return longer[:-1], tuple(slopes)

        _TRACED.append(integrals)
    return _TRACED[0]


_TRACED: list[Any] = []


def chain_to_mode(stages: int, alpha: Any, beta: Any, xp: ModuleType) -> Values:
    """F_1 .. F_stages: what an amount with N steps to go has added to the mode after the step.

    >>> float(chain_to_mode(1, np.asarray(2.0), np.asarray(0.0), np)[0])  # everything absorbed stays: 1 - exp(-2)
    0.8646647167633873
    """
    integrals, power, found = mode_integrals(stages, alpha, beta, xp), alpha, []
    for n, integral in enumerate(integrals, 1):
        found.append(power * integral * (1.0 / math.factorial(n - 1)))
        power = power * alpha
    return tuple(found)


def chain_decay(stages: int, alpha: Any, xp: ModuleType) -> Values:
    """alpha^i e^-alpha / i! for i = 0 .. stages-1: the share that has made exactly i steps."""
    found = [xp.exp(-alpha)]
    for i in range(1, stages):
        found.append(found[-1] * alpha * (1.0 / i))
    return tuple(found)


def mean_decay(beta: Any, decay: Any, xp: ModuleType) -> Any:
    """(1 - exp(-beta)) / beta, the mean of exp(-beta u) over u in [0, 1], given `decay` = exp(-beta); 1 at 0.

    >>> float(mean_decay(np.asarray(2.0), np.exp(-2.0), np))
    0.43233235838169365
    """
    near = beta < 0.05
    small, large = xp.where(near, beta, 0.0), xp.where(near, 1.0, beta)
    total = 1.0 - small / 9
    for k in range(8, 1, -1):
        total = 1.0 - small * total * (1.0 / k)
    return xp.where(near, total, (1.0 - decay) / large)
