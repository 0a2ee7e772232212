"""What a learner is trained to give: the simulated truth, or, declared, the MAP estimate of the same model (a circular label).

Labels that are MAP-Bayes estimates are a published design (Woillard 2021, Clin Pharmacol Ther 110:361: AUCs of an expert system); a learner
trained on them learns the estimator, its shrinkage included, not the patient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.map import map_batch
from auctor.estimate.observations import Observations
from auctor.learn.scales import truth
from auctor.models.model import DrugModel
from auctor.pk.timeline import Batch, build, stack
from auctor.population.virtual import Profiles, exposure_per_rate, parameters

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def label(profiles: Profiles) -> Array:
    """The quantity (n,) that the plan's learner is trained on: F/CL in h/L, or the target of the plan."""
    if profiles.plan.label == "truth":
        return truth(profiles)
    return map_exposure(profiles, np.arange(len(profiles)))


def map_exposure(profiles: Profiles, rows: Rows) -> Array:
    """F/CL (n_rows,) in h/L at the posterior mode of the plan's (first) model, from the samples and covariates of these patients."""
    model = profiles.plan.model
    batch, seen = levels(profiles, rows)
    found = map_batch(model, batch, seen, starts=1)
    covariates = {name: values[rows] for name, values in profiles.covariates.items()}
    return exposure_per_rate(model, parameters(model, covariates, found.eta))


def asked_times(profiles: Profiles, rows: Rows) -> Array:
    """The sampling times (n_rows, k), h; the first one stands in for a sample that was not taken."""
    times = profiles.sample_h[rows]
    return np.where(np.isfinite(times), times, times[:, :1])


def levels(profiles: Profiles, rows: Rows, model: DrugModel | None = None) -> tuple[Batch, Observations]:
    """Timelines (of `model`, by default the plan's first) and measured levels of the chosen rows; a sample not taken has weight 0."""
    model = model or profiles.plan.model
    taken, wanted = np.isfinite(profiles.sample_h[rows]), asked_times(profiles, rows)
    batch = stack([build(model, profiles.regimen(int(i)), profiles.covariates_of(int(i)), t) for i, t in zip(rows, wanted, strict=True)])
    width = batch.arrays["wanted"].shape[1]
    below, lloq = profiles.below[rows], profiles.plan.assay.lloq or 0.0
    seen = Observations(
        _padded(np.where(below, lloq, np.where(taken, profiles.observed[rows], 1.0)), width),
        _padded(taken.astype(np.float64), width),
        # 0 a measurement, 1 only known to be below the limit (M3)
        _padded(below.astype(np.int64), width) if below.any() else np.zeros((len(rows), width), dtype=bool),
        _padded(np.where(below, lloq, 0.0), width),
    )
    return batch, seen


def _padded(values: NDArray[Any], width: int) -> NDArray[Any]:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
