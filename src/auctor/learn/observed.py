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
from auctor.population.targets import RELATIVE, proportional
from auctor.population.virtual import Profiles, exposure_per_rate, parameters, residual_of, residual_sd

Array = NDArray[np.float64]
STEP = 0.1  # log step of the central differences below: truncation error about 0.2 % of the slope, far below sampling noise
SLACK_H = 1.0 / 3600.0  # one second, so that a time written in decimals does not fall out of its window


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Arrays of n patients with k samples (NaN: not taken), columns in the order of `plan.sample_names`.

    `value` (n, k) mg/L, half of the plan's LLOQ for a level below it; `planned_mg`, `planned_every_h` (n,) of the maintenance dose to come
    (NaN where a case does not say); `after_h` h since the last dose; `since_h` h since the first; `nominal_h` (n, k) when the sample
    was due. `dose_mg`, `every_h`, `infusion_h` (n,) of the last dose. For irregular plans `pred` (n, k) mg/L of the
    typical patient with these covariates under the true history, and `slopes`: parameter role -> d log pred / d log
    parameter, (n, k). `typical` (n,) F/CL of that patient, h/L; for the scale `relative` their target
    under the same history. `events` (n, p) the history in time order, for algorithms that read it.
    """

    plan: Plan
    covariates: Mapping[str, Array]
    dose_mg: Array
    every_h: Array
    infusion_h: Array
    planned_mg: Array
    planned_every_h: Array
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

        names = ("dose_mg", "every_h", "infusion_h", "planned_mg", "planned_every_h", "value", "after_h", "since_h", "nominal_h", "typical")
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
    if not plan.dosage.start:
        known = {name: profiles.covariates[name] for name in plan.needed}
        return _nominal(plan, known, (profiles.dose_mg, profiles.every_h, profiles.infusion_h), (profiles.sample_h, profiles.observed))
    histories = [profiles.regimen(i) for i in range(len(profiles))]
    each = [profiles.covariates_of(i) for i in range(len(profiles))]
    return _started(plan, histories, each, (profiles.sample_h, profiles.observed), (profiles.dose_mg, profiles.every_h))


def of_case(plan: Plan, case: Case) -> Observed:
    """What one real patient shows, n = 1. Raises OutOfDomain when the case does not have the samples the plan is about."""
    usable = [s for s in case.samples if s.used]
    if plan.dosage.start:
        chosen = _latest(plan, usable) if plan.irregular is not None else _nth(plan, usable, _moments(case.history))
        goes_on = case.current.doses[-1] if case.current and case.current.doses else None
        planned = (goes_on.amount_mg, goes_on.every_h) if goes_on else (np.nan, np.nan)
        amount, every = (np.asarray([v], dtype=np.float64) for v in planned)
        return _started(plan, [case.history], [case.covariates], _as_row(chosen), (amount, every))
    last = _steady_dose(plan, case)
    picked = [_pick(plan, s, usable, _moments(case.history), last.every_h) for s in plan.nominal]
    when = max((s.time_h for s in usable), default=0.0)
    covariates = {name: np.asarray([value]) for name, value in case.covariates.at(when).items()}
    dosing = (np.asarray([last.amount_mg]), np.asarray([last.every_h]), np.asarray([last.duration_h]))
    return _nominal(plan, covariates, dosing, _as_row(picked))


def _as_row(samples: Sequence[tuple[float, float]]) -> tuple[Array, Array]:
    """Times and values of one patient, each (1, k)."""
    found = np.asarray(samples, dtype=np.float64).reshape(1, len(samples), 2)
    return found[:, :, 0], found[:, :, 1]


def _nominal(plan: Plan, covariates: Mapping[str, Array], dosing: tuple[Array, Array, Array], samples: tuple[Array, Array]) -> Observed:
    dose, every, infusion = dosing
    times, values = samples
    due = [every if s.at_h == 0 else np.full_like(every, s.at_h) for s in plan.nominal]
    return Observed(
        plan=plan,
        covariates=covariates,
        dose_mg=dose,
        every_h=every,
        infusion_h=infusion,
        planned_mg=dose,
        planned_every_h=every,
        value=values,
        after_h=times,
        since_h=times,
        nominal_h=np.stack(due, axis=1) if due else times,
        typical=_typical(plan.model, covariates, len(dose)),
    )


def _typical(model: DrugModel, covariates: Mapping[str, Array], n: int) -> Array:
    if not proportional(model):
        return np.full(n, np.nan)
    return exposure_per_rate(model, parameters(model, covariates, np.zeros((n, len(model.eta_names)))))


def _expected(plan: Plan, histories: Sequence[Regimen], covariates: Sequence[Covariates]) -> Array:
    """The target (n,) of the typical patient with each one's covariates and doses as they are known."""
    from auctor.pk.exposure import exposures_of_many

    return exposures_of_many(plan.model, histories, plan.metric, covariates, np.zeros((len(histories), len(plan.model.eta_names))))


def _started(
    plan: Plan,
    histories: Sequence[Regimen],
    covariates: Sequence[Covariates],
    samples: tuple[Array, Array],
    planned: tuple[Array, Array],
) -> Observed:
    """Patients whose history begins with the first dose."""
    times, values = samples
    moments = [_moments(history) for history in histories]
    latest = np.asarray([_latest_of(row) for row in times])
    after = np.stack([_after(m, row) for m, row in zip(moments, times, strict=True)])
    since = times - np.asarray([[m[0][0]] for m in moments])
    last = [_last_before(m, t) for m, t in zip(moments, latest, strict=True)]
    held = [c.at(t) for c, t in zip(covariates, latest, strict=True)]
    columns = {name: np.asarray([h[name] for h in held]) for name in plan.needed}
    pred, slopes = _predicted(plan, histories, covariates, times)
    every = np.asarray([d.every_h for d in last])
    due = [planned[1] if s.at_h == 0 else np.full_like(planned[1], s.at_h) for s in plan.nominal]
    return Observed(
        plan=plan,
        covariates=columns,
        dose_mg=np.asarray([d.amount_mg for d in last]),
        every_h=every,
        infusion_h=np.asarray([d.duration_h for d in last]),
        planned_mg=planned[0],
        planned_every_h=planned[1],
        value=values,
        after_h=after,
        since_h=since,
        nominal_h=np.stack(due, axis=1) if due else np.full_like(times, np.nan),
        typical=_expected(plan, histories, covariates) if plan.scale == RELATIVE else _typical(plan.model, columns, len(held)),
        pred=pred,
        slopes=slopes,
    )


def _latest_of(times: Array) -> float:
    """The time of a patient's latest sample; 0, the first dose, without one."""
    return float(np.nanmax(times)) if len(times) else 0.0


def _predicted(plan: Plan, histories: Sequence[Regimen], covariates: Sequence[Covariates], times: Array) -> tuple[Array, dict[str, Array]]:
    """PRED at each sample and its log-slopes to clearance and central volume, by the engine under the true history."""
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    model = plan.model
    if not times.shape[1]:
        return times, {}
    wanted = np.where(np.isfinite(times), times, np.nanmax(times, axis=1, keepdims=True))
    batch = stack([build(model, h, c, t) for h, c, t in zip(histories, covariates, wanted, strict=True)])

    def run(name: str = "", shift: float = 0.0) -> Array:
        eta = np.zeros((len(times), len(model.eta_names)))
        if name:
            eta[:, model.eta_names.index(name)] = shift
        found = concentrations(model, batch, eta)[:, : times.shape[1]]
        return np.where(np.isfinite(times), found, np.nan)

    return run(), {role: np.log(run(name, STEP) / run(name, -STEP)) / (2 * STEP) for role, name in movable(model).items()}


def movable(model: DrugModel) -> dict[str, str]:
    """The parameters whose slopes are features: role (`CL`, `V`) -> name, of those with a log-normal eta of their own.

    >>> from auctor.models.reader import read_model
    >>> movable(read_model("vancomycin_thomson_2009"))
    {'CL': 'CL', 'V': 'V1'}
    """
    roles = {"CL": model.structure.linear_clearance, "V": model.structure.central} if proportional(model) else {}
    return {role: name for role, name in roles.items() if name in model.eta_names and model.parameters[name].distribution == "lognormal"}


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


def _pick(plan: Plan, nominal: NominalSample, samples: Sequence[Sample], moments: list[Moment], every_h: float) -> tuple[float, float]:
    """(hours since the last dose, mg/L) of the sample nearest to its nominal time, within the window that was trained."""
    due = every_h if nominal.at_h == 0 else nominal.at_h
    near = [(float(_after(moments, np.asarray([s.time_h]))[0]), s) for s in samples]
    after, sample = _nearest(nominal, near, due)
    return after, _measured(plan, sample)


def _nearest(nominal: NominalSample, timed: Sequence[tuple[float, Sample]], due: float) -> tuple[float, Sample]:
    """The sample nearest to its nominal time, within the window that was trained (OutOfDomain without one)."""
    window = (due - nominal.early_min / 60.0 - SLACK_H, due + nominal.late_min / 60.0 + SLACK_H)
    inside = [(abs(t - due), t, s) for t, s in timed if window[0] <= t <= window[1]]
    if not inside:
        raise OutOfDomain(
            where="samples",
            what=f"no {nominal.name} within {nominal.early_min:g} min before to {nominal.late_min:g} min after its time",
            remedy="use another method, or check the sampling times",
        )
    _, time, sample = min(inside, key=lambda found: found[0])
    return time, sample


def _nth(plan: Plan, samples: Sequence[Sample], moments: list[Moment]) -> list[tuple[float, float]]:
    """(hours since the first dose, mg/L) of each nominal sample, due after the dose of its number (at 0 h: before the next one)."""
    found, starts = [], [t for t, _ in moments]
    for nominal in plan.nominal:
        number = nominal.dose + (1 if nominal.at_h == 0 else 0)
        if len(starts) < nominal.dose or (number > len(starts) and moments[-1][1].every_h <= 0):
            what = f"{nominal.name} belongs to dose {nominal.dose}, which the history does not reach"
            raise OutOfDomain(where="doses", what=what, remedy="use another method, or give the dosing history")
        opened = starts[number - 1] if number <= len(starts) else starts[-1] + moments[-1][1].every_h
        time, sample = _nearest(nominal, [(s.time_h, s) for s in samples], opened + nominal.at_h)
        found.append((time - starts[0], _measured(plan, sample)))
    return found


def _measured(plan: Plan, sample: Sample) -> float:
    lloq = plan.assay.lloq
    if lloq is not None and sample.below_lloq and (sample.lloq or 0.0) <= lloq:
        return lloq / 2
    if lloq is not None and not sample.censored and 0 <= sample.value < lloq:
        return lloq / 2
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
    chosen = [(s.time_h, _measured(plan, s)) for s in inside[:count]]
    return chosen + [(np.nan, np.nan)] * (max(spec.count) - count)


def noise_share(observed: Observed) -> Array:
    """Expected relative SD of each measured level under the plan's noise, from the measured value itself; (n, k)."""
    return residual_sd(residual_of(observed.plan, observed.plan.model), observed.value) / observed.value
