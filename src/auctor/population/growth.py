"""Children by growth charts: weight and height that follow age and sex, from LMS tables.

X = M (1 + L S z)^(1/L), or M exp(S z) where L = 0 (Cole TJ, Eur J Clin Nutr 1990;44:45-60). The z-scores of weight and height are
correlated normal, cut off at `z_limit`. Tables are CSV files with the columns sex (1 male, 2 female), age (months), L, M, S, as the CDC
publishes them; sex in a plan is 0 male, 1 female, as in the model library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.population.files import File, read_file, read_table
from auctor.population.reading import Table
from auctor.units import convert

Array = NDArray[np.float64]
CODES = {1.0: 0.0, 2.0: 1.0}  # the charts' coding of sex -> that of the model library
UNITS = {"weight": "kg", "height": "cm"}


def lms(z: Array, curve: Mapping[str, Array]) -> Array:
    """The measurement with that z-score; arrays of one shape.

    >>> curve = {"L": np.array([1.8, 0.0]), "M": np.array([3.5, 50.0]), "S": np.array([0.15, 0.05])}
    >>> lms(np.zeros(2), curve).tolist()
    [3.5, 50.0]
    """
    power, middle, spread = curve["L"], curve["M"], curve["S"]
    flat = np.abs(power) < 1e-9
    safe = np.where(flat, 1.0, power)
    base = np.maximum(1 + safe * spread * z, 1e-12)
    return np.asarray(np.where(flat, middle * np.exp(spread * z), middle * base ** (1 / safe)), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The charts of a plan: file and covariate name of `weight` and `height`, from the covariates `age` (in `age_unit`) and `sex`."""

    files: Mapping[str, File]
    covariates: Mapping[str, str]
    age: str
    age_unit: str
    sex: str
    correlation: float
    z_limit: float
    where: str

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates that the charts give."""
        return tuple(self.covariates.values())

    def draw(self, known: Mapping[str, Array], rng: np.random.Generator, n: int) -> dict[str, Array]:
        """Weight (kg) and height (cm) of children whose age and sex are known; PlanError for an age beyond the charts."""
        months = known[self.age] * convert(1.0, self.age_unit, "mo", where=f"{self.where}.age_unit")
        z = self._scores(rng, n)
        return {name: lms(z[kind], self._curve(kind, months, known[self.sex])) for kind, name in self.covariates.items()}

    def _scores(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """Correlated z-scores; pairs with one beyond the limit are drawn again."""
        root = np.linalg.cholesky(np.array([[1.0, self.correlation], [self.correlation, 1.0]]))
        z = rng.standard_normal((n, 2)) @ root.T
        while (far := np.any(np.abs(z) > self.z_limit, axis=1)).any():
            z[far] = rng.standard_normal((int(far.sum()), 2)) @ root.T
        return dict(zip(UNITS, z.T, strict=True))

    def _curve(self, kind: str, months: Array, sex: Array) -> dict[str, Array]:
        charts = _charts(self.files[kind], f"{self.where}.{kind}")
        found = {column: np.full(len(months), np.nan) for column in ("L", "M", "S")}
        for code, chart in charts.items():
            rows = sex == code
            if np.any((months[rows] < chart["age"][0]) | (months[rows] > chart["age"][-1])):
                raise PlanError(where=self.where, what="does not reach all ages of the plan", remedy="draw ages within the charts")
            for column in found:
                found[column][rows] = np.interp(months[rows], chart["age"], chart[column])
        if not np.all(np.isfinite(found["M"])):
            raise PlanError(where=f"{self.where}.sex", what="has other codes than 0 and 1", remedy="code male 0 and female 1")
        return found

    def check(self, names: tuple[str, ...], units: Mapping[str, str], table: Table) -> None:
        """Refuse charts whose age or sex is not drawn, or whose results a model wants in another unit (PlanError)."""
        for needed in (self.age, self.sex):
            if needed not in names:
                raise table.refuse("growth", f"needs {needed}, which is not drawn", "give its distribution")
        for kind, name in self.covariates.items():
            if units.get(name, UNITS[kind]) != UNITS[kind]:
                raise table.refuse("growth", f"gives {name} in {UNITS[kind]}", "use another name and a formula for the model's covariate")


def read_growth(table: Table, folder: Path) -> Growth:
    """`[covariates.growth]`. Errors: PlanError."""
    kinds = [kind for kind in UNITS if table.has(kind)]
    if not kinds:
        raise table.refuse("weight", "and height are both missing", "give the chart of at least one")
    rows = {kind: table.table(kind) for kind in kinds}
    found = Growth(
        covariates={kind: row.text("covariate") for kind, row in rows.items()},
        files={kind: read_file(row, folder) for kind, row in rows.items()},
        age=table.text("age"),
        age_unit=table.text("age_unit"),
        sex=table.text("sex"),
        correlation=table.number("correlation", low=-0.99, high=0.99),
        z_limit=table.number("z_limit", low=0.5, high=5),
        where=table.where,
    )
    for row in rows.values():
        row.done()
    table.done()
    return found


@lru_cache(maxsize=8)
def _charts(file: File, where: str) -> dict[float, dict[str, Array]]:
    """Code of sex -> columns of its chart, in order of age."""
    columns = {
        name: np.asarray(values, dtype=np.float64) for name, values in read_table(file, ("sex", "age", "L", "M", "S"), where).items()
    }
    found = {}
    for theirs, ours in CODES.items():
        rows = np.flatnonzero(columns["sex"] == theirs)
        rows = rows[np.argsort(columns["age"][rows])]
        found[ours] = {name: values[rows] for name, values in columns.items()}
    return found
