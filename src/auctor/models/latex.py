"""Print a checked formula tree as LaTeX."""

from __future__ import annotations

import ast

_SIGNS = {ast.Add: " + ", ast.Sub: " - ", ast.Mult: r" \cdot "}
_RELATIONS = {ast.Lt: "<", ast.LtE: r"\leq", ast.Gt: ">", ast.GtE: r"\geq", ast.Eq: "=", ast.NotEq: r"\neq"}
_SUM, _PRODUCT, _SIGNED, _ATOM = 1, 2, 3, 4


def symbol(name: str) -> str:
    r"""A name in upright type.

    >>> symbol("hct_cl")
    '\\mathrm{hct\\_cl}'
    """
    return r"\mathrm{" + name.replace("_", r"\_") + "}"


def render(node: ast.expr) -> str:
    r"""LaTeX of a tree made by `auctor.models.expressions.parse`.

    >>> render(ast.parse("a * (b + 1)", mode="eval").body)
    '\\mathrm{a} \\cdot \\left(\\mathrm{b} + 1\\right)'
    """
    match node:
        case ast.Constant(value=value):
            return _number(float(value))  # type: ignore[arg-type]  # the parser lets only real numbers through
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=op, operand=operand):
            return _sign(op) + _enclosed(operand, _SIGNED)
        case ast.BinOp():
            return _arithmetic(node)
        case ast.Compare() | ast.BoolOp():
            return _condition(node)
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _cases(test, body, orelse)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _call(name, args)
    raise TypeError(type(node).__name__)


def _number(value: float) -> str:
    digits, _, power = f"{value:.12g}".partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


def _sign(op: ast.unaryop) -> str:
    return r"\lnot " if isinstance(op, ast.Not) else "-" if isinstance(op, ast.USub) else "+"


def _arithmetic(node: ast.BinOp) -> str:
    match node.op:
        case ast.Div():
            return rf"\frac{{{render(node.left)}}}{{{render(node.right)}}}"
        case ast.Pow():
            return f"{_enclosed(node.left, _ATOM)}^{{{render(node.right)}}}"
    level = _level(node)
    return _enclosed(node.left, level) + _SIGNS[type(node.op)] + _enclosed(node.right, level + 1)


def _condition(node: ast.Compare | ast.BoolOp) -> str:
    if isinstance(node, ast.BoolOp):
        return (r" \land " if isinstance(node.op, ast.And) else r" \lor ").join(_enclosed(v, _SUM) for v in node.values)
    pairs = zip(node.ops, node.comparators, strict=True)
    return _enclosed(node.left, _SUM) + "".join(f" {_RELATIONS[type(op)]} {_enclosed(v, _SUM)}" for op, v in pairs)


def _cases(test: ast.expr, body: ast.expr, orelse: ast.expr) -> str:
    rows = rf"{render(body)} & \text{{if }} {render(test)} \\ {render(orelse)} & \text{{otherwise}}"
    return rf"\begin{{cases}} {rows} \end{{cases}}"


def _call(name: str, args: list[ast.expr]) -> str:
    if name == "where":
        return _cases(*args)
    if name == "sqrt":
        return rf"\sqrt{{{render(args[0])}}}"
    if name == "abs":
        return rf"\left|{render(args[0])}\right|"
    return rf"\{name}\left({', '.join(map(render, args))}\right)"


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


def _enclosed(node: ast.expr, level: int) -> str:
    text = render(node)
    return text if _level(node) >= level else rf"\left({text}\right)"
