"""Training patients of several models: covariates, doses, sampling times, etas, and the timeline of each under every model.

Drawn from named streams of the plan's seed, so that the same plan gives the same bytes. The levels without noise are computed once; noise,
number of samples and LLOQ are drawn afresh in every epoch (`auctor.learn.amortised.shown`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Dose, Regimen, Sample
from auctor.errors import PlanError
from auctor.learn.amortised.plan import AmortisedPlan
from auctor.models.model import DrugModel
from auctor.pk.course import concentrations
from auctor.pk.timeline import Batch, build, stack
from auctor.population.virtual import Progress, can_exist, draw_covariates, route_of, stream

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
REDRAWS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """n training patients: `model_index` (n,), standardised etas `z` (n, most etas; 0 beyond a model's own), regimens, `times` (n, k) h.

    `since_dose` (n, k) h since the last dose; `batches` one a model: every patient's timeline under it; `true` (n, k) mg/L without noise.
    """

    plan: AmortisedPlan
    covariates: Mapping[str, Array]
    model_index: Ints
    z: Array
    regimens: tuple[Regimen, ...]
    times: Array
    since_dose: Array
    batches: tuple[Batch, ...]
    true: Array

    def __len__(self) -> int:
        return len(self.z)

    def levels(self, m: int, z: Array) -> Array:
        """Concentrations (n, k) mg/L of every patient under model m and standardised etas (n, p)."""
        model = self.plan.models[m]
        return concentrations(model, self.batches[m], z @ root(model).T)[:, : self.times.shape[1]]

    def case(self, i: int, levels: Array, lloq: float) -> Case:
        """Patient i as a case with those levels (k,) mg/L, NaN where none was taken; under `lloq` only that is known."""
        pairs = sorted((float(t), float(v)) for t, v in zip(self.times[i], levels, strict=True) if np.isfinite(v))
        samples = tuple(Sample(time_h=t, value=max(v, lloq), lloq=lloq, below_lloq=v < lloq) for t, v in pairs)
        known = {name: float(values[i]) for name, values in self.covariates.items()}
        drug = self.plan.models[int(self.model_index[i])].drug
        return Case(label=f"virtual-{i}", drug=drug, history=self.regimens[i], samples=samples, covariates=Covariates.constant(known))


def root(model: DrugModel) -> Array:
    """The Cholesky factor of omega: eta = root @ z, with z ~ N(0, I)."""
    return np.asarray(np.linalg.cholesky(model.omega), dtype=np.float64)


def simulate_world(plan: AmortisedPlan, progress: Progress | None = None) -> World:
    """All training patients of the plan, shared evenly by its models; same plan, same bytes."""
    n = plan.patients
    covariates = draw_covariates(plan.covariates, n, seed=plan.seed)
    covariates |= {name: covariates[other] for name, other in plan.same.items()}
    regimens = _regimens(plan, covariates, n)
    times, since = _times(plan, regimens)
    width = max(len(m.eta_names) for m in plan.models)
    index = np.arange(n) % len(plan.models)
    z = plan.wider.drawn(stream(plan.seed, "eta"), n, width)
    _redraw_impossible(plan, covariates, index, z)
    for m, model in enumerate(plan.models):
        z[index == m, len(model.eta_names) :] = 0.0
    people = [Covariates.constant({name: float(v[i]) for name, v in covariates.items()}) for i in range(n)]
    batches = []
    for m, model in enumerate(plan.models):
        batches.append(stack([build(model, r, c, t) for r, c, t in zip(regimens, people, times, strict=True)]))
        if progress:
            progress("simulate", (m + 1) / len(plan.models))
    drawn = World(
        plan=plan, covariates=covariates, model_index=index, z=z, regimens=regimens, times=times, since_dose=since,
        batches=tuple(batches), true=np.zeros_like(times),
    )  # fmt: skip
    for m, model in enumerate(plan.models):
        rows = index == m
        drawn.true[rows] = drawn.levels(m, z[:, : len(model.eta_names)])[rows]
    return drawn


def _redraw_impossible(plan: AmortisedPlan, covariates: Mapping[str, Array], index: Ints, z: Array) -> None:
    """Draw the etas of patients who cannot exist again, in place; the prior is cut off there too (`auctor.learn.amortised.posterior`)."""
    rng = stream(plan.seed, "eta again")
    for m, model in enumerate(plan.models):
        rows = np.flatnonzero(index == m)
        for _ in range(REDRAWS):
            known = {name: values[rows] for name, values in covariates.items()}
            rows = rows[~can_exist(model, known, z[rows, : len(model.eta_names)] @ root(model).T)]
            z[rows] = plan.wider.drawn(rng, len(rows), z.shape[1])
        if len(rows):
            what = f"gives {len(rows)} patients no clearance or volume above zero in {REDRAWS} draws"
            raise PlanError(where=f"{plan.name}.{model.name}", what=what, remedy="narrow the covariates")


def _regimens(plan: AmortisedPlan, covariates: Mapping[str, Array], n: int) -> tuple[Regimen, ...]:
    d, rng = plan.dosing, stream(plan.seed, "regimen")
    size = covariates[d.per] if d.per else np.ones(n)
    amount = _given(plan, d.dose.draw(rng, n) * size)
    first = _given(plan, amount * d.loading.draw(rng, n))
    every = d.every_h.draw(rng, n)
    count = rng.integers(d.doses[0], d.doses[1] + 1, n)
    steady = rng.uniform(size=n) < d.steady
    shift = d.jitter * rng.uniform(-0.5, 0.5, (n, d.doses[1]))
    return tuple(
        _at_steady_state(plan, amount[i], every[i])
        if steady[i]
        else _from_the_first(plan, (first[i], amount[i]), (np.arange(count[i]) + shift[i, : count[i]] - shift[i, 0]) * every[i])
        for i in range(n)
    )


def _given(plan: AmortisedPlan, amount: Array) -> Array:
    d = plan.dosing
    rounded = np.round(amount / d.round_mg) * d.round_mg if d.round_mg else amount
    return np.asarray(np.clip(rounded, max(d.min_mg, 1e-9), d.max_mg))


def _length(plan: AmortisedPlan, amount: float) -> float:
    d = plan.dosing
    return amount / d.infusion_mg_h if d.infusion_mg_h else d.infusion_h


def _at_steady_state(plan: AmortisedPlan, amount: float, every: float) -> Regimen:
    route, length = route_of(plan.models[0]), _length(plan, float(amount))
    return Regimen(
        doses=(Dose(time_h=0.0, amount_mg=float(amount), route=route, duration_h=length, every_h=float(every), steady_state=True),)
    )


def _from_the_first(plan: AmortisedPlan, amounts: tuple[float, float], starts: Array) -> Regimen:
    route = route_of(plan.models[0])
    given = [amounts[0] if k == 0 else amounts[1] for k in range(len(starts))]
    return Regimen(
        doses=tuple(
            Dose(time_h=float(t), amount_mg=float(a), route=route, duration_h=_length(plan, float(a)))
            for t, a in zip(starts, given, strict=True)
        )
    )


def _times(plan: AmortisedPlan, regimens: tuple[Regimen, ...]) -> tuple[Array, Array]:
    """Sampling times and the hours since the last dose, (n, k) each, a patient's own in random order."""
    rng, k = stream(plan.seed, "times"), plan.sampling.count[1]
    longest = max(plan.dosing.every_h.values)
    found = [_patient_times(r, rng, k, (plan.sampling.within, longest)) for r in regimens]
    return np.stack([t for t, _ in found]), np.stack([s for _, s in found])


def _patient_times(regimen: Regimen, rng: np.random.Generator, k: int, window: tuple[int, float]) -> tuple[Array, Array]:
    doses = regimen.doses
    starts = np.asarray([d.time_h for d in doses])
    if doses[0].steady_state:
        ends = np.asarray([doses[0].every_h])
    else:
        ends = np.append(starts[1:], starts[-1] + window[1] * rng.uniform(0.5, 1.0))
    which = rng.integers(max(0, len(doses) - window[0]), len(doses), k)
    soonest = np.asarray([d.duration_h for d in doses])[which]
    # early samples are as frequent as late ones where levels change fast
    share = rng.uniform(size=k) ** np.where(rng.uniform(size=k) < 0.5, 1.0, 2.0)
    since = soonest + share * np.maximum(ends[which] - starts[which] - soonest, 1e-3)
    trough = (rng.uniform(size=k) < 0.25) & doses[0].steady_state
    return np.where(trough, 0.0, starts[which] + since), np.where(trough, doses[0].every_h, since)


def since_last_dose(regimen: Regimen, times: Array) -> Array:
    """Hours since the last dose given before each time; at the time of a steady-state dose its whole interval."""
    found = []
    for t in times:
        given = [d.time_h + k * d.every_h for d in regimen.doses for k in range(d.additional + 1) if d.time_h + k * d.every_h < t]
        steady = [d.every_h for d in regimen.doses if d.steady_state and d.time_h >= t]
        found.append(t - max(given) if given else (steady[0] if steady else 0.0))
    return np.asarray(found, dtype=np.float64)
