"""The compiled half of MAP: OFV, gradient and curvature of many lanes at once, Fisher descent, and Newton to the end.

A lane is one subject from one starting point. Points are u with eta = L u, Omega = L L', where the prior is u'u. Everything a lane needs
is an array over lanes, lanes last, and small matrices are written out entry by entry: XLA then makes one loop over lanes of each step, and
no batched LAPACK is called (with two such calls in one program jaxlib 0.10 deadlocks on two cores).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.descent import Evaluate, Matrix, Point, hessian, moving, steepest, stepped, unsettled
from auctor.estimate.objective import deviation, sample_terms, variance
from auctor.estimate.observations import Observations
from auctor.estimate.outputs import residual_at
from auctor.estimate.packed import Packed
from auctor.models.mechanism import mechanism
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import course
from auctor.pk.engine import jax, jnp
from auctor.pk.kept import Kept

Array = NDArray[np.float64]
Traced = Any


class Numbers(NamedTuple):
    """What models of one mechanism may differ in: the root of omega (p, p), and proportional, additive and power of the residual error."""

    root: Array
    error: Array


def numbers_of(model: DrugModel) -> Numbers:
    """The numbers of this model."""
    r = model.residual
    root = np.asarray(np.linalg.cholesky(model.omega), dtype=np.float64)
    return Numbers(root, np.asarray([r.proportional, r.additive, r.power], dtype=np.float64))


def parts(model: DrugModel, numbers: Numbers, arrays: dict[str, Traced], seen: Observations, u: Traced) -> tuple[Traced, Traced, Matrix]:
    """OFV (lanes,), its exact gradient (p, lanes) and expected (Fisher) curvature in u (p, lanes), from first derivatives of f alone."""
    p, residual = len(model.eta_names), residual_at(model, arrays, jnp)
    if len(model.residuals) < 2:
        residual = replace(residual, **{n: numbers.error[k] for k, n in enumerate(("proportional", "additive", "power"))})

    def predicted(x: Traced) -> Traced:
        eta = jnp.stack([sum(numbers.root[i, j] * x[j] for j in range(i + 1)) for i in range(p)], axis=-1)
        return jax.vmap(lambda timeline, own: course(model, timeline, own).concentration)(arrays, eta)

    def along(direction: Traced) -> tuple[Traced, Traced]:
        pair: tuple[Traced, Traced] = jax.jvp(predicted, (u,), (jnp.broadcast_to(direction[:, None], u.shape),))
        return pair

    f, slopes = jax.vmap(along, out_axes=(None, 0))(jnp.eye(p))
    terms, slope = jax.jvp(lambda g: sample_terms(residual, g, seen, jnp), (f,), (jnp.ones_like(f),))
    weight = seen.weight * _expected_curvature(residual, f)
    value = jnp.sum(terms, axis=-1) + jnp.sum(u**2, axis=0)
    gradient = jnp.stack([jnp.sum(slopes[k] * slope, axis=-1) for k in range(p)]) + 2 * u
    fisher = tuple(
        tuple(jnp.sum(slopes[i] * weight * slopes[j], axis=-1) + (2.0 if i == j else 0.0) for j in range(i + 1)) for i in range(p)
    )
    return value, gradient, fisher


def _expected_curvature(residual: Residual, f: Traced) -> Traced:
    """E[d2/df2 of a sample's OFV] = 2 (d misfit/df)^2 / v + (v'/v)^2."""
    v, dv = jax.jvp(lambda g: variance(residual, g, jnp), (f,), (jnp.ones_like(f),))
    _, dm = jax.jvp(lambda g: deviation(residual, g, jnp.ones_like(g), jnp), (f,), (jnp.ones_like(f),))
    return 2 * dm**2 / v + (dv / v) ** 2


def descend(evaluate: Evaluate, start: tuple[Traced, Traced], tolerance: Traced, limit: Traced) -> tuple[Point, Traced]:
    """Damped steps of lanes from `start` = (u (p, lanes), damping) until each is flat (or stuck), at most `limit`.

    Their end, and which still move. The loop looks at the starting points first (a step of nothing), so that `evaluate` is compiled once.
    """

    def go_on(carry: tuple[Point, Traced]) -> Traced:
        return (carry[1] == 0) | ((carry[1] <= limit) & jnp.any(moving(carry[0], tolerance, jnp)))

    def once(carry: tuple[Point, Traced]) -> tuple[Point, Traced]:
        return _next(carry[0], evaluate, tolerance, carry[1]), carry[1] + 1

    end, _ = jax.lax.while_loop(go_on, once, (_unseen(*start), jnp.asarray(0)))
    return end, moving(end, tolerance, jnp)


def _unseen(u: Traced, damping: Traced) -> Point:
    """Lanes that nothing is known of: no step is taken from there, and whatever is found is better."""
    nothing = jnp.zeros_like(damping)
    return Point(u, nothing + jnp.inf, jnp.zeros_like(u), tuple((nothing,) * (i + 1) for i in range(u.shape[0])), damping)


def _next(at: Point, evaluate: Evaluate, tolerance: Traced, count: Traced) -> Point:
    """One step; the first one, of nothing, leaves the damping."""
    after = stepped(at, evaluate, tolerance, jnp)
    return after._replace(damping=jnp.where(count == 0, at.damping, after.damping))


def _fisher(model: DrugModel, numbers: Numbers, packed: Packed, start: tuple[Traced, Traced], how: Traced) -> Any:
    """Fisher descent of lanes from `start` = (u (lanes, p), damping); `how` = (tolerance, limit)."""
    end, moving = descend(_evaluated(model, numbers, packed), (start[0].T, start[1]), how[0], how[1])
    return end.u.T, end.value, end.damping, moving


def finish(evaluate: Evaluate, start: tuple[Traced, Traced], tolerance: Traced, limit: Traced) -> tuple[Point, Traced]:
    """Newton steps of lanes from `start` = (u (p, lanes), damping), one at least and `limit` at most.

    The lanes' end with the Hessian where the last step began, and which are still on their way. Rounds are in turn a look at a trial point
    (that of the starting points first) and a Hessian, so that each stands in the program once: written one after the other `evaluate` would
    be compiled three times.
    """

    def go_on(carry: tuple[Point, Traced, Traced]) -> Traced:
        at, begun, k = carry
        return (k % 2 == 0) | ((k // 2 < limit) & jnp.any(unsettled(at, begun, tolerance, jnp)))

    def look(carry: tuple[Point, Traced, Traced]) -> tuple[Point, Traced, Traced]:
        at, begun, k = carry

        def with_same_curvature(u: Traced) -> tuple[Traced, Traced, Matrix]:
            return *evaluate(u)[:2], at.curvature

        return _next(at, with_same_curvature, tolerance, k), begun, k + 1

    def curve(carry: tuple[Point, Traced, Traced]) -> tuple[Point, Traced, Traced]:
        at, _, k = carry
        return at._replace(curvature=hessian(evaluate, at.u, jnp)), steepest(at, jnp), k + 1

    def once(carry: tuple[Point, Traced, Traced]) -> Any:
        return jax.lax.cond(carry[2] % 2 == 0, look, curve, carry)

    begin = _unseen(*start)
    end, begun, _ = jax.lax.while_loop(go_on, once, (begin, begin.value, jnp.asarray(0)))
    return end, unsettled(end, begun, tolerance, jnp)


def _newton(model: DrugModel, numbers: Numbers, packed: Packed, start: tuple[Traced, Traced], how: Traced) -> Any:
    """Newton from `start`; also the gradient's size relative to 1 + |OFV| and the Hessian (lanes, p, p)."""
    end, moving = finish(_evaluated(model, numbers, packed), (start[0].T, start[1]), how[0], how[1])
    p = start[0].shape[1]
    rows = [[end.curvature[max(i, j)][min(i, j)] for j in range(p)] for i in range(p)]
    hessian = jnp.moveaxis(jnp.stack([jnp.stack(row) for row in rows]), -1, 0)
    return end.u.T, end.value, end.damping, moving, steepest(end, jnp) / (1.0 + jnp.abs(end.value)), hessian


def _evaluated(model: DrugModel, numbers: Numbers, packed: Packed) -> Evaluate:
    """`parts` of these lanes, traced once however many places call it."""
    arrays, seen = packed.unpacked()
    traced = jax.jit(partial(parts, model))
    return lambda u: traced(numbers, arrays, seen, u)


def _at(model: DrugModel, numbers: Numbers, packed: Packed, u: Traced) -> Any:
    value, gradient, _ = parts(model, numbers, *packed.unpacked(), u.T)
    return value, gradient.T


_FUNCTIONS: dict[str, Callable[..., Any]] = {"fisher": _fisher, "newton": _newton, "at": _at}
_KEPT: dict[str, Kept] = {}


@lru_cache(maxsize=512)
def compiled(model: DrugModel, what: str) -> Kept:
    """`fisher`, `newton` or `at` (OFV and gradient at u (lanes, p)) of lanes; models of one mechanism share it."""
    key = f"map {what} {mechanism(model)}"
    if key not in _KEPT:
        _KEPT[key] = Kept(partial(_FUNCTIONS[what], model), key)
    return _KEPT[key]


def point_density(model: DrugModel, timeline: dict[str, Traced], seen: Observations, u: Traced) -> tuple[Traced, Traced]:
    """OFV and gradient (p,) of one subject at u (p,), traced."""
    one = {name: values[None] for name, values in timeline.items()}
    value, gradient, _ = parts(model, numbers_of(model), one, Observations(*(v[None] for v in seen)), u[:, None])
    return value[0], gradient[:, 0]
