"""A checked formula tree walked for print: where brackets go is decided here, how a fraction looks by the `Notation` (LaTeX, MathML)."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod

_SUM, _PRODUCT, _SIGNED, _ATOM = 1, 2, 3, 4
_RELATIONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=", ast.NotEq: "!="}


class Notation(ABC):
    """A way to print formulas: subclasses say how each piece looks, `render` puts the pieces together."""

    def render(self, node: ast.expr) -> str:
        """A tree made by `auctor.models.expressions.parse` in this notation."""
        match node:
            case ast.Constant(value=value):
                digits, _, power = f"{float(value):.12g}".partition("e")  # type: ignore[arg-type]  # the parser lets only real numbers through
                return self.number(digits, power)
            case ast.Name(id=name):
                return self.symbol(name)
            case ast.UnaryOp(op=op, operand=operand):
                sign = "not" if isinstance(op, ast.Not) else "-" if isinstance(op, ast.USub) else "+"
                return self.prefix(sign) + self._enclosed(operand, _SIGNED)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.Compare() | ast.BoolOp():
                return self._condition(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.cases(*map(self.render, (test, body, orelse)))
            case ast.Call(func=ast.Name(id=name), args=args):
                parts = [self.render(arg) for arg in args]
                return self.cases(*parts) if name == "where" else self.call(name, parts)
        raise TypeError(type(node).__name__)

    def _arithmetic(self, node: ast.BinOp) -> str:
        match node.op:
            case ast.Div():
                return self.fraction(self.render(node.left), self.render(node.right))
            case ast.Pow():
                return self.power(self._enclosed(node.left, _ATOM), self.render(node.right))
        level = _level(node)
        sign = "+" if isinstance(node.op, ast.Add) else "-" if isinstance(node.op, ast.Sub) else "*"
        return self._enclosed(node.left, level) + self.operator(sign) + self._enclosed(node.right, level + 1)

    def _condition(self, node: ast.Compare | ast.BoolOp) -> str:
        if isinstance(node, ast.BoolOp):
            return self.operator("and" if isinstance(node.op, ast.And) else "or").join(self._enclosed(v, _SUM) for v in node.values)
        pairs = zip(node.ops, node.comparators, strict=True)
        rest = (self.operator(_RELATIONS[type(op)]) + self._enclosed(v, _SUM) for op, v in pairs)
        return self._enclosed(node.left, _SUM) + "".join(rest)

    def _enclosed(self, node: ast.expr, level: int) -> str:
        text = self.render(node)
        return text if _level(node) >= level else self.bracketed(text)

    @abstractmethod
    def number(self, digits: str, power: str) -> str:
        """A number, with the power of ten ("" for none)."""

    @abstractmethod
    def symbol(self, name: str) -> str:
        """A name."""

    @abstractmethod
    def operator(self, sign: str) -> str:
        """One of + - * < <= > >= = != not and or, with its spaces."""

    def prefix(self, sign: str) -> str:
        """+ - or not in front of what it belongs to."""
        return self.operator(sign)

    @abstractmethod
    def fraction(self, above: str, below: str) -> str:
        """A quotient."""

    @abstractmethod
    def power(self, base: str, exponent: str) -> str:
        """A power; the base has its brackets."""

    @abstractmethod
    def cases(self, test: str, body: str, orelse: str) -> str:
        """One value under a condition and another otherwise."""

    @abstractmethod
    def call(self, name: str, args: list[str]) -> str:
        """A function of its arguments."""

    @abstractmethod
    def bracketed(self, text: str) -> str:
        """A part in brackets."""


def _level(node: ast.expr) -> int:
    match node:
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            return _SUM
        case ast.BinOp(op=ast.Mult()):
            return _PRODUCT
        case ast.UnaryOp():
            return _SIGNED
        case ast.Compare() | ast.BoolOp() | ast.IfExp():
            return 0
        case ast.Constant(value=float() | int() as value) if "e" in f"{value:.12g}":
            return _PRODUCT
        # a fraction or a power under an exponent needs its brackets
        case ast.BinOp():
            return _SIGNED
    return _ATOM
