"""What a learner is trained to give: the simulated truth, or, declared, the MAP estimate of the same model (a circular label).

Labels that are MAP-Bayes estimates are a published design (Woillard 2021, Clin Pharmacol Ther 110:361: AUCs of an expert system); a learner
trained on them learns the estimator, its shrinkage included, not the patient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.direct_map import direct_map
from auctor.estimate.map import map_batch
from auctor.estimate.observations import Observations
from auctor.pk.direct import is_direct
from auctor.pk.timeline import Batch, Timeline, build, stack
from auctor.population.virtual import Profiles, exposure_per_rate, parameters

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
FEW = 256  # patients


def label(profiles: Profiles) -> Array:
    """F/CL (n,) in h/L that the plan's learner is trained on."""
    if profiles.plan.label == "truth":
        return profiles.exposure
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
    values, weights = _seen(profiles, rows)
    none, zero = np.zeros(values.shape[1], dtype=bool), np.zeros(values.shape[1])
    each = zip(_timelines(profiles, rows), values, weights, strict=True)
    return np.concatenate([direct_map(model, line, Observations(v, w, none, zero), starts=1).eta for line, v, w in each])


def _timelines(profiles: Profiles, rows: Rows) -> list[Timeline]:
    times = profiles.sample_h[rows]
    latest = np.nanmax(times, axis=1, keepdims=True)
    wanted = np.where(np.isfinite(times), times, latest)
    model = profiles.plan.model
    return [build(model, profiles.regimen(int(i)), profiles.covariates_of(int(i)), t) for i, t in zip(rows, wanted, strict=True)]


def _seen(profiles: Profiles, rows: Rows) -> tuple[Array, Array]:
    """Levels and their weights, each (n_rows, k); a sample that was not taken has weight 0."""
    taken = np.isfinite(profiles.sample_h[rows])
    return np.where(taken, profiles.observed[rows], 1.0), taken.astype(np.float64)


def levels(profiles: Profiles, rows: Rows) -> tuple[Batch, Observations]:
    """Timelines and measured levels of the chosen rows, padded to one width; a sample that was not taken has weight 0."""
    batch = stack(_timelines(profiles, rows))
    values, weights = _seen(profiles, rows)
    width = batch.arrays["wanted"].shape[1]
    seen = Observations(
        _padded(values, width),
        _padded(weights, width),
        np.zeros((len(rows), width), dtype=bool),
        np.zeros((len(rows), width)),
    )
    return batch, seen


def _padded(values: Array, width: int) -> Array:
    return np.pad(values, ((0, 0), (0, width - values.shape[1])))
