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
    # loops, not written out: as fast to run and far less to compile
    total = jax.lax.fori_loop(0, TAYLOR, lambda k, t: eye + product(small, t) / (TAYLOR - k), eye)
    found: Array = jax.lax.fori_loop(0, doublings, lambda _, e: product(e, e), total)
    return found


def solve(matrix: Array, vector: Array) -> Array:
    """matrix^-1 vector by elimination with the pivots in place; a row of zeros (a compartment nothing enters) gives 0.

    >>> solve(jnp.array([[2.0, 0.0], [1.0, 1.0]]), jnp.array([2.0, 3.0])).tolist()
    [1.0, 2.0]
    """
    n = vector.shape[0]
    rows = jnp.arange(n)

    def pivot(a: Array, i: Array) -> Array:
        return jnp.where(a[i, i] == 0, 1.0, a[i, i])

    def down(i: Array, both: tuple[Array, Array]) -> tuple[Array, Array]:
        a, x = both
        share = jnp.where(rows > i, a[:, i] / pivot(a, i), 0.0)
        return a - share[:, None] * a[i], x - share * x[i]

    a, x = jax.lax.fori_loop(0, n, down, (matrix, vector))

    def up(k: Array, x: Array) -> Array:
        i = n - 1 - k
        return x.at[i].set((x[i] - jnp.sum(jnp.where(rows > i, a[i] * x, 0.0))) / pivot(a, i))

    found: Array = jax.lax.fori_loop(0, n, up, x)
    return found
