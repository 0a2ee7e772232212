"""Exponential modes of one-, two- and three-compartment disposition with elimination from the central compartment.

Written for arrays of any one shape and for NumPy and JAX alike (`xp`): one patient's scalars under `jax.vmap`, or all draws at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from auctor.models.model import Structure


class Modes(NamedTuple):
    """Rates 1/h, one per mode, and projectors [mode][to][from]: exp(A t) = sum_m projector_m exp(-rate_m t)."""

    rate: tuple[Any, ...]
    projector: tuple[tuple[tuple[Any, ...], ...], ...]


def modes(structure: Structure, params: Mapping[str, Any], xp: ModuleType) -> Modes:
    """Modes of the named disposition. Reference: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, chapters 1-2.

    `params` hold CL, V1 (L/h, L), Q, V2 and Q3, V3 as far as the structure names them, each of one common shape.
    """
    assert structure.clearance is not None
    central = params[structure.central]
    k10 = params[structure.clearance] / central
    away = [(params[q] / central, params[q] / params[v]) for q, v in structure.peripherals]
    if not away:
        return Modes((k10,), (((xp.ones_like(k10),),),))
    return _two_modes(k10, *away[0], xp) if len(away) == 1 else _three_modes(k10, (away[0], away[1]), xp)


def _two_modes(k10: Any, k12: Any, k21: Any, xp: ModuleType) -> Modes:
    total = k10 + k12 + k21
    # the discriminant written as a sum of squares loses no digits; the floor keeps equal rates (Q = 0) finite
    spread = xp.sqrt(xp.maximum((k10 + k12 - k21) ** 2 + 4 * k12 * k21, (1e-7 * total) ** 2))
    fast = (total + spread) / 2
    slow = k10 * k21 / fast
    leaving = k10 + k12
    of_fast = ((leaving - slow) / spread, -k21 / spread), (-k12 / spread, (k21 - slow) / spread)
    of_slow = ((fast - leaving) / spread, k21 / spread), (k12 / spread, (fast - k21) / spread)
    return Modes((fast, slow), (of_fast, of_slow))


def _three_modes(k10: Any, away: tuple[tuple[Any, Any], tuple[Any, Any]], xp: ModuleType) -> Modes:
    (k12, k21), (k13, k31) = away
    rates = _cubic_roots(k10, away, xp)
    found = []
    for m, rate in enumerate(rates):
        one, two = (rates[j] for j in range(3) if j != m)
        size = (one - rate) * (two - rate)
        a, b = k21 - rate, k31 - rate
        found.append(
            (
                (a * b / size, k21 * b / size, k31 * a / size),
                (k12 * b / size, ((one - k21) * (two - k21) + k12 * k21) / size, k12 * k31 / size),
                (k13 * a / size, k13 * k21 / size, ((one - k31) * (two - k31) + k13 * k31) / size),
            )
        )
    return Modes(rates, tuple(found))


def _cubic_roots(k10: Any, away: tuple[tuple[Any, Any], tuple[Any, Any]], xp: ModuleType) -> tuple[Any, Any, Any]:
    """The three rates, fastest first: roots of x^3 - a x^2 + b x - c, all real and above zero; equal ones are held a little apart.

    The trigonometric solution, and the slowest from the product of the roots, which keeps its digits.
    """
    (k12, k21), (k13, k31) = away
    a = k10 + k12 + k21 + k13 + k31
    b = k10 * (k21 + k31) + k12 * k31 + k13 * k21 + k21 * k31
    c = k10 * k21 * k31
    third = a / 3
    p = xp.maximum(third**2 - b / 3, (1e-7 * a) ** 2)
    q = third**3 - third * b / 2 + c / 2
    cosine = xp.clip(q / (p * xp.sqrt(p)), -1 + 1e-15, 1 - 1e-15)
    angle, radius = xp.arccos(cosine) / 3, 2 * xp.sqrt(p)
    fast = third + radius * xp.cos(angle)
    # of the two others the sum and the product are known
    left = a - fast
    spread = xp.sqrt(xp.maximum(left**2 - 4 * c / fast, (1e-7 * left) ** 2))
    middle = (left + spread) / 2
    return fast, middle, c / (fast * middle)
