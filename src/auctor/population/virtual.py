"""Virtual patients: covariates, individual parameters, dosing histories, sampling times and measured concentrations.

Everything is drawn from named streams of one seed (NumPy PCG64), so that the same plan gives the same bytes and a new
quantity does not move the others. Concentrations come from the engine (`auctor.pk`).
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Dose, Regimen, Route, Sample
from auctor.errors import PlanError
from auctor.models.model import DrugModel, Residual
from auctor.population.distributions import Distribution
from auctor.population.plan import NominalSample, Plan

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
CHUNK = 16384


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of one named quantity of a seed.

    >>> bool(stream(1, "eta").normal() == stream(1, "eta").normal())
    True
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(name.encode())])))


@dataclass(frozen=True, kw_only=True, eq=False)
class Profiles:
    """Simulated patients, one row each (n); k samples a patient, NaN where a patient has fewer.

    `dose_mg`, `loading_mg` (0: none), `every_h`, `infusion_h` (of the maintenance dose) and `loading_infusion_h` (n,);
    `sample_h` (n, k) h since the last dose (steady history) or since the first dose (start history; latest sample first);
    `true` and `observed` (n, k) mg/L without and with noise; `eta` (n, n_eta), zero-padded where models differ;
    `exposure` (n,) the true F/CL in h/L, that is AUC over one interval per mg at steady state; `model_index` (n,).
    """

    plan: Plan
    model_index: NDArray[np.int64]
    covariates: Mapping[str, Array]
    dose_mg: Array
    loading_mg: Array
    every_h: Array
    infusion_h: Array
    loading_infusion_h: Array
    sample_h: Array
    true: Array
    observed: Array
    eta: Array
    exposure: Array

    def __len__(self) -> int:
        return len(self.dose_mg)

    def regimen(self, i: int) -> Regimen:
        """The dosing history of patient i."""
        every, dose, route = float(self.every_h[i]), float(self.dose_mg[i]), route_of(self.plan.model)
        kept = Dose(time_h=0.0, amount_mg=dose, route=route, duration_h=float(self.infusion_h[i]), every_h=every, steady_state=True)
        if self.plan.dosage.history == "steady":
            return Regimen(doses=(kept,))
        assert self.plan.irregular is not None
        first_mg = float(self.loading_mg[i]) or dose
        length = float(self.loading_infusion_h[i]) if self.loading_mg[i] else kept.duration_h
        first = Dose(time_h=0.0, amount_mg=first_mg, route=route, duration_h=length)
        more = max(0, int(np.ceil(self.plan.irregular.to_h / every)) - 1)
        return Regimen(
            doses=(first, Dose(time_h=every, amount_mg=dose, route=route, duration_h=kept.duration_h, every_h=every, additional=more))
        )

    def covariates_of(self, i: int) -> Covariates:
        """The (constant) covariates of patient i."""
        return Covariates.constant({name: float(values[i]) for name, values in self.covariates.items()})

    def case(self, i: int) -> Case:
        """Patient i as a case, as if read from a file; samples in time order, with noise."""
        pairs = sorted((float(t), float(v)) for t, v in zip(self.sample_h[i], self.observed[i], strict=True) if np.isfinite(t))
        samples = tuple(Sample(time_h=t, value=v) for t, v in pairs)
        steady = Regimen.steady(
            float(self.dose_mg[i]), every_h=float(self.every_h[i]), route=route_of(self.plan.model), duration_h=float(self.infusion_h[i])
        )
        return Case(
            label=f"virtual-{i}",
            drug=self.plan.model.drug,
            history=self.regimen(i),
            samples=samples,
            covariates=self.covariates_of(i),
            current=steady,
        )


def route_of(model: DrugModel) -> Route:
    """Oral for a model with absorption, intravenous without."""
    return Route.IV if model.structure.absorption == "none" else Route.ORAL


def draw_covariates(distributions: Mapping[str, Distribution], n: int, *, seed: int) -> dict[str, Array]:
    """`n` independent values of every covariate, each from its own stream."""
    return {name: d.draw(stream(seed, f"covariate:{name}"), n) for name, d in distributions.items()}


def source_population(model: DrugModel, overrides: Mapping[str, Distribution] = MappingProxyType({})) -> dict[str, Distribution]:
    """The distribution of each covariate in the population the model was built in, or the override.

    Raises PlanError for a covariate that has neither.
    """
    found = {}
    for name, covariate in model.covariates.items():
        if name not in overrides and covariate.distribution is None:
            raise PlanError(where=f"{model.name}.covariates.{name}", what="has no distribution", remedy="give its value")
        found[name] = (
            overrides[name] if name in overrides else Distribution.read(covariate.distribution or {}, where=name, levels=covariate.levels)
        )
    return found


def draw_etas(model: DrugModel, n: int, *, rng: np.random.Generator) -> Array:
    """eta ~ N(0, omega), shape (n, n_eta); omega may be singular (an eta whose variance is 0)."""
    values, vectors = np.linalg.eigh(model.omega)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(rng.standard_normal((n, len(model.eta_names))) @ root.T, dtype=np.float64)


def parameters(model: DrugModel, covariates: Mapping[str, Array], eta: Array) -> dict[str, Array]:
    """Individual parameters, every one of shape (n,)."""
    found = model.individual(covariates, eta)
    return {name: np.broadcast_to(np.asarray(value, dtype=np.float64), eta.shape[:-1]) for name, value in found.items()}


def exposure_per_rate(model: DrugModel, params: Mapping[str, Array]) -> Array:
    """F/CL in h/L: steady-state AUC over an interval per mg, and average concentration per mg/h, of a linear model.

    >>> from types import SimpleNamespace as Bag
    >>> exposure_per_rate(Bag(structure=Bag(linear_clearance="CL", bioavailability=None)), {"CL": np.array([2.0])})
    array([0.5])
    """
    share = params[model.structure.bioavailability] if model.structure.bioavailability else 1.0
    return np.asarray(share / params[model.structure.linear_clearance], dtype=np.float64)


def residual_of(plan: Plan, model: DrugModel) -> Residual:
    """The noise the plan puts on concentrations: the model's own residual error, the assay's alone, or none."""
    if plan.noise == "full":
        return model.residual
    return Residual(proportional=plan.assay_cv if plan.noise == "assay" else 0.0, additive=0.0, source=f"plan {plan.name}")


def residual_sd(residual: Residual, true: Array) -> Array:
    """SD of the residual at a true concentration, mg/L (for kind `log`: of its logarithm)."""
    if residual.kind == "log":
        return np.full_like(true, residual.proportional)
    if residual.kind == "combined1":
        return residual.additive + residual.proportional * true
    return np.sqrt((residual.proportional * true) ** 2 + residual.additive**2)


def with_residual(residual: Residual, true: Array, *, rng: np.random.Generator) -> Array:
    """Measured concentrations, same shape. A draw that would be zero or negative is drawn again: no assay reports one.

    The redraw truncates the error of very low concentrations only (additive SD of the order of the concentration).
    """
    sd = residual_sd(residual, true)
    if residual.kind == "log":
        return np.asarray(true * np.exp(sd * rng.standard_normal(true.shape)), dtype=np.float64)
    measured = true + sd * rng.standard_normal(true.shape)
    for _ in range(1000):
        low = (measured <= 0) & (true > 0)
        if not low.any():
            return np.asarray(measured, dtype=np.float64)
        measured[low] = true[low] + sd[low] * rng.standard_normal(int(low.sum()))
    raise PlanError(where="residual", what="leaves no positive concentration", remedy="check the additive error against the doses")


def simulate(plan: Plan, progress: Progress | None = None) -> Profiles:
    """All virtual patients of the plan; several models share them evenly.

    Same plan, same bytes. `progress(stage, share)` is called with share in [0, 1].
    """
    n, seed = plan.split.total, plan.seed
    covariates = draw_covariates(plan.covariates, n, seed=seed)
    dosing = _dosing(plan, covariates, n)
    index = np.arange(n) % len(plan.models)
    k, width = len(plan.sample_names), max(len(m.eta_names) for m in plan.models)
    arrays = {"sample_h": _sample_times(plan, dosing), "true": np.full((n, k), np.nan), "observed": np.full((n, k), np.nan)}
    arrays |= {"eta": np.zeros((n, width)), "exposure": np.zeros(n)}
    drawn = Profiles(plan=plan, model_index=index, covariates=covariates, **dosing, **arrays)
    for m, model in enumerate(plan.models):
        _fill(drawn, model, np.flatnonzero(index == m), stream_name=f"model:{m}", progress=progress)
    return drawn


def _fill(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], *, stream_name: str, progress: Progress | None) -> None:
    """Draw eta, true and measured concentrations of the patients that belong to one model, chunk by chunk."""
    plan = drawn.plan
    eta = draw_etas(model, len(rows), rng=stream(plan.seed, f"{stream_name}:eta"))
    drawn.eta[rows, : eta.shape[1]] = eta
    params = parameters(model, {name: values[rows] for name, values in drawn.covariates.items()}, eta)
    drawn.exposure[rows] = exposure_per_rate(model, params)
    course = _steady_courses if plan.dosage.history == "steady" else _started_courses
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        drawn.true[rows[part]] = course(drawn, model, rows[part], {name: values[part] for name, values in params.items()})
        if progress:
            progress("simulate", min(1.0, (start + CHUNK) / len(rows)))
    filled = np.where(np.isfinite(drawn.true[rows]), drawn.true[rows], 1.0)
    noisy = with_residual(residual_of(plan, model), filled, rng=stream(plan.seed, f"{stream_name}:residual"))
    drawn.observed[rows] = np.where(np.isfinite(drawn.true[rows]), noisy, np.nan)


def _dosing(plan: Plan, covariates: Mapping[str, Array], n: int) -> dict[str, Array]:
    dosage = plan.dosage
    every = dosage.every_h.draw(stream(plan.seed, "every"), n)
    size = covariates[dosage.per] if dosage.per else np.ones(n)
    amounts = {"dose_mg": dosage.dose.draw(stream(plan.seed, "dose"), n), "loading_mg": np.zeros(n)}
    if dosage.loading:
        amounts["loading_mg"] = dosage.loading.draw(stream(plan.seed, "loading"), n)
    amounts = {name: np.where(mg > 0, _given(plan, mg * size), 0.0) for name, mg in amounts.items()}
    if np.any(amounts["dose_mg"] <= 0):
        raise PlanError(where=f"{plan.name}.regimen.dose", what="gives doses of 0 mg", remedy="raise the dose or min_mg, or lower round_mg")
    lengths = [mg / dosage.infusion_mg_h if dosage.infusion_mg_h else np.full(n, dosage.infusion_h) for mg in amounts.values()]
    return amounts | {"every_h": every, "infusion_h": lengths[0], "loading_infusion_h": lengths[1]}


def _given(plan: Plan, amount: Array) -> Array:
    """What is really given: rounded to the plan's step, kept within its bounds; mg."""
    d = plan.dosage
    rounded = np.round(amount / d.round_mg) * d.round_mg if d.round_mg else amount
    return np.asarray(np.clip(rounded, d.min_mg, d.max_mg), dtype=np.float64)


def _sample_times(plan: Plan, dosing: Mapping[str, Array]) -> Array:
    if plan.irregular is not None:
        return _irregular_times(plan, dosing)
    columns = [_nominal_times(plan, sample, dosing["every_h"]) for sample in plan.nominal]
    return np.stack(columns, axis=1)


def _nominal_times(plan: Plan, sample: NominalSample, every: Array) -> Array:
    """Hours since the last dose; a sample due at 0 h is drawn at the end of the interval, before the next dose."""
    rng = stream(plan.seed, f"time:{sample.name}")
    kind = {"kind": "normal", "mean": 0.0, "sd": sample.sd_min} if sample.imprecision == "normal" else {"kind": "uniform"}
    exact = sample.early_min == sample.late_min == 0
    late = 0.0 if exact else Distribution.read(kind | {"low": -sample.early_min, "high": sample.late_min}).draw(rng, len(every)) / 60.0
    return np.asarray((every if sample.at_h == 0 else np.full_like(every, sample.at_h)) + late, dtype=np.float64)


def _irregular_times(plan: Plan, dosing: Mapping[str, Array]) -> Array:
    """Hours since the first dose, latest sample first, NaN beyond a patient's number of samples; shape (n, k)."""
    spec, every = plan.irregular, dosing["every_h"]
    assert spec is not None
    n, k = len(every), max(spec.count)
    rng = stream(plan.seed, "irregular")
    count = rng.choice(np.asarray(spec.count), size=n)
    longest = np.maximum(dosing["infusion_h"], dosing["loading_infusion_h"])
    soonest = np.maximum(spec.after_dose_h, longest)
    first = np.ceil(np.maximum(spec.from_h - soonest, 0.0) / every)
    last = np.maximum(np.floor(spec.to_h / every) - 1, first)
    dose = first[:, None] + np.floor(rng.uniform(size=(n, k)) * (last - first + 1)[:, None])
    after = soonest[:, None] + rng.uniform(size=(n, k)) * np.maximum(every - soonest, 0.0)[:, None]
    times = np.where(np.arange(k) < count[:, None], dose * every[:, None] + after, -np.inf)
    ordered = -np.sort(-times, axis=1)
    return np.where(np.isfinite(ordered), ordered, np.nan)


def _steady_courses(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], params: Mapping[str, Array]) -> Array:
    from auctor.pk.steady import steady_profile

    found = steady_profile(
        model, dict(params), drawn.dose_mg[rows], drawn.every_h[rows], drawn.sample_h[rows], duration_h=drawn.infusion_h[rows]
    )
    return np.asarray(found, dtype=np.float64)


def _started_courses(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], params: Mapping[str, Array]) -> Array:
    del params  # the engine applies eta to the covariates of the timeline itself
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    times = np.where(np.isfinite(drawn.sample_h[rows]), drawn.sample_h[rows], drawn.sample_h[rows][:, :1])
    timelines = [build(model, drawn.regimen(i), drawn.covariates_of(i), t) for i, t in zip(rows, times, strict=True)]
    found = concentrations(model, stack(timelines), drawn.eta[rows, : len(model.eta_names)])[:, : times.shape[1]]
    return np.where(np.isfinite(drawn.sample_h[rows]), found, np.nan)


def write_profiles(profiles: Profiles, path: str | Path) -> None:
    """One line a sample as CSV: ID, covariates, dose_mg, every_h, time_h, true and observed (model's unit), exposure (h/L)."""
    scale = profiles.plan.model.scale
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["ID", *profiles.covariates, "loading_mg", "dose_mg", "every_h", "sample", "time_h", "true", "observed", "F_over_CL"])
        for i in range(len(profiles)):
            known = [i + 1, *(v[i] for v in profiles.covariates.values()), profiles.loading_mg[i], profiles.dose_mg[i], profiles.every_h[i]]
            for j in np.flatnonzero(np.isfinite(profiles.sample_h[i])):
                values = (profiles.sample_h[i, j], profiles.true[i, j] * scale, profiles.observed[i, j] * scale, profiles.exposure[i])
                out.writerow([*known, profiles.plan.sample_names[j], *(f"{v:.10g}" for v in values)])
