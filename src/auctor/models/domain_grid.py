"""The typical parameters over the whole domain of validity: low, middle, high and reference covariates, and every level, combined."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from auctor.models.findings import Finding
from auctor.models.model import Covariate, DrugModel
from auctor.models.quantities import CLEARANCE, RATE, VOLUME, read_unit

Array = NDArray[np.float64]

MOST_POINTS = 40_000


def domain_findings(model: DrugModel) -> tuple[Finding, ...]:
    """An error where a clearance, volume, rate or F is not above zero, or any parameter has no finite value; an info for an open domain.

    >>> from auctor.models.reader import read_model
    >>> domain_findings(read_model("tacrolimus_woillard_2011"))
    ()
    """
    grid = covariate_grid(model)
    size = len(next(iter(grid.values()), [0.0]))
    with np.errstate(all="ignore"):
        values = model.individual(grid, np.zeros((size, len(model.eta_names))), np)
    full = {name: np.broadcast_to(np.asarray(value, dtype=np.float64), (size,)) for name, value in values.items()}
    return (*_open(model), *_wrong(model, grid, full))


def covariate_grid(model: DrugModel) -> dict[str, Array]:
    """name -> (n,) values: all combinations where they are at most 40,000, else those of low and high alone, else a fixed sample."""
    names = list(model.covariates)
    choices = [_points(c) for c in model.covariates.values()]
    if math.prod(map(len, choices)) > MOST_POINTS:
        choices = [sorted({p[0], p[-1]}) if c.levels is None else p for c, p in zip(model.covariates.values(), choices, strict=True)]
    if math.prod(map(len, choices)) > MOST_POINTS:
        rng = np.random.default_rng(1)
        return {name: rng.choice(np.asarray(points), MOST_POINTS) for name, points in zip(names, choices, strict=True)}
    rows = np.asarray(list(itertools.product(*choices)), dtype=np.float64)
    return {name: rows[:, k] for k, name in enumerate(names)}


def _points(covariate: Covariate) -> list[float]:
    if covariate.levels is not None:
        return sorted(covariate.levels.values())
    ends = [bound for bound in (covariate.low, covariate.high) if bound is not None]
    middle = [sum(ends) / 2] if len(ends) == 2 else []
    return sorted({*ends, *middle, covariate.reference})


def _open(model: DrugModel) -> Iterator[Finding]:
    for name, covariate in model.covariates.items():
        if covariate.levels is None and (covariate.low is None or covariate.high is None):
            what = "the source population has no limits on both sides: the domain of validity is not known there"
            yield Finding(
                code="domain-open", severity="info", where=f"covariates.{name}", what=what, remedy="give low and high where reported"
            )


def _positive(model: DrugModel) -> set[str]:
    """What must be above zero: the parts of a named structure but its lags; clearances, volumes and rates of a written-out model."""
    s = model.structure
    if model.system is None:
        parts = (s.clearance, s.central, s.distribution, s.peripheral, s.rate, s.duration, s.bioavailability)
        more = (getattr(s, key, None) for key in ("distribution2", "peripheral2", "maximum", "half"))
        return {name for name in (*parts, *more) if name}
    units = {name: read_unit(p.unit, where=name).dimension for name, p in model.parameters.items()}
    return {name for name, unit in units.items() if unit in (CLEARANCE, VOLUME, RATE)}


def _wrong(model: DrugModel, grid: dict[str, Array], values: dict[str, Array]) -> Iterator[Finding]:
    for name, value in values.items():
        table = "individual" if name in model.formulas else "parameters"
        for bad, what in ((~np.isfinite(value), "has no finite value"), (value <= 0, "is not above zero")):
            if bad.any() and (name in _positive(model) or what == "has no finite value"):
                k = int(np.argmax(bad))
                place = ", ".join(f"{c} = {column[k]:g}" for c, column in grid.items())
                remedy = "check the formula, or narrow low and high to where the source had patients"
                yield Finding(code="domain", severity="error", where=f"{table}.{name}", what=f"{what} at {place}", remedy=remedy)
