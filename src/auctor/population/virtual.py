"""Virtual patients: covariates, individual parameters, dosing histories, sampling times and measured concentrations.

Everything is drawn from named streams of one seed (NumPy PCG64), so that the same plan gives the same bytes and a new
quantity does not move the others. Concentrations come from the engine (`auctor.pk`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.models.model import OCCASION, DrugModel, Residual
from auctor.models.occasions import padded, with_occasions
from auctor.population.distributions import Distribution, stream
from auctor.population.dosage import draw_dosing, draw_taken, route_of
from auctor.population.outcomes import Simulated, exposure_per_rate, outcomes
from auctor.population.plan import NominalSample, Plan
from auctor.population.profile_files import write_profiles
from auctor.population.profiles import Profiles
from auctor.population.variability import draw_changes, occasions_of

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
CHUNK = 16384  # patients in closed form at a time
LAID_OUT = 8192  # patients with a timeline of their own at a time


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


def can_exist(model: DrugModel, covariates: Mapping[str, Array], eta: Array) -> NDArray[np.bool_]:
    """Where clearances and volumes are above zero, (n,).

    They are not only under a formula that can cross zero: the public daptomycin code gives a tenth of its light patients a negative Q.
    """
    params, s = parameters(model, covariates, eta), model.structure
    names = [name for name in (s.clearance, s.central, *(n for pair in s.peripherals for n in pair)) if name]
    return np.all([params[name] > 0 for name in names], axis=0) if names else np.ones(eta.shape[:-1], dtype=np.bool_)


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
    if residual.kind == "power":
        return np.asarray(residual.additive + residual.proportional * true**residual.power, dtype=np.float64)
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
    """All virtual patients of the plan; several models share them evenly. Those that the target's `keep` and `trim` exclude are left out.

    Same plan, same bytes. `progress(stage, share)` is called with share in [0, 1]. Raises PlanError where nobody, or too few, remain.
    """
    drawn = _drawn(plan)
    for m, model in enumerate(plan.models):
        _fill(drawn, model, np.flatnonzero(drawn.model_index == m), stream_name=f"model:{m}", progress=progress)
    return _kept(drawn)


def _drawn(plan: Plan) -> Profiles:
    """Everything but what the models say of the patients."""
    n, seed = plan.split.total, plan.seed
    covariates = plan.people.draw(n, seed=seed)
    dosing = draw_dosing(plan.dosage, covariates, n, seed=seed, where=f"{plan.name}.regimen")._asdict()
    k, width = len(plan.sample_names), max(len(m.eta_names) for m in plan.models)
    kappas = max(_occasion_model(plan, m, _occasions(plan, dosing["every_h"])).omega.shape[0] - len(m.eta_names) for m in plan.models)
    drawn_h = _sample_times(plan, dosing)
    changes = draw_changes(plan.paths, covariates, n, seed=seed) if plan.paths else None
    if changes is not None:
        fixed = {name: values[:, None] for name, values in covariates.items() if name not in plan.people.derived}
        changes = changes._replace(values={**changes.values, **plan.people.worked_out(fixed | dict(changes.values))})
    drawn = Profiles(
        plan=plan,
        model_index=np.arange(n) % len(plan.models),
        covariates=covariates,
        **dosing,
        sample_h=_recorded(plan, drawn_h, dosing["every_h"]),
        drawn_h=drawn_h,
        true=np.full((n, k), np.nan),
        observed=np.full((n, k), np.nan),
        below=np.zeros((n, k), dtype=bool),
        eta=np.zeros((n, width)),
        kappa=np.zeros((n, kappas)),
        exposure=np.zeros(n),
        target=np.zeros(n),
        changes=changes,
    )
    if plan.adherence is None:
        return drawn
    doses = int(np.ceil(plan.horizon_h / min(plan.dosage.intervals_h))) + 1
    return replace(drawn, taken=draw_taken(plan.adherence, dosing["every_h"], doses, seed=seed))


def _occasions(plan: Plan, every_h: Array) -> int:
    """How many occasions there are until the last sample or target; 0 without IOV."""
    if plan.iov is None:
        return 0
    if not plan.dosage.start:
        return 1
    length = occasions_of(plan.iov, every_h, plan.horizon_h, plan.name)
    return int(np.max(np.ceil(plan.horizon_h / length - 1e-9)))


def _occasion_model(plan: Plan, model: DrugModel, occasions: int) -> DrugModel:
    """The model with a kappa for every occasion, and for the one that follows."""
    return with_occasions(model, padded(occasions + 1, where=f"{plan.name}.iov")) if occasions else model


def _kept(drawn: Profiles) -> Profiles:
    """The patients whose target is finite and within the plan's bounds."""
    target, spec = drawn.target, drawn.plan.target
    if spec.logarithmic and np.any(target <= 0):
        what = f"is 0 for {np.mean(target <= 0):.2%} of the patients: it has no logarithm"
        raise PlanError(where=f"{drawn.plan.name}.target.scale", what=what, remedy="take scale = 'plain', or a later window")
    exists = np.isfinite(target) & np.all(np.isfinite(drawn.true) == np.isfinite(drawn.sample_h), axis=1)
    bounded = np.isfinite(spec.keep[1]) or spec.trim[1] < 1
    if not bounded and not exists.all():
        what = f"leaves {np.mean(~exists):.2%} of the patients without a steady state: they cannot eliminate the dose"
        raise PlanError(where=f"{drawn.plan.name}.regimen", what=what, remedy="lower the doses, or say in [target] keep which to leave out")
    if not bounded and not np.isfinite(spec.keep[0]) and spec.trim[0] == 0:
        return drawn
    inside = exists & (target >= spec.keep[0]) & (target <= spec.keep[1])
    low, high = np.quantile(target[inside], spec.trim) if inside.any() else spec.keep
    inside &= (target >= low) & (target <= high)
    if inside.sum() < 30:
        raise PlanError(where=f"{drawn.plan.name}.target.keep", what="leaves fewer than 30 patients", remedy="widen it, or simulate more")
    return drawn.rows(np.flatnonzero(inside))


def _fill(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], *, stream_name: str, progress: Progress | None) -> None:
    """Draw eta and kappa, true and measured concentrations and the target of the patients of one model, chunk by chunk."""
    who = _who(drawn, model, rows, stream_name)
    closed = not drawn.plan.dosage.start and model.system is None and model.structure.linear
    size = CHUNK if closed else LAID_OUT
    for start in range(0, len(rows), size):
        part = who.part(slice(start, start + size))
        drawn.true[part.rows] = _steady_courses(part) if closed else _laid_out_courses(part)
        drawn.target[part.rows], drawn.exposure[part.rows] = outcomes(part)
        if progress:
            progress("simulate", min(1.0, (start + size) / len(rows)))
    _measure(drawn, model, rows, stream_name)


def _who(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], stream_name: str) -> Simulated:
    plan = drawn.plan
    eta = draw_etas(model, len(rows), rng=stream(plan.seed, f"{stream_name}:eta"))
    drawn.eta[rows, : eta.shape[1]] = eta
    occasions = _occasions(plan, drawn.every_h)
    if plan.iov is None or not occasions:
        return Simulated(profiles=drawn, rows=rows, model=model, eta=eta)
    full = _occasion_model(plan, model, occasions)
    p = eta.shape[1]
    spread = np.sqrt(np.diag(full.omega)[p:])
    kappa = spread * stream(plan.seed, f"{stream_name}:kappa").standard_normal((len(rows), len(spread)))
    drawn.kappa[rows, : kappa.shape[1]] = kappa
    length = occasions_of(plan.iov, drawn.every_h[rows], plan.horizon_h if plan.dosage.start else 0.0, plan.name)
    whole = np.concatenate([eta, kappa], axis=1)
    return Simulated(profiles=drawn, rows=rows, model=full, eta=whole, occasion_h=length, occasions=occasions)


def _measure(drawn: Profiles, model: DrugModel, rows: NDArray[np.int64], stream_name: str) -> None:
    """Residual error, then the bias of the patient's lot, then the assay's lower limit."""
    plan, true = drawn.plan, drawn.true[rows]
    taken = np.isfinite(true)
    found = with_residual(residual_of(plan, model), np.where(taken, true, 1.0), rng=stream(plan.seed, f"{stream_name}:residual"))
    if plan.assay.bias is not None:
        found = found * (1 + plan.assay.bias.draw(stream(plan.seed, f"{stream_name}:bias"), len(rows)))[:, None]
    if plan.assay.lloq is not None:
        drawn.below[rows] = taken & (found < plan.assay.lloq)
        found = np.where(drawn.below[rows], plan.assay.lloq / 2, found)
    drawn.observed[rows] = np.where(taken, found, np.nan)


def _sample_times(plan: Plan, dosing: Mapping[str, Array]) -> Array:
    if plan.irregular is not None:
        return _irregular_times(plan, dosing)
    columns = [_nominal_times(plan, sample, dosing["every_h"]) for sample in plan.nominal]
    return np.stack(columns, axis=1) if columns else np.zeros((len(dosing["every_h"]), 0))


def _nominal_times(plan: Plan, sample: NominalSample, every: Array) -> Array:
    """Hours since the dose at steady state, or since the first dose; one due at 0 h comes before the next dose."""
    rng = stream(plan.seed, f"time:{sample.name}")
    kind = {"kind": "normal", "mean": 0.0, "sd": sample.sd_min} if sample.imprecision == "normal" else {"kind": "uniform"}
    exact = sample.early_min == sample.late_min == 0
    late = 0.0 if exact else Distribution.read(kind | {"low": -sample.early_min, "high": sample.late_min}).draw(rng, len(every)) / 60.0
    return np.asarray(_due(sample, every) + late, dtype=np.float64)


def _due(sample: NominalSample, every: Array) -> Array:
    return sample.doses_before * every + (every if sample.at_h == 0 else np.full_like(every, sample.at_h))


def _recorded(plan: Plan, drawn_h: Array, every: Array) -> Array:
    """The times that the methods are told: the true ones, or for a sample whose time nobody wrote down the nominal one."""
    told = [_due(s, every) if s.recorded == "nominal" else drawn_h[:, j] for j, s in enumerate(plan.nominal)]
    return np.stack(told, axis=1) if told else drawn_h


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


def _steady_courses(who: Simulated) -> Array:
    """Concentrations at steady state in closed form."""
    from auctor.pk.steady import steady_profile

    drawn, rows = who.profiles, who.rows
    # the samples are of the first occasion, whatever the target's is
    known = who.last_seen() | ({OCCASION: np.ones(len(rows))} if who.occasions else {})
    params = parameters(who.model, known, who.eta)
    found = steady_profile(
        who.model, dict(params), drawn.dose_mg[rows], drawn.every_h[rows], drawn.drawn_h[rows], duration_h=drawn.infusion_h[rows]
    )
    return np.asarray(found, dtype=np.float64)


def _laid_out_courses(who: Simulated) -> Array:
    """Concentrations by the engine on each patient's own timeline."""
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    drawn, sampled = who.profiles, who.profiles.drawn_h[who.rows]
    if not sampled.shape[1]:
        return sampled
    times = np.where(np.isfinite(sampled), sampled, sampled[:, :1])
    timelines = [build(who.model, drawn.given(int(i)), who.course_of(k), times[k]) for k, i in enumerate(who.rows)]
    found = concentrations(who.model, stack(timelines), who.eta)[:, : times.shape[1]]
    return np.where(np.isfinite(sampled), found, np.nan)


__all__ = [
    "CHUNK", "Profiles", "Progress", "draw_covariates", "draw_etas", "exposure_per_rate", "parameters", "residual_of", "residual_sd",
    "route_of", "simulate", "source_population", "stream", "with_residual", "write_profiles",
]  # fmt: skip
