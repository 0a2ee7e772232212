"""The place of each sample in its prediction before any sample, and in that of the other samples alone (leave one out)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import SamplePlace
from auctor.data.plausibility.likelihood import cumulative

Array = NDArray[np.float64]


def places(evidence: Evidence) -> tuple[SamplePlace, ...]:
    """One a sample, in the order of the case; percentiles 0-100, residual error included."""
    return tuple(_place(evidence, k) for k in range(len(evidence.case.samples)))


def _place(evidence: Evidence, k: int) -> SamplePlace:
    sample = evidence.case.samples[k]
    y = evidence.seen.limit[k] if evidence.seen.censored[k] else evidence.seen.value[k]
    below = cumulative(evidence.model.residual, evidence.levels[:, k], np.asarray(y))

    def share(log_likelihood: Array | float) -> tuple[float, float]:
        at = 100.0 * min(max(float(evidence.shares(log_likelihood) @ below), 0.0), 1.0)
        return (0.0 if sample.below_lloq else at, 100.0 if sample.above_uloq else at)

    return SamplePlace(where=f"samples[{k}]", time_h=sample.time_h, a_priori=share(0.0), leave_one_out=share(evidence.without(k)))
