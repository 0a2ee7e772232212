"""What a learner is judged against: covariates alone, MAP, and the posterior mean, for many virtual patients at once.

Every comparator gives F/CL (h/L), to which the exposure of a linear model is proportional, or the plan's target where that is read off
the course (`own_course`): a point and a 90 % interval. `averaged` mixes the posteriors of several models by their marginal likelihoods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

from auctor.estimate.descent import Evaluate, Matrix
from auctor.estimate.direct_map import direct_map, objective_of, searched, settled
from auctor.estimate.map import MapFit, map_batch
from auctor.estimate.modes import fit_of
from auctor.estimate.objective import sample_terms
from auctor.estimate.observations import Observations
from auctor.learn.labels import asked_times, levels, timelines
from auctor.learn.scales import truth
from auctor.models.model import DrugModel, Residual
from auctor.pk.course import concentrations
from auctor.pk.direct import is_direct, readings
from auctor.pk.steady import steady_profile
from auctor.pk.timeline import Batch, Timeline
from auctor.population.plan import Plan
from auctor.population.virtual import Profiles, Progress, exposure_per_rate, residual_of, stream
from auctor.validate.own_course import OwnCourse, own_course

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
DEGREES = 5.0  # of the Student proposal: heavier tails than any posterior here, so importance weights stay bounded
WIDEN = 1.2
BLOCK = 100
CALL = 4000  # draws a call of the closed form
FEW_PATIENTS = 64
FEW = 200  # draws for an interval where each has to be read off a course
ABSURD = 1e9  # mg/L: a draw whose course runs away
NOISELESS_SD = 0.02  # relative SD given to MAP and the posterior for levels without noise: a zero has no posterior density


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimates:
    """F/CL, or the target, of n patients: `point`, `low`, `high` (n,), the interval being central 90 %."""

    point: Array
    low: Array
    high: Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Patients:
    """Virtual patients as the estimators see them: timelines, measured levels, covariates; F/CL (or the target) known for judging.

    `steady` of patients at steady state on one dose: the model that is compiled (whatever residual error `model` is told), dose (mg),
    interval and infusion length (h), each (n,), and times (n, k) after the dose; the closed form then stands in for the timeline where
    many draws are asked for. `course` of patients whose target is no F/CL: what is read in its place.
    `lines` of a few patients with other histories, who are read in NumPy: compiling would cost more than they do.
    """

    model: DrugModel
    batch: Batch
    seen: Observations
    covariates: Mapping[str, Array]
    truth: Array
    steady: tuple[DrugModel, Array, Array, Array, Array] | None = None
    course: OwnCourse | None = None
    lines: tuple[Timeline, ...] = ()

    @property
    def sampled(self) -> bool:
        """Whether any level is known."""
        return bool(self.seen.weight.any())


def patients(profiles: Profiles, rows: Rows, model: DrugModel | None = None) -> Patients:
    """The chosen rows of simulated profiles, seen through `model` (by default the plan's first); a sample not taken has weight 0."""
    model = model or profiles.plan.model
    batch, seen = levels(profiles, rows, model)
    covariates = {name: values[rows] for name, values in profiles.covariates.items()}
    steady, course = None, None if profiles.plan.target.proportional else own_course(profiles, rows, model)
    if course is None and not profiles.plan.dosage.start and model.system is None and model.structure.linear:
        given = (profiles.dose_mg[rows], profiles.every_h[rows], profiles.infusion_h[rows])
        steady = (model, *given, asked_times(profiles, rows))
    few = steady is None and course is None and len(rows) <= FEW_PATIENTS and is_direct(model)
    lines = tuple(timelines(profiles, rows, model)) if few else ()
    return Patients(
        model=model, batch=batch, seen=seen, covariates=covariates, truth=truth(profiles)[rows], steady=steady, course=course, lines=lines
    )  # fmt: skip


def with_error(model: DrugModel, residual: Residual) -> DrugModel:
    """The model with another residual error, under another hash, so that code compiled for the one is not used for the other."""
    mark = f"{residual.kind}:{residual.proportional!r}:{residual.additive!r}"
    return replace(model, residual=residual, sha256=f"{model.sha256}+{mark}")


def matched_error(plan: Plan, model: DrugModel) -> Residual:
    """The residual error of the plan's levels as `model` is told it: where there is none, a floor of 2 %."""
    found = residual_of(plan, model)
    return found if plan.noise != "none" else replace(found, proportional=NOISELESS_SD, source="numerical floor for noise-free levels")


def exposure_of(who: Patients, etas: Array) -> Array:
    """F/CL, or the target, for eta draws (n, d, p): shape (n, d)."""
    if who.course is not None:
        return who.course.read(etas)[1]
    columns = {name: values[:, None] for name, values in who.covariates.items()}
    params = who.model.individual(columns, etas)
    return np.broadcast_to(exposure_per_rate(who.model, params), etas.shape[:2])


def _normals(who: Patients, name: str, draws: int) -> Array:
    shape = (len(who.truth), draws if who.course is None else min(draws, FEW), len(who.model.eta_names))
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Draws of F/CL, h/L, with log importance weights, both (n, d); `log_marginal` (n,) log likelihood of the samples under the model.

    The likelihood leaves out the constant -0.5 log(2 pi) of each sample, which is the same for every model of the same samples.
    """

    value: Array
    log_weight: Array
    log_marginal: Array


def posterior(who: Patients, fit: MapFit, draws: int = 1000, progress: Progress | None = None) -> Posterior:
    """Importance sampling of every patient's posterior from a Student t around the mode; weighted 90 % interval."""
    return summarised([drawn(who, fit, draws, progress)])


def drawn(who: Patients, fit: MapFit, draws: int = 1000, progress: Progress | None = None) -> Drawn:
    """The draws behind `posterior`, for mixing with those of other models (`averaged`)."""
    if not who.sampled:
        return _unseen(who, draws)
    rng, factor = stream(0, "comparators:posterior"), roots(fit)
    value, log_weight = (np.empty((len(who.truth), draws)) for _ in range(2))
    for start in range(0, draws, BLOCK):
        part = slice(start, min(start + BLOCK, draws))
        value[:, part], log_weight[:, part] = _weighed(who, fit.eta, factor, rng, draws=part.stop - start)
        if progress:
            progress("posterior", part.stop / draws)
    top = log_weight.max(axis=1, keepdims=True)
    mean = top[:, 0] + np.log(np.mean(np.exp(log_weight - top), axis=1))
    return Drawn(value=value, log_weight=log_weight, log_marginal=mean + _constant(who.model, factor))


def _unseen(who: Patients, draws: int) -> Drawn:
    """Without a level the posterior is the prior, and every model is as probable as before."""
    z = stream(0, "comparators:posterior").standard_normal((len(who.truth), draws, len(who.model.eta_names)))
    value = exposure_of(who, z @ np.linalg.cholesky(who.model.omega).T)
    return Drawn(value=value, log_weight=np.zeros_like(value), log_marginal=np.zeros(len(value)))


def _constant(model: DrugModel, factor: Array) -> Array:
    """What `_weighed` leaves out of log(prior / proposal), (n,): the normalising constants of N(0, omega) and of the Student t."""
    p = len(model.eta_names)
    prior = -0.5 * (p * log(2 * pi) + np.linalg.slogdet(model.omega)[1])
    scale = np.sum(np.log(np.diagonal(factor, axis1=1, axis2=2)), axis=1) + p * log(WIDEN)
    student = lgamma((DEGREES + p) / 2) - lgamma(DEGREES / 2) - 0.5 * p * log(DEGREES * pi) - scale
    return np.asarray(prior - student, dtype=np.float64)


def averaged(found: Sequence[Drawn]) -> Posterior:
    """The posterior under the mixture of several models, equally probable before: each weighs by its marginal likelihood.

    Where one of them made each patient and it is not known which, its mean is the least RMSE that can be reached.
    """
    return summarised(found)


def model_weights(found: Sequence[Drawn]) -> Array:
    """Posterior probability of each model for each patient, (n, models)."""
    logs = np.stack([one.log_marginal for one in found], axis=1)
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def summarised(found: Sequence[Drawn]) -> Posterior:
    """Points and interval of the draws of one model, or of several that are mixed by their marginal likelihoods."""
    shares = model_weights(found)
    value = np.concatenate([one.value for one in found], axis=1)
    weight = np.concatenate([shares[:, [k]] * _normalised(one.log_weight) for k, one in enumerate(found)], axis=1)
    low, high = (_weighted_quantile(value, weight, level) for level in (0.05, 0.95))
    mean = Estimates(point=np.sum(weight * value, axis=1), low=low, high=high)
    least = replace(mean, point=_least_relative(value, weight))
    return Posterior(mean=mean, least=least, ess=1.0 / np.sum(weight**2, axis=1))


def _least_relative(value: Array, weight: Array) -> Array:
    """E[1/x] / E[1/x^2] of each patient's draws, (n,), by logarithms: the square of a value that hardly counts may underflow."""
    logs = np.log(weight, out=np.full(weight.shape, -np.inf), where=weight > 0)
    once, twice = (np.logaddexp.reduce(logs - power * np.log(value), axis=1) for power in (1, 2))
    return np.asarray(np.exp(once - twice))


def _normalised(log_weight: Array) -> Array:
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def _weighed(who: Patients, center: Array, factor: Array, rng: np.random.Generator, *, draws: int) -> tuple[Array, Array]:
    """F/CL and log importance weight (up to a constant of the patient) of fresh draws, each (n, draws)."""
    n, p = center.shape
    chi = rng.chisquare(DEGREES, size=(n, draws, 1)) / DEGREES
    z = WIDEN * rng.standard_normal((n, draws, p)) / np.sqrt(chi)
    etas = center[:, None] + np.einsum("npq,ndq->ndp", factor, z)
    prior = np.einsum("ndp,pq,ndq->nd", etas, np.linalg.inv(who.model.omega), etas)
    proposal = -0.5 * (DEGREES + p) * np.log1p(np.sum(z * z, axis=-1) / (WIDEN**2 * DEGREES))
    found, value = _read(who, etas)
    exists = np.isfinite(value) & (value > 0)
    log_weight = np.where(exists, -0.5 * (prior + _misfits(who, found)) - proposal, -np.inf)
    return np.where(exists, value, 1.0), log_weight  # a value that weighs nothing


def _read(who: Patients, etas: Array) -> tuple[Array, Array]:
    """Levels (n, d, k) and F/CL or target (n, d) of every draw (n, d, p)."""
    if who.course is not None:
        return who.course.read(etas)
    if who.steady is not None:
        return _steady_levels(who, etas), exposure_of(who, etas)
    if who.lines:
        with np.errstate(all="ignore"):  # a draw without a course weighs nothing
            found = np.stack([readings(who.model, line, own)[0] for line, own in zip(who.lines, etas, strict=True)])
        return found, exposure_of(who, etas)
    found = np.stack([concentrations(who.model, who.batch, etas[:, d]) for d in range(etas.shape[1])], axis=1)
    return found, exposure_of(who, etas)


def _misfits(who: Patients, found: Array) -> Array:
    """-2 log likelihood of every draw's levels (n, d, k), (n, d); infinite where it has no course (a negative volume, say)."""
    sound = np.asarray(((found > 0) & (found < ABSURD)).all(axis=2))
    seen = Observations(*(np.broadcast_to(v[:, None, : found.shape[2]], found.shape) for v in who.seen))
    terms = sample_terms(who.model.residual, np.where(sound[:, :, None], found, 1.0), seen).sum(axis=2)
    return np.asarray(np.where(sound, terms, np.inf), dtype=np.float64)


def _steady_levels(who: Patients, etas: Array) -> Array:
    """Levels of every draw (n, d, p) by the closed form of the steady state, (n, d, k), in calls of one size that one program serves."""
    assert who.steady is not None
    (n, d), (compiled, *given) = etas.shape[:2], who.steady
    columns = {name: np.repeat(values, d) for name, values in who.covariates.items()}
    params = {name: np.broadcast_to(v, (n * d,)) for name, v in who.model.individual(columns, etas.reshape(n * d, -1)).items()}
    dose, every, length, times = (np.repeat(values, d, axis=0) for values in given)
    parts = []
    for start in range(0, n * d, CALL):
        rows = np.minimum(np.arange(start, start + CALL), n * d - 1)
        own = {name: values[rows] for name, values in params.items()}
        parts.append(steady_profile(compiled, own, dose[rows], every[rows], times[rows], duration_h=length[rows]))
    return np.concatenate(parts)[: n * d].reshape(n, d, -1)


def steady_fit(who: Patients) -> MapFit:
    """`map_fit` of patients at steady state by the closed form: the same objective and descent, with nothing but the profile to compile."""
    assert who.steady is not None
    n = len(who.truth)
    owner, fine = searched(n, np.zeros((n, len(who.model.eta_names))), _evaluated(who, who.steady[4].shape[1]))
    return fit_of(who.model, n, owner, fine)


def course_fit(who: Patients) -> MapFit:
    """MAP of patients whose levels are read off their course: the same objective, by Fisher scoring from one start."""
    assert who.course is not None
    n = len(who.truth)
    return fit_of(who.model, n, np.arange(n), settled(np.zeros((n, len(who.model.eta_names))), _evaluated(who, who.course.samples)))


def direct_fit(who: Patients) -> MapFit:
    """MAP of a few patients one by one in NumPy, from one start."""
    k = len(who.lines[0].wanted)
    each = zip(who.lines, zip(*(values[:, :k] for values in who.seen), strict=True), strict=True)
    return MapFit.together([direct_map(who.model, line, Observations(*own), starts=1) for line, own in each])


def _evaluated(who: Patients, k: int) -> Evaluate:
    """What a search asks: objective, slope and curvature of the patients' k levels."""
    seen = Observations(*(values[:, :k] for values in who.seen))

    def evaluate(u: Array) -> tuple[Array, Array, Matrix]:
        # lanes are the patients, or several shifted points a patient, patient by patient
        repeats = u.shape[1] // len(who.truth)
        own = Observations(*(np.repeat(values, repeats, axis=0) for values in seen))
        return objective_of(who.model, own, partial(_shifted, who, len(u), repeats), u)

    return evaluate


def _shifted(who: Patients, p: int, repeats: int, etas: Array) -> Array:
    """Levels at etas ordered shift, patient, repeat: `objective_of` asks in that order."""
    n = len(who.truth)
    by_patient = etas.reshape(2 * p + 1, n, repeats, p).transpose(1, 0, 2, 3).reshape(n, -1, p)
    found = _read(who, by_patient)[0]
    return found.reshape(n, 2 * p + 1, repeats, -1).transpose(1, 0, 2, 3).reshape(len(etas), -1)


def _weighted_quantile(value: Array, weight: Array, level: float) -> Array:
    order = np.argsort(value, axis=1)
    below = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    place = np.argmax(below >= level, axis=1)
    return np.asarray(np.take_along_axis(value, order, axis=1)[np.arange(len(value)), place], dtype=np.float64)


def fitted(who: Patients) -> MapFit:
    """MAP of every patient by what serves them best."""
    if who.course is not None:
        return course_fit(who)
    if who.lines:
        return direct_fit(who)
    return steady_fit(who) if who.steady is not None else map_fit(who)


def map_fit(who: Patients) -> MapFit:
    """MAP of every patient, from one start: enough for the few parameters and samples of these studies."""
    return map_batch(who.model, who.batch, who.seen, starts=1)
