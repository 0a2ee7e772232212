"""The target of every simulated patient, by the engine: at steady state under the covariates last seen, or from the first dose on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Metric, MetricKind
from auctor.models.model import OCCASION, DrugModel
from auctor.population.profiles import Profiles
from auctor.population.targets import AREAS, STEADY, proportional

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
JUST_H = 1e-7  # an occasion begins so much before the dose that opens it, whose F and lag are already its own


@dataclass(frozen=True, kw_only=True, eq=False)
class Simulated:
    """Patients of one model (rows of the profiles) as the engine sees them.

    `model` has kappas where the plan has IOV, `eta` (n, n_eta + n_kappa) with them. `occasion_h` (n,) is the length of each patient's
    occasions, `occasions` how many of them there are until the last sample
    or target (another one follows); None and 0 without IOV.
    """

    profiles: Profiles
    rows: Rows
    model: DrugModel
    eta: Array
    occasion_h: Array | None = None
    occasions: int = 0

    def part(self, some: slice) -> Simulated:
        """Some of the patients."""
        own = None if self.occasion_h is None else self.occasion_h[some]
        return Simulated(
            profiles=self.profiles, rows=self.rows[some], model=self.model, eta=self.eta[some], occasion_h=own, occasions=self.occasions
        )

    def course_of(self, k: int) -> Covariates:
        """The covariates of the k-th patient over time, the occasion included."""
        found = self.profiles.covariates_of(int(self.rows[k]))
        if self.occasion_h is None:
            return found
        length = float(self.occasion_h[k]) if self.profiles.plan.dosage.start else np.inf
        starts = [0.0, *(m * length - JUST_H for m in range(1, self.occasions) if np.isfinite(length))]
        return Covariates(series={**found.series, OCCASION: tuple((t, float(m + 1)) for m, t in enumerate(starts))})

    def last_seen(self) -> dict[str, Array]:
        """Covariates (n,) in force at each patient's latest sample (without samples: at the start), and the occasion that is meant."""
        profiles, iov = self.profiles, self.profiles.plan.iov
        found = {name: values[self.rows] for name, values in profiles.covariates.items()}
        times = profiles.sample_h[self.rows]
        latest = np.max(np.where(np.isfinite(times), times, 0.0), axis=1, initial=0.0)
        if profiles.changes is not None:
            moments = profiles.changes.from_h[self.rows]
            past = np.sum(moments <= latest[:, None], axis=1)
            for name, values in profiles.changes.values.items():
                now = np.take_along_axis(values[self.rows], np.maximum(past - 1, 0)[:, None], axis=1)[:, 0]
                found[name] = np.where(past > 0, now, found[name])
        if iov is None or self.occasion_h is None:
            return found
        inside = np.ceil(latest / self.occasion_h - 1e-9) if profiles.plan.dosage.start else np.ones(len(self.rows))
        sampled = np.clip(inside, 1, self.occasions)
        return found | {OCCASION: sampled if iov.target == "sampled" else np.full(len(self.rows), self.occasions + 1.0)}


def exposure_per_rate(model: DrugModel, params: Mapping[str, Array], *, swallowed: bool = True) -> Array:
    """F/CL in h/L: steady-state AUC over an interval per mg, and average concentration per mg/h, of a linear model.

    `swallowed` False for an intravenous dose in a model with absorption, to which the bioavailability does not apply.

    >>> from types import SimpleNamespace as Bag
    >>> exposure_per_rate(Bag(structure=Bag(linear_clearance="CL", bioavailability=None)), {"CL": np.array([2.0])})
    array([0.5])
    """
    share = params[model.structure.bioavailability] if model.structure.bioavailability and swallowed else 1.0
    return np.asarray(share / params[model.structure.linear_clearance], dtype=np.float64)


def outcomes(who: Simulated) -> tuple[Array, Array]:
    """(target, F/CL) of the patients, each (n,); F/CL is NaN where the model has none, the target inf where there is no steady state."""
    plan = who.profiles.plan
    known = who.last_seen()
    exposure = np.full(len(who.rows), np.nan)
    params: dict[str, Array] = {}
    if proportional(who.model):
        found = who.model.individual(known, who.eta)
        params = {name: np.broadcast_to(np.asarray(v, dtype=np.float64), exposure.shape) for name, v in found.items()}
        swallowed = who.model.structure.absorption == "none" or plan.route.value == "oral"
        exposure = exposure_per_rate(who.model, params, swallowed=swallowed)
    target = plan.target
    if target.event:
        return _event(who, known, exposure), exposure
    if target.quantity == "CL":
        return params[who.model.structure.linear_clearance], exposure
    return (1 / exposure if target.quantity == "CL/F" else _values(who, target.metric, known, exposure)), exposure


def _event(who: Simulated, known: Mapping[str, Array], exposure: Array) -> Array:
    """1 where every criterion holds, else 0."""
    holds = np.ones(len(who.rows), dtype=bool)
    for criterion in who.profiles.plan.target.event:
        value = _values(who, criterion.metric, known, exposure)
        if criterion.mic is not None:
            value = value / (known[criterion.mic] if isinstance(criterion.mic, str) else criterion.mic)
        holds &= (value > criterion.low) & (value < criterion.high)
    return holds.astype(np.float64)


def _values(who: Simulated, metric: Metric, known: Mapping[str, Array], exposure: Array) -> Array:
    from auctor.pk.exposure import exposures_of_many

    profiles, rows = who.profiles, who.rows
    if profiles.plan.target.at != STEADY:
        given = [profiles.given(int(i)) for i in rows]
        return exposures_of_many(who.model, given, metric, [who.course_of(k) for k in range(len(rows))], who.eta)
    every, window = profiles.every_h[rows], metric.stop_h - metric.start_h
    whole = np.abs(window / every - np.round(window / every)) < 1e-9
    if metric.kind in AREAS and proportional(who.model) and np.all(whole & (window >= every - 1e-9)):
        area = exposure * profiles.dose_mg[rows] * (window / every)
        return area if metric.kind is MetricKind.AUC else area / window
    steady = [profiles.steady(int(i), until_h=metric.stop_h) for i in rows]
    held = [Covariates.constant({name: float(values[k]) for name, values in known.items()}) for k in range(len(rows))]
    return exposures_of_many(who.model, steady, metric, held, who.eta)
