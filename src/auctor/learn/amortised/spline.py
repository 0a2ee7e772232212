"""Monotonic rational-quadratic splines of one variable, in NumPy or JAX: forward (to the base normal) and inverse.

Reference: Durkan C, Bekasov A, Murray I, Papamakarios G, Neural Spline Flows, NeurIPS 2019 (arXiv 1906.04032), eqs. 4 to 8. Outside
[-BOUND, BOUND] the map is the identity.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

BOUND = 5.0
LEAST = 1e-3  # of a bin's width and height (as a share) and of a slope


class Knots(NamedTuple):
    """Knots (..., bins + 1) on both axes and the slopes (..., bins + 1) there."""

    x: Any
    y: Any
    slope: Any


def knots(raw: Any, bins: int, xp: ModuleType) -> Knots:
    """From unconstrained numbers (..., 3 bins - 1) to a monotonic spline; zeros give the identity."""
    widths, heights, slopes = raw[..., :bins], raw[..., bins : 2 * bins], raw[..., 2 * bins :]
    inner = LEAST + (1 - LEAST) * _softplus(slopes + 0.541324854612918, xp)  # softplus(0.5413) = 1
    one = xp.ones_like(inner[..., :1])
    return Knots(_edges(widths, bins, xp), _edges(heights, bins, xp), xp.concatenate([one, inner, one], axis=-1))


def _softplus(x: Any, xp: ModuleType) -> Any:
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _edges(raw: Any, bins: int, xp: ModuleType) -> Any:
    e = xp.exp(raw - xp.max(raw, axis=-1, keepdims=True))
    share = LEAST + (1 - LEAST * bins) * e / xp.sum(e, axis=-1, keepdims=True)
    ends = 2 * BOUND * xp.cumsum(share, axis=-1) - BOUND
    low = xp.full_like(ends[..., :1], -BOUND)
    return xp.concatenate([low, ends[..., :-1], -low], axis=-1)


def _bin(at: Knots, value: Any, axis: Any, xp: ModuleType) -> tuple[Any, ...]:
    """x, y, width, height, and slopes at both ends of the bin of each value on that axis."""
    place = xp.sum(value[..., None] >= axis[..., 1:-1], axis=-1)[..., None]

    def pick(values: Any, more: int) -> Any:
        return xp.take_along_axis(values, place + more, axis=-1)[..., 0]

    x, y = pick(at.x, 0), pick(at.y, 0)
    return x, y, pick(at.x, 1) - x, pick(at.y, 1) - y, pick(at.slope, 0), pick(at.slope, 1)


def forward(at: Knots, value: Any, xp: ModuleType) -> tuple[Any, Any]:
    """(image, log of the derivative), each of the shape of `value`."""
    inside = xp.abs(value) < BOUND
    held = xp.clip(value, -BOUND, BOUND)
    x, y, width, height, d0, d1 = _bin(at, held, at.x, xp)
    s, t = height / width, (held - x) / width
    below = s + (d0 + d1 - 2 * s) * t * (1 - t)
    image = y + height * (s * t * t + d0 * t * (1 - t)) / below
    log_slope = 2 * xp.log(s) + xp.log(d1 * t * t + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) - 2 * xp.log(below)
    return xp.where(inside, image, value), xp.where(inside, log_slope, 0.0)


def inverse(at: Knots, image: Any, xp: ModuleType) -> Any:
    """The value whose image that is: the root of a quadratic in each bin."""
    inside = xp.abs(image) < BOUND
    held = xp.clip(image, -BOUND, BOUND)
    x, y, width, height, d0, d1 = _bin(at, held, at.y, xp)
    s, rise = height / width, held - y
    bent = rise * (d0 + d1 - 2 * s)
    a, b, c = height * (s - d0) + bent, height * d0 - bent, -s * rise
    t = 2 * c / (-b - xp.sqrt(xp.maximum(b * b - 4 * a * c, 0.0)))
    return xp.where(inside, x + t * width, image)
