"""Exponential modes of one- and two-compartment disposition with elimination from the central compartment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from auctor.models.model import Structure
from auctor.pk.engine import jax, jnp

Array = jax.Array


class Modes(NamedTuple):
    """Rates (..., m) in 1/h and projectors (..., m, c, c): exp(A t) = sum_m projector_m exp(-rate_m t)."""

    rate: Array
    projector: Array


def modes(structure: Structure, params: Mapping[str, Any]) -> Modes:
    """Modes of the named disposition. Reference: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, chapters 1-2.

    `params` hold CL, V1 (L/h, L) and, for two compartments, Q, V2, each of one common shape.
    """
    k10 = params[structure.clearance] / params[structure.central]
    if structure.distribution is None or structure.peripheral is None:
        return Modes(k10[..., None], jnp.ones((*k10.shape, 1, 1, 1)))
    k12 = params[structure.distribution] / params[structure.central]
    k21 = params[structure.distribution] / params[structure.peripheral]
    return _two_modes(k10, k12, k21)


def _two_modes(k10: Array, k12: Array, k21: Array) -> Modes:
    total = k10 + k12 + k21
    # the discriminant written as a sum of squares loses no digits; the floor keeps equal rates (Q = 0) finite
    spread = jnp.sqrt(jnp.maximum((k10 + k12 - k21) ** 2 + 4 * k12 * k21, (1e-7 * total) ** 2))
    fast = (total + spread) / 2
    slow = k10 * k21 / fast
    diagonal = jnp.stack([jnp.stack([-(k10 + k12), k21], -1), jnp.stack([k12, -k21], -1)], -2)
    identity = jnp.eye(2)
    of_fast = -(diagonal + slow[..., None, None] * identity) / spread[..., None, None]
    of_slow = (diagonal + fast[..., None, None] * identity) / spread[..., None, None]
    return Modes(jnp.stack([fast, slow], -1), jnp.stack([of_fast, of_slow], -3))
