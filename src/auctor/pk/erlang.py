r"""The kernel of every linear absorption: a chain of equal first-order steps feeding one exponential mode.

For a chain rate k and a mode rate l over a step h, with alpha = k h and beta = l h, an amount that has N steps to go
adds to the mode after the step

    F_N = alpha^N / (N-1)! * G_N,   G_N(alpha, beta) = int_0^1 u^(N-1) exp(-alpha u - beta (1-u)) du.

G is the scaled incomplete gamma function e^{-beta} Gamma(N) gamma*(N, alpha - beta) written so that nothing overflows,
equal rates (alpha = beta) are an ordinary point, and dG_N/dalpha = -G_{N+1}, dG_N/dbeta = G_{N+1} - G_N.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from auctor.pk.engine import jax, jnp

Array = jax.Array


def _switch(stages: int) -> float:
    """|alpha - beta| above which the upward recurrence is the more accurate: its error grows as prod(N / x)."""
    return max(1.5, 0.8 * stages)


def _terms(stages: int) -> int:
    """Series length for a truncation error below 1e-17 of the sum at the switch."""
    x, term, count = _switch(stages), 1.0, 0
    while term > 1e-18:
        count += 1
        term *= x / (stages + count)
    return count + 1


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def mode_integrals(stages: int, alpha: Array, beta: Array) -> Array:
    """G_1 .. G_stages stacked on the last axis; `alpha`, `beta` >= 0 of one shape.

    Errors: none; 0 <= G_N <= 1/N for every finite input. Reference: DLMF 8.2.6 (gamma*), 8.8 (recurrences).

    >>> import numpy as np
    >>> g = mode_integrals(2, jnp.asarray(1.0), jnp.asarray(1.0))
    >>> bool(np.allclose(g, [np.exp(-1.0), np.exp(-1.0) / 2], rtol=1e-14))
    True
    """
    x = alpha - beta
    near = jnp.abs(x) <= _switch(stages)
    small, large = jnp.where(near, x, 0.0), jnp.where(near, _switch(stages) + 1.0, x)
    return jnp.where(near[..., None], _by_series(stages, small, alpha), _by_recurrence(stages, large, alpha, beta))


def _by_series(stages: int, x: Array, alpha: Array) -> Array:
    decay = jnp.exp(-alpha)
    total = jnp.ones_like(x)
    for k in range(_terms(stages), 0, -1):
        total = 1.0 + total * x / (stages + k)
    values = [decay * total / stages]
    for n in range(stages - 1, 0, -1):
        values.append((x * values[-1] + decay) / n)
    return jnp.stack(values[::-1], axis=-1)


def _by_recurrence(stages: int, x: Array, alpha: Array, beta: Array) -> Array:
    decay = jnp.exp(-alpha)
    values = [(jnp.exp(-beta) - decay) / x]
    for n in range(1, stages):
        values.append((n * values[-1] - decay) / x)
    return jnp.stack(values, axis=-1)


@mode_integrals.defjvp
def _mode_integrals_jvp(stages: int, primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    longer = mode_integrals(stages + 1, *primals)
    value, following = longer[..., :-1], longer[..., 1:]
    d_alpha, d_beta = tangents
    return value, -following * d_alpha[..., None] + (following - value) * d_beta[..., None]


def chain_to_mode(stages: int, alpha: Array, beta: Array) -> Array:
    """F_1 .. F_stages on the last axis: what an amount with N steps to go has added to the mode after the step.

    >>> float(chain_to_mode(1, jnp.asarray(2.0), jnp.asarray(0.0))[0])  # everything absorbed stays: 1 - exp(-2)
    0.8646647167633873
    """
    powers = jnp.stack([alpha**n / math.factorial(n - 1) for n in range(1, stages + 1)], axis=-1)
    return powers * mode_integrals(stages, alpha, beta)


def chain_decay(stages: int, alpha: Array) -> Array:
    """alpha^i e^-alpha / i! for i = 0 .. stages-1 on the last axis: the share that has made exactly i steps."""
    decay = jnp.exp(-alpha)
    return jnp.stack([alpha**i / math.factorial(i) * decay for i in range(stages)], axis=-1)


def mean_decay(beta: Array) -> Array:
    """(1 - exp(-beta)) / beta, the mean of exp(-beta u) over u in [0, 1]; 1 at 0."""
    return mode_integrals(1, jnp.zeros_like(beta), beta)[..., 0]
