"""Who the virtual patients are: covariates drawn one by one, or together from a table or a copula, growing by charts, or worked out.

Order: the joint source, independent distributions, those that follow an age, weight and height by the growth charts, then formulas in file
order. Each has a stream of its own. `possible` draws again whoever it does not hold for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from auctor.errors import AuctorError, PlanError
from auctor.models.expressions import Expression
from auctor.models.model import Covariate, DrugModel
from auctor.population.distributions import Distribution, stream
from auctor.population.growth import Growth, read_growth
from auctor.population.reading import Table
from auctor.units import convert

Array = NDArray[np.float64]
ROUNDS = 200


class Joint(Protocol):
    """A source that draws several covariates together."""

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates it gives."""
        ...

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of each numeric one."""
        ...

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """`n` patients, name -> (n,)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ByAge:
    """A truncated normal for every whole year of the covariate `by`, the first being that of one year; ages beyond are refused."""

    by: str
    years: tuple[Distribution, ...]
    where: str

    @classmethod
    def read(cls, row: Table) -> ByAge:
        """`{ by = "AGE", mean = [..], sd = [..], low = [..], high = [..] }`. Errors: PlanError."""
        keys = ("mean", "sd", "low", "high")
        by, lists = row.text("by"), {key: row.numbers(key) for key in keys}
        row.done()
        if len({len(values) for values in lists.values()}) > 1:
            raise row.refuse("mean", "and the other lists differ in length", "give as many years of each")
        each = [dict(zip(keys, values, strict=True)) for values in zip(*lists.values(), strict=True)]
        return cls(by=by, years=tuple(Distribution.read({"kind": "truncnormal", **one}, where=row.where) for one in each), where=row.where)

    def draw(self, known: Mapping[str, Array], rng: np.random.Generator, n: int) -> Array:
        """One value for each of `n` patients, (n,). Raises PlanError for an age that has no distribution."""
        years, found = known[self.by].astype(np.int64) - 1, np.empty(n)
        if len(years) and not 0 <= years.min() <= years.max() < len(self.years):
            raise PlanError(where=self.where, what=f"has no values for every {self.by}", remedy="list every year from one on")
        for year in np.unique(years):
            own = np.flatnonzero(years == year)
            found[own] = self.years[year].draw(rng, len(own))
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """The covariates of a plan: independent distributions, what is drawn together or by age, growth charts, and formulas in order.

    `factors` turn what the joint source gives into the unit of the model's covariate. `where` is the plan's name, for errors.
    """

    where: str
    independent: Mapping[str, Distribution]
    joint: Joint | None = None
    growth: Growth | None = None
    derived: Mapping[str, Expression]
    factors: Mapping[str, float]
    possible: Expression | None = None
    by_age: Mapping[str, ByAge] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every covariate that a patient has."""
        joint = self.joint.names if self.joint else ()
        return (*joint, *self.independent, *self.by_age, *(self.growth.names if self.growth else ()), *self.derived)

    def draw(self, n: int, *, seed: int) -> dict[str, Array]:
        """`n` patients, name -> (n,). Raises PlanError where a formula has no finite value or nobody is `possible`."""
        found = self._drawn(n, seed, "")
        if self.possible is None:
            return found
        for k in range(ROUNDS):
            wrong = np.flatnonzero(~self._holds(found, n))
            if not len(wrong):
                return found
            again = self._drawn(len(wrong), seed, f"#{k}")
            for name, values in found.items():
                values[wrong] = again[name]
        remedy = "widen the condition, or correct the distributions"
        raise PlanError(where=f"{self.where}.covariates.possible", what="is hardly ever fulfilled", remedy=remedy)

    def _holds(self, found: Mapping[str, Array], n: int) -> NDArray[np.bool_]:
        assert self.possible is not None
        return np.broadcast_to(np.asarray(self.possible.evaluate(found)) != 0, (n,))

    def _drawn(self, n: int, seed: int, mark: str) -> dict[str, Array]:
        found: dict[str, Array] = {}
        if self.joint:
            drawn = self.joint.draw(stream(seed, f"covariates{mark}"), n)
            found |= {name: values * self.factors.get(name, 1.0) for name, values in drawn.items()}
        found |= {name: d.draw(stream(seed, f"covariate:{name}{mark}"), n) for name, d in self.independent.items()}
        found |= {name: one.draw(found, stream(seed, f"covariate:{name}{mark}"), n) for name, one in self.by_age.items()}
        if self.growth:
            found |= self.growth.draw(found, stream(seed, f"growth{mark}"), n)
        return found | self.worked_out(found)

    def worked_out(self, known: Mapping[str, Array]) -> dict[str, Array]:
        """The derived covariates of patients whose drawn ones are known."""
        found = dict(known)
        shape = np.broadcast_shapes(*(np.shape(v) for v in known.values())) if known else ()
        for name, formula in self.derived.items():
            with np.errstate(all="ignore"):
                found[name] = np.array(np.broadcast_to(np.asarray(formula.evaluate(found), dtype=np.float64), shape))
            if not np.all(np.isfinite(found[name])):
                where = f"{self.where}.covariates.{name}"
                raise PlanError(where=where, what="has no finite value for some patients", remedy="check the formula and its inputs")
        return {name: found[name] for name in self.derived}


def read_people(table: Table, models: tuple[DrugModel, ...], folder: Path) -> People:
    """`[covariates]`: the plan's own, and for the rest those of the models' source populations. Errors: PlanError."""
    covariates = {name: c for model in models for name, c in model.covariates.items()}
    joint = _joint(table, folder)
    growth = read_growth(table.table("growth"), folder) if table.has("growth") else None
    given = {*(joint.names if joint else ()), *(growth.names if growth else ())}
    rows = {name: table.table(name) for name in tuple(table.left) if name != "possible"}
    formulas = [name for name, row in rows.items() if row.has("expr")]
    by_age = {name: ByAge.read(rows[name]) for name in [name for name, row in rows.items() if row.has("by")]}
    independent = _independent(table, rows, covariates, {*given, *formulas, *by_age})
    known = {*given, *independent, *by_age}
    derived: dict[str, Expression] = {}
    for name in formulas:
        derived[name] = rows[name].formula("expr", names=known)
        rows[name].done()
        known.add(name)
    people = People(
        where=table.where.removesuffix(".covariates"),
        independent=independent,
        joint=joint,
        growth=growth,
        by_age=by_age,
        derived=derived,
        factors=_factors(table, joint, covariates),
        possible=table.formula("possible", names=known) if table.has("possible") else None,
    )
    table.done()
    _refuse_twice(table, people, covariates)
    for name, one in by_age.items():
        if one.by not in {*given, *independent}:
            raise table.refuse(f"{name}.by", f"names {one.by!r}, which is not drawn before", "name an age of the plan in whole years")
    return people


def _independent(
    table: Table, rows: Mapping[str, Table], covariates: Mapping[str, Covariate], elsewhere: set[str]
) -> dict[str, Distribution]:
    """Those of the models first, in their order (the plan's distribution, or that of the source population), then the plan's own."""
    found: dict[str, Distribution] = {}
    for name, covariate in covariates.items():
        if name in rows and name not in elsewhere:
            found[name] = Distribution.read(rows[name].left, where=rows[name].where, levels=covariate.levels)
        elif name not in elsewhere:
            if covariate.distribution is None:
                raise table.refuse(name, "has no distribution in the model file", "give one in the plan")
            found[name] = Distribution.read(covariate.distribution, where=f"{table.where}.{name}", levels=covariate.levels)
    more = {name: row for name, row in rows.items() if name not in covariates and name not in elsewhere}
    return found | {name: Distribution.read(row.left, where=row.where) for name, row in more.items()}


def _joint(table: Table, folder: Path) -> Joint | None:
    if table.has("table") and table.has("copula"):
        raise table.refuse("copula", "and covariates.table are alternatives", "give one of the two")
    if table.has("table"):
        from auctor.population.tables import read_source

        return read_source(table.table("table"), folder)
    if table.has("copula"):
        from auctor.population.copula import read_chosen

        return read_chosen(table.table("copula"), folder)
    return None


def _factors(table: Table, joint: Joint | None, covariates: Mapping[str, Covariate]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, unit in (joint.units if joint else {}).items():
        if name not in covariates or covariates[name].levels:
            continue
        try:
            found[name] = convert(1.0, unit, covariates[name].unit, where=f"{table.where}.{name}")
        except AuctorError as error:
            raise table.refuse(name, error.what, error.remedy) from error
    return found


def _refuse_twice(table: Table, people: People, covariates: Mapping[str, Covariate]) -> None:
    names = people.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise table.refuse(twice[0], "is given twice", "draw it from one source")
    if people.growth:
        people.growth.check(names, {name: c.unit for name, c in covariates.items()}, table)
