"""Steady-state profiles of many virtual patients at once: one regimen each, in closed form, no scan over events.

What each door of the structure brings is worked out by itself and added up, since the structures are linear. Arrays are
(times, patients), patients last, so that the whole profile is one loop over patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.model import DrugModel, System
from auctor.models.spelled import doors, place, spelled
from auctor.pk.closed_form import ClosedForm, Rates
from auctor.pk.density import Pulses
from auctor.pk.engine import jax, jnp
from auctor.pk.kept import Kept
from auctor.pk.timeline import EARLIER

Array = NDArray[np.float64]
Traced = Any
BLOCK = 2000  # patients worked on at a time: what they need stays in the processor's cache


def steady_profile(
    model: DrugModel, params: Mapping[str, Any], dose_mg: Any, every_h: Any, times_h: Any, *, duration_h: Any = 0.0
) -> Array:
    """Steady-state concentrations (n, k) mg/L at `times_h` (n, k) h after a dose, given every `every_h` for ever.

    `params` name -> (n,); `dose_mg`, `every_h`, `duration_h` (n,) or scalars. At a dose time the trough is returned. An oral dose where
    the model has absorption, else an intravenous one. Raises ModelError for a model without a closed form.
    """
    if model.system is not None or not model.structure.linear:
        what = "has no closed form (differential equations or saturable elimination)"
        raise ModelError(where=model.name, what=what, remedy="use a model with a linear named structure for this")
    times = np.asarray(times_h, dtype=np.float64)
    n = times.shape[0]
    full = {name: np.broadcast_to(np.asarray(value, dtype=np.float64), (n,)) for name, value in params.items()}
    columns = (np.broadcast_to(np.asarray(v, dtype=np.float64), (n,)) for v in (dose_mg, every_h, duration_h))
    (values,) = compiled_steady(model)(full, *columns, times)
    return np.asarray(values)


@lru_cache(maxsize=256)
def compiled_steady(model: DrugModel) -> Kept:
    """The compiled batch of steady-state profiles behind `steady_profile`."""
    return Kept(partial(_profiles, model), f"steady {model.sha256}")


def _profiles(model: DrugModel, params: dict[str, Traced], dose: Traced, every: Traced, duration: Traced, times: Traced) -> Traced:
    """Whole blocks of patients one after the other, then the rest."""
    n = dose.shape[0]
    own = (params, dose, every, duration, times)
    block = partial(_block, model)
    whole = n // BLOCK
    if whole < 2:
        return block(own)
    split = jax.tree.map(lambda v: v[: whole * BLOCK].reshape(whole, BLOCK, *v.shape[1:]), own)
    found = jax.lax.map(block, split)
    rest = [block(jax.tree.map(lambda v: v[whole * BLOCK :], own))] if n > whole * BLOCK else []
    return jnp.concatenate([found.reshape(whole * BLOCK, -1), *rest])


def _block(model: DrugModel, own: tuple[dict[str, Traced], Traced, Traced, Traced, Traced]) -> Traced:
    params, dose, every, duration, times = own
    system, structure = spelled(model), model.structure
    tier = ClosedForm(model, jnp)
    rates = tier.rates(params)
    oral = structure.absorption != "none"
    used = [d.role for d in doors(structure) if d.role in ("depot", "depot2") or (d.role == "central" and not oral)]
    used = used or ["central"]
    given = (dose, every, duration, times.T)
    return sum(_through_door(tier, system, place(structure, role), (params, rates), given) for role in used).T


def _through_door(
    tier: ClosedForm, system: System, door: int, known: tuple[dict[str, Traced], Rates], given: tuple[Traced, Traced, Traced, Traced]
) -> Traced:
    """Concentrations (times, patients) of a dose every interval through one door."""
    (params, rates), (dose, every, duration, times) = known, given

    def carried(key: str, default: Traced) -> Traced:
        formula = system.inputs.get(key, {}).get(door + 1)
        return default if formula is None else jnp.broadcast_to(formula.evaluate(params, jnp), dose.shape)

    amount = dose * carried("F", 1.0)
    speed = carried("rate", None)
    length = carried("duration", duration) if speed is None else amount / speed
    lag = carried("lag", None)
    phase = jnp.mod(times if lag is None else times - lag, every)
    phase = jnp.where(phase > 0, phase, every)
    if door + 1 in system.densities:
        return _arriving(tier, system, door, known, (amount, every, phase))
    at = system.into[door]
    swallowed = _bolus(tier, at, rates, (amount, every, phase))
    never = "duration" not in system.inputs and "rate" not in system.inputs and tier.stages
    if never:
        return swallowed
    infused = _infused(tier, at, rates, (amount, jnp.where(length > 0, length, 1.0), every, phase))
    return jnp.where(length > 0, infused, swallowed)


def _bolus(tier: ClosedForm, at: int, rates: Rates, given: tuple[Traced, Traced, Traced]) -> Traced:
    amount, every, phase = given
    plain = ClosedForm(tier.model, jnp, 0)
    nothing = [0.0] * tier.size

    def cycle(state: tuple[Traced, ...]) -> tuple[Traced, ...]:
        return plain.advance(_added(state, at, amount), nothing, (0.0, every, 0.0), rates)

    before = plain.fixed_point(cycle, (0.0, every, 0.0), rates)
    return plain.read(plain.advance(_added(before, at, amount), nothing, (0.0, phase, 0.0), rates), rates)[0]


def _infused(tier: ClosedForm, at: int, rates: Rates, given: tuple[Traced, Traced, Traced, Traced]) -> Traced:
    """An infusion of `length` h, at most one interval long."""
    amount, length, every, phase = given
    flowing = ClosedForm(tier.model, jnp, 1 << at)
    inflow = [amount / length if k == at else 0.0 for k in range(tier.size)]
    nothing = [jnp.zeros_like(amount)] * tier.size

    def upto(state: tuple[Traced, ...], time: Traced) -> tuple[Traced, ...]:
        during = flowing.advance(state, inflow, (0.0, jnp.minimum(time, length), 0.0), rates)
        return flowing.advance(during, nothing, (0.0, jnp.maximum(time - length, 0.0), 0.0), rates)

    before = flowing.fixed_point(lambda state: upto(state, every), (0.0, every, 0.0), rates)
    return flowing.read(upto(before, phase), rates)[0]


def _arriving(
    tier: ClosedForm, system: System, door: int, known: tuple[dict[str, Traced], Rates], given: tuple[Traced, Traced, Traced]
) -> Traced:
    """Doses that arrive by gamma densities: this one and the EARLIER ones before it."""
    (params, rates), (amount, every, phase) = known, given
    plain, nothing = ClosedForm(tier.model, jnp, 0), [0.0] * tier.size
    times = -jnp.arange(EARLIER + 1.0)[:, None, None] * every
    parts = []
    for density in system.densities[door + 1]:
        share, shape, rate = (e.evaluate(params, jnp) for e in (density.share, density.shape, density.rate))
        parts.append(Pulses(times, *(jnp.broadcast_to(v, times.shape) for v in (amount * share, shape, rate))))
    pulses = Pulses(*(jnp.concatenate(column) for column in zip(*parts, strict=True)))

    def interval(state: tuple[Traced, ...]) -> tuple[Traced, ...]:
        return plain.advance(state, nothing, (-every[None], every[None], 0.0), rates, pulses)

    before = plain.fixed_point(interval, (0.0, every[None], 0.0), rates)
    return plain.read(plain.advance(before, nothing, (jnp.zeros_like(phase), phase, 0.0), rates, pulses), rates)[0]


def _added(state: tuple[Traced, ...], at: int, amount: Traced) -> tuple[Traced, ...]:
    return tuple(a + amount if k == at else a for k, a in enumerate(state))
