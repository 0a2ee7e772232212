"""What a learner may look at: doses, covariates and samples, the same arrays for simulated profiles and for a real case.

Nothing here knows the patient's parameters: the leakage guard starts with what is not in `Observed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Covariates, Dose, Regimen, Sample
from auctor.errors import OutOfDomain
from auctor.models.model import DrugModel
from auctor.population.plan import NominalSample, Plan
from auctor.population.virtual import Profiles, exposure_per_rate, parameters, residual_of, residual_sd

Array = NDArray[np.float64]
STEP = 0.1  # log step of the central differences below: truncation error about 0.2 % of the slope, far below sampling noise
SLACK_H = 1.0 / 3600.0  # one second, so that a time written in decimals does not fall out of its window


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Arrays of n patients with k samples (NaN: not taken), columns in the order of `plan.sample_names`.

    `value` (n, k) mg/L; `after_h` h since the last dose; `since_h` h since the first; `nominal_h` (n, k) when the sample
    was due. `dose_mg`, `every_h`, `infusion_h` (n,) of the last dose. For irregular plans `pred` (n, k) mg/L of the
    typical patient with these covariates under the true history, and `slopes`: parameter role -> d log pred / d log
    parameter, (n, k). `typical` (n,) F/CL of that patient, h/L. `events` (n, p) the history in time order, for algorithms that read it.
    """

    plan: Plan
    covariates: Mapping[str, Array]
    dose_mg: Array
    every_h: Array
    infusion_h: Array
    value: Array
    after_h: Array
    since_h: Array
    nominal_h: Array
    typical: Array
    pred: Array | None = None
    slopes: Mapping[str, Array] = field(default_factory=dict)
    events: Array | None = None

    def rows(self, chosen: NDArray[np.int64]) -> Observed:
        """The same for some of the patients."""

        def cut(values: Mapping[str, Array]) -> dict[str, Array]:
            return {name: column[chosen] for name, column in values.items()}

        names = ("dose_mg", "every_h", "infusion_h", "value", "after_h", "since_h", "nominal_h", "typical")
        return Observed(
            plan=self.plan,
            covariates=cut(self.covariates),
            pred=None if self.pred is None else self.pred[chosen],
            slopes=cut(self.slopes),
            events=None if self.events is None else self.events[chosen],
            **cut({name: getattr(self, name) for name in names}),
        )


def of_profiles(profiles: Profiles) -> Observed:
    """What the plan's virtual patients show."""
    plan = profiles.plan
    if plan.irregular is None:
        return _nominal(
            plan, profiles.covariates, (profiles.dose_mg, profiles.every_h, profiles.infusion_h), (profiles.sample_h, profiles.observed)
        )
    histories = [profiles.regimen(i) for i in range(len(profiles))]
    each = [profiles.covariates_of(i) for i in range(len(profiles))]
    return _irregular(plan, histories, each, (profiles.sample_h, profiles.observed))


def of_case(plan: Plan, case: Case) -> Observed:
    """What one real patient shows, n = 1. Raises OutOfDomain when the case does not have the samples the plan is about."""
    usable = [s for s in case.samples if s.used]
    if plan.irregular is not None:
        chosen = _latest(plan, usable)
        times, values = (np.asarray([row], dtype=np.float64) for row in zip(*chosen, strict=True))
        return _irregular(plan, [case.history], [case.covariates], (times, values))
    last = _steady_dose(plan, case)
    picked = [_pick(s, usable, _moments(case.history), last.every_h) for s in plan.nominal]
    when = max((s.time_h for s in usable), default=0.0)
    covariates = {name: np.asarray([value]) for name, value in case.covariates.at(when).items()}
    dosing = (np.asarray([last.amount_mg]), np.asarray([last.every_h]), np.asarray([last.duration_h]))
    times, values = (np.asarray([row], dtype=np.float64) for row in zip(*picked, strict=True))
    return _nominal(plan, covariates, dosing, (times, values))


def _nominal(plan: Plan, covariates: Mapping[str, Array], dosing: tuple[Array, Array, Array], samples: tuple[Array, Array]) -> Observed:
    dose, every, infusion = dosing
    times, values = samples
    due = np.stack([every if s.at_h == 0 else np.full_like(every, s.at_h) for s in plan.nominal], axis=1)
    return Observed(
        plan=plan,
        covariates=covariates,
        dose_mg=dose,
        every_h=every,
        infusion_h=infusion,
        value=values,
        after_h=times,
        since_h=times,
        nominal_h=due,
        typical=_typical(plan.model, covariates, len(dose)),
    )


def _typical(model: DrugModel, covariates: Mapping[str, Array], n: int) -> Array:
    return exposure_per_rate(model, parameters(model, covariates, np.zeros((n, len(model.eta_names)))))


def _irregular(plan: Plan, histories: Sequence[Regimen], covariates: Sequence[Covariates], samples: tuple[Array, Array]) -> Observed:
    times, values = samples
    moments = [_moments(history) for history in histories]
    after = np.stack([_after(m, row) for m, row in zip(moments, times, strict=True)])
    since = times - np.asarray([[m[0][0]] for m in moments])
    last = [_last_before(m, float(np.nanmax(row))) for m, row in zip(moments, times, strict=True)]
    names = tuple(plan.covariates)
    held = [c.at(float(np.nanmax(row))) for c, row in zip(covariates, times, strict=True)]
    columns = {name: np.asarray([h[name] for h in held]) for name in names}
    pred, slopes = _predicted(plan, histories, covariates, times)
    return Observed(
        plan=plan,
        covariates=columns,
        dose_mg=np.asarray([d.amount_mg for d in last]),
        every_h=np.asarray([d.every_h for d in last]),
        infusion_h=np.asarray([d.duration_h for d in last]),
        value=values,
        after_h=after,
        since_h=since,
        nominal_h=np.full_like(times, np.nan),
        typical=_typical(plan.model, columns, len(held)),
        pred=pred,
        slopes=slopes,
    )


def _predicted(plan: Plan, histories: Sequence[Regimen], covariates: Sequence[Covariates], times: Array) -> tuple[Array, dict[str, Array]]:
    """PRED at each sample and its log-slopes to clearance and central volume, by the engine under the true history."""
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    model = plan.model
    wanted = np.where(np.isfinite(times), times, np.nanmax(times, axis=1, keepdims=True))
    batch = stack([build(model, h, c, t) for h, c, t in zip(histories, covariates, wanted, strict=True)])

    def run(name: str = "", shift: float = 0.0) -> Array:
        eta = np.zeros((len(times), len(model.eta_names)))
        if name:
            eta[:, model.eta_names.index(name)] = shift
        found = concentrations(model, batch, eta)[:, : times.shape[1]]
        return np.where(np.isfinite(times), found, np.nan)

    roles = {"CL": model.structure.linear_clearance, "V": model.structure.central}
    slopes = {role: np.log(run(name, STEP) / run(name, -STEP)) / (2 * STEP) for role, name in roles.items() if _shiftable(model, name)}
    return run(), slopes


def _shiftable(model: DrugModel, name: str) -> bool:
    return name in model.eta_names and model.parameters[name].distribution == "lognormal"


Moment = tuple[float, Dose]


def _moments(history: Regimen) -> list[Moment]:
    """Every administration in time order; a steady-state dose also brings the one before it."""
    found: list[Moment] = []
    for dose in history.doses:
        first = -1 if dose.steady_state and dose.every_h > 0 else 0
        found += [(dose.time_h + k * dose.every_h, dose) for k in range(first, dose.additional + 1)]
    if not found:
        raise OutOfDomain(where="doses", what="there is no dose before the samples", remedy="give the dosing history")
    return sorted(found, key=lambda moment: moment[0])


def _last_before(moments: list[Moment], time_h: float) -> Dose:
    past = [dose for t, dose in moments if t < time_h]
    return past[-1] if past else moments[0][1]


def _after(moments: list[Moment], times: Array) -> Array:
    """Hours since the last dose given strictly before each time; NaN stays NaN."""
    starts = np.asarray([t for t, _ in moments])
    place = np.maximum(np.searchsorted(starts, np.where(np.isfinite(times), times, starts[-1] + 1), side="left") - 1, 0)
    return np.asarray(times - starts[place], dtype=np.float64)


def _steady_dose(plan: Plan, case: Case) -> Dose:
    """The one repeated dose of a patient at steady state. Raises OutOfDomain where doses or intervals differ."""
    moments = _moments(case.history)
    first = moments[0][1]
    gaps = np.diff([t for t, _ in moments])
    same = all(d.amount_mg == first.amount_mg and d.duration_h == first.duration_h for _, d in moments)
    if not first.steady_state or not same or np.any(np.abs(gaps - first.every_h) > 0.5):
        raise OutOfDomain(
            where="doses",
            what=f"{plan.name} was trained on one dose repeated to steady state",
            remedy="use another method, or mark the dose steady_state",
        )
    return first


def _pick(nominal: NominalSample, samples: Sequence[Sample], moments: list[Moment], every_h: float) -> tuple[float, float]:
    """(hours since the last dose, mg/L) of the sample nearest to its nominal time, within the window that was trained."""
    due = every_h if nominal.at_h == 0 else nominal.at_h
    near = [(float(_after(moments, np.asarray([s.time_h]))[0]), s) for s in samples]
    window = (due - nominal.early_min / 60.0 - SLACK_H, due + nominal.late_min / 60.0 + SLACK_H)
    inside = [(abs(after - due), after, s) for after, s in near if window[0] <= after <= window[1]]
    if not inside:
        raise OutOfDomain(
            where="samples",
            what=f"no {nominal.name} within {nominal.early_min:g} min before to {nominal.late_min:g} min after its time",
            remedy="use another method, or check the sampling times",
        )
    _, after, sample = min(inside, key=lambda found: found[0])
    return after, _measured(sample)


def _measured(sample: Sample) -> float:
    if sample.censored or sample.value <= 0:
        raise OutOfDomain(
            where="samples",
            what="a level is only known to be outside the assay's limits",
            remedy="use another method: the learner was trained on measured levels",
        )
    return sample.value


def _latest(plan: Plan, samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """The latest samples within the window, latest first, padded with NaN to the number the plan looks at."""
    spec = plan.irregular
    assert spec is not None
    inside = [s for s in sorted(samples, key=lambda s: -s.time_h) if spec.from_h - SLACK_H <= s.time_h <= spec.to_h + SLACK_H]
    if len(inside) < min(spec.count):
        raise OutOfDomain(
            where="samples",
            what=f"{plan.name} needs {min(spec.count)} levels between {spec.from_h:g} and {spec.to_h:g} h of the first dose",
            remedy="use another method, or give more levels",
        )
    count = max(c for c in spec.count if c <= len(inside))
    chosen = [(s.time_h, _measured(s)) for s in inside[:count]]
    return chosen + [(np.nan, np.nan)] * (max(spec.count) - count)


def noise_share(observed: Observed) -> Array:
    """Expected relative SD of each measured level under the plan's noise, from the measured value itself; (n, k)."""
    return residual_sd(residual_of(observed.plan, observed.plan.model), observed.value) / observed.value
