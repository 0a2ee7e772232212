"""Any model's course as numbered compartments: derivatives, outputs, and what a dose carries, whatever it was written as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from auctor.errors import ModelError
from auctor.models.exchange.trees import folded, formula, renamed
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel, System
from auctor.models.spelled import CENTRAL, compartments, place, spelled


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
    """The course of a model, a named structure written out; ModelError where its doses or compartment numbers have no counterpart.

    >>> from auctor.models.reader import read_model
    >>> course = course_of(read_model("vancomycin_goti2018"))
    >>> [d.text for d in course.derivatives], course.outputs[1].text
    (['-CL / V1 * A1 - Q / V1 * A1 + Q / V2 * A2', 'Q / V1 * A1 - Q / V2 * A2'], 'A1 / V1')
    """
    system = spelled(model)
    if system.doors or system.densities:
        what = "its doses take a way that is no compartment's own (a second door, or a gamma density)"
        raise ModelError(where=f"{model.name}: structure", what=what, remedy="it is not exported yet: check it in auctor alone")
    if model.system is not None:
        return _written(model, system)
    return _named(model, system)


def _written(model: DrugModel, system: System) -> Course:
    cmt, first = model.structure.cmt, next(iter(system.outputs))
    return Course(
        compartments=tuple(f"A{k + 1}" for k in range(system.size)),
        derivatives=system.derivatives,
        outputs=system.outputs,
        inputs=system.inputs,
        depot=cmt.get("depot", cmt.get("central", 1)),
        central=cmt.get("central", first),
    )


def _named(model: DrugModel, system: System) -> Course:
    """The spelled-out structure with the compartment numbers of its file."""
    names = compartments(model.structure)
    numbers = _numbers(model, names)
    moved = {f"A{k}": f"A{numbers[name]}" for k, name in enumerate(names, 1)}

    def own(expression: Expression) -> Expression:
        return formula(folded(renamed(expression.tree, moved)))

    order = sorted(names, key=numbers.__getitem__)
    depot = names[place(model.structure, "depot")] if model.structure.stages else CENTRAL
    return Course(
        compartments=tuple(order),
        derivatives=tuple(own(system.derivatives[names.index(name)]) for name in order),
        outputs={numbers[names[k - 1]]: own(e) for k, e in system.outputs.items()},
        inputs={key: {numbers[names[k - 1]]: own(e) for k, e in table.items()} for key, table in system.inputs.items()},
        depot=numbers[depot],
        central=numbers[CENTRAL],
    )


def _numbers(model: DrugModel, names: tuple[str, ...]) -> dict[str, int]:
    """The CMT number of each compartment: as `[structure] cmt` says, the rest in order."""
    said = {name: n for name, n in model.structure.cmt.items() if name in names}
    free = [n for n in range(1, len(names) + 1) if n not in said.values()]
    if len(set(said.values())) < len(said) or max(said.values(), default=1) > len(names):
        raise ModelError(
            where=f"{model.name}: structure.cmt",
            what=f"compartment numbers that {len(names)} compartments do not have",
            remedy=f"number them 1 to {len(names)}, each once",
        )
    return {name: said[name] if name in said else free.pop(0) for name in names}
