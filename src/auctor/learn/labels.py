"""What a learner is trained to give: the simulated truth, or, declared, the MAP estimate of the same model (a circular label).

Labels that are MAP-Bayes estimates are a published design (Woillard 2021, Clin Pharmacol Ther 110:361: AUCs of an expert system); a learner
trained on them learns the estimator, its shrinkage included, not the patient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.direct_map import direct_map
from auctor.estimate.map import map_batch
from auctor.estimate.observations import Observations
from auctor.learn.scales import truth
from auctor.models.model import DrugModel
from auctor.pk.direct import is_direct
from auctor.pk.timeline import Batch, Timeline, build, stack
from auctor.population.virtual import Profiles, exposure_per_rate, parameters

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
FEW = 256  # patients


def label(profiles: Profiles) -> Array:
    """The quantity (n,) that the plan's learner is trained on: F/CL in h/L, or the target of the plan."""
    if profiles.plan.label == "truth":
        return truth(profiles)
    return map_exposure(profiles, np.arange(len(profiles)))


def map_exposure(profiles: Profiles, rows: Rows) -> Array:
    """F/CL (n_rows,) in h/L at the posterior mode of the plan's (first) model, from the samples and covariates of these patients."""
    model = profiles.plan.model
    covariates = {name: values[rows] for name, values in profiles.covariates.items()}
    return exposure_per_rate(model, parameters(model, covariates, _modes(profiles, rows)))


def _modes(profiles: Profiles, rows: Rows) -> Array:
    """Posterior modes (n_rows, n_eta): in NumPy for a few patients of a closed form, since compiling costs more than they do."""
    model = profiles.plan.model
    if len(rows) > FEW or not is_direct(model):
        batch, seen = levels(profiles, rows)
        return map_batch(model, batch, seen, starts=1).eta
    each = zip(timelines(profiles, rows, model), zip(*_seen(profiles, rows), strict=True), strict=True)
    return np.concatenate([direct_map(model, line, Observations(*own), starts=1).eta for line, own in each])


def timelines(profiles: Profiles, rows: Rows, model: DrugModel) -> list[Timeline]:
    """The history of each of these patients as `model` lays it out, read at the sampling times (`asked_times`)."""
    each = zip(rows, asked_times(profiles, rows), strict=True)
    return [build(model, profiles.regimen(int(i)), profiles.covariates_of(int(i)), t) for i, t in each]


def _seen(profiles: Profiles, rows: Rows) -> Observations:
    """The levels (n_rows, k); a sample that was not taken has weight 0, one below the limit is only known to be (M3)."""
    taken, below, lloq = np.isfinite(profiles.sample_h[rows]), profiles.below[rows], profiles.plan.assay.lloq or 0.0
    value = np.where(below, lloq, np.where(taken, profiles.observed[rows], 1.0))
    state = below.astype(np.int64) if below.any() else np.zeros(below.shape, dtype=bool)
    return Observations(value, taken.astype(np.float64), state, np.where(below, lloq, 0.0))


def asked_times(profiles: Profiles, rows: Rows) -> Array:
    """The sampling times (n_rows, k), h; the first one stands in for a sample that was not taken."""
    times = profiles.sample_h[rows]
    return np.where(np.isfinite(times), times, times[:, :1])


def levels(profiles: Profiles, rows: Rows, model: DrugModel | None = None) -> tuple[Batch, Observations]:
    """Timelines (of `model`, by default the plan's first) and levels of the chosen rows, padded; a sample not taken has weight 0."""
    batch, seen = stack(timelines(profiles, rows, model or profiles.plan.model)), _seen(profiles, rows)
    width = batch.arrays["wanted"].shape[1]
    return batch, Observations(*(_padded(values, width) for values in seen))


def _padded(values: NDArray[Any], width: int) -> NDArray[Any]:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
