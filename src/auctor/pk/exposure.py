"""Exposure metrics and curves of one patient under a regimen, for many draws of eta at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.case import Covariates, Metric, MetricKind, Regimen, Route
from auctor.models.model import DrugModel
from auctor.models.spelled import spelled
from auctor.pk.closed_form import ClosedForm
from auctor.pk.direct import concentrations, is_direct, readings
from auctor.pk.steps import each, row_names
from auctor.pk.timeline import build, covariate_rows, stack

Array = NDArray[np.float64]

GRID_POINTS = 240
AREAS = (MetricKind.AUC, MetricKind.CAVG)
PATIENTS = 1024  # laid out at a time


def curves(model: DrugModel, regimen: Regimen, times_h: Array, covariates: Covariates, eta_draws: Array) -> Array:
    """Concentrations (n_draws, n_times) mg/L without residual error, for eta_draws (n_draws, n_eta)."""
    if is_direct(model):
        return concentrations(model, build(model, regimen, covariates, times_h), _rows(model, eta_draws))
    return _readings(model, regimen, times_h, covariates, eta_draws, compiled=True).concentration


def exposures(model: DrugModel, regimen: Regimen, metric: Metric, covariates: Covariates, eta_draws: Array) -> Array:
    """The metric (n_draws,) in mg*h/L (AUC) or mg/L (the others) under the regimen.

    A draw without a steady state (a nonlinear model given more than it can eliminate) is inf.
    AUC is exact (mass balance). Cmin and Cmax are read on a grid of 240 points of the window and its dose times.
    """
    if not regimen.doses:
        return np.zeros(len(eta_draws))
    direct = is_direct(model)
    if metric.kind in AREAS:
        whole = whole_intervals(model, regimen, metric, covariates) if direct else 0
        settled = _settled(model, regimen, covariates, _rows(model, eta_draws)) if whole else None
        if settled is not None:
            return settled * (whole if metric.kind is MetricKind.AUC else 1.0 / regimen.doses[0].every_h)
        window = np.asarray([metric.start_h, metric.stop_h])
        return _between(_readings(model, regimen, window, covariates, eta_draws, compiled=not direct).auc, metric)
    # a whole grid of many draws is the compiled engine's work
    times = _reading_times(regimen, metric)
    values = _readings(model, regimen, times, covariates, eta_draws, compiled=not direct or len(times) > 1).concentration
    return np.asarray(values.max(axis=1) if metric.kind is MetricKind.CMAX else values.min(axis=1))


def whole_intervals(model: DrugModel, regimen: Regimen, metric: Metric, covariates: Covariates) -> int:
    """How many whole dosing intervals at steady state the window of the metric is, for which the area is a formula; 0 where it is none.

    >>> from auctor.case import Route
    >>> from auctor.models.reader import read_model
    >>> model, every12 = read_model("vancomycin_goti_2018"), Regimen.steady(500, every_h=12, route=Route.IV, duration_h=1)
    >>> known = Covariates.constant({"CRCL": 90.0, "WT": 70.0, "DIAL": 0.0})
    >>> [whole_intervals(model, every12, Metric.parse(name), known) for name in ("AUC0-24", "AUC0-8")]
    [2, 0]
    """
    if len(regimen.doses) != 1 or covariates.change_times() or spelled(model).densities:
        return 0
    (dose,), known_share = regimen.doses, not model.structure.bioavailability or regimen.doses[0].route is Route.ORAL
    if not (dose.steady_state and dose.every_h > 0 and dose.amount_mg > 0 and known_share):
        return 0
    kept_up = dose.time_h <= metric.start_h and metric.stop_h <= dose.time_h + (dose.additional + 1) * dose.every_h
    whole = round((metric.stop_h - metric.start_h) / dose.every_h)
    return whole if kept_up and whole * dose.every_h == metric.stop_h - metric.start_h else 0


def _settled(model: DrugModel, regimen: Regimen, covariates: Covariates, draws: Array) -> Array | None:
    """The area of one dosing interval at steady state, (n,); None where a draw's rates are none, as the event loop then finds."""
    names = row_names(model, covariate_rows(model, [covariates.at(-np.inf)]), draws, np)
    rates, leaves = ClosedForm(model, np).rates(names), list[Any]()
    each(leaves.append, rates)
    positive = (rates.clearance, rates.volume, *rates.chains)
    if not (all(np.isfinite(leaf).all() for leaf in leaves) and all((rate > 0).all() for rate in positive)):
        return None
    return steady_auc(model, {name: values[0] for name, values in names.items()}, regimen.doses[0].amount_mg)


def scaling(model: DrugModel, regimen: Regimen) -> float | None:
    """The amount (mg) of every dose where each exposure is proportional to it: equal doses of a linear model, whose infusions do not last
    longer for more; None otherwise.

    >>> from auctor.case import Route
    >>> from auctor.models.reader import read_model
    >>> every12 = Regimen.steady(500, every_h=12, route=Route.IV, duration_h=1)
    >>> scaling(read_model("vancomycin_goti_2018"), every12), scaling(read_model("phenytoin_yukawa_1990"), every12)
    (500, None)
    """
    system, amounts = spelled(model), {dose.amount_mg for dose in regimen.doses}
    return amounts.pop() if system.linear and "rate" not in system.inputs and len(amounts) == 1 else None


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
    draws, timeline = _rows(model, eta_draws), build(model, regimen, covariates, times_h)
    if not compiled:
        return _Read(*readings(model, timeline, draws))
    from auctor.pk.course import readings_of_draws

    one = {name: values[0] for name, values in stack([timeline]).arrays.items()}
    return _Read(*(values[:, : len(times_h)] for values in readings_of_draws(model, one, draws)))


def _rows(model: DrugModel, eta_draws: Array) -> Array:
    """Draws as rows, those of no numbers too, which a model without etas has."""
    draws = np.asarray(eta_draws, dtype=np.float64)
    return draws if draws.ndim == 2 else draws.reshape(-1, len(model.eta_names))


def steady_auc(model: DrugModel, params: Mapping[str, Any], dose_mg: Any) -> Array:
    """AUC over one interval at steady state, mg*h/L: F * dose / CL (linear elimination).

    Reference: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, eq. 3.18.
    """
    s = model.structure
    share = params[s.bioavailability] if s.bioavailability else 1.0
    return np.asarray(share * np.asarray(dose_mg) / params[s.linear_clearance], dtype=np.float64)
