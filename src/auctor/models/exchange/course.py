"""Any model's course as numbered compartments: derivatives, outputs, and what a dose carries, whatever it was written as."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from auctor.errors import ModelError
from auctor.models.equations import amounts
from auctor.models.exchange.trees import ZERO, folded, formula, number, replaced, tree_of
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel, Structure


@dataclass(frozen=True, kw_only=True)
class Course:
    """Compartment i is A(i + 1), in mg; derivatives in mg/h; outputs CMT -> concentration in the model's own unit; inputs by CMT.

    `depot` and `central` are where swallowed and intravenous doses go.
    """

    compartments: tuple[str, ...]
    derivatives: tuple[Expression, ...]
    outputs: Mapping[int, Expression]
    inputs: Mapping[str, Mapping[int, Expression]]
    depot: int
    central: int


def course_of(model: DrugModel) -> Course:
    """The course of a model, a named structure written out; ModelError where its compartment numbers leave a gap.

    >>> from auctor.models.reader import read_model
    >>> course = course_of(read_model("vancomycin_goti2018"))
    >>> [d.text for d in course.derivatives], course.outputs[1].text
    (['-(CL / V1 * A1) - Q / V1 * A1 + Q / V2 * A2', 'Q / V1 * A1 - Q / V2 * A2'], 'A1 / V1')
    """
    if model.system is None:
        return _named(model, model.structure)
    cmt, system = model.structure.cmt, model.system
    first = next(iter(system.outputs))
    return Course(
        compartments=tuple(f"A{k + 1}" for k in range(system.size)),
        derivatives=system.derivatives,
        outputs=system.outputs,
        inputs=system.inputs,
        depot=cmt.get("depot", cmt.get("central", 1)),
        central=cmt.get("central", first),
    )


def _named(model: DrugModel, s: Structure) -> Course:
    rows = amounts(s)
    numbers = _numbers(model, list(rows))
    order = sorted(rows, key=numbers.__getitem__)
    trees: dict[str, ast.expr] = {name: ast.Name(f"A{numbers[name]}") for name in rows}
    trees |= {"input": ZERO, "dose": ZERO}
    central = numbers["central"]
    scaled = ast.BinOp(number(model.scale), ast.Mult(), ast.Name(f"A{central}"))
    depot = numbers.get("depot", central)
    given = {"F": s.bioavailability, "lag": s.lag, "duration": s.duration}
    return Course(
        compartments=tuple(order),
        derivatives=tuple(formula(folded(replaced(tree_of(rows[name]), trees))) for name in order),
        outputs={central: formula(folded(ast.BinOp(scaled, ast.Div(), ast.Name(s.central))))},
        inputs={key: {depot: formula(ast.Name(name))} for key, name in given.items() if name is not None},
        depot=depot,
        central=central,
    )


def _numbers(model: DrugModel, compartments: list[str]) -> dict[str, int]:
    """The CMT number of each compartment: as `[structure] cmt` says, the rest in order."""
    said = {name: n for name, n in model.structure.cmt.items() if name in compartments}
    free = [n for n in range(1, len(compartments) + 1) if n not in said.values()]
    if len(set(said.values())) < len(said) or max(said.values(), default=1) > len(compartments):
        raise ModelError(
            where=f"{model.name}: structure.cmt",
            what=f"compartment numbers that {len(compartments)} compartments do not have",
            remedy=f"number them 1 to {len(compartments)}, each once",
        )
    return {name: said[name] if name in said else free.pop(0) for name in compartments}
