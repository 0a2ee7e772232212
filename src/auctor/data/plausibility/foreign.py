"""Levels that are not this patient's blood: another patient's tube, and blood mixed with the infusion it was drawn beside."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auctor.case import Route
from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import Facts, Kind
from auctor.data.plausibility.hypothesis import Hypothesis

Array = NDArray[np.float64]

APART = 0.5  # SD of the logarithm by which other patients' doses and covariates spread their levels, beside their etas: assumed
CONTAMINATED = (1.5, 100.0)  # a level drawn through the line over the true one: log-uniform in this range, assumed


def of_another_patient(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each sample as the level of somebody else on this drug, drawn at any of the times recorded; the others stay this patient's."""
    share = evidence.shares(0.0)
    for k in range(len(evidence.counted)):
        anybody = _log_anybody(evidence, k, share)
        yield Hypothesis(Kind.OTHER_PATIENT, f"samples[{k}]", Facts(), evidence.without(k), evidence.recorded(k), anybody)


def through_the_line(evidence: Evidence) -> Iterator[Hypothesis]:
    """Each measured level as the patient's own with drug from the line: 1.5 to 100 times too high."""
    if not any(d.route is Route.IV for d in evidence.case.history.doses):
        return
    low, high = CONTAMINATED
    for k in np.flatnonzero(~evidence.seen.censored).tolist():
        y, f = evidence.seen.value[k], evidence.levels[:, k]
        inside = (f * low <= y) & (y <= f * high)
        density = np.where(inside, -math.log(y * math.log(high / low)), -np.inf)
        yield Hypothesis(Kind.LINE, f"samples[{k}]", Facts(), evidence.without(k) + density, evidence.recorded(k))


def _log_anybody(evidence: Evidence, k: int, share: Array) -> float:
    """Log density (per mg/L) or probability of sample k in a random patient: lognormal around the prior's levels at all sampled times."""
    from scipy.special import ndtr

    seen, spread = evidence.seen, math.hypot(APART, evidence.model.residual.proportional)
    levels = np.where(np.isfinite(evidence.levels), evidence.levels, 0.0)
    centre = np.log(np.maximum(levels, 1e-300))
    y = float(seen.limit[k] if seen.censored[k] else seen.value[k])
    z = (math.log(y) - centre) / spread
    if not seen.censored[k]:
        each = np.exp(-0.5 * z**2) / (y * spread * math.sqrt(2 * math.pi))
    else:
        each = ndtr(z) if evidence.case.samples[k].below_lloq else ndtr(-z)
    return float(np.log(max(float(share @ each.mean(axis=1)), 1e-300)))
