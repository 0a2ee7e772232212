"""A control stream as an auctor model file: a named structure where the ADVAN is one, differential equations otherwise."""

from __future__ import annotations

import ast
import math
import re
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auctor.errors import ModelError
from auctor.models.exchange.advan import ROUTINES
from auctor.models.exchange.estimates import with_estimates
from auctor.models.exchange.named import name_structure
from auctor.models.exchange.observed import Observation
from auctor.models.exchange.reading import Reading, Shape
from auctor.models.exchange.recognise import Recognised, at_zero, leading_theta, recognise
from auctor.models.exchange.said import Said, require
from auctor.models.exchange.stream import read_stream
from auctor.models.exchange.trees import cancelled, factors, folded, formula, names_in, number, product, renamed, replaced
from auctor.models.expressions import LONGEST
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.models.writing import toml_text


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
    stream = stream if estimates is None else with_estimates(stream, Path(estimates))
    raw, etas = _File(Reading(stream, said), origin).build()
    text = toml_text(raw)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{re.sub(r'[^A-Za-z0-9_]', '_', Path(path).stem)}.toml"
        file.write_text(text, encoding="utf-8")
        model = read_model(file)
    return Imported(text=text, model=model, etas=etas)


class _File:
    """Builds the tables of one model file."""

    def __init__(self, reading: Reading, origin: str) -> None:
        self.reading, self.origin = reading, origin

    def build(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The tables in the order of docs/model-file.md, and the etas' names in NONMEM's order."""
        shape = self.reading.shape()
        routine = ROUTINES.get((self.reading.stream.advan, self.reading.stream.trans))
        needed = self.reading.needed(shape, routine)
        gaps = self.reading.pk.settle(self.reading.pk.closure(needed))
        self.reading.questions += [
            f"{n} has no value where none of its IFs holds; it is 0 there, as in NONMEM at first." for n in sorted(gaps)
        ]
        if "t" in needed:
            self.reading.questions.append("The equations read the time: T counted from TIME 0, t here from each first record.")
        covariates = self.reading.covariates(needed)
        require(self.reading.said, covariates, self.reading.stream.name)
        if routine is not None:
            name_structure(self.reading, shape, routine)
        self._refuse_rates_without_meaning(shape)
        tables = self._tables(shape, covariates)
        return {**self._words(), **tables}, self._order

    def _refuse_rates_without_meaning(self, shape: Shape) -> None:
        if shape.named is None and self.reading.stream.trans in ("TRANS5", "TRANS6"):
            what = f"{self.reading.stream.advan} {self.reading.stream.trans} does not map to a named structure here"
            raise ModelError(where=f"{self.reading.stream.name}: $SUBROUTINES", what=what, remedy="rewrite it with TRANS1 or TRANS4")

    def _words(self) -> dict[str, Any]:
        name, said = self.reading.stream.name, self.reading.said
        questions = [
            f"The numbers are {self.origin}: not yet read against the publication.",
            *([] if said.cite else ["The publication is not named (--cite)."]),
            "Population and covariate ranges (low, high) are not in a control stream: add them, for the warning outside them.",
            *self.reading.questions,
        ]
        if self.reading.stream.same:
            questions.append("Etas of occasions (SAME) are separate etas here: a refit would give each its own variance.")
        return {
            "schema": 1,
            "drug": said.drug,
            "title": said.title or f"{said.drug}, imported from {name}",
            "status": "draft",
            **({"molar_mass": said.molar_mass} if said.molar_mass else {}),
            "population": f"not stated: imported from {name}",
            "notes": [f"Read from {name} ({self.reading.stream.advan} {self.reading.stream.trans}) through Pharmpy."],
            "questions": questions,
            "reference": {"cite": said.cite or f"NONMEM control stream {name}"},
            "units": {"time": said.time_unit, "dose": said.dose_unit, "concentration": said.conc_unit},
        }

    def _tables(self, shape: Shape, covariates: list[str]) -> dict[str, Any]:
        self.parameters: dict[str, dict[str, Any]] = {}
        self.effects: dict[str, dict[str, Any]] = {}
        self.individual: dict[str, str] = {}
        wanted = self._wanted(shape)
        plain = self._recognised(wanted, shape)
        general = [n for n in wanted if n not in plain]
        if shape.named is not None and general and any(w != 1.0 for w in shape.worth.values()):
            # a formula would read a part in the control stream's unit, the engine holds it in its own
            shape.named, shape.units, shape.worth = None, {}, {}
            self.reading.questions.append("Written as equations, since its formulas read parameters that are not in h, mg and L.")
            return self._tables(shape, covariates)
        spelled = self._spelled(general, plain, shape)
        read = {n for tree in spelled.values() for n in names_in(tree)} | (self.reading.needed(shape) if shape.named is None else set())
        self._parameters(plain, shape, sorted(read & set(self.reading.stream.thetas), key=_digits))
        self._general(general, spelled, shape)
        order = {e: next((n for n, r in plain.items() if r.eta == e), e) for e in self.reading.etas}
        for eta in self.reading.etas:
            if order[eta] == eta:
                self._plain_eta(eta)
        self._order = tuple(order[e] for e in self.reading.etas)
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

    def _wanted(self, shape: Shape) -> list[str]:
        """The names in $PK that the course reads, in their order."""
        names = set(shape.units) if shape.named is not None else self.reading.needed(shape)
        return [n for n in self.reading.pk.trees if n in names]

    def _recognised(self, wanted: list[str], shape: Shape) -> dict[str, Recognised]:
        """Names that one theta-built typical value and at most one eta of their own say."""
        trees = {n: self._expanded(n) for n in wanted}
        uses = {e: sum(e in names_in(t) for t in trees.values()) for e in self.reading.etas}
        found = {}
        for name, tree in trees.items():
            own = recognise(tree, self.reading.etas)
            if own is None or (own.eta and uses[own.eta] > 1) or len(ast.unparse(own.typical)) > LONGEST // 2:
                continue
            if shape.named is None or self._finite(own.typical):
                found[name] = own
        return found

    def _finite(self, typical: ast.expr) -> bool:
        return bool(names_in(typical)) or not isinstance(typical, ast.Constant) or typical.value != 0

    def _parameters(self, plain: Mapping[str, Recognised], shape: Shape, thetas: list[str]) -> None:
        for name, own in plain.items():
            self._typical(name, own.typical, shape)
            row = self.parameters[name]
            if own.eta:
                row |= {"distribution": own.distribution}
                row["source"] += f", {self._omega_source(own.eta)}"
        for theta in thetas:
            self.parameters[theta] = {"value": self.reading.stream.thetas[theta], "unit": "1", "source": self._theta_source(theta)}

    def _typical(self, name: str, typical: ast.expr, shape: Shape) -> None:
        """Value and effect of one parameter, in the unit of its part where the part has one."""
        unit, worth = shape.units.get(name, "1"), shape.worth.get(name, 1.0)
        lead = leading_theta(typical, self.reading.stream.thetas)
        thetas = sorted(names_in(typical) & set(self.reading.stream.thetas), key=_digits)
        source = f"{self.reading.stream.name} {', '.join(f'THETA({_digits(t)})' for t in thetas) or name}"
        if lead is not None and (unit or worth == 1.0):
            value, rest = self.reading.stream.thetas[lead[0]], lead[1]
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

    def _engine_unit(self, name: str, shape: Shape) -> str:
        """The unit in h, mg and L of the part that a parameter plays; 1 where it plays none."""
        if shape.named is None:
            return "1"
        disposition, absorption = shape.named["disposition"], shape.named["absorption"]
        part = next((k for k, v in {**disposition, **absorption}.items() if v == name), "F")
        return {"rate": "1/h", "lag": "h", "duration": "h", "F": "1"}.get(part, "L/h" if part[0] in "CQ" else "L")

    def _effect(self, key: str, tree: ast.expr, source: str) -> dict[str, Any]:
        thetas = sorted(names_in(tree) & set(self.reading.stream.thetas), key=_digits)
        lower = {t: t.lower() for t in thetas}
        return {key: ast.unparse(renamed(tree, lower)), **{lower[t]: self.reading.stream.thetas[t] for t in thetas}, "source": source}

    def _spelled(self, general: list[str], plain: Collection[str], shape: Shape) -> dict[str, ast.expr]:
        """The formulas for [individual]: statements as $PK has them; a part of a named structure as its typical value times the rest."""
        found: dict[str, ast.expr] = {}
        todo = list(general)
        while todo:
            name = todo.pop()
            if name in found or name in plain or name not in self.reading.pk.trees:
                continue
            tree = self._varied(name) if shape.named is not None and name in general else None
            found[name] = tree or self.reading.pk.trees[name]
            todo += [n for n in names_in(found[name]) if n != name]
        return {n: found[n] for n in self.reading.pk.trees if n in found}

    def _varied(self, name: str) -> ast.expr | None:
        """name * G where the statement is a product and G, the factors with etas, is 1 for the typical patient."""
        top, below = factors(self.reading.pk.trees[name])
        varied = [f for f in top if names_in(self.reading.pk.expanded(f)) & set(self.reading.etas)]
        if not varied or any(names_in(self.reading.pk.expanded(f)) & set(self.reading.etas) for f in below):
            return None
        at_typical = at_zero(self.reading.pk.expanded(product(varied)), self.reading.etas)
        return product([ast.Name(name), *varied]) if ast.unparse(at_typical) == "1" else None

    def _general(self, general: list[str], spelled: Mapping[str, ast.expr], shape: Shape) -> None:
        """[individual] formulas; a part of a named structure is also a parameter, with its typical value."""
        for name, tree in spelled.items():
            if name in general and shape.named is not None:
                self._typical(name, at_zero(self._expanded(name), self.reading.etas), shape)
            self.individual[name] = ast.unparse(tree)

    def _expanded(self, name: str) -> ast.expr:
        return cancelled(self.reading.pk.expanded(self.reading.pk.trees[name]))

    def _plain_eta(self, eta: str) -> None:
        source = self._omega_source(eta)
        self.parameters[eta] = {"value": 0, "unit": "1", "distribution": "normal", "source": source}

    def _omega(self) -> dict[str, Any]:
        if not self.reading.etas:
            return {}
        keep = [self.reading.stream.etas.index(e) for e in self.reading.etas]
        omega = self.reading.stream.omega[np.ix_(keep, keep)]
        if np.count_nonzero(omega - np.diag(np.diag(omega))):
            return {"omega": {"names": list(self._order), "block": omega.tolist()}}
        for k, name in enumerate(self._order):
            self.parameters[name] |= {"iiv": float(omega[k, k]), "printed_as": "variance"}
        return {}

    def _theta_source(self, theta: str) -> str:
        return f"{self.reading.stream.name} THETA({_digits(theta)})"

    def _omega_source(self, eta: str) -> str:
        k = _digits(eta)
        same = self.reading.stream.same.get(k - 1)
        return f"OMEGA({k},{k})" + (f" (SAME as {same + 1})" if same is not None else "")

    def _covariate(self, name: str) -> dict[str, Any]:
        return {**self.reading.said.covariates[name], "note": f"column {name} of {self.reading.stream.name}"}

    def _compartments(self, shape: Shape) -> dict[str, Any]:
        first = next(iter(shape.outputs))
        return {"cmt": {"depot": self.reading.stream.dosed, "central": first}}

    def _system(self, shape: Shape) -> dict[str, Any]:
        """[odes], [outputs] and [doses] in h and mg; amounts, time and rates of the control stream in its own units inside."""
        dose, _, hour = self.reading.said.factors()
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

    def _residual(self, shape: Shape) -> dict[str, Any]:
        rows = {str(k): self._sizes(o) for k, o in shape.outputs.items()}
        return rows if len(rows) > 1 else {"concentration": next(iter(rows.values()))}

    def _sizes(self, o: Observation) -> dict[str, Any]:
        """SDs in the unit of DV."""
        sizes = {key: size for key in ("proportional", "additive") if (size := getattr(o, key))}
        squares = {key: float(f"{size**2:.9g}") for key, size in sizes.items()}
        short = all(len(repr(squares[k])) < len(repr(v)) and math.isclose(squares[k], v**2, rel_tol=1e-11) for k, v in sizes.items())
        row: dict[str, Any] = {"kind": o.kind, **(squares | {"printed_as": "variance"} if short else sizes)}
        if o.additive:
            row["unit"] = self.reading.said.conc_unit
        if o.kind == "power":
            row["power"] = o.power
        return {**row, "source": f"{self.reading.stream.name} $ERROR and SIGMA"}


def _digits(name: str) -> int:
    return int("".join(c for c in name if c.isdigit()))
