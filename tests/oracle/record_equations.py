"""The equation language of the fact records, walked from a checked tree: a second reading of the same formulas, none of it auctor's."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, group: value in group,
}
_CALLED: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": math.log, "log10": math.log10, "sqrt": math.sqrt, "min": min, "max": max, "abs": abs,
}  # fmt: skip


def worth(text: str, names: Mapping[str, Any]) -> Any:
    """The value of one right-hand side; ValueError for anything but arithmetic, comparison, choice and the seven functions."""
    return _walk(ast.parse(text.strip(), mode="eval").body, names)


def _walk(node: ast.AST, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value) if isinstance(value, (int, float, str)):
            return value
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_walk(inner, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_walk(left, names), _walk(right, names))
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return _COMPARE[type(op)](_walk(left, names), _walk(right, names))
        case ast.BoolOp(op=op, values=values):
            truths = [bool(_walk(value, names)) for value in values]
            return all(truths) if isinstance(op, ast.And) else any(truths)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _walk(body if _walk(test, names) else orelse, names)
        case ast.Tuple(elts=items):
            return tuple(_walk(item, names) for item in items)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLED:
            return _CALLED[name](*(_walk(arg, names) for arg in args))
    raise ValueError(f"not in the language of the records: {ast.dump(node)[:80]}")


def evaluated(record: Mapping[str, Any], subject: Mapping[str, Any]) -> dict[str, Any]:
    """Every fixed effect and every equation of a record for one subject, in the record's own units."""
    names: dict[str, Any] = {name: row["value"] for name, row in record["fixed_effects"].items() if isinstance(row, dict)}
    names |= subject
    for line in record.get("equations") or ():
        left, _, right = line.partition("=")
        names[left.strip()] = worth(right, names)
    return names
