"""Damped second-order descent of many lanes at once: the arithmetic that the compiled search and the NumPy one share.

A lane is one subject from one starting point; its point u is a column of (p, lanes). Small matrices are written out entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

Traced = Any
Matrix = tuple[tuple[Traced, ...], ...]  # lower triangle, entries (lanes,)
Evaluate = Callable[[Traced], tuple[Traced, Traced, Matrix]]  # u (p, lanes) -> OFV (lanes,), gradient (p, lanes), curvature

DIFFERENCE = 1e-4
LONGEST_STEP = 3.0  # prior SDs: beyond, curvature means nothing
STUCK = 1e10
FLAT = 1e-5  # slope below which a point's Hessian is that of the optimum, to some 1e-5 of itself


class Point(NamedTuple):
    """Lanes at a point: u (p, lanes), OFV, gradient (p, lanes), curvature, and the damping of the next step."""

    u: Traced
    value: Traced
    gradient: Traced
    curvature: Matrix
    damping: Traced


def first(evaluate: Evaluate, u: Traced, damping: Traced, xp: ModuleType) -> Point:
    """The lanes at their starting points."""
    return Point(u, *_usable(*evaluate(u), xp), damping)


def moving(at: Point, tolerance: Traced, xp: ModuleType) -> Traced:
    """Lanes that are neither flat nor stuck."""
    return (steepest(at, xp) >= tolerance) & (at.damping <= STUCK)


def stepped(at: Point, evaluate: Evaluate, tolerance: Traced, xp: ModuleType) -> Point:
    """One step of every lane that still moves."""
    step = downhill(at.curvature, at.gradient, at.damping, xp)
    step = step * xp.minimum(1.0, LONGEST_STEP / xp.maximum(xp.max(xp.abs(step), axis=0), 1e-300))
    return _taken(at, at.u + xp.where(moving(at, tolerance, xp), step, 0.0), evaluate, xp)


def unsettled(at: Point, begun: Traced, tolerance: Traced, xp: ModuleType) -> Traced:
    """Lanes whose Newton steps must go on: still moving, or with the Hessian of a point of slope `begun` that is too far from here."""
    return moving(at, tolerance, xp) | ((begun >= FLAT) & (at.damping <= STUCK))


def newton(at: Point, evaluate: Evaluate, tolerance: Traced, xp: ModuleType) -> tuple[Point, Traced]:
    """One Newton step: the Hessian where it begins (kept as the curvature), value and gradient where it ends; and the slope it began at."""
    begun = at._replace(curvature=hessian(evaluate, at.u, xp))

    def with_same_curvature(u: Traced) -> tuple[Traced, Traced, Matrix]:
        value, gradient, _ = evaluate(u)
        return value, gradient, begun.curvature

    return stepped(begun, with_same_curvature, tolerance, xp), steepest(at, xp)


def hessian(evaluate: Evaluate, u: Traced, xp: ModuleType) -> Matrix:
    """By central differences of the gradient at u (p, lanes); zero where a gradient is not finite."""
    p = u.shape[0]
    gradient = _gradients(evaluate, u, xp.concatenate([DIFFERENCE * xp.eye(p), -DIFFERENCE * xp.eye(p)]), xp)
    rows = (gradient[:p] - gradient[p:]) / (2 * DIFFERENCE)
    rows = xp.where(xp.isfinite(rows), rows, 0.0)
    return tuple(tuple((rows[i, j] + rows[j, i]) / 2 for j in range(i + 1)) for i in range(p))


def _gradients(evaluate: Evaluate, u: Traced, shifts: Traced, xp: ModuleType) -> Traced:
    """The gradient (shifts, p, lanes) at every shifted point."""
    if xp is not np:
        from auctor.pk.engine import jax

        return jax.vmap(lambda shift: evaluate(u + shift[:, None])[1])(shifts)
    p, lanes = u.shape
    gradient = evaluate(np.reshape(np.transpose(u + shifts[:, :, None], (1, 2, 0)), (p, -1)))[1]
    return np.transpose(gradient.reshape(p, lanes, len(shifts)), (2, 0, 1))


def downhill(curvature: Matrix, gradient: Traced, damping: Traced, xp: ModuleType) -> Traced:
    """-(curvature + damping)^-1 gradient, (p, lanes), by LDL' with every pivot made positive: a saddle is left, not sought."""
    p = len(curvature)
    lower: list[list[Traced]] = []
    pivots: list[Traced] = []
    for i in range(p):
        row: list[Traced] = []
        for j in range(i):
            row.append((curvature[i][j] - sum(row[k] * pivots[k] * lower[j][k] for k in range(j))) / pivots[j])
        pivots.append(xp.maximum(xp.abs(curvature[i][i] + damping - sum(row[k] ** 2 * pivots[k] for k in range(i))), 1e-3))
        lower.append(row)
    x: list[Traced] = []
    for i in range(p):
        x.append(-gradient[i] - sum(lower[i][k] * x[k] for k in range(i)))
    x = [v / d for v, d in zip(x, pivots, strict=True)]
    for i in reversed(range(p)):
        x[i] = x[i] - sum(lower[k][i] * x[k] for k in range(i + 1, p))
    return xp.stack(x)


def steepest(at: Point, xp: ModuleType) -> Traced:
    """The largest slope of each lane, (lanes,)."""
    return xp.max(xp.abs(at.gradient), axis=0)


def _taken(at: Point, u: Traced, evaluate: Evaluate, xp: ModuleType) -> Point:
    """The trial where it is no worse (beyond rounding), with less damping; more damping elsewhere."""
    value, gradient, curvature = _usable(*evaluate(u), xp)
    better = value <= at.value + 1e-13 * (1.0 + xp.abs(xp.where(xp.isfinite(at.value), at.value, 0.0)))
    damping = xp.where(better, xp.maximum(at.damping / 8, 1e-12), xp.maximum(at.damping * 8, 1e-3))
    kept = tuple(tuple(xp.where(better, a, b) for a, b in zip(x, y, strict=True)) for x, y in zip(curvature, at.curvature, strict=True))
    return Point(xp.where(better, u, at.u), xp.where(better, value, at.value), xp.where(better, gradient, at.gradient), kept, damping)


def _usable(value: Traced, gradient: Traced, curvature: Matrix, xp: ModuleType) -> tuple[Traced, Traced, Matrix]:
    """Infinite where anything is not finite; slopes there stay finite so that the lane can be told apart."""
    good = xp.isfinite(value) & xp.all(xp.isfinite(gradient), axis=0)
    tidy = tuple(tuple(xp.where(xp.isfinite(c), c, 0.0) for c in row) for row in curvature)
    return xp.where(good, value, xp.inf), xp.where(good, gradient, 0.0), tidy
