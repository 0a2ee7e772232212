"""A control stream as an auctor model file: a named structure where the ADVAN is one, differential equations otherwise."""

from __future__ import annotations

import ast
import math
import re
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auctor.errors import ModelError
from auctor.models.exchange.advan import ROUTINES, Routine
from auctor.models.exchange.definitions import Definitions
from auctor.models.exchange.estimates import with_estimates
from auctor.models.exchange.observed import Observation, Point, observation
from auctor.models.exchange.recognise import Recognised, at_zero, leading_theta, recognise
from auctor.models.exchange.said import Said, require, volume_unit
from auctor.models.exchange.stream import Stream, read_stream
from auctor.models.exchange.trees import cancelled, factors, folded, formula, names_in, number, product, renamed, replaced, tree_of
from auctor.models.expressions import LONGEST
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.structures import DISPOSITION
from auctor.models.writing import toml_text

INPUTS = {"F": "F", "lag": "ALAG", "duration": "D", "rate": "R"}
CLOCK = {"TIME", "TAD", "AMT", "DV", "EVID", "MDV", "RATE", "II", "SS", "ADDL", "NEWIND", "ID", "T", "t"}


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The model file's text, the model read from it, and NONMEM's etas in order by the names they have in it."""

    text: str
    model: DrugModel
    etas: tuple[str, ...]


def import_stream(path: str | Path, said: Said, estimates: str | Path | None = None) -> Imported:
    """Read a control stream through Pharmpy and write it as a model file, which is then read back.

    `estimates` is NONMEM's .ext file, whose final estimates then stand in place of the initial ones.
    ModelError names the record and statement that cannot be understood; UnitError lists the units that must be said.
    """
    stream = read_stream(Path(path))
    origin = f"the initial estimates of {stream.name}" if estimates is None else f"the final estimates of {Path(estimates).name}"
    raw, etas = _File(stream if estimates is None else with_estimates(stream, Path(estimates)), said, origin).build()
    text = toml_text(raw)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{re.sub(r'[^A-Za-z0-9_]', '_', Path(path).stem)}.toml"
        file.write_text(text, encoding="utf-8")
        model = read_model(file)
    return Imported(text=text, model=model, etas=etas)


@dataclass
class _Shape:
    """The course in NONMEM's names and units: equations, or the parts of a named structure."""

    derivatives: dict[int, ast.expr] = field(default_factory=dict)
    outputs: dict[int, Observation] = field(default_factory=dict)
    inputs: dict[str, dict[int, ast.expr]] = field(default_factory=dict)
    named: dict[str, Any] | None = None
    units: dict[str, str] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)


class _File:
    """Builds the tables of one model file."""

    def __init__(self, stream: Stream, said: Said, origin: str) -> None:
        self.stream, self.said, self.origin = stream, said, origin
        self.pk = Definitions(stream.pk)
        self.questions: list[str] = []
        self.fixed = {f"ETA{k + 1}" for k, v in enumerate(np.diag(stream.omega)) if v == 0}
        self.etas = tuple(e for e in stream.etas if e not in self.fixed)
        for name, tree in self.pk.trees.items():
            self.pk.trees[name] = folded(replaced(tree, dict.fromkeys(self.fixed, ast.Constant(0))))

    # --- what the model needs -------------------------------------------------------------------------------------------

    def build(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The tables in the order of docs/model-file.md, and the etas' names in NONMEM's order."""
        shape = self._shape()
        needed = self._needed(shape)
        gaps = self.pk.settle(self.pk.closure(needed))
        self.questions += [f"{n} has no value where none of its IFs holds; it is 0 there, as in NONMEM at first." for n in sorted(gaps)]
        covariates = self._covariates(needed)
        require(self.said, covariates, self.stream.name)
        if (routine := ROUTINES.get((self.stream.advan, self.stream.trans))) is not None:
            self._name(shape, routine)
        self._refuse_rates_without_meaning(shape)
        tables = self._tables(shape, covariates)
        return {**self._words(), **tables}, self._order

    def _shape(self) -> _Shape:
        shape = _Shape(derivatives={k: self._in_course(t) for k, t in enumerate(self.stream.derivatives, 1)})
        for key, word in INPUTS.items():
            table = {k: ast.Name(f"{word}{k}") for k in shape.derivatives if f"{word}{k}" in self._defined}
            if table:
                shape.inputs[key] = dict(table)
        shape.outputs = self._outputs()
        return shape

    @property
    def _defined(self) -> set[str]:
        return {*self.pk.trees, *self.pk.refusals}

    def _in_course(self, tree: ast.expr) -> ast.expr:
        """A derivative or prediction with what $DES computes on the way put in place."""
        while moving := {n for n in names_in(tree) & set(self.pk.trees) if self._moves(n)}:
            tree = replaced(tree, {n: self.pk.trees[n] for n in moving})
        return folded(tree)

    def _moves(self, name: str) -> bool:
        """Whether a definition reads the amounts or the time, at any remove."""
        read = {n for d in self.pk.closure([name]) for n in names_in(self.pk.trees[d])}
        return any(n == "t" or re.fullmatch(r"A\d+", n) for n in read)

    def _outputs(self) -> dict[int, Observation]:
        rows = Definitions(self.stream.error, known=self._defined, tail="_error")
        if "Y" not in rows.final:
            raise ModelError(where=f"{self.stream.name}: $ERROR", what="no Y", remedy="write Y = F + W*EPS(1), or the like")
        y = self._in_course(rows.expanded(ast.Name(rows.final["Y"])))
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
        points = []
        for k in range(13):
            base = self._drawn(draws, 0.0 if k < 9 else 0.3)
            level = 10.0 ** (k - 4) if k < 9 else 10.0 ** draws.uniform(-4, 4)
            known = {**base, **{f"A{j + 1}": level * shares[j] for j in range(size)}, "t": 1.0}
            points.append({**known, **self._pk_values(names_in(y), known, where)})
        return points

    def _drawn(self, draws: np.random.Generator, spread: float) -> dict[str, float]:
        """Thetas, etas and the references of the covariates, the last two varied by `spread`."""
        covariates = {n: self._reference(n) * (1 + spread * draws.uniform(-0.1, 0.1)) for n in self.stream.columns}
        etas = {e: spread * draws.normal() for e in self.stream.etas}
        return {**covariates, **dict(self.stream.thetas), **etas}

    def _reference(self, name: str) -> float:
        said = self.said.covariates.get(name, {"reference": 1.0})
        return float(said["levels"][said["reference"]] if "levels" in said else said["reference"])

    def _pk_values(self, names: Iterable[str], known: Mapping[str, float], where: str) -> dict[str, float]:
        values: dict[str, float] = {}
        for name in self.pk.closure(names):
            tree = replaced(self.pk.trees[name], {"__nothing__": ast.Constant(0)})
            for missing in sorted(names_in(tree) - known.keys() - values.keys()):
                raise ModelError(where=f"{where} `{name}`", what=f"{missing} is neither defined nor a column", remedy="define it in $PK")
            values[name] = float(formula(tree).evaluate({**known, **values}, math))
        return values

    def _needed(self, shape: _Shape) -> set[str]:
        trees = [*shape.derivatives.values(), *(o.prediction for o in shape.outputs.values())]
        trees += [t for table in shape.inputs.values() for t in table.values()]
        return {n for t in trees for n in names_in(t)}

    def _covariates(self, needed: Collection[str]) -> list[str]:
        """Columns that the needed statements read; what varies within a record, or is not there, is refused with its statement."""
        read: dict[str, str] = {n: "the equations" for n in needed if n not in self.pk.trees}
        for name in self.pk.closure(needed):
            read |= {n: f"`{name}`" for n in names_in(self.pk.trees[name]) if n not in self.pk.trees}
        known = {*self.stream.thetas, *self.stream.etas, "t"}
        found = []
        for name, statement in read.items():
            if name in known or re.fullmatch(r"A\d+", name):
                continue
            where = f"{self.stream.name}: {statement}"
            if name in CLOCK:
                raise ModelError(where=where, what=f"reads {name}", remedy="make it a covariate column; parameters read covariates only")
            if name not in self.stream.columns:
                raise ModelError(where=where, what=f"{name} is neither defined nor a column of $INPUT", remedy="define it in $PK")
            found.append(name)
        return sorted(found, key=self.stream.columns.index)

    # --- a named structure ----------------------------------------------------------------------------------------------

    def _name(self, shape: _Shape, routine: Routine) -> None:
        """Fill `shape.named` where the ADVAN, with its F, ALAG and D, is a named structure and F is the central amount over a volume."""
        if set(DISPOSITION.get(routine.disposition, ())) != set(routine.parts) or list(shape.outputs) != [routine.central]:
            return
        first = 1 if routine.rate else routine.central
        given = {key: table for key, table in shape.inputs.items() if table}
        timed = "duration" in given and routine.rate is None
        if "rate" in given or ("duration" in given and not timed) or any(set(t) != {first} for t in given.values()):
            return
        scale = self._scale(shape.outputs[routine.central].prediction, routine.central)
        parts = self._parts(routine, scale) if scale is not None else None
        if scale is None or parts is None:
            return
        ratio = self._ratio(scale, ast.Name(parts["V1"]))
        if ratio is None:
            return
        self._take(shape, routine, parts, ratio)

    def _scale(self, prediction: ast.expr, central: int) -> ast.expr | None:
        """The S of F = A / S; None where F is anything else."""
        top, below = factors(prediction)
        amount = [f for f in top if isinstance(f, ast.Name) and f.id == f"A{central}"]
        rest = [f for f in top if f not in amount]
        still_there = {n for f in (*rest, *below) for n in names_in(f) if re.fullmatch(r"A\d+|t", n)}
        if len(amount) != 1 or still_there:
            return None
        return folded(product(below, rest))

    def _parts(self, routine: Routine, scale: ast.expr) -> dict[str, str] | None:
        """The name in $PK of each part, one made where the TRANS has only a formula for it."""
        found = {}
        for part, text in routine.parts.items():
            tree = tree_of(text)
            lacking = names_in(tree) - self._defined - {"S"}
            if lacking:
                raise ModelError(
                    where=f"{self.stream.name}: $PK", what=f"no {sorted(lacking)[0]}",
                    remedy=f"{self.stream.advan} {self.stream.trans} needs it; check $SUBROUTINES",
                )  # fmt: skip
            found[part] = tree.id if isinstance(tree, ast.Name) and tree.id != "S" else self._added(part, replaced(tree, {"S": scale}))
        return found

    def _added(self, part: str, tree: ast.expr) -> str:
        if isinstance(tree, ast.Name) and tree.id in self.pk.trees:
            return tree.id
        if part in self.pk.trees and self._same(tree, ast.Name(part)):
            return part
        name = part if part not in self._defined else f"{part}_part"
        self.pk.trees[name] = folded(tree)
        return name

    def _same(self, one: ast.expr, other: ast.expr) -> bool:
        """Whether two formulas are one, as K * V and CL where K = CL / V."""
        return self._ratio(one, other) == 1.0

    def _ratio(self, scale: ast.expr, volume: ast.expr) -> float | None:
        """S / V where it is one number at every point; None where it is not."""
        draws = np.random.default_rng(2)
        names = names_in(scale) | names_in(volume)
        found = []
        for _ in range(5):
            known = self._drawn(draws, 0.3)
            values = {**known, **self._pk_values(names, known, self.stream.name)}
            found.append(float(formula(scale).evaluate(values, math)) / float(formula(volume).evaluate(values, math)))
        return float(f"{found[0]:.12g}") if np.allclose(found, found[0], rtol=1e-11) else None

    def _take(self, shape: _Shape, routine: Routine, parts: dict[str, str], ratio: float) -> None:
        dose, conc, hour = self.said.factors()
        litres = ratio * dose / conc
        volume = volume_unit(litres)
        per_time = {u: f"{volume}/{self.said.time_unit}" for u in ("CL", "Q", "Q2", "Q3")}
        units: dict[str, tuple[str | None, float]] = {p: (volume and per_time.get(p, volume), litres / (hour if p in per_time else 1)) for p in parts}
        absorption: dict[str, Any] = {"kind": "none"}
        if routine.rate:
            absorption = {"kind": "first_order", "rate": routine.rate}
            units["rate"] = (f"1/{self.said.time_unit}", 1 / hour)
        elif "duration" in shape.inputs:
            absorption = {"kind": "zero_order", "duration": f"D{routine.central}"}
            units["duration"] = (self.said.time_unit, hour)
        first = 1 if routine.rate else routine.central
        if "lag" in shape.inputs:
            if absorption["kind"] == "none":
                return
            absorption["lag"] = f"ALAG{first}"
            units["lag"] = (self.said.time_unit, hour)
        shape.named = {"absorption": absorption, "disposition": {"kind": routine.disposition, **parts}}
        named = {**parts, **{k: v for k, v in absorption.items() if k != "kind"}}
        if "F" in shape.inputs:
            shape.named["bioavailability"] = named["F"] = f"F{first}"
            units["F"] = ("1", 1.0)
        if len(set(named.values())) < len(named):
            shape.named = None
            return
        shape.units = {name: unit or "" for part, name in named.items() for unit in [units[part][0]]}
        shape.worth = {name: units[part][1] for part, name in named.items()}

    def _refuse_rates_without_meaning(self, shape: _Shape) -> None:
        if shape.named is None and self.stream.trans in ("TRANS5", "TRANS6"):
            what = f"{self.stream.advan} {self.stream.trans} does not map to a named structure here"
            raise ModelError(where=f"{self.stream.name}: $SUBROUTINES", what=what, remedy="rewrite it with TRANS1 or TRANS4")

    # --- the tables -----------------------------------------------------------------------------------------------------

    def _words(self) -> dict[str, Any]:
        name, said = self.stream.name, self.said
        questions = [
            f"The numbers are {self.origin}: not yet read against the publication.",
            *([] if said.cite else ["The publication is not named (--cite)."]),
            "The population, and the range of each covariate (low, high), are not in a control stream: add them, for the warning outside the domain.",
            *self.questions,
        ]
        if self.stream.same:
            questions.append("Etas of occasions (SAME) are separate etas here: a refit would give each its own variance.")
        return {
            "schema": 1,
            "drug": said.drug,
            "title": said.title or f"{said.drug}, imported from {name}",
            "status": "draft",
            **({"molar_mass": said.molar_mass} if said.molar_mass else {}),
            "population": f"not stated: imported from {name}",
            "notes": [f"Read from {name} ({self.stream.advan} {self.stream.trans}) through Pharmpy."],
            "questions": questions,
            "reference": {"cite": said.cite or f"NONMEM control stream {name}"},
            "units": {"time": said.time_unit, "dose": said.dose_unit, "concentration": said.conc_unit},
        }

    def _tables(self, shape: _Shape, covariates: list[str]) -> dict[str, Any]:
        self.parameters: dict[str, dict[str, Any]] = {}
        self.effects: dict[str, dict[str, Any]] = {}
        self.individual: dict[str, str] = {}
        wanted = self._wanted(shape)
        plain = self._recognised(wanted, shape)
        general = [n for n in wanted if n not in plain]
        spelled = self._spelled(general, plain, shape)
        read = {n for tree in spelled.values() for n in names_in(tree)} | (self._needed(shape) if shape.named is None else set())
        self._parameters(plain, shape, sorted(read & set(self.stream.thetas), key=_digits))
        self._general(general, spelled, shape)
        order = {e: next((n for n, r in plain.items() if r.eta == e), e) for e in self.etas}
        for eta in self.etas:
            if order[eta] == eta:
                self._plain_eta(eta)
        self._order = tuple(order[e] for e in self.etas)
        rows = {n: self.parameters[n] for n in self._order} | {n: r for n, r in self.parameters.items() if n not in self._order}
        return {
            "structure": shape.named if shape.named is not None else self._compartments(shape),
            **({"covariates": {n: self._covariate(n) for n in covariates}} if covariates else {}),
            "parameters": rows,
            **({"effects": self.effects} if self.effects else {}),
            **self._omega(),
            **({"individual": self.individual} if self.individual else {}),
            **(self._system(shape) if shape.named is None else {}),
            "residual": self._residual(shape),
        }

    def _wanted(self, shape: _Shape) -> list[str]:
        """The names in $PK that the course reads, in their order."""
        names = set(shape.units) if shape.named is not None else self._needed(shape)
        return [n for n in self.pk.trees if n in names]

    def _recognised(self, wanted: list[str], shape: _Shape) -> dict[str, Recognised]:
        """Names that one theta-built typical value and at most one eta of their own say."""
        trees = {n: self._expanded(n) for n in wanted}
        uses = {e: sum(e in names_in(t) for t in trees.values()) for e in self.etas}
        found = {}
        for name, tree in trees.items():
            own = recognise(tree, self.etas)
            if own is None or (own.eta and uses[own.eta] > 1) or len(ast.unparse(own.typical)) > LONGEST // 2:
                continue
            if shape.named is None or self._finite(own.typical):
                found[name] = own
        return found

    def _finite(self, typical: ast.expr) -> bool:
        return bool(names_in(typical)) or not isinstance(typical, ast.Constant) or typical.value != 0

    def _parameters(self, plain: Mapping[str, Recognised], shape: _Shape, thetas: list[str]) -> None:
        for name, own in plain.items():
            self._typical(name, own.typical, shape)
            row = self.parameters[name]
            if own.eta:
                row |= {"distribution": own.distribution}
                row["source"] += f", {self._omega_source(own.eta)}"
        for theta in thetas:
            self.parameters[theta] = {"value": self.stream.thetas[theta], "unit": "1", "source": self._theta_source(theta)}

    def _typical(self, name: str, typical: ast.expr, shape: _Shape) -> None:
        """Value and effect of one parameter, in the unit of its part where the part has one."""
        unit, worth = shape.units.get(name, "1"), shape.worth.get(name, 1.0)
        lead = leading_theta(typical, self.stream.thetas)
        thetas = sorted(names_in(typical) & set(self.stream.thetas), key=_digits)
        source = f"{self.stream.name} {', '.join(f'THETA({_digits(t)})' for t in thetas) or name}"
        if lead is not None and (unit or worth == 1.0):
            value, rest = self.stream.thetas[lead[0]], lead[1]
            self.parameters[name] = {"value": value, "unit": unit or self._engine_unit(name, shape), "source": source}
            if names_in(rest) or ast.unparse(rest) != "1":
                self.effects[name] = self._effect("expr", rest, source)
            return
        scaled = typical if worth == 1.0 else folded(product([number(worth), typical]))
        self.parameters[name] = {"unit": self._engine_unit(name, shape), "source": source}
        if isinstance(scaled, ast.Constant) or not names_in(scaled):
            self.parameters[name] = {"value": float(formula(scaled).evaluate({}, math)), **self.parameters[name]}
        else:
            self.effects[name] = self._effect("typical", scaled, source)

    def _engine_unit(self, name: str, shape: _Shape) -> str:
        """The unit in h, mg and L of the part that a parameter plays; 1 where it plays none."""
        if shape.named is None:
            return "1"
        disposition, absorption = shape.named["disposition"], shape.named["absorption"]
        part = next((k for k, v in {**disposition, **absorption}.items() if v == name), "F")
        return {"rate": "1/h", "lag": "h", "duration": "h", "F": "1"}.get(part, "L/h" if part[0] in "CQ" else "L")

    def _effect(self, key: str, tree: ast.expr, source: str) -> dict[str, Any]:
        thetas = sorted(names_in(tree) & set(self.stream.thetas), key=_digits)
        lower = {t: t.lower() for t in thetas}
        return {key: ast.unparse(renamed(tree, lower)), **{lower[t]: self.stream.thetas[t] for t in thetas}, "source": source}

    def _spelled(self, general: list[str], plain: Collection[str], shape: _Shape) -> dict[str, ast.expr]:
        """The formulas for [individual]: the statements as $PK has them; a part of a named structure as its typical value times the rest."""
        found: dict[str, ast.expr] = {}
        todo = list(general)
        while todo:
            name = todo.pop()
            if name in found or name in plain or name not in self.pk.trees:
                continue
            worth = shape.worth.get(name, 1.0)
            tree = self._varied(name) if shape.named is not None and name in general else None
            found[name] = tree or (self.pk.trees[name] if worth == 1.0 else folded(product([number(worth), self.pk.trees[name]])))
            todo += [n for n in names_in(found[name]) if n != name]
        return {n: found[n] for n in self.pk.trees if n in found}

    def _varied(self, name: str) -> ast.expr | None:
        """name * G where the statement is a product and G, the factors with etas, is 1 for the typical patient."""
        top, below = factors(self.pk.trees[name])
        varied = [f for f in top if names_in(self.pk.expanded(f)) & set(self.etas)]
        if not varied or any(names_in(self.pk.expanded(f)) & set(self.etas) for f in below):
            return None
        at_typical = at_zero(self.pk.expanded(product(varied)), self.etas)
        return product([ast.Name(name), *varied]) if ast.unparse(at_typical) == "1" else None

    def _general(self, general: list[str], spelled: Mapping[str, ast.expr], shape: _Shape) -> None:
        """[individual] formulas; a part of a named structure is also a parameter, with its typical value."""
        for name, tree in spelled.items():
            if name in general and shape.named is not None:
                worth = shape.worth[name]
                units = {name: "" if worth != 1.0 else shape.units[name]}
                self._typical(name, at_zero(self._expanded(name), self.etas), _Shape(named=shape.named, units=units, worth={name: worth}))
            self.individual[name] = ast.unparse(tree)

    def _expanded(self, name: str) -> ast.expr:
        return cancelled(self.pk.expanded(self.pk.trees[name]))

    def _plain_eta(self, eta: str) -> None:
        source = self._omega_source(eta)
        self.parameters[eta] = {"value": 0, "unit": "1", "distribution": "normal", "source": source}

    def _omega(self) -> dict[str, Any]:
        if not self.etas:
            return {}
        keep = [self.stream.etas.index(e) for e in self.etas]
        omega = self.stream.omega[np.ix_(keep, keep)]
        if np.count_nonzero(omega - np.diag(np.diag(omega))):
            return {"omega": {"names": list(self._order), "block": omega.tolist()}}
        for k, name in enumerate(self._order):
            self.parameters[name] |= {"iiv": float(omega[k, k]), "printed_as": "variance"}
        return {}

    def _theta_source(self, theta: str) -> str:
        return f"{self.stream.name} THETA({_digits(theta)})"

    def _omega_source(self, eta: str) -> str:
        k = _digits(eta)
        same = self.stream.same.get(k - 1)
        return f"OMEGA({k},{k})" + (f" (SAME as {same + 1})" if same is not None else "")

    def _covariate(self, name: str) -> dict[str, Any]:
        return {**self.said.covariates[name], "note": f"column {name} of {self.stream.name}"}

    def _compartments(self, shape: _Shape) -> dict[str, Any]:
        first = next(iter(shape.outputs))
        return {"cmt": {"depot": self.stream.dosed, "central": first}}

    def _system(self, shape: _Shape) -> dict[str, Any]:
        """[odes], [outputs] and [doses] in h and mg; amounts, time and rates of the control stream in its own units inside."""
        dose, _, hour = self.said.factors()
        inside: dict[str, ast.expr] = {}
        if dose != 1.0:
            inside |= {f"A{k}": ast.BinOp(ast.Name(f"A{k}"), ast.Div(), number(dose)) for k in shape.derivatives}
        if hour != 1.0:
            inside["t"] = ast.BinOp(ast.Name("t"), ast.Div(), number(hour))
        scaled = {"F": 1.0, "lag": hour, "duration": hour, "rate": dose / hour}

        def text(tree: ast.expr, worth: float) -> str:
            own = replaced(tree, inside)
            return ast.unparse(folded(own if worth == 1.0 else product([number(worth), own])))

        doses = {key: {str(k): text(t, scaled[key]) for k, t in table.items()} for key, table in shape.inputs.items()}
        return {
            "odes": {f"A{k}": text(t, dose / hour) for k, t in shape.derivatives.items()},
            "outputs": {str(k): text(o.prediction, 1.0) for k, o in shape.outputs.items()},
            **({"doses": doses} if doses else {}),
        }

    def _residual(self, shape: _Shape) -> dict[str, Any]:
        rows = {str(k): self._sizes(o) for k, o in shape.outputs.items()}
        return rows if len(rows) > 1 else {"concentration": next(iter(rows.values()))}

    def _sizes(self, o: Observation) -> dict[str, Any]:
        """SDs in the unit of DV."""
        sizes = {key: size for key in ("proportional", "additive") if (size := getattr(o, key))}
        squares = {key: float(f"{size**2:.9g}") for key, size in sizes.items()}
        short = all(len(repr(squares[k])) < len(repr(v)) and math.isclose(squares[k], v**2, rel_tol=1e-11) for k, v in sizes.items())
        row: dict[str, Any] = {"kind": o.kind, **(squares | {"printed_as": "variance"} if short else sizes)}
        if o.additive:
            row["unit"] = self.said.conc_unit
        if o.kind == "power":
            row["power"] = o.power
        return {**row, "source": f"{self.stream.name} $ERROR and SIGMA"}


def _digits(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()))


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
