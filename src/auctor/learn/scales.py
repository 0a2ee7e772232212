"""What of a plan's target a learner models, and the way back: logarithms, per dose, relative to the typical patient, or plain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auctor.learn.observed import Observed
from auctor.population.plan import Plan
from auctor.population.profiles import Profiles
from auctor.population.targets import RELATIVE

Array = NDArray[np.float64]
BESIDE_TYPICAL = ("typical", RELATIVE)  # scales of a ratio to the typical patient


def truth(profiles: Profiles) -> Array:
    """The quantity behind the modelled one (n,): F/CL in h/L, the target per mg (scale `per_dose`), or the target itself."""
    scale = profiles.plan.target.scale
    if profiles.plan.target.proportional:
        return profiles.exposure
    return profiles.target / profiles.dose_mg if scale == "per_dose" else profiles.target


def modelled(profiles: Profiles, observed: Observed, label: Array | None = None) -> Array:
    """What the learner is trained on (n,): of the truth, or of a label that stands for it."""
    found, plan = truth(profiles) if label is None else label, profiles.plan
    if plan.scale in BESIDE_TYPICAL:
        return np.asarray(np.log(found / observed.typical), dtype=np.float64)
    return np.asarray(np.log(found), dtype=np.float64) if plan.target.logarithmic else found


def unmodelled(plan: Plan, observed: Observed, values: Array) -> Array:
    """The quantity behind what a learner models, (n,)."""
    return natural(plan, centered(plan, observed, values))


def centered(plan: Plan, observed: Observed, predicted: Array) -> Array:
    """The prediction with what it is relative to put back (log F/CL, or the log target, of the typical patient), else as it is."""
    return predicted + (np.log(observed.typical) if plan.scale in BESIDE_TYPICAL else 0.0)


def natural(plan: Plan, values: Array) -> Array:
    """From the modelled scale to the quantity behind it. A plain quantity is never below 0, an event's probability never above 1."""
    if plan.target.logarithmic:
        return np.exp(values)
    return np.clip(values, 0.0, 1.0 if plan.target.event else None)
