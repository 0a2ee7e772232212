"""Models written out: individual formulas, differential equations, outputs, and NONMEM's F, lag, duration and rate by compartment."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping

from auctor.errors import ModelError
from auctor.models.expressions import Expression, parse
from auctor.models.model import Covariate, Parameter, Structure, System
from auctor.models.table import Table, suggestion

INPUTS = ("F", "lag", "duration", "rate")
TIMES = ("t", "tad")


def read_formulas(top: Table, parameters: Mapping[str, Parameter], covariates: Mapping[str, Covariate]) -> dict[str, Expression]:
    """`[individual]`: formulas evaluated in file order after the etas; each may read parameters, covariates and earlier formulas."""
    table = Table.free(top.get("individual", {}), top.at("individual"))
    found: dict[str, Expression] = {}
    for name in table.data:
        if not name.isidentifier() or name in covariates or name in TIMES:
            raise table.fault(name, "not a usable name", "choose a name that no covariate has")
        found[name] = read_formula(table, name, {*parameters, *covariates, *found})
    return found


def read_formula(table: Table, key: str, known: Collection[str]) -> Expression:
    """The formula under a key; ModelError for a name that is not among `known`, with a suggestion."""
    expr = parse(table.text(key), where=table.at(key))
    for name in sorted(expr.names - set(known)):
        raise table.fault(key, f"{name!r} is used and not known", suggestion(name, known))
    return expr


def read_system(top: Table, known: Collection[str]) -> System | None:
    """`[odes]` A1, A2, ..; `[outputs]` by CMT number; `[doses]` F, lag, duration, rate by CMT number. None without `[odes]`."""
    if "odes" not in top.data:
        for key in ("outputs", "doses"):
            if key in top.data:
                raise top.fault(key, "given without [odes]", "write the system under [odes], or use a named structure")
        return None
    odes = Table.free(top.get("odes"), top.at("odes"))
    states = _states(odes)
    derivatives = tuple(read_formula(odes, name, {*known, *states, *TIMES}) for name in states)
    outputs = _numbered(top, "outputs", {*known, *states}, len(states))
    if not outputs:
        raise top.fault("outputs", "missing", 'give the concentration by compartment number, as 2 = "A2/V"')
    linear = all(linear_in(e, states) for e in (*derivatives, *outputs.values()))
    return System(derivatives=derivatives, outputs=outputs, inputs=_inputs(top, known, len(states)), linear=linear)


def _states(odes: Table) -> tuple[str, ...]:
    states = tuple(f"A{k + 1}" for k in range(len(odes.data)))
    if not states or set(states) != set(odes.data):
        raise ModelError(where=odes.where, what="compartments are not A1, A2, .. without a gap", remedy="number them as NONMEM's CMT")
    return states


def _numbered(outer: Table, key: str, known: Collection[str], count: int) -> dict[int, Expression]:
    table = Table.free(outer.get(key, {}), outer.at(key))
    for name in table.data:
        if not name.isdigit() or not 1 <= int(name) <= count:
            raise table.fault(name, "not the number of a compartment", f"use 1 to {count}")
    return {int(name): read_formula(table, name, known) for name in table.data}


def _inputs(top: Table, known: Collection[str], count: int) -> dict[str, dict[int, Expression]]:
    if "doses" not in top.data:
        return {}
    table = top.table("doses", optional=INPUTS)
    return {key: _numbered(table, key, known, count) for key in table.data}


def system_structure(top: Table, system: System) -> Structure:
    """The `[structure]` table of a written-out model: only `cmt`, where a case's oral (`depot`) and intravenous (`central`) doses go."""
    table = top.table("structure", optional=("cmt",))
    row = table.table("cmt", optional=("depot", "depot2", "central")) if "cmt" in table.data else Table({}, table.at("cmt"))
    cmt = {key: int(row.number(key, low=1)) for key in row.data}
    if any(number > system.size for number in cmt.values()):
        raise table.fault("cmt", "not a compartment of [odes]", f"use 1 to {system.size}")
    return Structure(absorption="system", stages=0, disposition="system", clearance="", central="", cmt=cmt)


def linear_in(formula: Expression, states: Collection[str]) -> bool:
    """Whether a formula is linear in the amounts named and free of time.

    >>> linear_in(parse("KA * A1 - CL / V * A2", where="odes.A2"), ("A1", "A2"))
    True
    """
    return _degree(formula.tree, states) <= 1


def _degree(tree: ast.expr, states: Collection[str]) -> int:
    """Degree of a formula in the amounts: 0, 1, or 2 for anything that is not linear, time included."""
    match tree:
        case ast.Name(id=name):
            return 2 if name in TIMES else int(name in states)
        case ast.Constant():
            return 0
        case ast.UnaryOp(operand=inner):
            return _degree(inner, states)
        case ast.BinOp(left=left, op=op, right=right):
            return _degree_of_pair(_degree(left, states), op, _degree(right, states))
    inner_degrees = [
        _degree(child, states) for child in ast.iter_child_nodes(tree) if isinstance(child, ast.expr) and not _called(tree, child)
    ]
    return 2 if any(inner_degrees) else 0


def _called(tree: ast.expr, child: ast.expr) -> bool:
    return isinstance(tree, ast.Call) and child is tree.func


def _degree_of_pair(left: int, op: ast.operator, right: int) -> int:
    if isinstance(op, ast.Add | ast.Sub):
        return max(left, right)
    if isinstance(op, ast.Mult):
        return min(left + right, 2)
    if isinstance(op, ast.Div):
        return left if right == 0 else 2
    return 0 if left == right == 0 else 2
