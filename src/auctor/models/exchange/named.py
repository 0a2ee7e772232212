"""A control stream's ADVAN and TRANS as a named structure, where it is one."""

from __future__ import annotations

import ast
import re
from typing import Any

from auctor.errors import ModelError
from auctor.models.exchange.advan import Routine
from auctor.models.exchange.reading import Reading, Shape
from auctor.models.exchange.said import volume_unit
from auctor.models.exchange.trees import factors, folded, names_in, product, replaced, tree_of
from auctor.models.structures import DISPOSITION


def name_structure(reading: Reading, shape: Shape, routine: Routine) -> None:
    """Fill `shape.named` where the ADVAN, with its F, ALAG and D, is a named structure and F is the central amount over a volume."""
    if {"CL", *DISPOSITION[routine.disposition]} != set(routine.parts) or list(shape.outputs) != [routine.central]:
        return
    given = shape.inputs
    if "rate" in given or ("duration" in given and routine.rate) or any(set(t) != {_dosed(routine)} for t in given.values()):
        return
    scale = _scale(shape.outputs[routine.central].prediction, routine.central)
    if scale is None:
        return
    parts = _parts(reading, routine, scale)
    ratio = reading.ratio(scale, ast.Name(parts["V1"]))
    if ratio is not None:
        _take(reading, shape, routine, parts, ratio)


def _scale(prediction: ast.expr, central: int) -> ast.expr | None:
    """The S of F = A / S; None where F is anything else."""
    top, below = factors(prediction)
    amount = [f for f in top if isinstance(f, ast.Name) and f.id == f"A{central}"]
    rest = [f for f in top if f not in amount]
    still_there = {n for f in (*rest, *below) for n in names_in(f) if re.fullmatch(r"A\d+|t", n)}
    if len(amount) != 1 or still_there:
        return None
    return folded(product(below, rest))


def _parts(reading: Reading, routine: Routine, scale: ast.expr) -> dict[str, str]:
    """The name in $PK of each part, one made where the TRANS has only a formula for it."""
    found = {}
    for part, text in routine.parts.items():
        tree = tree_of(text)
        lacking = names_in(tree) - reading.defined - {"S"}
        if lacking:
            raise ModelError(
                where=f"{reading.stream.name}: $PK", what=f"no {sorted(lacking)[0]}",
                remedy=f"{reading.stream.advan} {reading.stream.trans} needs it; check $SUBROUTINES",
            )  # fmt: skip
        found[part] = tree.id if isinstance(tree, ast.Name) and tree.id != "S" else _added(reading, part, replaced(tree, {"S": scale}))
    return found


def _added(reading: Reading, part: str, tree: ast.expr) -> str:
    if isinstance(tree, ast.Name) and tree.id in reading.pk.trees:
        return tree.id
    if part in reading.pk.trees and _same(reading, tree, ast.Name(part)):
        return part
    name = part if part not in reading.defined else f"{part}_part"
    reading.pk.trees[name] = folded(tree)
    return name


def _same(reading: Reading, one: ast.expr, other: ast.expr) -> bool:
    """Whether two formulas are one, as K * V and CL where K = CL / V."""
    return reading.ratio(one, other) == 1.0


def _take(reading: Reading, shape: Shape, routine: Routine, parts: dict[str, str], ratio: float) -> None:
    dose, conc, hour = reading.said.factors()
    litres, time = ratio * dose / conc, reading.said.time_unit
    volume = volume_unit(litres)
    units = {part: (f"{volume}/{time}", litres / hour) if part[0] in "CQ" else (volume or "", litres) for part in parts}
    units |= {"rate": (f"1/{time}", 1 / hour), "lag": (str(time), hour), "duration": (str(time), hour), "F": ("1", 1.0)}
    absorption = _absorption(shape, routine)
    if absorption is None:
        return
    named = {**parts, **{k: v for k, v in absorption.items() if k != "kind"}}
    structure: dict[str, Any] = {"absorption": absorption, "disposition": {"kind": routine.disposition, **parts}}
    if "F" in shape.inputs:
        structure["bioavailability"] = named["F"] = f"F{_dosed(routine)}"
    if len(set(named.values())) == len(named):
        shape.named = structure
        shape.units = {name: units[part][0] if volume else "" for part, name in named.items()}
        shape.worth = {name: units[part][1] for part, name in named.items()}


def _dosed(routine: Routine) -> int:
    return 1 if routine.rate else routine.central


def _absorption(shape: Shape, routine: Routine) -> dict[str, str] | None:
    """The absorption table; None where an intravenous dose lags, which no named structure has."""
    lag = {"lag": f"ALAG{_dosed(routine)}"} if "lag" in shape.inputs else {}
    if routine.rate:
        return {"kind": "first_order", "rate": routine.rate, **lag}
    if "duration" in shape.inputs:
        return {"kind": "zero_order", "duration": f"D{routine.central}", **lag}
    return None if lag else {"kind": "none"}
