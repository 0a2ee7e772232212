"""Covariate arithmetic as text, parsed to a checked tree and walked (never `eval`)."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np

from auctor.errors import ModelError
from auctor.models.latex import render

LONGEST, DEEPEST = 2000, 60
ARITY = {"exp": (1, 1), "log": (1, 1), "sqrt": (1, 1), "abs": (1, 1), "min": (2, 9), "max": (2, 9), "where": (3, 3)}
REMEDY = "use numbers, names, + - * / **, comparisons, and, or, not, a if c else b, and " + ", ".join(ARITY)

_ON_FLOATS: dict[str, Callable[..., float]] = {"exp": math.exp, "log": math.log, "sqrt": math.sqrt, "abs": abs, "min": min, "max": max}
_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
}


@dataclass(frozen=True)
class Expression:
    """One checked formula. Made by `parse`; equality is that of the text.

    >>> e = parse("(HCT / 35) ** b * c ** CYP3A5", where="effects.CL")
    >>> sorted(e.names)
    ['CYP3A5', 'HCT', 'b', 'c']
    >>> float(e.evaluate({"HCT": 35.0, "b": -1.14, "c": 2.0, "CYP3A5": 1.0}))
    2.0
    """

    text: str
    tree: ast.expr = field(repr=False, compare=False)

    @property
    def names(self) -> frozenset[str]:
        """Names the expression reads (covariates, parameters, constants), functions left out."""
        called = {id(n.func) for n in ast.walk(self.tree) if isinstance(n, ast.Call)}
        return frozenset(n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name) and id(n) not in called)

    def thresholds(self, name: str) -> tuple[Expression, ...]:
        """What `name` is compared with, wherever it stands alone on one side of a comparison.

        >>> [e.text for e in parse("(tad >= 1) * (TEND > tad) * A1", where="x").thresholds("tad")]
        ['1', 'TEND']
        """
        sides = [
            (a, b)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Compare)
            for pair in pairwise([node.left, *node.comparators])
            for a, b in (pair, pair[::-1])
        ]
        return tuple(Expression(ast.unparse(b), b) for a, b in sides if isinstance(a, ast.Name) and a.id == name)

    def evaluate(self, names: Mapping[str, Any], xp: ModuleType = np) -> Any:
        """Value on floats (`xp=math`), NumPy or JAX arrays (broadcast); comparisons, and, or, not are worth 0 or 1.

        Raises ModelError for a name without a value and, on plain floats, for arithmetic without a finite real result.
        `where` and `a if c else b` evaluate both branches, as arrays must.
        """
        try:
            value = _walk(self.tree, names, xp)
            if isinstance(value, float) and not math.isfinite(value):
                raise OverflowError
            return value
        except (ArithmeticError, ValueError, KeyError) as error:
            remedy = "check the covariate values against the model's domain"
            raise ModelError(where=self.text, what=_failure(error), remedy=remedy) from error

    def latex(self) -> str:
        r"""LaTeX source of the formula.

        >>> parse("(HCT / 35) ** 2", where="x").latex()
        '\\left(\\frac{\\mathrm{HCT}}{35}\\right)^{2}'
        """
        return render(self.tree)

    def readable(self) -> str:
        """One line of plain text, for a reader who does the arithmetic by hand.

        >>> parse("21.2*(HCT/35)**-1.14", where="x").readable()
        '21.2 × (HCT / 35)^(-1.14)'
        """
        return ast.unparse(self.tree).replace(" ** ", "^").replace(" * ", " × ")


def parse(text: str, *, where: str) -> Expression:
    """Parse a formula in Python's expression syntax restricted to arithmetic; ModelError naming `where` on anything else.

    >>> parse("__import__('os')", where="effects.CL")
    Traceback (most recent call last):
    ...
    auctor.errors.ModelError: effects.CL: '__import__' is not a known function; use numbers, ...
    """
    if not text.strip() or len(text) > LONGEST:
        remedy = f"write one expression of 1 to {LONGEST} characters"
        raise ModelError(where=where, what="no formula, or one that is too long", remedy=remedy)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ModelError(where=where, what=f"{text[:80]!r} is not an expression", remedy=REMEDY) from error
    if (fault := _fault(tree)) is not None:
        raise ModelError(where=where, what=fault, remedy=REMEDY)
    return Expression(text.strip(), tree)


def _fault(tree: ast.expr) -> str | None:
    """The first thing the grammar does not allow, in words; walked with a stack so that depth cannot exhaust Python's."""
    todo: list[tuple[ast.expr, int]] = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > DEEPEST:
            return f"nested more than {DEEPEST} deep"
        fault = _fault_here(node)
        if fault is not None:
            return fault
        todo.extend((child, depth + 1) for child in _operands(node))
    return None


def _operands(node: ast.expr) -> list[ast.expr]:
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    return [child for child in children if isinstance(child, ast.expr)]


def _fault_here(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=value):
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
            return None if good else f"{str(value)[:40]!r} is not a finite number"
        case ast.Name(id=name):
            return f"{name!r} is a function: call it" if name in ARITY else None
        case ast.Call():
            return _fault_of_call(node)
        case ast.BinOp(op=op):
            return None if isinstance(op, _BINARY) else f"operator {type(op).__name__} is not arithmetic"
        case ast.UnaryOp(op=op):
            return "operator ~ is not arithmetic" if isinstance(op, ast.Invert) else None
        case ast.Compare(ops=ops):
            return None if all(type(op) in _COMPARE for op in ops) else "only < <= > >= == != compare"
        case ast.IfExp() | ast.BoolOp():
            return None
    return f"{type(node).__name__} is not arithmetic"


def _fault_of_call(node: ast.Call) -> str | None:
    if not isinstance(node.func, ast.Name) or node.func.id not in ARITY:
        return f"{ast.unparse(node.func)[:40]!r} is not a known function"
    least, most = ARITY[node.func.id]
    if node.keywords or any(isinstance(a, ast.Starred) for a in node.args) or not least <= len(node.args) <= most:
        return f"{node.func.id}() takes {least} plain arguments" + (" or more" if most > least else "")
    return None


def _failure(error: Exception) -> str:
    return f"no value for {error.args[0]!r}" if isinstance(error, KeyError) else "the arithmetic has no finite real result"


def _walk(node: ast.expr, names: Mapping[str, Any], xp: ModuleType) -> Any:
    def value(child: ast.expr) -> Any:
        return _walk(child, names, xp)

    match node:
        case ast.Constant(value=number):
            return float(number)  # type: ignore[arg-type]  # checked by _fault_here
        case ast.Name(id=name):
            return names[name]
        case ast.UnaryOp(op=op, operand=operand):
            return _unary(op, value(operand))
        case ast.BinOp(op=op, left=left, right=right):
            return _binary(op, (value(left), value(right)), xp)
        case ast.BoolOp(op=op, values=values):
            return _logical(op, [_truth(value(v)) for v in values])
        case ast.Compare(left=left, ops=ops, comparators=rest):
            return _chain(ops, [value(left), *map(value, rest)])
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _choose(xp, value(test), (lambda: value(body), lambda: value(orelse)))
        case ast.Call(func=ast.Name(id="where"), args=[test, body, orelse]):
            return _choose(xp, value(test), (lambda: value(body), lambda: value(orelse)))
        case ast.Call(func=ast.Name(id=name), args=args):
            return _function(name, [value(a) for a in args], xp)
    raise TypeError(type(node).__name__)  # unreachable: _fault_here lists the same nodes


def _unary(op: ast.unaryop, value: Any) -> Any:
    if isinstance(op, ast.Not):
        return 1.0 - _truth(value)
    return -value if isinstance(op, ast.USub) else +value


def _binary(op: ast.operator, sides: tuple[Any, Any], xp: ModuleType) -> Any:
    left, right = sides
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    # Python's own ** would answer a negative base with a complex number
    return math.pow(left, right) if _plain(left) and _plain(right) else xp.power(left, right)


def _plain(value: Any) -> bool:
    return isinstance(value, (int, float))


def _truth(value: Any) -> Any:
    return (value != 0) * 1.0


def _logical(op: ast.boolop, values: list[Any]) -> Any:
    if isinstance(op, ast.And):
        return reduce(lambda a, b: a * b, values)
    return reduce(lambda a, b: a + b - a * b, values)


def _chain(ops: list[ast.cmpop], values: list[Any]) -> Any:
    links = [_COMPARE[type(op)](a, b) * 1.0 for op, a, b in zip(ops, values[:-1], values[1:], strict=True)]
    return reduce(lambda a, b: a * b, links)


def _choose(xp: ModuleType, test: Any, branches: tuple[Callable[[], Any], Callable[[], Any]]) -> Any:
    if _plain(test):
        return branches[0]() if test != 0 else branches[1]()
    return xp.where(test != 0, branches[0](), branches[1]())


def _function(name: str, args: list[Any], xp: ModuleType) -> Any:
    if all(map(_plain, args)):
        return _ON_FLOATS[name](*args)
    if name in ("min", "max"):
        return reduce(xp.minimum if name == "min" else xp.maximum, args)
    return getattr(xp, name)(*args)
