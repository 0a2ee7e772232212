"""What a control stream says of the course: equations, prediction, residual error, and the covariates that they read."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auctor.errors import ModelError
from auctor.models.exchange.advan import Routine
from auctor.models.exchange.definitions import Definitions
from auctor.models.exchange.observed import Observation, Point, observation
from auctor.models.exchange.said import Said
from auctor.models.exchange.stream import Stream
from auctor.models.exchange.trees import folded, formula, names_in, number, replaced, tree_of

INPUTS = {"F": "F", "lag": "ALAG", "duration": "D", "rate": "R"}
CLOCK = {"TIME", "TAD", "AMT", "DV", "EVID", "MDV", "RATE", "II", "SS", "ADDL", "NEWIND", "ID", "T", "t"}


@dataclass
class Shape:
    """The course in NONMEM's names and units: equations, or the parts of a named structure."""

    derivatives: dict[int, ast.expr] = field(default_factory=dict)
    outputs: dict[int, Observation] = field(default_factory=dict)
    inputs: dict[str, dict[int, ast.expr]] = field(default_factory=dict)
    named: dict[str, Any] | None = None
    units: dict[str, str] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)


class Reading:
    """One control stream, its $PK definitions, and the questions that reading it raised."""

    def __init__(self, stream: Stream, said: Said) -> None:
        self.stream, self.said = stream, said
        self.pk = Definitions(stream.pk)
        self.questions: list[str] = []
        self.fixed = {f"ETA{k + 1}" for k, v in enumerate(np.diag(stream.omega)) if v == 0}
        self.etas = tuple(e for e in stream.etas if e not in self.fixed)
        for name, tree in self.pk.trees.items():
            self.pk.trees[name] = folded(replaced(tree, dict.fromkeys(self.fixed, ast.Constant(0))))

    def shape(self) -> Shape:
        """Derivatives, outputs, and F, ALAG, D and R by compartment, in NONMEM's names and units."""
        shape = Shape(derivatives={k: self.in_course(t) for k, t in enumerate(self.stream.derivatives, 1)})
        for key, word in INPUTS.items():
            table = {k: ast.Name(f"{word}{k}") for k in shape.derivatives if f"{word}{k}" in self.defined}
            if table:
                shape.inputs[key] = dict(table)
        shape.outputs = self._outputs()
        return shape

    @property
    def defined(self) -> set[str]:
        """Names that $PK or $DES assigns."""
        return {*self.pk.trees, *self.pk.refusals}

    def in_course(self, tree: ast.expr) -> ast.expr:
        """A derivative or prediction with what $DES computes on the way put in place."""
        while moving := {n for n in names_in(tree) & set(self.pk.trees) if self._moves(n)}:
            tree = replaced(tree, {n: self.pk.trees[n] for n in moving})
        return folded(tree)

    def _moves(self, name: str) -> bool:
        """Whether a definition reads the amounts or the time, at any remove."""
        read = {n for d in self.pk.closure([name]) for n in names_in(self.pk.trees[d])}
        return any(n == "t" or re.fullmatch(r"A\d+", n) for n in read)

    def _outputs(self) -> dict[int, Observation]:
        rows = Definitions(self.stream.error, known=self.defined, tail="_error")
        if "Y" not in rows.final:
            raise ModelError(where=f"{self.stream.name}: $ERROR", what="no Y", remedy="write Y = F + W*EPS(1), or the like")
        y = self.in_course(rows.expanded(ast.Name(rows.final["Y"])))
        rows.settle(())
        y = folded(replaced(y, {"__nothing__": ast.Constant(0)}))
        where = f"{self.stream.name}: $ERROR `Y`"
        numbers = sorted(_compared(y, "CMT"))
        branches = {k: folded(replaced(y, {"CMT": number(float(k))})) for k in numbers}
        other = folded(replaced(y, {"CMT": number(-1.0)}))
        if _amounts(other):
            branches[self._other_output(other, numbers, where)] = other
        return {k: self._observation(branches[k], f"{where} (CMT {k})" if numbers else where) for k in sorted(branches)}

    def _other_output(self, y: ast.expr, numbers: Collection[int], where: str) -> int:
        """The compartment number of what Y is where no IF on CMT holds."""
        read = _amounts(y)
        number = min(read) if numbers and len(read) == 1 else self.stream.observed
        if number in numbers:
            remedy = "write IF (CMT.EQ.n) for every observed compartment"
            raise ModelError(where=where, what="Y for the other values of CMT belongs to no compartment of its own", remedy=remedy)
        return number

    def _observation(self, y: ast.expr, where: str) -> Observation:
        found = observation(y, self.stream.sigma, self._points(y, where), where)
        if found.exponential:
            self.questions.append("Y = F*EXP(EPS) is taken as proportional, as NONMEM's first-order methods take it.")
        return found

    def _points(self, y: ast.expr, where: str) -> list[Point]:
        """Values of every name in Y: amounts over eight decades, then other etas and covariates."""
        draws = np.random.default_rng(1)
        size = len(self.stream.derivatives)
        shares = draws.uniform(0.5, 1.5, size)
        points: list[Point] = []
        for k in range(13):
            base = self.drawn(draws, 0.0 if k < 9 else 0.3)
            level = 10.0 ** (k - 4) if k < 9 else 10.0 ** draws.uniform(-4, 4)
            known = {**base, **{f"A{j + 1}": level * shares[j] for j in range(size)}, "t": 1.0}
            points.append({**known, **self.pk_values(names_in(y), known, where)})
        return points

    def drawn(self, draws: np.random.Generator, spread: float) -> dict[str, float]:
        """Thetas, etas and the references of the covariates, the last two varied by `spread`."""
        covariates = {n: self._reference(n) * (1 + spread * draws.uniform(-0.1, 0.1)) for n in self.stream.columns}
        etas = {e: spread * draws.normal() for e in self.stream.etas}
        return {**covariates, **dict(self.stream.thetas), **etas}

    def _reference(self, name: str) -> float:
        said = self.said.covariates.get(name, {"reference": 1.0})
        return float(said["levels"][said["reference"]] if "levels" in said else said["reference"])

    def pk_values(self, names: Iterable[str], known: Mapping[str, float], where: str) -> dict[str, float]:
        """Values of the definitions that these names need; ModelError for a name that is nowhere defined."""
        values: dict[str, float] = {}
        for name in self.pk.closure(names):
            tree = replaced(self.pk.trees[name], {"__nothing__": ast.Constant(0)})
            for missing in sorted(names_in(tree) - known.keys() - values.keys()):
                raise ModelError(where=f"{where} `{name}`", what=f"{missing} is neither defined nor a column", remedy="define it in $PK")
            values[name] = float(formula(tree).evaluate({**known, **values}, math))
        return values

    def needed(self, shape: Shape, routine: Routine | None = None) -> set[str]:
        """Names that the course reads: through its equations, or through the parts of a routine, which say the same."""
        parts = [tree_of(text) for text in (*routine.parts.values(), routine.rate or "S")] if routine else []
        trees = [*(parts or shape.derivatives.values()), *(o.prediction for o in shape.outputs.values())]
        trees += [t for table in shape.inputs.values() for t in table.values()]
        return {n for t in trees for n in names_in(t)} - ({"S"} if routine else set())

    def covariates(self, needed: Collection[str]) -> list[str]:
        """Columns that the needed statements read; what varies within a record, or is not there, is refused with its statement."""
        read: dict[str, str] = {n: "the equations" for n in needed if n not in self.pk.trees}
        for name in self.pk.closure(needed):
            read |= {n: f"`{name}`" for n in names_in(self.pk.trees[name]) if n not in self.pk.trees}
        known = {*self.stream.thetas, *self.stream.etas, "t"}
        found = []
        for name, statement in read.items():
            if name in known or re.fullmatch(r"A\d+", name):
                continue
            where = f"{self.stream.name}: $PK {statement}"
            if name in CLOCK:
                raise ModelError(where=where, what=f"reads {name}", remedy="make it a covariate column; parameters read covariates only")
            if name not in self.stream.columns:
                raise ModelError(where=where, what=f"{name} is neither defined nor a column of $INPUT", remedy="define it in $PK")
            found.append(name)
        return sorted(found, key=self.stream.columns.index)

    def ratio(self, scale: ast.expr, volume: ast.expr) -> float | None:
        """S / V where it is one number at every point; None where it is not."""
        draws = np.random.default_rng(2)
        names = names_in(scale) | names_in(volume)
        found = []
        for _ in range(5):
            known = self.drawn(draws, 0.3)
            values = {**known, **self.pk_values(names, known, self.stream.name)}
            found.append(float(formula(scale).evaluate(values, math)) / float(formula(volume).evaluate(values, math)))
        return float(f"{found[0]:.12g}") if np.allclose(found, found[0], rtol=1e-11) else None


def _amounts(tree: ast.expr) -> set[int]:
    """Numbers of the amounts that a tree reads."""
    return {int(n[1:]) for n in names_in(tree) if re.fullmatch(r"A\d+", n)}


def _compared(tree: ast.expr, name: str) -> set[int]:
    """The whole numbers that a name is compared with."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == name:
            found |= {int(c.value) for c in node.comparators if isinstance(c, ast.Constant) and isinstance(c.value, int | float)}
    return found
