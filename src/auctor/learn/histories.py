"""A patient's history as a sequence of events in time order, doses and levels, for a recurrent network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from auctor.case import Regimen
from auctor.learn.estimators.registry import algorithm
from auctor.learn.features import matrix
from auctor.learn.observed import Observed
from auctor.population.plan import Plan

Array = NDArray[np.float64]
STEPS = 24  # the latest events that are looked at; shorter histories are padded in front with NaN
CHANNELS = ("gap", "dose", "infusion", "interval", "level", "per_dose")


def reads_history(plan: Plan) -> bool:
    """Whether the plan's algorithm reads events instead of features."""
    return algorithm(plan.learning.algorithm).reads == "history"


def settings(plan: Plan) -> dict[str, float]:
    """Settings of the algorithm that are no choice of tuning: the number of events of a history."""
    return {"steps": float(STEPS)} if reads_history(plan) else {}


def inputs(observed: Observed) -> Array:
    """What the plan's algorithm looks at, (n, p): the events in time order, or the feature matrix."""
    if not reads_history(observed.plan):
        return matrix(observed)
    assert observed.events is not None
    return observed.events


def recorded(observed: Observed, histories: Sequence[Regimen]) -> Observed:
    """The same patients with the events of their histories where the plan's algorithm reads them."""
    if not reads_history(observed.plan):
        return observed
    static = np.stack(list(observed.covariates.values()), axis=1) if observed.covariates else np.empty((len(histories), 0))
    rows = [
        sequence(history, (times, levels), one)
        for history, times, levels, one in zip(histories, observed.since_h, observed.value, static, strict=True)
    ]
    return replace(observed, events=np.stack(rows).reshape(len(rows), -1))


def sequence(history: Regimen, samples: tuple[Array, Array], covariates: Array) -> Array:
    """The latest 24 events (steps, channels) before the last sample; `samples` are hours since the first dose and mg/L.

    Channels: log(1 + h since the event before), log dose (mg), infusion (h), interval of a dose at steady state (h), log level (mg/L)
    and log of it over the dose before, and the covariates. NaN is what an event does not have.

    >>> one = Regimen.steady(3.0, every_h=12.0, route="oral")
    >>> found = sequence(one, (np.array([12.0, 1.0]), np.array([0.006, 0.015])), np.array([35.0]))
    >>> np.exp(found[-2:, 4]).round(4).tolist(), np.isnan(found[:-3]).all()
    ([0.015, 0.006], np.True_)
    """
    taken = [(t, {"level": np.log(v)}) for t, v in zip(*samples, strict=True) if np.isfinite(v)]
    first = min((d.time_h for d in history.doses), default=0.0)
    last = max((t for t, _ in taken), default=0.0)
    given: list[tuple[float, Mapping[str, float]]] = []
    for dose in history.doses:
        known = {"dose": np.log(dose.amount_mg), "infusion": dose.duration_h}
        repeats = 0 if dose.steady_state else dose.additional
        interval = {"interval": dose.every_h} if dose.steady_state else {}
        given += [(dose.time_h - first + k * dose.every_h, known | interval) for k in range(repeats + 1)]
    # a trough is drawn before the dose of the same minute
    kept = sorted([*((t, 0, e) for t, e in taken), *((t, 1, e) for t, e in given if t < last)], key=lambda event: event[:2])[-STEPS:]
    return _filled(kept, covariates)


def _filled(events: Sequence[tuple[float, int, Mapping[str, float]]], covariates: Array) -> Array:
    found = np.full((STEPS, len(CHANNELS) + len(covariates)), np.nan)
    before, dose = (events[0][0] if events else 0.0), np.nan
    for row, (time, _, event) in zip(found[STEPS - len(events) :], events, strict=True):
        row[0] = np.log1p(time - before)
        dose = event.get("dose", dose)
        row[1 : len(CHANNELS)] = [event.get(name, np.nan) for name in CHANNELS[1:]]
        row[CHANNELS.index("per_dose")] = event.get("level", np.nan) - dose
        row[len(CHANNELS) :] = covariates
        before = time
    return found
