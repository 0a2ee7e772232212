"""A formula tree as text of another language: Fortran as NM-TRAN reads it, C++ for mrgsolve, R for rxode2."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

_CHOICE, _OR, _AND, _RELATION, _SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(9)
_RELATIONS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_DOTTED: dict[type[ast.cmpop], str] = {ast.Lt: ".LT.", ast.LtE: ".LE.", ast.Gt: ".GT.", ast.GtE: ".GE.", ast.Eq: ".EQ.", ast.NotEq: ".NE."}


@dataclass(frozen=True, kw_only=True)
class Language:
    """How one language spells what the formula language has. `power` None is a function pow(a, b); `choice` None means hoisted."""

    power: str | None
    functions: Mapping[str, str]
    relations: Mapping[type[ast.cmpop], str]
    logic: tuple[str, str, str]
    choice: str | None
    whole_numbers: bool


FORTRAN = Language(
    power="**",
    functions={"exp": "EXP", "log": "LOG", "sqrt": "SQRT", "abs": "ABS"},
    relations=_DOTTED,
    logic=(".AND.", ".OR.", ".NOT."),
    choice=None,
    whole_numbers=True,
)
CPP = Language(
    power=None,
    functions={"exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "fabs"},
    relations={kind: f" {sign} " for kind, sign in _RELATIONS.items()},
    logic=(" && ", " || ", "!"),
    choice="({test} ? {body} : {orelse})",
    whole_numbers=False,
)
R = Language(
    power="^",
    functions={"exp": "exp", "log": "log", "sqrt": "sqrt", "abs": "abs"},
    relations={kind: f" {sign} " for kind, sign in _RELATIONS.items()},
    logic=(" && ", " || ", "!"),
    choice="ifelse({test}, {body}, {orelse})",
    whole_numbers=True,
)


def written(tree: ast.expr, language: Language) -> str:
    """The text of a tree that `auctor.models.exchange.trees.lowered` has made.

    >>> written(ast.parse("(HCT / 35) ** -1.14 * c ** G", mode="eval").body, CPP)
    'pow(HCT/35.0, -1.14)*pow(c, G)'
    >>> written(ast.parse("1 + k * (APGR < 5)", mode="eval").body, R)
    '1 + k*ifelse(APGR < 5, 1, 0)'
    """
    return _text(tree, language)[0]


def condition(tree: ast.expr, language: Language) -> str:
    """The text of a tree where a condition stands; a number is true where it is not 0."""
    return _condition(tree, language)[0]


def _text(node: ast.expr, language: Language) -> tuple[str, int]:
    match node:
        case ast.Constant(value=int() | float() as value):
            return _number(value, language), _ATOM
        case ast.Name(id=name):
            return name, _ATOM
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=inner):
            return ("-" if isinstance(op, ast.USub) else "+") + _inside(inner, language, _POWER), _SIGN
        case ast.BinOp():
            return _arithmetic(node, language)
        case ast.Call(func=ast.Name(id=name), args=args):
            return f"{language.functions[name]}({', '.join(written(a, language) for a in args)})", _ATOM
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _choice(language, condition(test, language), written(body, language), written(orelse, language)), _ATOM
    return _choice(language, condition(node, language), _number(1, language), _number(0, language)), _ATOM


def _number(value: float, language: Language) -> str:
    text = repr(value) if language.whole_numbers else repr(float(value))
    mantissa, exponent, power = text.partition("e")
    return text if not exponent else f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(power):+03d}"


def _choice(language: Language, test: str, body: str, orelse: str) -> str:
    if language.choice is None:
        raise TypeError("a conditional that was not hoisted")
    return language.choice.format(test=test, body=body, orelse=orelse)


def _inside(node: ast.expr, language: Language, level: int) -> str:
    text, own = _text(node, language)
    return text if own >= level else f"({text})"


def _arithmetic(node: ast.BinOp, language: Language) -> tuple[str, int]:
    left, right = node.left, node.right
    match node.op:
        case ast.Add() | ast.Sub():
            sign = " + " if isinstance(node.op, ast.Add) else " - "
            return _inside(left, language, _SUM) + sign + _inside(right, language, _PRODUCT), _SUM
        case ast.Pow():
            if language.power is None:
                return f"pow({written(left, language)}, {written(right, language)})", _ATOM
            return _inside(left, language, _ATOM) + language.power + _inside(right, language, _ATOM), _POWER
    sign = "*" if isinstance(node.op, ast.Mult) else "/"
    if sign == "/" and language.whole_numbers:
        # 3/4 of whole numbers is 0 in some languages
        left, right = _real(left), _real(right)
    return _inside(left, language, _PRODUCT) + sign + _inside(right, language, _POWER), _PRODUCT


def _real(node: ast.expr) -> ast.expr:
    return ast.Constant(float(node.value)) if isinstance(node, ast.Constant) and isinstance(node.value, int) else node


def _condition(node: ast.expr, language: Language) -> tuple[str, int]:
    both, either, no = language.logic
    match node:
        case ast.Compare(left=left, ops=ops, comparators=rest):
            sides = [_inside(side, language, _SUM) for side in (left, *rest)]
            links = [a + language.relations[type(op)] + b for a, op, b in zip(sides, ops, sides[1:], strict=False)]
            return both.join(links), _RELATION if len(links) == 1 else _AND
        case ast.BoolOp(op=ast.And(), values=values):
            return both.join(_bracketed(v, language, _AND) for v in values), _AND
        case ast.BoolOp(op=ast.Or(), values=values):
            return either.join(_bracketed(v, language, _OR) for v in values), _OR
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return f"{no}({condition(inner, language)})", _RELATION
    return _inside(node, language, _SUM) + language.relations[ast.NotEq] + _number(0, language), _RELATION


def _bracketed(node: ast.expr, language: Language, level: int) -> str:
    text, own = _condition(node, language)
    return text if own > level else f"({text})"
