"""Exposure metrics and curves of one patient under a regimen, for many draws of eta at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Metric, MetricKind, Regimen
from auctor.models.model import DrugModel
from auctor.pk.direct import is_direct, readings
from auctor.pk.timeline import build, stack

Array = NDArray[np.float64]

GRID_POINTS = 240
AREAS = (MetricKind.AUC, MetricKind.CAVG)
PATIENTS = 1024  # laid out at a time


def curves(model: DrugModel, regimen: Regimen, times_h: Array, covariates: Covariates, eta_draws: Array) -> Array:
    """Concentrations (n_draws, n_times) mg/L without residual error, for eta_draws (n_draws, n_eta)."""
    return _readings(model, regimen, times_h, covariates, eta_draws, compiled=not is_direct(model)).concentration


def exposures(model: DrugModel, regimen: Regimen, metric: Metric, covariates: Covariates, eta_draws: Array) -> Array:
    """The metric (n_draws,) in mg*h/L (AUC) or mg/L (the others) under the regimen.

    A draw without a steady state (a nonlinear model given more than it can eliminate) is inf.
    AUC is exact (mass balance). Cmin and Cmax are read on a grid of 240 points of the window and its dose times.
    """
    if not regimen.doses:
        return np.zeros(len(eta_draws))
    direct = is_direct(model)
    if metric.kind in AREAS:
        window = np.asarray([metric.start_h, metric.stop_h])
        return _between(_readings(model, regimen, window, covariates, eta_draws, compiled=not direct).auc, metric)
    # a whole grid of many draws is the compiled engine's work
    times = _reading_times(regimen, metric)
    values = _readings(model, regimen, times, covariates, eta_draws, compiled=not direct or len(times) > 1).concentration
    return np.asarray(values.max(axis=1) if metric.kind is MetricKind.CMAX else values.min(axis=1))


def _between(auc: Array, metric: Metric) -> Array:
    """The area between two readings (n, 2) of the area so far, or the average; inf without a steady state (both are then infinite)."""
    total = np.where(np.isinf(auc[:, 1]), np.inf, auc[:, 1] - np.where(np.isinf(auc[:, 1]), 0.0, auc[:, 0]))
    return np.asarray(total if metric.kind is MetricKind.AUC else total / (metric.stop_h - metric.start_h))


def exposures_of_many(model: DrugModel, regimens: Sequence[Regimen], metric: Metric, covariates: Sequence[Covariates], eta: Array) -> Array:
    """The metric (n,) of n patients, each with a regimen, covariates and eta (n, n_eta) of their own; as `exposures` otherwise."""
    found = [
        _exposures_of_block(model, regimens[i : i + PATIENTS], metric, covariates[i : i + PATIENTS], eta[i : i + PATIENTS])
        for i in range(0, len(regimens), PATIENTS)
    ]
    return np.concatenate(found) if found else np.zeros(0)


def _exposures_of_block(
    model: DrugModel, regimens: Sequence[Regimen], metric: Metric, covariates: Sequence[Covariates], eta: Array
) -> Array:
    from auctor.pk.course import readings_of

    times = [asked_times(r, metric) for r in regimens]
    batch = stack([build(model, r, c, t) for r, c, t in zip(regimens, covariates, times, strict=True)])
    return read_off(metric, *readings_of(model, batch, eta))


def asked_times(regimen: Regimen, metric: Metric) -> Array:
    """When a course has to be read for `read_off` to give the metric, h."""
    return np.asarray([metric.start_h, metric.stop_h]) if metric.kind in AREAS else _reading_times(regimen, metric)


def read_off(metric: Metric, concentration: Array, auc: Array) -> Array:
    """The metric (n,) from concentrations and areas so far (n, k) at `asked_times`; later columns may repeat the last one."""
    if metric.kind in AREAS:
        return _between(auc[:, :2], metric)
    # columns past a patient's own times repeat the last one, which moves neither extreme
    return np.asarray(concentration.max(axis=1) if metric.kind is MetricKind.CMAX else concentration.min(axis=1))


def _reading_times(regimen: Regimen, metric: Metric) -> Array:
    if metric.kind is MetricKind.CONC:
        return np.asarray([metric.start_h])
    given = {d.time_h + k * d.every_h + end for d in regimen.doses for k in range(d.additional + 1) for end in (0.0, d.duration_h)}
    inside = [t for t in given if metric.start_h <= t <= metric.stop_h]
    return np.unique(np.concatenate([np.linspace(metric.start_h, metric.stop_h, GRID_POINTS + 1), inside]))


class _Read(NamedTuple):
    concentration: Array
    auc: Array


def _readings(model: DrugModel, regimen: Regimen, times_h: Array, covariates: Covariates, eta_draws: Array, *, compiled: bool) -> _Read:
    draws = np.asarray(eta_draws, dtype=np.float64)
    draws = draws if draws.ndim == 2 else draws.reshape(-1, len(model.eta_names))  # a model without etas has draws of no numbers
    timeline = build(model, regimen, covariates, times_h)
    if not compiled:
        return _Read(*readings(model, timeline, draws))
    from auctor.pk.course import readings_of_draws

    one = {name: values[0] for name, values in stack([timeline]).arrays.items()}
    return _Read(*(values[:, : len(times_h)] for values in readings_of_draws(model, one, draws)))


def steady_auc(model: DrugModel, params: Mapping[str, Any], dose_mg: Any) -> Array:
    """AUC over one interval at steady state, mg*h/L: F * dose / CL (linear elimination).

    Reference: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, eq. 3.18.
    """
    s = model.structure
    share = params[s.bioavailability] if s.bioavailability else 1.0
    return np.asarray(share * np.asarray(dose_mg) / params[s.linear_clearance], dtype=np.float64)
