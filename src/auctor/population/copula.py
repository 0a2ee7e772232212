"""A copula, Gaussian or a vine: covariates that hang together, as a few facts instead of the people they were fitted to.

Each margin is a table of quantiles; the dependence is the correlation of normal scores z = Phi^-1(rank), within each level of a
categorical covariate, or a vine of pairs (`auctor.population.vine`). Drawing: z ~ N(0, R), u = Phi(z), value = quantile(u).
Reference: Nelsen RB, An Introduction to Copulas, 2nd ed., Springer 2006, section 2.3.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.models.expressions import Expression
from auctor.models.writing import toml_text
from auctor.population.files import File, columns_of, content_of, read_file
from auctor.population.reading import Table
from auctor.population.tables import read_columns
from auctor.population.vine import Vine, chain, read_vine

Array = NDArray[np.float64]
SHIPPED = Path(__file__).parent / "copulas"
LEVELS = (0.001, 0.005, *(round(0.01 * k, 2) for k in range(1, 100)), 0.995, 0.999)
ROUNDS = 200


@dataclass(frozen=True, kw_only=True, eq=False)
class Stratum:
    """One group of people: its share, the covariates that are the same for all of it, and the copula of the others.

    `quantiles` name -> (n_levels,) in the covariate's unit; `correlation` (k, k) of the normal scores, in the order of `quantiles`. Where
    there is a `vine`, it is what patients are drawn from.
    """

    share: float
    fixed: Mapping[str, float]
    quantiles: Mapping[str, Array]
    correlation: Array
    vine: Vine | None = None

    def ranks(self, z: Array) -> dict[str, Array]:
        """Ranks (n,) by name from independent standard normals (n, k)."""
        from scipy.special import ndtr

        if self.vine is not None:
            return self.vine.draw(ndtr(z))
        u = ndtr(z @ np.linalg.cholesky(self.correlation).T)
        return {name: u[:, j] for j, name in enumerate(self.quantiles)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Copula:
    """A fitted copula with where it comes from; `levels` are the probabilities of the quantiles."""

    name: str
    title: str
    source: str
    units: Mapping[str, str]
    levels: Array
    strata: tuple[Stratum, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates it gives."""
        return (*self.strata[0].fixed, *self.strata[0].quantiles)

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """`n` people, name -> (n,)."""
        shares = np.asarray([s.share for s in self.strata])
        group = rng.choice(len(self.strata), size=n, p=shares / shares.sum())
        z = rng.standard_normal((n, len(self.strata[0].quantiles)))
        found = {name: np.empty(n) for name in self.names}
        for k, stratum in enumerate(self.strata):
            rows = group == k
            for name, values in self._members(stratum, z[rows]).items():
                found[name][rows] = values
        return found

    def _members(self, stratum: Stratum, z: Array) -> dict[str, Array]:
        u = stratum.ranks(z)
        drawn = {name: np.interp(u[name], self.levels, values) for name, values in stratum.quantiles.items()}
        return {name: np.full(len(z), value) for name, value in stratum.fixed.items()} | drawn


def fit(values: Mapping[str, Array], weights: Array, *, by: str = "", vine: bool = False) -> tuple[Stratum, ...]:
    """The strata of people (n,) with weights (n,) that add up to 1, one for each level of `by`; `vine`: each with a vine of pairs."""
    codes = np.unique(values[by]).tolist() if by else [0.0]
    found = []
    for code in codes:
        rows = values[by] == code if by else np.ones(len(weights), dtype=bool)
        own = {name: column[rows] for name, column in values.items() if name != by}
        found.append(_stratum(own, weights[rows], {by: float(code)} if by else {}, vine=vine))
    return tuple(found)


def _stratum(values: Mapping[str, Array], weights: Array, fixed: Mapping[str, float], *, vine: bool) -> Stratum:
    shares = weights / weights.sum()
    scores = np.stack([normal_scores(column, shares) for column in values.values()])
    centred = scores - (scores @ shares)[:, None]
    spread = np.sqrt(np.maximum((centred**2) @ shares, 1e-300))
    correlation = (centred * shares) @ centred.T / np.outer(spread, spread)
    np.fill_diagonal(correlation, 1.0)
    quantiles = {name: _quantiles(column, shares) for name, column in values.items()}
    names, pairs = list(values), None
    if vine and len(names) > 1:
        from scipy.special import ndtr

        ranks = {name: ndtr(row) for name, row in zip(names, scores, strict=True)}
        pairs = Vine.fit(ranks, shares, [names[i] for i in chain(correlation)])
    return Stratum(share=float(weights.sum()), fixed=fixed, quantiles=quantiles, correlation=correlation, vine=pairs)


def normal_scores(values: Array, shares: Array) -> Array:
    """Phi^-1 of the weighted mid-rank of each value; equal values have equal scores.

    >>> normal_scores(np.array([5.0, 1.0, 9.0]), np.full(3, 1 / 3)).round(3).tolist()
    [0.0, -0.967, 0.967]
    """
    from scipy.special import ndtri

    _, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights=shares)
    middle = np.cumsum(mass) - mass / 2
    return np.asarray(ndtri(middle)[place], dtype=np.float64)


def _quantiles(values: Array, shares: Array) -> Array:
    """The smallest value that so large a share lies at or below: rounded values keep their mass."""
    distinct, place = np.unique(values, return_inverse=True)
    below = np.cumsum(np.bincount(place, weights=shares))
    return np.asarray(distinct[np.minimum(np.searchsorted(below, LEVELS), len(distinct) - 1)], dtype=np.float64)


def fit_table(path: Path, asked: Mapping[str, Any], *, by: str, name: str, title: str, source: str, vine: bool = False) -> tuple[str, int]:
    """A table to the text of its copula, and how many rows that rests on; `asked` as `[covariates.table]` writes it.

    Raises PlanError for a column that is missing, or a `by` that is not a covariate of codes.
    """
    table = Table(asked, where="population fit")
    columns = read_columns(table)
    if by and (by not in columns.columns or by in columns.units):
        raise table.refuse("by", "is not a covariate of codes", "give its words by --code, or leave --by out")
    words = [n for n in columns.columns if n not in columns.units and n != by]
    if words:
        raise table.refuse("codes", f"{words[0]} has steps that a copula does not know", f"give --by {words[0]}")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise PlanError(where=path.name, what="cannot be read", remedy="check its path") from error
    values, weights = columns.chosen(columns_of(raw, path, columns.needed(), table.where), table.where)
    units = {n: columns.units.get(n, "1") for n in columns.columns}
    found = Copula(
        name=name, title=title, source=source, units=units, levels=np.asarray(LEVELS), strata=fit(values, weights, by=by, vine=vine)
    )
    facts: dict[str, str | int] = {"table_sha256": hashlib.sha256(raw).hexdigest(), "rows": len(weights)}
    facts |= {key: asked[key] for key in ("where", "weight") if key in asked}
    return as_toml(found, facts), len(weights)


def as_toml(copula: Copula, origin: Mapping[str, str | int]) -> str:
    """The file of a fitted copula; `origin` are further facts (the table's SHA-256, rows, the condition)."""
    strata = [
        {
            "share": _rounded(s.share),
            "fixed": dict(s.fixed),
            "correlation": [[_rounded(v) for v in row] for row in s.correlation],
            "quantiles": {name: [_rounded(v) for v in values] for name, values in s.quantiles.items()},
            **({} if s.vine is None else {"vine": s.vine.as_dict()}),
        }
        for s in copula.strata
    ]
    head = {"schema": 1, "name": copula.name, "title": copula.title, "source": copula.source, **origin}
    return toml_text({**head, "levels": [_rounded(v) for v in copula.levels], "units": dict(copula.units), "strata": strata})


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def read_copula(text: str, where: str) -> Copula:
    """A copula's file. Errors: PlanError."""
    try:
        table = Table(tomllib.loads(text), where=where)
    except ValueError as error:
        raise PlanError(where=where, what=f"is not TOML: {error}", remedy="fit it again with auctor population fit") from error
    if table.integer("schema") != 1:
        raise table.refuse("schema", "is not a known version of the format", "fit it again with auctor population fit")
    for key in ("table_sha256", "where", "weight", "rows"):
        table.left.pop(key, None)
    units, levels = table.strings("units"), np.asarray(table.numbers("levels", low=0.0))
    strata = tuple(_read_stratum(row, len(levels)) for row in table.rows("strata"))
    found = Copula(
        name=table.text("name"), title=table.text("title"), source=table.text("source"), units=units, levels=levels, strata=strata
    )
    table.done()
    if len({(*s.fixed, *s.quantiles) for s in strata}) != 1 or np.any(np.diff(levels) <= 0):
        raise table.refuse("strata", "or levels do not match", "fit it again with auctor population fit")
    return found


def _read_stratum(row: Table, levels: int) -> Stratum:
    fixed, quantiles, rows = row.table("fixed"), row.table("quantiles"), row.any("correlation")
    names = tuple(quantiles.left)
    found = Stratum(
        share=row.number("share", low=0, high=1),
        fixed={name: fixed.number(name) for name in tuple(fixed.left)},
        quantiles={name: np.asarray(quantiles.numbers(name)) for name in tuple(quantiles.left)},
        correlation=np.asarray(rows, dtype=np.float64),
        vine=read_vine(row.table("vine"), names) if row.has("vine") else None,
    )
    row.done()
    k = len(found.quantiles)
    good = found.correlation.shape == (k, k) and np.allclose(found.correlation, found.correlation.T) and _positive(found.correlation)
    if not good or any(len(v) != levels or np.any(np.diff(v) < 0) for v in found.quantiles.values()):
        raise row.refuse("correlation", "or the quantiles are not those of a distribution", "fit it again with auctor population fit")
    return found


def _positive(matrix: Array) -> bool:
    return bool(np.linalg.eigvalsh(matrix)[0] > 0)


@dataclass(frozen=True, kw_only=True)
class CopulaSource:
    """A copula as a plan uses it: a shipped one, or a file; `condition` draws again whoever it does not hold for.

    `units` name -> unit of every covariate that it gives. A file is opened when patients are drawn.
    """

    file: File | None
    shipped: str
    units: Mapping[str, str]
    condition: Expression | None
    where: str

    @cached_property
    def copula(self) -> Copula:
        """The copula itself. Raises PlanError where its covariates are not those that the plan names."""
        if self.file is None:
            return read_copula(shipped_text(self.shipped), self.shipped)
        found = read_copula(content_of(self.file, self.where).decode(), self.file.path.name)
        if dict(found.units) != dict(self.units):
            raise PlanError(where=f"{self.where}.units", what="are not those of the copula", remedy="copy its [units]")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The covariates it gives."""
        return tuple(self.units)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the shipped file, for the plan's own hash; a file's stands in the plan."""
        return "" if self.file else hashlib.sha256(shipped_text(self.shipped).encode()).hexdigest()

    def draw(self, rng: np.random.Generator, n: int) -> dict[str, Array]:
        """`n` people, name -> (n,); PlanError where hardly anybody fulfils the condition."""
        found = self.copula.draw(rng, n)
        if self.condition is None:
            return found
        for _ in range(ROUNDS):
            wrong = np.flatnonzero(np.broadcast_to(np.asarray(self.condition.evaluate(found)) == 0, (n,)))
            if not len(wrong):
                return found
            for name, values in self.copula.draw(rng, len(wrong)).items():
                found[name][wrong] = values
        raise PlanError(where=f"{self.where}.where", what="is hardly ever fulfilled", remedy="widen it, or fit the copula to those people")


def shipped_copulas() -> tuple[str, ...]:
    """Names of the copulas that auctor ships.

    >>> "nhanes_adults" in shipped_copulas()
    True
    """
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.toml")))


def shipped_text(name: str) -> str:
    """The file of a shipped copula."""
    return (SHIPPED / f"{name}.toml").read_text(encoding="utf-8")


def read_chosen(table: Table, folder: Path) -> CopulaSource:
    """`[covariates.copula]`: `name` of a shipped one, or `file`, `sha256` and `units`. Errors: PlanError."""
    shipped = table.text("name", choices=shipped_copulas()) if table.has("name") else ""
    units = read_copula(shipped_text(shipped), shipped).units if shipped else table.strings("units")
    found = CopulaSource(
        file=None if shipped else read_file(table, folder),
        shipped=shipped,
        units=units,
        condition=table.formula("where", names=units) if table.has("where") else None,
        where=table.where,
    )
    table.done()
    return found
