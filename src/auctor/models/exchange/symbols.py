"""Pharmpy's symbolic expressions as formula trees; what the formula language has no word for is refused by name."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from auctor.errors import ModelError
from auctor.models.exchange.trees import folded, number, product, total

_RELATIONS: dict[str, type[ast.cmpop]] = {
    "Equality": ast.Eq,
    "Unequality": ast.NotEq,
    "StrictLessThan": ast.Lt,
    "LessThan": ast.LtE,
    "StrictGreaterThan": ast.Gt,
    "GreaterThan": ast.GtE,
}
_FUNCTIONS = {"exp": "exp", "log": "log", "Abs": "abs"}
LACKING = "__nothing__"  # stands where an IF has no ELSE


def tree_from(expression: Any, rename: Callable[[str], str], where: str) -> ast.expr:
    """The tree of a sympy expression, its symbols renamed; ModelError naming `where` for a function without a counterpart.

    >>> import sympy
    >>> x, y = sympy.symbols("WT THETA_1", real=True)
    >>> ast.unparse(tree_from(0.0285714285714286 * x * y**-1 + sympy.exp(y), lambda name: name, "CL"))
    'WT / (35 * THETA_1) + exp(THETA_1)'
    """
    return folded(_Walk(rename, where).tree(expression))


class _Walk:
    def __init__(self, rename: Callable[[str], str], where: str) -> None:
        self.rename, self.where = rename, where

    def tree(self, e: Any) -> ast.expr:
        """One node and what is below it."""
        if e.is_Symbol or (getattr(e, "is_Function", False) and str(e.func).startswith("A_")):
            return ast.Name(self.rename(e.name if e.is_Symbol else str(e.func)))
        if e.is_Number:
            return _number(e)
        if e.is_Add:
            return self._sum(e)
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(e)
        return self._other(e)

    def _other(self, e: Any) -> ast.expr:
        kind = type(e).__name__
        if kind in _RELATIONS:
            return ast.Compare(self.tree(e.args[0]), [_RELATIONS[kind]()], [self.tree(e.args[1])])
        if kind in ("And", "Or"):
            return ast.BoolOp(ast.And() if kind == "And" else ast.Or(), [self.tree(a) for a in sorted(e.args, key=str)])
        if kind == "Not":
            return ast.UnaryOp(ast.Not(), self.tree(e.args[0]))
        if kind in ("BooleanTrue", "BooleanFalse"):
            return ast.Constant(1 if kind == "BooleanTrue" else 0)
        if kind == "Piecewise":
            return self._piecewise(e)
        if kind in _FUNCTIONS:
            return ast.Call(ast.Name(_FUNCTIONS[kind]), [self.tree(e.args[0])], [])
        raise ModelError(
            where=self.where,
            what=f"{kind} has no counterpart in the formula language",
            remedy="rewrite the statement with + - * / **, EXP, LOG, SQRT, ABS and IF, then import again",
        )

    def _sum(self, e: Any) -> ast.expr:
        parts = [self.tree(a) for a in e.args]
        # what is added before what is taken away
        ordered = sorted(parts, key=lambda p: isinstance(p, ast.UnaryOp))
        made = ordered[0]
        for part in ordered[1:]:
            minus = isinstance(part, ast.UnaryOp) and isinstance(part.op, ast.USub)
            made = ast.BinOp(made, ast.Sub(), part.operand) if minus and isinstance(part, ast.UnaryOp) else total([made, part])
        return made

    def _product(self, e: Any) -> ast.expr:
        top: list[ast.expr] = []
        below: list[ast.expr] = []
        sign = False
        for factor in e.args:
            if factor.is_Number:
                value = float(factor)
                sign, value = value < 0, abs(value)
                _number_in(value, top, below)
            elif factor.is_Pow and factor.exp.is_Number and factor.exp.is_negative:
                below.append(self.tree(1 / factor))
            else:
                top.append(self.tree(factor))
        _centre(top)
        made = product(top)
        made = ast.BinOp(made, ast.Div(), product(below)) if below else made
        return ast.UnaryOp(ast.USub(), made) if sign else made

    def _power(self, e: Any) -> ast.expr:
        base, exponent = e.base, e.exp
        if exponent.is_Number and float(exponent) == 0.5:
            return ast.Call(ast.Name("sqrt"), [self.tree(base)], [])
        if exponent.is_Number and float(exponent) == -1:
            return ast.BinOp(ast.Constant(1), ast.Div(), self.tree(base))
        return ast.BinOp(self.tree(base), ast.Pow(), self.tree(exponent))

    def _piecewise(self, e: Any) -> ast.expr:
        made: ast.expr = ast.Name(LACKING)
        for value, test in reversed(e.args):
            made = self.tree(value) if test == True else ast.IfExp(self.tree(test), self.tree(value), made)  # noqa: E712
        return made


def _centre(top: list[ast.expr]) -> None:
    """c * WT ** p as (WT / reference) ** p, where c = reference ** -p for a reference of a few digits, as it was written."""
    powers = [(k, f) for k, f in enumerate(top) if isinstance(f, ast.BinOp) and isinstance(f.op, ast.Pow) and isinstance(f.left, ast.Name)]
    numbers = [(k, f) for k, f in enumerate(top) if isinstance(f, ast.Constant)]
    if len(powers) != 1 or len(numbers) != 1:
        return
    (at, power), (own, constant) = powers[0], numbers[0]
    match power.right:
        case ast.Constant(value=int() | float() as p):
            exponent = float(p)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as p)):
            exponent = -float(p)
        case _:
            return
    reference = float(constant.value) ** (-1 / exponent)  # type: ignore[arg-type]
    short = float(f"{reference:.5g}")
    if exponent != 1 and abs(reference - short) <= 1e-13 * short:
        top[at] = ast.BinOp(ast.BinOp(power.left, ast.Div(), number(short)), ast.Pow(), power.right)
        del top[own]


def _number(e: Any) -> ast.expr:
    if e.is_Rational and not e.is_Integer:
        top: list[ast.expr] = []
        below: list[ast.expr] = []
        _number_in(abs(float(e)), top, below)
        made = product(top, below)
        return ast.UnaryOp(ast.USub(), made) if e < 0 else made
    return number(float(e))


def _number_in(value: float, top: list[ast.expr], below: list[ast.expr]) -> None:
    """A factor of a product: 0.0285714285714286 was written as a division by 35, and stands so again."""
    if value == 1:
        return
    inverse = 1 / value
    short = float(f"{inverse:.6g}")
    if abs(inverse - short) <= 4e-15 * inverse and len(f"{short:.6g}") < len(repr(value)) - 4:
        below.append(number(short))
    else:
        top.append(number(value))
