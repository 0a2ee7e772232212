"""The matrix exponential and a small linear solve in plain array code: no batched LAPACK, differentiable, for n up to about 14."""

from __future__ import annotations

from auctor.pk.engine import jax, jnp

Array = jax.Array

TAYLOR = 14  # with the norm scaled to 1/2 the first term left out is below 1e-17


def product(a: Array, b: Array) -> Array:
    """a @ b as a fused sum of products: under vmap a small dot product would become an unfused batched call."""
    return jnp.sum(a[:, :, None] * b[None, :, :], axis=1)


def expm(matrix: Array) -> Array:
    """exp(matrix), (n, n), by scaling, a Taylor polynomial and squaring. Reference: Moler & Van Loan, SIAM Rev 2003;45:3-49, method 3.

    >>> bool(jnp.allclose(expm(jnp.array([[0.0, 1.0], [0.0, 0.0]])), jnp.array([[1.0, 1.0], [0.0, 1.0]])))
    True
    """
    norm = jax.lax.stop_gradient(jnp.max(jnp.sum(jnp.abs(matrix), axis=1)))
    doublings = jnp.ceil(jnp.log2(jnp.maximum(norm, 0.5)) + 1).astype(jnp.int32)
    small = matrix / 2.0**doublings
    eye = jnp.eye(matrix.shape[0])
    total = eye
    for k in range(TAYLOR, 0, -1):
        total = eye + product(small, total) / k
    found: Array = jax.lax.fori_loop(0, doublings, lambda _, e: product(e, e), total)
    return found


def solve(matrix: Array, vector: Array) -> Array:
    """matrix^-1 vector by elimination with the pivots in place; a row of zeros (a compartment nothing enters) gives 0.

    >>> solve(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([2.0, 3.0])).tolist()
    [1.0, 2.0]
    """
    n = vector.shape[0]
    a, x = matrix, vector
    for i in range(n):
        pivot = jnp.where(a[i, i] == 0, 1.0, a[i, i])
        share = jnp.where(jnp.arange(n) > i, a[:, i] / pivot, 0.0)
        a, x = a - share[:, None] * a[i], x - share * x[i]
    for i in reversed(range(n)):
        pivot = jnp.where(a[i, i] == 0, 1.0, a[i, i])
        x = x.at[i].set((x[i] - jnp.sum(jnp.where(jnp.arange(n) > i, a[i] * x, 0.0))) / pivot)
    return x
