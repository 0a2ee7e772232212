"""Copulas of two variables, each with one parameter: how the rank of one depends on that of the other.

`gaussian` has no dependence in the tails, `clayton` has it in one corner (rotation 0: both low; 180: both high; 90 and 270 for variables
that go apart), `frank` is symmetric without any. h(u | v) = P(U <= u | V = v) and its inverse are in closed form.
Reference: Joe H, Dependence Modeling with Copulas, CRC Press 2014, chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
EDGE = 1e-9  # ranks are kept so far off 0 and 1
BOUNDS = {"gaussian": (-0.99, 0.99), "clayton": (1e-3, 20.0), "frank": (-30.0, 30.0)}
INDEPENDENT = "independent"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A copula of (U, V): `family`, its parameter `theta`, and for Clayton's the `rotation` in degrees.

    >>> one = Pair(family="clayton", theta=2.0)
    >>> round(float(one.inverse(one.h(np.array(0.3), np.array(0.6)), np.array(0.6))), 9)
    0.3
    """

    family: str = INDEPENDENT
    theta: float = 0.0
    rotation: int = 0

    def swapped(self) -> Pair:
        """The copula of (V, U)."""
        return Pair(family=self.family, theta=self.theta, rotation={90: 270, 270: 90}.get(self.rotation, self.rotation))

    def h(self, u: Array, v: Array) -> Array:
        """P(U <= u | V = v); arrays of one shape."""
        x, y, turned = self._turned(inside(u), inside(v))
        found = _H[self.family](x, y, self.theta)
        return inside(1 - found if turned else found)

    def inverse(self, w: Array, v: Array) -> Array:
        """The u with h(u | v) = w."""
        p, y, turned = self._turned(inside(w), inside(v))
        found = _INVERSE[self.family](p, y, self.theta)
        return inside(1 - found if turned else found)

    def log_density(self, u: Array, v: Array) -> Array:
        """log c(u, v); 0 where U and V do not depend on each other."""
        x, y, _ = self._turned(inside(u), inside(v))
        return np.asarray(_LOG_DENSITY[self.family](x, y, self.theta), dtype=np.float64)

    def _turned(self, u: Array, v: Array) -> tuple[Array, Array, bool]:
        """The ranks as the copula that is not rotated has them, and whether the first one is turned round."""
        first, second = self.rotation in (90, 180), self.rotation in (180, 270)
        return (1 - u if first else u), (1 - v if second else v), first


def inside(u: Array) -> Array:
    """Ranks off 0 and 1."""
    return np.clip(u, EDGE, 1 - EDGE)


def best_pair(u: Array, v: Array, shares: Array) -> Pair:
    """The family and parameter of least BIC for ranks (n,) with weights `shares` that add up to 1."""
    from scipy.optimize import minimize_scalar

    size = 1 / float(np.sum(shares**2))  # how many people of equal weight say as much
    best, least = Pair(), 0.0
    for family, rotation in _candidates():
        low, high = BOUNDS[family]

        def cost(theta: float, family: str = family, rotation: int = rotation) -> float:
            one = Pair(family=family, theta=theta if abs(theta) > EDGE else EDGE, rotation=rotation)
            return -float(shares @ one.log_density(u, v))

        found = minimize_scalar(cost, bounds=(low, high), method="bounded")
        if (bic := float(np.log(size)) + 2 * size * float(found.fun)) < least:
            best, least = Pair(family=family, theta=float(found.x), rotation=rotation), bic
    return best


def _candidates() -> Iterator[tuple[str, int]]:
    yield from (("gaussian", 0), ("frank", 0), *(("clayton", turn) for turn in (0, 90, 180, 270)))


def _gaussian(u: Array, v: Array, rho: float) -> Array:
    from scipy.special import ndtr, ndtri

    return np.asarray(ndtr((ndtri(u) - rho * ndtri(v)) / np.sqrt(1 - rho**2)))


def _gaussian_inverse(w: Array, v: Array, rho: float) -> Array:
    from scipy.special import ndtr, ndtri

    return np.asarray(ndtr(ndtri(w) * np.sqrt(1 - rho**2) + rho * ndtri(v)))


def _gaussian_density(u: Array, v: Array, rho: float) -> Array:
    from scipy.special import ndtri

    x, y, left = ndtri(u), ndtri(v), 1 - rho**2
    return np.asarray(-0.5 * np.log(left) - (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (2 * left))


def _clayton(u: Array, v: Array, theta: float) -> Array:
    return np.asarray(v ** (-theta - 1) * (u**-theta + v**-theta - 1) ** (-1 / theta - 1))


def _clayton_inverse(w: Array, v: Array, theta: float) -> Array:
    return np.asarray(((w * v ** (theta + 1)) ** (-theta / (1 + theta)) + 1 - v**-theta) ** (-1 / theta))


def _clayton_density(u: Array, v: Array, theta: float) -> Array:
    return np.asarray(np.log1p(theta) - (1 + theta) * np.log(u * v) - (1 / theta + 2) * np.log(u**-theta + v**-theta - 1))


def _frank(u: Array, v: Array, theta: float) -> Array:
    a, x, y = np.expm1(-theta), np.expm1(-theta * u), np.expm1(-theta * v)
    return np.asarray((1 + y) * x / (a + x * y))


def _frank_inverse(w: Array, v: Array, theta: float) -> Array:
    y = np.expm1(-theta * v)
    return np.asarray(-np.log1p(w * np.expm1(-theta) / (1 + y - w * y)) / theta)


def _frank_density(u: Array, v: Array, theta: float) -> Array:
    a, x, y = np.expm1(-theta), np.expm1(-theta * u), np.expm1(-theta * v)
    return np.asarray(np.log(-theta * a) - theta * (u + v) - 2 * np.log(np.abs(a + x * y)))


_H = {INDEPENDENT: lambda u, v, _: u, "gaussian": _gaussian, "clayton": _clayton, "frank": _frank}
_INVERSE = {INDEPENDENT: lambda w, v, _: w, "gaussian": _gaussian_inverse, "clayton": _clayton_inverse, "frank": _frank_inverse}
_LOG_DENSITY = {
    INDEPENDENT: lambda u, v, _: np.zeros_like(u), "gaussian": _gaussian_density, "clayton": _clayton_density, "frank": _frank_density,
}  # fmt: skip
FAMILIES = tuple(_H)
