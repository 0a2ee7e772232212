"""Virtual cases with one slip of a known kind put into the record, and clean ones: what the plausibility check is judged on.

Patients come from the model (covariates of its source population or of the design, etas, kappas, full residual error); the record is
what would have been entered. The check is given the model that made the data: figures are those of a right model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Dose, Regimen, Route, Sample
from auctor.data.plausibility.covariate_slips import SLIPS
from auctor.data.plausibility.finding import Kind
from auctor.errors import PlanError
from auctor.estimate.occasions import prepared
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.exposure import curves
from auctor.population.distributions import Distribution
from auctor.population.virtual import draw_covariates, draw_etas, source_population, with_residual

Array = NDArray[np.float64]
Rng = np.random.Generator

SOON_H, OFF_H = 0.5, 2.0
CONTAMINATION = (2.0, 50.0)  # log-uniform factor of a level drawn through the line


@dataclass(frozen=True, kw_only=True)
class Design:
    """One drug as it is monitored: doses (mg, or mg/kg), their interval and infusion, sample times, which of them are troughs.

    `steady`: at steady state from time 0 on. `loading` (same unit) replaces the first dose. `covariates` replace the source population's.
    """

    name: str
    model: str
    route: Route
    doses: tuple[float, ...]
    per_kg: bool
    every_h: float
    infusion_h: float
    times: tuple[float, ...]
    troughs: tuple[int, ...]
    steady: bool = False
    loading: float | None = None
    lloq: float | None = None
    covariates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def read(self) -> DrugModel:
        """Its model."""
        return read_model(self.model)


_TACROLIMUS = {"FORM": {"kind": "constant", "value": 1.0}}
DESIGNS: tuple[Design, ...] = (
    Design(
        name="tacrolimus, trough and 0-1-3 h", model="tacrolimus_woillard_2011", route=Route.ORAL, doses=(2.0, 3.0, 4.0, 5.0), per_kg=False,
        every_h=12, infusion_h=0, times=(48.0, 96.0, 97.0, 99.0), troughs=(0, 1), steady=True, covariates=_TACROLIMUS,
    ),
    Design(
        name="tacrolimus, three troughs", model="tacrolimus_woillard_2011", route=Route.ORAL, doses=(2.0, 3.0, 4.0, 5.0),
        per_kg=False, every_h=12, infusion_h=0, times=(48.0, 96.0, 144.0), troughs=(0, 1, 2), steady=True, covariates=_TACROLIMUS,
    ),
    Design(
        name="vancomycin, adults in hospital", model="vancomycin_thomson_2009", route=Route.IV, doses=(750.0, 1000.0, 1250.0),
        per_kg=False, every_h=12, infusion_h=1, times=(24.0, 38.0, 48.0), troughs=(0, 2), lloq=1.0,
    ),
    Design(
        name="vancomycin, adults with a wide volume", model="vancomycin_goti_2018", route=Route.IV, doses=(750.0, 1000.0, 1250.0),
        per_kg=False, every_h=12, infusion_h=1, times=(24.0, 38.0, 48.0), troughs=(0, 2), lloq=1.0,
        covariates={"DIAL": {"kind": "constant", "value": 0.0}},
    ),
    Design(
        name="amikacin, intensive care", model="amikacin_burdet_2015", route=Route.IV, doses=(20.0, 25.0, 30.0), per_kg=True, every_h=24,
        infusion_h=0.5, times=(1.0, 24.0, 48.0), troughs=(1, 2), lloq=0.5,
        covariates={
            "CRCL": {"kind": "lognormal", "median": 82.0, "sd_log": 0.45, "low": 20.0, "high": 250.0},
            "WT": {"kind": "truncnormal", "mean": 78.0, "sd": 16.0, "low": 45.0, "high": 130.0},
            "PF": {"kind": "truncnormal", "mean": 169.0, "sd": 60.0, "low": 60.0, "high": 400.0},
        },
    ),
    Design(
        name="gentamicin, neonates", model="gentamicin_fuchs_2014", route=Route.IV, doses=(4.0, 5.0), per_kg=True, every_h=24,
        infusion_h=0.5, times=(1.0, 24.0, 48.0), troughs=(1, 2), lloq=0.2,
        covariates={
            "WT": {"kind": "lognormal", "median": 2.17, "sd_log": 0.4, "low": 0.6, "high": 5.0},
            "GA": {"kind": "truncnormal", "mean": 34.0, "sd": 4.0, "low": 25.0, "high": 42.0},
            "PNA": {"kind": "uniform", "low": 0.0, "high": 7.0},
        },
    ),
    Design(
        name="phenobarbital, preterm neonates", model="phenobarbital_grasela_1985", route=Route.IV, doses=(2.5,), per_kg=True, every_h=12,
        infusion_h=0.5, times=(24.0, 72.0, 120.0), troughs=(0, 1, 2), loading=20.0, lloq=1.0,
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A case about to be recorded: what was really given and when blood was really drawn (`truth`), and the record of it."""

    design: Design
    model: DrugModel
    truth: Case
    record: Case


def clean(design: Design, model: DrugModel, rng: Rng) -> Case:
    """A case recorded as it was."""
    case = _patient(design, model, rng)
    return _measured(Draft(design=design, model=model, truth=case, record=case), rng)


def corrupted(design: Design, model: DrugModel, kind: str, rng: Rng) -> Case:
    """A case with one slip of that kind (a key of `SLIPPED`). PlanError where the design cannot have it."""
    case = _patient(design, model, rng)
    draft = Draft(design=design, model=model, truth=case, record=case)
    if kind in BEFORE:
        return _measured(BEFORE[kind](draft, rng), rng)
    return AFTER[kind](draft, _measured(draft, rng), rng)


def possible(design: Design, model: DrugModel) -> tuple[str, ...]:
    """The slips that this design can have."""
    names = [*BEFORE, *AFTER]
    if not model.molar_mass:
        names.remove("molar unit")
    if design.route is not Route.IV:
        names.remove("line")
    if not any((name, c.unit) in SLIPS for name, c in model.covariates.items()):
        names.remove("covariate unit")
    return tuple(names)


def _patient(design: Design, model: DrugModel, rng: Rng) -> Case:
    given = {n: Distribution.read(t, where=f"{design.name}.{n}", levels=model.covariates[n].levels) for n, t in design.covariates.items()}
    drawn = draw_covariates(source_population(model, given), 1, seed=int(rng.integers(2**31)))
    known = {name: float(values[0]) for name, values in drawn.items()}
    size = known["WT"] if design.per_kg else 1.0
    amount = float(rng.choice(np.asarray(design.doses))) * size
    last = max(design.times) + design.every_h
    kept = Dose(time_h=0.0, amount_mg=amount, route=design.route, duration_h=design.infusion_h, every_h=design.every_h)
    more = math.ceil(last / design.every_h) - 1
    doses: tuple[Dose, ...]
    if design.loading:
        first = replace(kept, amount_mg=design.loading * size, every_h=0.0)
        doses = (first, replace(kept, time_h=design.every_h, additional=more - 1))
    else:
        doses = (replace(kept, steady_state=design.steady, additional=more),)
    return Case(
        label="virtual",
        drug=model.drug,
        history=Regimen(doses=doses),
        samples=tuple(Sample(time_h=t, value=1.0) for t in design.times),
        covariates=Covariates.constant(known),
        current=Regimen.steady(amount, every_h=design.every_h, route=design.route, duration_h=design.infusion_h),
    )


def _measured(draft: Draft, rng: Rng) -> Case:
    """The record with levels measured in the truth, full residual error, the assay's lower limit."""
    true = _levels(draft.model, draft.truth, rng)
    found = with_residual(draft.model.residual, true, rng=rng)
    return replace(draft.record, samples=tuple(_sample(s, y, draft.design.lloq) for s, y in zip(draft.record.samples, found, strict=True)))


def _levels(model: DrugModel, case: Case, rng: Rng) -> Array:
    ready = prepared(model, case)
    eta = draw_etas(ready.model, 1, rng=rng)
    times = np.asarray([s.time_h for s in ready.case.samples])
    return np.asarray(np.maximum(curves(ready.model, ready.case.history, times, ready.case.covariates, eta)[0], 1e-12))


def _sample(sample: Sample, y: float, lloq: float | None) -> Sample:
    if lloq is not None and y < lloq:
        return replace(sample, value=lloq, lloq=lloq, below_lloq=True)
    return replace(sample, value=float(y), lloq=lloq)


def _drawn_at(draft: Draft, k: int, time_h: float) -> Draft:
    samples = tuple(replace(s, time_h=time_h) if j == k else s for j, s in enumerate(draft.truth.samples))
    return replace(draft, truth=replace(draft.truth, samples=samples))


def _post_dose(draft: Draft, rng: Rng) -> Draft:
    k = int(rng.choice(np.asarray(draft.design.troughs)))
    return _drawn_at(draft, k, draft.design.times[k] + draft.design.infusion_h + SOON_H)


def _two_hours(draft: Draft, rng: Rng) -> Draft:
    k = int(rng.integers(len(draft.design.times)))
    by = OFF_H if draft.design.times[k] <= OFF_H or rng.random() < 0.5 else -OFF_H
    return _drawn_at(draft, k, draft.design.times[k] + by)


def _taken_apart(draft: Draft) -> tuple[Dose, ...]:
    from auctor.data.plausibility.administered import administrations

    return tuple(g.dose for g in administrations(draft.truth))


def _dose_before(draft: Draft, rng: Rng) -> tuple[tuple[Dose, ...], int]:
    doses = _taken_apart(draft)
    at = draft.design.times[int(rng.integers(len(draft.design.times)))]
    return doses, max(k for k, d in enumerate(doses) if d.time_h < at)


def _missed(draft: Draft, rng: Rng) -> Draft:
    doses, k = _dose_before(draft, rng)
    return replace(draft, truth=replace(draft.truth, history=Regimen(doses=(*doses[:k], *doses[k + 1 :]))))


def _late(draft: Draft, rng: Rng) -> Draft:
    doses, k = _dose_before(draft, rng)
    moved = (*doses[:k], replace(doses[k], time_h=doses[k].time_h + OFF_H), *doses[k + 1 :])
    return replace(draft, truth=replace(draft.truth, history=Regimen(doses=moved)))


def _dose_unit(draft: Draft, rng: Rng) -> Draft:
    factor = float(rng.choice(np.asarray([1000.0, 0.001])))
    doses = tuple(replace(d, amount_mg=d.amount_mg * factor) for d in draft.record.history.doses)
    return replace(draft, record=replace(draft.record, history=Regimen(doses=doses)))


BEFORE: Mapping[str, Callable[[Draft, Rng], Draft]] = {
    "30 min after the dose": _post_dose,
    "2 h off": _two_hours,
    "dose missed": _missed,
    "dose 2 h late": _late,
    "dose unit": _dose_unit,
}


def _times_factor(case: Case, which: Mapping[int, float]) -> Case:
    """The record with those samples multiplied (values and limits alike)."""

    def one(k: int, s: Sample) -> Sample:
        factor = which.get(k, 1.0)
        return replace(s, value=s.value * factor, lloq=None if s.lloq is None else s.lloq * factor)

    return replace(case, samples=tuple(one(k, s) for k, s in enumerate(case.samples)))


def _any(case: Case, rng: Rng) -> int:
    """One of the measured samples, any one where none was measured."""
    known = [k for k, s in enumerate(case.samples) if not s.censored] or list(range(len(case.samples)))
    return int(rng.choice(np.asarray(known)))


def _thousand(draft: Draft, case: Case, rng: Rng) -> Case:
    factor = float(rng.choice(np.asarray([1000.0, 0.001])))
    return _times_factor(case, {_any(case, rng): factor} if rng.random() < 0.5 else dict.fromkeys(range(len(case.samples)), factor))


def _molar(draft: Draft, case: Case, rng: Rng) -> Case:
    if not draft.model.molar_mass:
        raise PlanError(where=draft.design.name, what="its model has no molar mass", remedy="leave this slip out")
    factor = (draft.model.molar_mass / 1000.0) ** float(rng.choice(np.asarray([-1.0, 1.0])))
    return _times_factor(case, {_any(case, rng): factor} if rng.random() < 0.5 else dict.fromkeys(range(len(case.samples)), factor))


def _diluted(draft: Draft, case: Case, rng: Rng) -> Case:
    return _times_factor(case, {_any(case, rng): float(rng.choice(np.asarray([10.0, 0.1])))})


def _line(draft: Draft, case: Case, rng: Rng) -> Case:
    low, high = (math.log(c) for c in CONTAMINATION)
    return _times_factor(case, {_any(case, rng): math.exp(rng.uniform(low, high))})


def _other_patient(draft: Draft, case: Case, rng: Rng) -> Case:
    k, other = _any(case, rng), clean(draft.design, draft.model, rng)
    swapped = replace(other.samples[int(rng.integers(len(other.samples)))], time_h=case.samples[k].time_h)
    return replace(case, samples=tuple(swapped if j == k else s for j, s in enumerate(case.samples)))


def _exchanged(draft: Draft, case: Case, rng: Rng) -> Case:
    a, b = rng.choice(len(case.samples), size=2, replace=False).tolist()
    times = {a: case.samples[b].time_h, b: case.samples[a].time_h}
    samples = (replace(s, time_h=times.get(k, s.time_h)) for k, s in enumerate(case.samples))
    return replace(case, samples=tuple(sorted(samples, key=lambda s: s.time_h)))


def _covariate(draft: Draft, case: Case, rng: Rng) -> Case:
    names = [(name, factor) for name, c in draft.model.covariates.items() for factor, _ in SLIPS.get((name, c.unit), ())[:1]]
    name, factor = names[int(rng.integers(len(names)))]
    known = {n: points[0][1] / (factor if n == name else 1.0) for n, points in case.covariates.series.items()}
    return replace(case, covariates=Covariates.constant(known))


AFTER: Mapping[str, Callable[[Draft, Case, Rng], Case]] = {
    "samples exchanged": _exchanged,
    "unit x1000": _thousand,
    "molar unit": _molar,
    "dilution x10": _diluted,
    "line": _line,
    "other patient": _other_patient,
    "covariate unit": _covariate,
}
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "30 min after the dose": (Kind.AFTER_DOSE,),
    "2 h off": (Kind.EARLIER, Kind.LATER),
    "dose missed": (Kind.DOSE_MISSED,),
    "dose 2 h late": (Kind.DOSE_LATE,),
    "dose unit": (Kind.DOSE_UNIT,),
    "samples exchanged": (Kind.SWAPPED_SAMPLES,),
    "unit x1000": (Kind.UNIT_THOUSAND,),
    "molar unit": (Kind.UNIT_MOLAR,),
    "dilution x10": (Kind.DILUTION,),
    "line": (Kind.LINE,),
    "other patient": (Kind.OTHER_PATIENT,),
    "covariate unit": (Kind.COVARIATE_UNIT,),
}
