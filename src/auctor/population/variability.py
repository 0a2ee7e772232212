"""What varies besides eta: kappas of simulated occasions, the assay's bias and lower limit, and covariates that change on the way."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.errors import AuctorError, PlanError
from auctor.models.model import DrugModel
from auctor.models.occasions import MOST, has_iov
from auctor.population.distributions import Distribution, stream
from auctor.population.reading import Table
from auctor.units import convert

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SimulatedIov:
    """Inter-occasion variability: an occasion lasts `occasion_h` h, or one dosing interval (None).

    A target at steady state is that of the occasion of the latest sample (`sampled`), or of the one after all others (`next`).
    """

    occasion_h: float | None
    target: str


@dataclass(frozen=True, kw_only=True)
class Assay:
    """`cv` of noise "assay"; `bias` the proportional bias of each patient's lot (0.1 reads 10 % high); `lloq` mg/L, None without."""

    cv: float
    bias: Distribution | None = None
    lloq: float | None = None


@dataclass(frozen=True, kw_only=True)
class CovariatePath:
    """A covariate that changes for a `share` of the patients: multiplied by `factor`, or set to `value`, from `from_h` until `until_h`."""

    covariate: str
    share: float
    from_h: Distribution
    until_h: Distribution | None
    factor: Distribution | None
    value: Distribution | None


class Changes(NamedTuple):
    """The covariates that change, name -> (n, s): their value from `from_h` (n, s) on, ascending; inf where there is no further change."""

    from_h: Array
    values: Mapping[str, Array]


def read_iov(table: Table, models: tuple[DrugModel, ...]) -> SimulatedIov:
    """`[iov]`. Errors: PlanError."""
    whole = table.has("occasion") and table.left["occasion"] == "interval"
    hours = None if whole and table.text("occasion") else table.number("occasion", low=0.01)
    found = SimulatedIov(occasion_h=hours, target=table.text("target", choices=("sampled", "next")))
    table.done()
    if not all(has_iov(m) for m in models):
        raise table.refuse("occasion", "is for models with iov, which one of the plan's has not", "leave [iov] out, or choose other models")
    return found


def occasions_of(iov: SimulatedIov, every_h: Array, until_h: float, where: str) -> Array:
    """Length (n,) of each patient's occasions, h; PlanError where there would be more than the engine compiles for."""
    length = np.full(len(every_h), iov.occasion_h) if iov.occasion_h else every_h
    if np.any(np.ceil(until_h / length) + 1 > MOST):
        what = f"makes more than {MOST - 1} occasions until the last sample or target"
        raise PlanError(where=f"{where}.iov.occasion", what=what, remedy="take longer occasions (hours)")
    return length


def read_assay(table: Table, model: DrugModel, cv: float) -> Assay:
    """`[assay]`. Errors: PlanError."""
    bias = table.table("bias") if table.has("bias") else None
    lloq = None
    if table.has("lloq"):
        value, unit = table.number("lloq", low=0), table.text("unit")
        try:
            lloq = convert(value, unit, "mg/L", where=f"{table.where}.unit", molar_mass=model.molar_mass)
        except AuctorError as error:
            raise table.refuse("unit", error.what, error.remedy) from error
    found = Assay(cv=cv, bias=Distribution.read(bias.left, where=bias.where) if bias else None, lloq=lloq)
    table.done()
    return found


def read_path(row: Table, covariates: Container[str]) -> CovariatePath:
    """One `[[paths]]`. Errors: PlanError."""

    def drawn(key: str) -> Distribution | None:
        sub = row.table(key) if row.has(key) else None
        return Distribution.read(sub.left, where=sub.where) if sub else None

    start = drawn("from_h")
    if start is None:
        raise row.refuse("from_h", "is missing", "give a distribution of hours")
    found = CovariatePath(
        covariate=row.text("covariate"),
        share=row.number("share", low=0, high=1, default=1.0),
        from_h=start,
        until_h=drawn("until_h"),
        factor=drawn("factor"),
        value=drawn("value"),
    )
    row.done()
    if found.covariate not in covariates:
        raise row.refuse("covariate", "is not drawn by the plan", "name one that is; one worked out by a formula follows its inputs")
    if (found.factor is None) == (found.value is None):
        raise row.refuse("factor", "and value are alternatives", "give one of the two")
    return found


def draw_changes(paths: tuple[CovariatePath, ...], baseline: Mapping[str, Array], n: int, *, seed: int) -> Changes:
    """When and to what the covariates change; several paths of one covariate apply in file order."""
    starts, ends, apply = [], [], []
    for k, path in enumerate(paths):
        rng = stream(seed, f"path:{k}")
        change = path.factor or path.value
        assert change is not None
        has = rng.uniform(size=n) < path.share
        start = np.where(has, np.maximum(path.from_h.draw(rng, n), 0.0), math.inf)
        until = path.until_h.draw(rng, n) if path.until_h else np.full(n, math.inf)
        starts.append(start)
        ends.append(np.where(has & (until > start), until, math.inf))
        apply.append(change.draw(rng, n))
    moments = np.sort(np.stack([*starts, *ends], axis=1), axis=1)
    values = {path.covariate: np.repeat(baseline[path.covariate][:, None], moments.shape[1], axis=1) for path in paths}
    for path, start, end, amount in zip(paths, starts, ends, apply, strict=True):
        on = (moments >= start[:, None]) & (moments < end[:, None]) & np.isfinite(moments)
        now = values[path.covariate]
        values[path.covariate] = np.where(on, now * amount[:, None] if path.factor else amount[:, None], now)
    return Changes(moments, values)
