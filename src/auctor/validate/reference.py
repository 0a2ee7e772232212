"""What a method's exposure is held against on real data: an area by trapezoids through a rich profile, or a column of the table.

Nothing is extrapolated: a window that the levels do not span has no area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auctor.case import Case, Metric, MetricKind, Route, Sample, given_times
from auctor.errors import TableError
from auctor.population.targets import AREAS

Array = NDArray[np.float64]
FEWEST = 4  # levels of a profile whose area stands for the truth


def trapezoid(times_h: Array, levels: Array, start_h: float, stop_h: float) -> float:
    """AUC from `start_h` to `stop_h`, mg*h/L: linear where levels rise or stay, logarithmic where they fall (lin up, log down).

    `times_h` (k,) ascending, `levels` (k,) mg/L, not below 0; the window's ends are interpolated by the same rule. Reference: Gabrielsson &
    Weiner, Pharmacokinetic and Pharmacodynamic Data Analysis, 4th ed., ch. 2.8; Purves, J Pharmacokinet Biopharm 1992;20:211.

    Raises TableError where the levels do not span the window.

    >>> t = np.array([0.0, 1.0, 3.0, 8.0])
    >>> round(trapezoid(t, 10 * np.exp(-0.2 * t), 0.0, 8.0), 4)  # 10 / 0.2 * (1 - exp(-1.6))
    39.9052
    """
    if len(times_h) < 2 or start_h < times_h[0] or stop_h > times_h[-1]:
        ends = f"from {times_h[0]:g} to {times_h[-1]:g} h" if len(times_h) else "nowhere"
        what = f"levels reach {ends}, the window from {start_h:g} to {stop_h:g} h"
        raise TableError(where="reference", what=what, remedy="choose a window that the levels span")
    inside = np.unique(np.concatenate([[start_h, stop_h], times_h[(times_h > start_h) & (times_h < stop_h)]]))
    read = np.asarray([_between(times_h, levels, t) for t in inside])
    first, second, gap = read[:-1], read[1:], np.diff(inside)
    falls = (second < first) & (second > 0)
    ratio = np.log(np.where(falls, first / np.where(falls, second, 1.0), 2.0))  # any ratio but 1 where it is not used
    return float(np.sum(np.where(falls, (first - second) * gap / ratio, (first + second) * gap / 2)))


def _between(times_h: Array, levels: Array, at_h: float) -> float:
    """The level at a time between two, by the rule of the trapezoid."""
    k = int(np.clip(np.searchsorted(times_h, at_h, side="right") - 1, 0, len(times_h) - 2))
    share = (at_h - times_h[k]) / (times_h[k + 1] - times_h[k])
    low, high = levels[k], levels[k + 1]
    if 0 < high < low:
        return float(low * (high / low) ** share)
    return float(low + (high - low) * share)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A subject's area by trapezoids: its `value` in mg*h/L (mg/L for an average), from how many levels, and how it was `closed`, if so."""

    value: float
    levels: int
    closed: str = ""


def profile(case: Case, metric: Metric, slack_h: float = 0.25) -> Profile:
    """The metric of a case by trapezoids through all its levels that count.

    A level up to `slack_h` before an end of the window stands at that end, and one so long after the last where no dose lies between; one
    after the start may be of a dose given there, and stands where it is. In a steady state whose interval is the window, the level at
    one end stands for the other, where that has none. Before a first dose that is swallowed or infused there is no drug.

    Raises TableError for a metric that is no area or average, fewer than four levels, a level only known to be outside the assay's
    limits, two levels at one time, or a window that the levels do not span.
    """
    if metric.kind not in AREAS:
        raise TableError(where="--reference", what=f"{metric.name} is no area", remedy="ask for an AUC or Cavg, or name a column")
    last = _last(case, metric, slack_h)
    seen = sorted((s for s in case.samples if case.counts(s) and metric.start_h - slack_h <= s.time_h <= last), key=lambda s: s.time_h)
    if any(s.censored for s in seen):
        raise TableError(where="reference", what="a level is only known to be outside the assay's limits", remedy="leave the subject out")
    if len(seen) < FEWEST:
        raise TableError(
            where="reference", what=f"{len(seen)} levels in the window", remedy=f"an area needs {FEWEST}; name a column instead"
        )
    times, levels = _snapped(seen, metric, slack_h)
    if np.any(np.diff(times) <= 0):
        raise TableError(where="reference", what="two levels at one time", remedy="keep one of them (MDV 1 or DVWT 0)")
    times, levels, closed = _closed(case, metric, times, levels)
    area = trapezoid(times, levels, metric.start_h, metric.stop_h)
    value = area if metric.kind is MetricKind.AUC else area / (metric.stop_h - metric.start_h)
    return Profile(value=value, levels=len(seen), closed=closed)


def _last(case: Case, metric: Metric, slack_h: float) -> float:
    """Until when a level tells the window's end: `slack_h` after it, or until a dose given there or later."""
    after = [t for t, _ in given_times(case.history, until_h=metric.stop_h + slack_h) if t >= metric.stop_h]
    return min([metric.stop_h + slack_h, *after])


def _snapped(seen: Sequence[Sample], metric: Metric, slack_h: float) -> tuple[Array, Array]:
    """Times and values, the first and last level moved to the window's ends where they are near them."""
    times, levels = (np.asarray([getattr(s, name) for s in seen], dtype=np.float64) for name in ("time_h", "value"))
    if times[0] <= metric.start_h:
        times[0] = metric.start_h
    if abs(times[-1] - metric.stop_h) <= slack_h:
        times[-1] = metric.stop_h
    return times, levels


def _closed(case: Case, metric: Metric, times: Array, levels: Array) -> tuple[Array, Array, str]:
    dose = case.history.doses[0]
    steady = len(case.history.doses) == 1 and dose.steady_state and abs(dose.every_h - (metric.stop_h - metric.start_h)) < 1e-6
    if steady and times[0] == metric.start_h and times[-1] < metric.stop_h:
        return np.append(times, metric.stop_h), np.append(levels, levels[0]), "the trough before the dose stands at the end"
    if steady and times[-1] == metric.stop_h and times[0] > metric.start_h:
        return np.insert(times, 0, metric.start_h), np.insert(levels, 0, levels[-1]), "the trough at the end stands at the beginning"
    first = metric.start_h == dose.time_h and not dose.steady_state and (dose.route is Route.ORAL or dose.duration_h > 0)
    if first and times[0] > metric.start_h:
        return np.insert(times, 0, metric.start_h), np.insert(levels, 0, 0.0), "no drug before the first dose"
    return times, levels, ""
