"""What a patient shows: levels, what is known of those under the LLOQ, times and covariates; drawn for a world, or read off a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case
from auctor.estimate.objective import variance
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.learn.amortised.world import World, since_last_dose
from auctor.models.model import Residual

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """n patients: `level` (n, k) mg/L (the limit where `below`), `used` (n, k), `since_dose`, `times` (n, k) h, `covariates` (n, c)."""

    level: Array
    used: NDArray[np.bool_]
    below: NDArray[np.bool_]
    times: Array
    since_dose: Array
    covariates: Array


def spread(residual: Residual, f: Array) -> Array:
    """The residual SD at a concentration, mg/L."""
    sd = np.sqrt(variance(residual, f))
    return np.asarray(sd * f if residual.kind == "log" else sd)


def noisy(residual: Residual, true: Array, rng: np.random.Generator, multiple: Array | float = 1.0) -> Array:
    """Levels with `multiple` times the residual error, same shape: not truncated at 0, since the LLOQ says what is seen."""
    drawn = rng.standard_normal(true.shape)
    sd = multiple * np.sqrt(variance(residual, true))
    return np.asarray(true * np.exp(sd * drawn) if residual.kind == "log" else true + sd * drawn)


def show(world: World, rng: np.random.Generator) -> Shown:
    """One round of measurements of every patient of a world: fresh noise, a random number of samples, an LLOQ."""
    level = np.empty_like(world.true)
    multiple = world.plan.wider.residual_sd.draw(rng, len(level))[:, None]
    for m, model in enumerate(world.plan.models):
        rows = world.model_index == m
        level[rows] = noisy(model.residual, world.true[rows], rng, multiple[rows])
    n, k = level.shape
    fewest, most = world.plan.sampling.count
    used = np.arange(k) < np.asarray(rng.integers(fewest, most + 1, n))[:, None]
    lloq = world.plan.sampling.lloq.draw(rng, n)[:, None]
    return Shown(
        level=np.maximum(level, lloq),
        used=used,
        below=level < lloq,
        times=world.times,
        since_dose=world.since_dose,
        covariates=np.stack([world.covariates[name] for name in world.plan.covariates], axis=1),
    )


def show_case(plan: AmortisedPlan, case: Case) -> Shown:
    """The same of one case: the samples that its estimation looks at; (1, k), k at least 1."""
    own = [s for s in case.samples if case.counts(s)]
    times = np.asarray([s.time_h for s in own] or [0.0])
    known = case.covariates.at(float(times.max()))
    return Shown(
        level=np.asarray([[(s.lloq or s.value) if s.below_lloq else s.value for s in own] or [1.0]]),
        used=np.full((1, len(times)), bool(own)),
        below=np.asarray([[s.below_lloq for s in own] or [False]]),
        times=times[None],
        since_dose=since_last_dose(case.history, times)[None],
        covariates=np.asarray([[known[name] for name in plan.covariates]]),
    )
