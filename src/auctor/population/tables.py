"""Covariates of real people: rows of a table drawn with replacement, so that what hangs together stays together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.models.expressions import Expression
from auctor.population.files import File, columns_of, content_of, read_file
from auctor.population.reading import Table

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are which covariates: name -> column; words -> codes by column; `where` keeps rows; `weight` a column."""

    columns: Mapping[str, str]
    codes: Mapping[str, Mapping[str, float]]
    units: Mapping[str, str]
    condition: Expression | None
    weight: str

    def needed(self) -> tuple[str, ...]:
        """The columns to read."""
        return (*self.columns.values(), *([self.weight] if self.weight else []))

    def chosen(self, raw: Mapping[str, Sequence[Any]], where: str) -> tuple[dict[str, Array], Array]:
        """Covariates (n,) of the complete rows that the condition holds for, and their weights, which add up to 1."""
        found = {name: self._numbers(raw[column], column, where) for name, column in self.columns.items()}
        weights = self._numbers(raw[self.weight], self.weight, where) if self.weight else np.ones(len(next(iter(found.values()))))
        keep = np.all([np.isfinite(v) for v in (*found.values(), weights)], axis=0) & (weights > 0)
        if self.condition is not None:
            with np.errstate(all="ignore"):
                keep &= np.asarray(self.condition.evaluate(found)) != 0
        if keep.sum() < 10:
            raise PlanError(where=f"{where}.where", what="leaves fewer than ten complete rows", remedy="widen it, or name fewer columns")
        return {name: values[keep] for name, values in found.items()}, weights[keep] / weights[keep].sum()

    def _numbers(self, values: Sequence[Any], column: str, where: str) -> Array:
        codes = self.codes.get(column, {})
        try:
            return np.asarray([np.nan if v is None else codes[v] if column in self.codes else float(v) for v in values], dtype=np.float64)
        except (ValueError, TypeError) as error:
            remedy = f"write codes.{column} = {{ word = number }}"
            raise PlanError(where=f"{where}.columns", what=f"{column} holds words", remedy=remedy) from error
        except KeyError as error:
            raise PlanError(where=f"{where}.codes.{column}", what="lacks a word of the column", remedy="give a code for each") from error


def read_columns(table: Table) -> Columns:
    """The keys `columns`, `codes`, `units`, `where` and `weight` of a source. Errors: PlanError."""
    columns = table.strings("columns")
    codes = _codes(table.table("codes", optional=True))
    units = table.strings("units")
    for name, column in columns.items():
        if (name in units) == (column in codes):
            raise table.refuse("units", f"and codes must name {name} once", "give a unit to every number and codes to every word")
    return Columns(
        columns=columns,
        codes=codes,
        units=units,
        condition=table.formula("where", names=columns) if table.has("where") else None,
        weight=table.text("weight", default=""),
    )


def _codes(table: Table) -> dict[str, dict[str, float]]:
    found = {}
    for column in tuple(table.left):
        row = table.table(column)
        found[column] = {word: row.number(word) for word in tuple(row.left)}
    return found


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Rows of a file drawn with replacement, by weight; `jitter` is the relative SD (lognormal) put on a covariate."""

    file: File
    columns: Columns
    jitter: Mapping[str, float]
    where: str

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates it gives."""
        return tuple(self.columns.columns)

    @property
    def units(self) -> Mapping[str, str]:
        """The unit of each numeric one."""
        return self.columns.units

    @cached_property
    def rows(self) -> tuple[dict[str, Array], Array]:
        """The rows to draw from and their weights."""
        raw = columns_of(content_of(self.file, self.where), self.file.path, self.columns.needed(), self.where)
        return self.columns.chosen(raw, self.where)

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """`n` of the rows, name -> (n,)."""
        values, weights = self.rows
        picked = rng.choice(len(weights), size=n, p=weights)
        found = {name: column[picked] for name, column in values.items()}
        for name, sd in self.jitter.items():
            found[name] = found[name] * np.exp(sd * rng.standard_normal(n))
        return found


def read_source(table: Table, folder: Path) -> TableSource:
    """`[covariates.table]`. Errors: PlanError."""
    columns, jitter = read_columns(table), table.table("jitter", optional=True)
    unknown = [name for name in jitter.left if name not in columns.units]
    if unknown:
        raise table.refuse("jitter", f"names {unknown[0]}, which is no number of the table", "name one that is")
    found = TableSource(
        file=read_file(table, folder),
        columns=columns,
        jitter={name: jitter.number(name, low=0, high=1) for name in tuple(jitter.left)},
        where=table.where,
    )
    table.done()
    return found
