"""Formula trees reworked: names replaced, constants folded, `where`, `min` and `max` spelled as conditionals."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Mapping
from functools import reduce
from typing import Any

from auctor.errors import ModelError
from auctor.models.expressions import Expression

ZERO, ONE = ast.Constant(0), ast.Constant(1)


def formula(tree: ast.expr) -> Expression:
    """A tree as a formula with its text.

    >>> formula(ast.BinOp(ast.Name("CL"), ast.Div(), ast.Name("V"))).text
    'CL / V'
    """
    return Expression(ast.unparse(tree), tree)


def names_in(tree: ast.expr) -> frozenset[str]:
    """The names a tree reads, functions left out."""
    return Expression("", tree).names


def tree_of(text: str) -> ast.expr:
    """The tree of a formula that this package wrote itself."""
    return ast.parse(text, mode="eval").body


class _Replace(ast.NodeTransformer):
    def __init__(self, trees: Mapping[str, ast.expr]) -> None:
        self.trees = trees

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The tree that stands for this name, or the name itself."""
        return self.trees.get(node.id, node)

    def visit_Call(self, node: ast.Call) -> Any:
        """Arguments only: a function keeps its name."""
        return ast.Call(node.func, [self.visit(a) for a in node.args], [])


def replaced(tree: ast.expr, trees: Mapping[str, ast.expr]) -> ast.expr:
    """The tree with names put in place by other trees, all at once.

    >>> ast.unparse(replaced(tree_of("a * (b + a)"), {"a": tree_of("c + 1")}))
    '(c + 1) * (b + (c + 1))'
    """
    return _rebuilt(tree, _Replace(trees).visit) if names_in(tree) & trees.keys() else tree


def _rebuilt(tree: ast.expr, visit: Callable[[Any], Any]) -> ast.expr:
    # a NodeTransformer writes into the tree it is given, and would visit a node twice that stands in it twice
    made = visit(_copied(tree))
    assert isinstance(made, ast.expr)
    return made


def _copied(node: Any) -> Any:
    def part(value: Any) -> Any:
        return _copied(value) if isinstance(value, ast.AST) else [part(v) for v in value] if isinstance(value, list) else value

    return type(node)(**{name: part(value) for name, value in ast.iter_fields(node)})


def renamed(tree: ast.expr, names: Mapping[str, str]) -> ast.expr:
    """The tree with other names; a new name may be a symbol such as `ETA(1)`."""
    return replaced(tree, {old: ast.Name(new) for old, new in names.items()})


class _Lower(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> Any:
        """`where`, `min` and `max` as conditionals; any other function as it stands."""
        args = [self.visit(a) for a in node.args]
        match node.func:
            case ast.Name(id="where"):
                return ast.IfExp(*args)
            case ast.Name(id="min" | "max" as name):
                sign = ast.Lt() if name == "min" else ast.Gt()
                return reduce(lambda a, b: ast.IfExp(ast.Compare(a, [sign], [b]), a, b), args)
        return ast.Call(node.func, args, [])


def lowered(tree: ast.expr) -> ast.expr:
    """Only `a if c else b` for every choice.

    >>> ast.unparse(lowered(tree_of("max(0, where(s == 1, a, b))")))
    '0 if 0 > (a if s == 1 else b) else a if s == 1 else b'
    """
    return _rebuilt(tree, _Lower().visit)


def _constant(tree: ast.expr) -> float | None:
    match tree:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -float(value)
    return None


def number(value: float) -> ast.expr:
    """A number as a tree; below zero as a sign and a number."""
    tidy = int(value) if value.is_integer() and abs(value) < 1e15 else value
    return ast.Constant(tidy) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-tidy))


class _Fold(ast.NodeTransformer):
    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        """Arithmetic with 0, 1 and numbers done."""
        left, right = self.visit(node.left), self.visit(node.right)
        a, b = _constant(left), _constant(right)
        if a is not None and b is not None:
            return _computed(node.op, a, b) or ast.BinOp(left, node.op, right)
        return _neutral(node.op, (left, a), (right, b)) or ast.BinOp(left, node.op, right)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        """Two signs cancel; a plus goes."""
        inner = self.visit(node.operand)
        if isinstance(node.op, ast.UAdd):
            return inner
        if isinstance(node.op, ast.USub) and _constant(inner) == 0:
            return ZERO
        if isinstance(node.op, ast.USub) and isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.USub):
            return inner.operand
        return ast.UnaryOp(node.op, inner)

    def visit_Call(self, node: ast.Call) -> Any:
        """A function of a number, and exp(log(x))."""
        args = [self.visit(a) for a in node.args]
        match node.func, args:
            case ast.Name(id="exp"), [ast.Call(func=ast.Name(id="log"), args=[inner])]:
                return inner
            case ast.Name(id="exp" | "log" | "sqrt" as name), [only] if (a := _constant(only)) is not None:
                if name == "exp" or a > 0:
                    return number(float(getattr(math, name)(a)))
        return ast.Call(node.func, args, [])

    def visit_Compare(self, node: ast.Compare) -> Any:
        """A choice between numbers compared with a number is the condition of the choice."""
        sides = [self.visit(side) for side in (node.left, *node.comparators)]
        if len(sides) == 2 and isinstance(node.ops[0], ast.Eq) and (wanted := _constant(sides[1])) is not None:
            return _equals(sides[0], wanted) or ast.Compare(sides[0], node.ops, sides[1:])
        return ast.Compare(sides[0], node.ops, sides[1:])

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        """Conditions that are known drop out."""
        values = [self.visit(v) for v in node.values]
        decisive = isinstance(node.op, ast.Or)
        known = [truth(v) for v in values]
        if decisive in known:
            return ast.Constant(int(decisive))
        left = [v for v, k in zip(values, known, strict=True) if k is None]
        return ast.BoolOp(node.op, left) if len(left) > 1 else left[0] if left else ast.Constant(int(not decisive))

    def visit_IfExp(self, node: ast.IfExp) -> Any:
        """The branch that is taken, where that is known; 1 if c else 0 is c."""
        test, body, orelse = self.visit(node.test), self.visit(node.body), self.visit(node.orelse)
        known = truth(test)
        if known is not None:
            return body if known else orelse
        body, orelse = _assuming(body, test), _assuming(orelse, inverse(test))
        if _constant(body) == 1 and _constant(orelse) == 0 and isinstance(test, ast.Compare | ast.BoolOp):
            return test
        return body if ast.dump(body) == ast.dump(orelse) else ast.IfExp(test, body, orelse)


def _assuming(tree: ast.expr, test: ast.expr) -> ast.expr:
    """A branch, where the condition it stands under is known to hold."""
    if not has_choice(tree):
        return tree
    changed = _Known(test)
    made = _rebuilt(tree, changed.visit)
    return folded(made) if changed.found else tree


class _Known(ast.NodeTransformer):
    def __init__(self, test: ast.expr) -> None:
        self.facts = {ast.dump(test): ONE, ast.dump(inverse(test)): ZERO}
        self.found = False

    def visit(self, node: ast.AST) -> Any:
        """1 or 0 in place of a condition that is known."""
        fact = self.facts.get(ast.dump(node)) if isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp) else None
        self.found = self.found or fact is not None
        return fact if fact is not None else self.generic_visit(node)


def _equals(tree: ast.expr, wanted: float) -> ast.expr | None:
    """The condition under which a choice between numbers is `wanted`; None for anything else."""
    if (value := _constant(tree)) is not None:
        return ast.Constant(int(value == wanted))
    if isinstance(tree, ast.Compare | ast.BoolOp):
        tree = ast.IfExp(tree, ONE, ZERO)
    if not isinstance(tree, ast.IfExp):
        return None
    body, orelse = _equals(tree.body, wanted), _equals(tree.orelse, wanted)
    if body is None or orelse is None:
        return None
    first, second = ast.BoolOp(ast.And(), [tree.test, body]), ast.BoolOp(ast.And(), [inverse(tree.test), orelse])
    return folded(ast.BoolOp(ast.Or(), [folded(first), folded(second)]))


def inverse(test: ast.expr) -> ast.expr:
    """The condition that holds where this one does not."""
    opposite: dict[type[ast.cmpop], type[ast.cmpop]] = {
        ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq
    }  # fmt: skip
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return ast.Compare(test.left, [opposite[type(test.ops[0])]()], test.comparators)
    return test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else ast.UnaryOp(ast.Not(), test)


def truth(test: ast.expr) -> bool | None:
    """Whether a condition of numbers alone holds; None where it reads a name."""
    if names_in(test):
        return None
    return bool(Expression("", test).evaluate({}, math))


def _computed(op: ast.operator, a: float, b: float) -> ast.expr | None:
    expression = ast.BinOp(number(a), op, number(b))
    try:
        value = float(Expression(ast.unparse(expression), expression).evaluate({}, math))
    except ModelError:
        return None
    exact = value.is_integer() or not (a.is_integer() and b.is_integer())
    return number(value) if exact and math.isfinite(value) else None


def _neutral(op: ast.operator, first: tuple[ast.expr, float | None], second: tuple[ast.expr, float | None]) -> ast.expr | None:
    (left, a), (right, b) = first, second
    match op:
        case ast.Add():
            return right if a == 0 else left if b == 0 else None
        case ast.Sub():
            return ast.UnaryOp(ast.USub(), right) if a == 0 else left if b == 0 else None
        case ast.Mult():
            return ZERO if 0 in (a, b) else right if a == 1 else left if b == 1 else None
        case ast.Div():
            return ZERO if a == 0 else left if b == 1 else None
        case ast.Pow():
            return left if b == 1 else ONE if b == 0 else None
    return None


def folded(tree: ast.expr) -> ast.expr:
    """The tree with the arithmetic on numbers done and terms of zero dropped.

    >>> ast.unparse(folded(tree_of("F1 * 0 - KA * depot + 0 / D")))
    '-(KA * depot)'
    """
    return _rebuilt(tree, _Fold().visit)


def has_choice(tree: ast.expr) -> bool:
    """Whether a conditional or a comparison stands anywhere in a tree."""
    return any(isinstance(node, ast.IfExp | ast.Compare | ast.BoolOp | ast.Not) for node in ast.walk(tree))


def factors(tree: ast.expr) -> tuple[list[ast.expr], list[ast.expr]]:
    """Numerators and denominators of a product; a sign counts as a factor of -1."""
    match tree:
        case ast.BinOp(op=ast.Mult(), left=left, right=right):
            (a, b), (c, d) = factors(left), factors(right)
            return a + c, b + d
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            (a, b), (c, d) = factors(left), factors(right)
            return a + d, b + c
    return [tree], []


def product(numerators: Collection[ast.expr], denominators: Collection[ast.expr] = ()) -> ast.expr:
    """Factors multiplied together again; 1 without any."""
    parts = list(numerators)
    top = reduce(lambda a, b: ast.BinOp(a, ast.Mult(), b), parts) if parts else ONE
    return reduce(lambda a, b: ast.BinOp(a, ast.Div(), b), denominators, top)


def cancelled(tree: ast.expr) -> ast.expr:
    """A quotient without the factors that stand above and below.

    >>> ast.unparse(cancelled(tree_of("CL / (V * S) * V")))
    'CL / S'
    """
    top, below = factors(tree)
    for factor in list(below):
        twin = next((f for f in top if ast.dump(f) == ast.dump(factor)), None)
        if twin is not None:
            top.remove(twin)
            below.remove(factor)
    return folded(product(top, below)) if below or len(top) > 1 else tree if top else ONE


def terms(tree: ast.expr) -> list[ast.expr]:
    """The terms of a sum, subtracted ones with their sign."""
    match tree:
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return terms(left) + terms(right)
        case ast.BinOp(op=ast.Sub(), left=left, right=right):
            return terms(left) + [ast.UnaryOp(ast.USub(), t) for t in terms(right)]
    return [tree]


def total(parts: Collection[ast.expr]) -> ast.expr:
    """Terms added together again; 0 without any."""
    listed = list(parts)
    return reduce(lambda a, b: ast.BinOp(a, ast.Add(), b), listed) if listed else ZERO
