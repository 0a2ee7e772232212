"""The concentration curve of the report: sampling period and forecast, a-priori and a-posteriori bands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auctor.analysis.measured import measured_interval
from auctor.analysis.result import Band, Curve, Measured
from auctor.case import Case, Dose, Regimen, given_times
from auctor.dosing.candidates import Option
from auctor.models.model import Residual
from auctor.predictor import Array, Predictor

GRID_POINTS = 241
JUST_AFTER_H = 1e-3  # a bolus makes the curve jump at its time, where the value before it is reported
WHOLE_HISTORY_H = 120.0  # a first sample later than this and the curve starts shortly before it
LEAST_FORECAST_H = 24.0


def curve(case: Case, *, current: Option | None, prior: Predictor, posterior: Predictor | None, residual: Residual) -> Curve:
    """Bands of the concentration over the sampling period and at least 24 h of the current regimen; `residual` is that of a measurement."""
    start, seen = _window(case, current)
    end = seen + (max(LEAST_FORECAST_H, 2 * current.every_h) if current else LEAST_FORECAST_H / 2)
    course = continued(case.history, current, until_h=end)
    given = given_times(course, until_h=end)
    times = _grid(start, end, given)
    before = _sorted(prior.predict(course, times).values)
    after = None if posterior is None else _sorted(posterior.predict(course, times).values)
    low, high = measured_interval(residual, before if after is None else after)
    return Curve(
        times_h=times,
        prior=_band(before),
        posterior=None if after is None else _band(after),
        posterior_method="" if posterior is None else posterior.name,
        doses=tuple((t, d.amount_mg) for t, d in given if t >= start),
        forecast_from_h=_last_known(case, end) if current else None,
        measured=Measured(q05=low, q95=high),
    )


def continued(history: Regimen, current: Option | None, *, until_h: float) -> Regimen:
    """The history followed by the current regimen from its next due time up to `until_h` (h).

    >>> from auctor.case import Route
    >>> from auctor.dosing.candidates import OptionKind
    >>> one = Regimen(doses=(Dose(time_h=0, amount_mg=5, route=Route.ORAL),))
    >>> now = Option(kind=OptionKind.CURRENT, dose_mg=5, every_h=12, duration_h=0, route=Route.ORAL)
    >>> [t for t, _ in given_times(continued(one, now, until_h=30), until_h=30)]
    [0.0, 12.0, 24.0]
    """
    if current is None or not history.doses:
        return history
    last = max(t for t, _ in given_times(history, until_h=float("inf")))
    more = int((until_h - last) // current.every_h)
    if more < 1:
        return history
    due = last + current.every_h
    plan = Dose(
        time_h=due,
        amount_mg=current.dose_mg,
        route=current.route,
        duration_h=current.duration_h,
        every_h=current.every_h,
        additional=more - 1,
    )
    return replace(history, doses=(*history.doses, plan))


def _last_known(case: Case, end: float) -> float:
    """The last sample or the last recorded administration within the curve, whichever is later: from there on it is a plan."""
    last_sample = max((s.time_h for s in case.samples), default=0.0)
    recorded = [t for t, d in given_times(case.history, until_h=end) if not d.steady_state and not d.additional]
    return max(last_sample, *recorded) if recorded else last_sample


def _window(case: Case, current: Option | None) -> tuple[float, float]:
    """When the curve starts, and the last time at which something is known."""
    doses = case.history.doses
    first_dose = doses[0].time_h if doses else 0.0
    samples = [s.time_h for s in case.samples]
    seen = max(samples, default=max((d.time_h for d in doses), default=0.0))
    first = min(samples, default=seen)
    if first - first_dose <= WHOLE_HISTORY_H:
        return min(first_dose, first), seen
    back = first - 2 * (current.every_h if current else LEAST_FORECAST_H)
    before = [t for t, _ in given_times(case.history, until_h=back)]
    return (max(before) if before else back), seen


def _grid(start: float, end: float, given: tuple[tuple[float, Dose], ...]) -> Array:
    kinks = [t + shift for t, d in given if start <= t <= end for shift in (0.0, d.duration_h or JUST_AFTER_H)]
    inside = [t for t in kinks if start <= t <= end]
    return np.unique(np.concatenate([np.linspace(start, end, GRID_POINTS), np.asarray(inside, dtype=np.float64)]))


def _sorted(values: Array) -> Array:
    """The draws (n_draws, n_times) of each time in their order, stored time by time."""
    return np.sort(np.ascontiguousarray(values.T), axis=1).T


def _band(draws: Array) -> Band:
    q05, q25, q50, q75, q95 = np.quantile(draws.T, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
    return Band(q05=q05, q25=q25, q50=q50, q75=q75, q95=q95)
