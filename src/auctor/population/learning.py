"""The parts of a plan about learning: `[learner]`, `[interval]` and `[domain]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auctor.population.reading import Table

TUNERS = ("random", "optuna")
METHODS = ("split", "cv+", "cqr")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """Named features, the `algorithm`, and how it is tuned: k `folds` over `configurations` points of `grid` chosen by `tuner`.

    An empty `grid` stands for the algorithm's own search space.
    """

    features: tuple[str, ...]
    folds: int
    configurations: int
    seed: int
    grid: Mapping[str, tuple[float, ...]]
    algorithm: str = "xgboost"
    tuner: str = "random"


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Subgroups by a feature or `samples` (how many were taken): bands between `cuts`, or every value of its own where there are none."""

    by: str
    cuts: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Interval:
    """How intervals are made: `split`, `cv+` over `folds` models, or `cqr`; calibrated within every combination of `groups`."""

    method: str = "split"
    folds: int = 10
    groups: tuple[Grouping, ...] = ()


def read_learning(table: Table) -> Learning:
    """`[learner]`; raises PlanError naming the key."""
    given = table.table("grid", optional=True)
    found = Learning(
        features=table.texts("features"),
        folds=table.integer("folds", low=2, high=20),
        configurations=table.integer("configurations", low=1, high=200),
        seed=table.integer("seed"),
        grid={key: given.numbers(key, low=0) for key in tuple(given.left)},
        algorithm=table.text("algorithm", default="xgboost"),
        tuner=table.text("tuner", default="random", choices=TUNERS),
    )
    table.done()
    return found


def read_interval(table: Table) -> Interval:
    """`[interval]`, split conformal without subgroups where it is left out."""
    rows = table.left.pop("groups", [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise table.refuse("groups", "is not a list of tables", 'write groups = [{ by = "cov:HCT", cuts = [35] }]')
    found = Interval(
        method=table.text("method", default="split", choices=METHODS),
        folds=table.integer("folds", low=2, high=50, default=10),
        groups=tuple(_grouping(Table(row, where=f"{table.where}.groups[{k}]")) for k, row in enumerate(rows)),
    )
    table.done()
    return found


def _grouping(row: Table) -> Grouping:
    found = Grouping(by=row.text("by"), cuts=row.numbers("cuts") if row.has("cuts") else ())
    row.done()
    if list(found.cuts) != sorted(set(found.cuts)):
        raise row.refuse("cuts", "do not rise", "write them in order, each once")
    return found


def read_density(table: Table) -> float:
    """`[domain] density`: the share of patients like the training ones that the density check lets pass; 1: there is no check."""
    found = table.number("density", low=0.5, high=1.0, default=1.0)
    table.done()
    return found
