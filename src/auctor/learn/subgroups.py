"""Subgroups of patients that a plan declares: bands of a feature, or how many samples were taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.features import column, known
from auctor.learn.observed import Observed
from auctor.population.learning import Grouping
from auctor.population.plan import Plan

Array = NDArray[np.float64]
Labels = NDArray[np.str_]
SAMPLES = "samples"


def check_groups(plan: Plan) -> None:
    """Refuse a subgroup by something that is not a feature of the plan (PlanError)."""
    for k, group in enumerate(plan.interval.groups):
        if group.by != SAMPLES and not known(plan, group.by):
            raise PlanError(
                where=f"{plan.name}.interval.groups[{k}].by",
                what=f"{group.by!r} is not a feature",
                remedy=f"name a feature of docs/plan-file.md, or {SAMPLES}",
            )


def bands(observed: Observed, group: Grouping) -> Labels:
    """Each patient's band (n,), such as `cov:HCT < 35`.

    >>> label(Grouping(by="dose_mg", cuts=(2.0, 5.0)), 1), label(Grouping(by="samples"), 2.0)
    ('2 <= dose_mg < 5', 'samples = 2')
    """
    values = np.isfinite(observed.value).sum(axis=1).astype(np.float64) if group.by == SAMPLES else column(observed, group.by)
    codes = np.searchsorted(group.cuts, values, side="right") if group.cuts else values
    named = {code: label(group, code) for code in np.unique(codes).tolist()}
    return np.asarray([named[code] for code in codes.tolist()])


def label(group: Grouping, code: float) -> str:
    """The name of a band: its number between the cuts, or its value where there are none."""
    if not group.cuts:
        return f"{group.by} = {code:g}"
    low = f"{group.cuts[int(code) - 1]:g} <= " if code > 0 else ""
    return f"{low}{group.by}" + (f" < {group.cuts[int(code)]:g}" if code < len(group.cuts) else "")


def cells(observed: Observed) -> Labels | None:
    """Each patient's combination of all declared bands (n,), within which intervals are calibrated; None without subgroups."""
    groups = observed.plan.interval.groups
    if not groups:
        return None
    columns = [bands(observed, group) for group in groups]
    return np.asarray(["; ".join(row) for row in zip(*columns, strict=True)])


def coverage_table(observed: Observed, inside: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Share of patients whose interval holds the truth: all, and by declared band, with exact (Clopper-Pearson) 95 % limits."""
    rows = [_covered("all", inside)]
    for group in observed.plan.interval.groups:
        labels = bands(observed, group)
        rows += [_covered(str(name), inside[labels == name]) for name in np.unique(labels)]
    return rows


def _covered(name: str, inside: NDArray[np.bool_]) -> dict[str, Any]:
    from scipy.stats import binomtest

    found = binomtest(int(inside.sum()), len(inside))
    limits = found.proportion_ci(0.95, method="exact")
    rounded: Mapping[str, float] = {"coverage": found.statistic, "low": limits.low, "high": limits.high}
    return {"subgroup": name, "patients": len(inside), **{k: round(float(v), 6) for k, v in rounded.items()}}
