"""The window of a target metric, fitted to a dosing interval so that a steady-state average stays an average."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auctor.case import Metric, MetricKind

_WHOLE = 1e-9  # a window this close to a whole number of intervals is one


@dataclass(frozen=True, kw_only=True)
class FittedMetric:
    """The metric to compute and the factor that brings its value back to the target's window.

    >>> FittedMetric(metric=Metric.parse("AUC0-48"), factor=0.5).factor
    0.5
    """

    metric: Metric
    factor: float


def metric_for(metric: Metric, every_h: float) -> FittedMetric:
    """The metric over a whole number of dosing intervals of `every_h` hours.

    At steady state an average over any whole number of intervals is the same, so AUC0-24 under a 48-hourly dose is
    AUC0-48 / 2 and equals 24-hour dose / CL; over the first 24 h alone it would not. An AUC window of length L becomes
    k = ceil(L / every_h) intervals with factor L / (k * every_h); Cavg, Cmin and Cmax take the same stretched window
    with factor 1. A concentration at one time (`C0`, `C2`) is left as given.

    >>> metric_for(Metric.parse("AUC0-24"), 12)
    FittedMetric(metric=Metric(kind=<MetricKind.AUC: 'AUC'>, start_h=0.0, stop_h=24.0), factor=1.0)
    >>> fitted = metric_for(Metric.parse("AUC0-24"), 48)
    >>> fitted.metric.name, fitted.factor
    ('AUC0-48', 0.5)
    """
    length = metric.stop_h - metric.start_h
    if metric.kind is MetricKind.CONC or every_h <= 0 or length <= 0:
        return FittedMetric(metric=metric, factor=1.0)
    stretched = every_h * max(1, math.ceil(length / every_h - _WHOLE))
    if math.isclose(stretched, length, rel_tol=_WHOLE):
        return FittedMetric(metric=metric, factor=1.0)
    window = Metric(kind=metric.kind, start_h=metric.start_h, stop_h=metric.start_h + stretched)
    return FittedMetric(metric=window, factor=length / stretched if metric.kind is MetricKind.AUC else 1.0)
