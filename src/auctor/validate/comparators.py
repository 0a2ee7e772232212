"""What a learner is judged against: covariates alone, MAP, and the posterior mean, for many virtual patients at once.

Every comparator gives F/CL (h/L), to which the exposure of a linear model is proportional: a point and a 90 % interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.map import MapFit, map_batch
from auctor.estimate.objective import sample_terms
from auctor.estimate.observations import Observations
from auctor.learn.labels import levels
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import concentrations
from auctor.pk.timeline import Batch
from auctor.population.virtual import Profiles, Progress, exposure_per_rate, stream

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
DEGREES = 5.0  # of the Student proposal: heavier tails than any posterior here, so importance weights stay bounded
WIDEN = 1.2
BLOCK = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """F/CL of n patients: `point`, `low`, `high` (n,), the interval being central 90 %."""

    point: Array
    low: Array
    high: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Patients:
    """Virtual patients as the estimators see them: timelines, measured levels, covariates; F/CL known for judging."""

    model: DrugModel
    batch: Batch
    seen: Observations
    covariates: Mapping[str, Array]
    truth: Array


def patients(profiles: Profiles, rows: Rows) -> Patients:
    """The chosen rows of simulated profiles; a sample that was not taken has weight 0."""
    batch, seen = levels(profiles, rows)
    covariates = {name: values[rows] for name, values in profiles.covariates.items()}
    return Patients(model=profiles.plan.model, batch=batch, seen=seen, covariates=covariates, truth=profiles.exposure[rows])


def with_error(model: DrugModel, residual: Residual) -> DrugModel:
    """The model with another residual error, under another hash, so that code compiled for the one is not used for the other."""
    mark = f"{residual.kind}:{residual.proportional!r}:{residual.additive!r}"
    return replace(model, residual=residual, sha256=f"{model.sha256}+{mark}")


def exposure_of(who: Patients, etas: Array) -> Array:
    """F/CL for eta draws (n, d, p): shape (n, d)."""
    columns = {name: values[:, None] for name, values in who.covariates.items()}
    params = who.model.individual(columns, etas)
    return np.broadcast_to(exposure_per_rate(who.model, params), etas.shape[:2])


def _normals(who: Patients, name: str, draws: int) -> Array:
    shape = (len(who.truth), draws, len(who.model.eta_names))
    return stream(0, f"comparators:{name}").standard_normal(shape)


def a_priori(who: Patients, draws: int = 1000) -> Estimates:
    """Covariates only: the typical patient's F/CL, and the interval of the between-subject variability."""
    etas = _normals(who, "prior", draws) @ np.linalg.cholesky(who.model.omega).T
    low, high = np.quantile(exposure_of(who, etas), [0.05, 0.95], axis=1)
    return Estimates(point=exposure_of(who, np.zeros_like(etas[:, :1]))[:, 0], low=low, high=high)


def roots(fit: MapFit) -> Array:
    """Cholesky factors of the covariance at each best mode, (n, p, p)."""
    return np.linalg.cholesky(np.stack([m[0].covariance for m in fit.modes]))


def map_estimates(who: Patients, fit: MapFit, draws: int = 1000) -> Estimates:
    """F/CL at the mode, and the interval of the normal approximation around it."""
    etas = fit.eta[:, None] + np.einsum("npq,ndq->ndp", roots(fit), _normals(who, "map", draws))
    low, high = np.quantile(exposure_of(who, etas), [0.05, 0.95], axis=1)
    return Estimates(point=exposure_of(who, fit.eta[:, None])[:, 0], low=low, high=high)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """Two points of each patient's posterior: `mean` minimises the expected squared error, `least` the expected squared *relative* error.

    Under the model that generated the data no estimator has a smaller RMSE than `mean`, and none a smaller rRMSE than
    `least` = E[1/x] / E[1/x^2]. `ess` (n,) is the effective sample size of the importance weights.
    """

    mean: Estimates
    least: Estimates
    ess: Array


def posterior(who: Patients, fit: MapFit, draws: int = 1000, progress: Progress | None = None) -> Posterior:
    """Importance sampling of every patient's posterior from a Student t around the mode; weighted 90 % interval."""
    rng, factor = stream(0, "comparators:posterior"), roots(fit)
    value, log_weight = (np.empty((len(who.truth), draws)) for _ in range(2))
    for start in range(0, draws, BLOCK):
        part = slice(start, min(start + BLOCK, draws))
        value[:, part], log_weight[:, part] = _weighed(who, fit.eta, factor, rng, draws=part.stop - start)
        if progress:
            progress("posterior", part.stop / draws)
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    low, high = (_weighted_quantile(value, weight, level) for level in (0.05, 0.95))
    mean = Estimates(point=np.sum(weight * value, axis=1), low=low, high=high)
    least = replace(mean, point=np.sum(weight / value, axis=1) / np.sum(weight / value**2, axis=1))
    return Posterior(mean=mean, least=least, ess=1.0 / np.sum(weight**2, axis=1))


def _weighed(who: Patients, center: Array, factor: Array, rng: np.random.Generator, *, draws: int) -> tuple[Array, Array]:
    """F/CL and log importance weight (up to a constant of the patient) of fresh draws, each (n, draws)."""
    n, p = center.shape
    chi = rng.chisquare(DEGREES, size=(n, draws, 1)) / DEGREES
    z = WIDEN * rng.standard_normal((n, draws, p)) / np.sqrt(chi)
    etas = center[:, None] + np.einsum("npq,ndq->ndp", factor, z)
    prior = np.einsum("ndp,pq,ndq->nd", etas, np.linalg.inv(who.model.omega), etas)
    proposal = -0.5 * (DEGREES + p) * np.log1p(np.sum(z * z, axis=-1) / (WIDEN**2 * DEGREES))
    return exposure_of(who, etas), -0.5 * (prior + _misfits(who, etas)) - proposal


def _misfits(who: Patients, etas: Array) -> Array:
    """-2 log likelihood of every draw, (n, d)."""
    found = [
        sample_terms(who.model.residual, concentrations(who.model, who.batch, etas[:, d]), who.seen).sum(axis=1)
        for d in range(etas.shape[1])
    ]
    return np.stack(found, axis=1)


def _weighted_quantile(value: Array, weight: Array, level: float) -> Array:
    order = np.argsort(value, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = np.argmax(below >= level, axis=1)
    return np.asarray(np.take_along_axis(value, order, axis=1)[np.arange(len(value)), place], dtype=np.float64)


def map_fit(who: Patients) -> MapFit:
    """MAP of every patient, from one start: enough for the few parameters and samples of these studies."""
    return map_batch(who.model, who.batch, who.seen, starts=1)
