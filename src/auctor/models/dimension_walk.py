"""The unit of a formula: its tree walked with the units of its names, unknown units solved on the way, and what does not fit noted."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from auctor.errors import ModelError
from auctor.models.expressions import Expression
from auctor.models.unit_algebra import NUMBER, Unifier, Units, shown, times


@dataclass(frozen=True, kw_only=True)
class Clash:
    """One thing that does not fit: the piece of formula, in words, and whether a plain number is all that is wrong with it."""

    text: str
    what: str
    mild: bool


@dataclass(kw_only=True)
class Walk:
    """One walk over one formula. `names` are the units known, `values` the numbers of its constants (for exponents).

    `covariates` are the names whose unit a number beside them takes (70 in WT / 70). `free` are the numbers, counted as they are met,
    that may take whatever unit fits; every other number is a plain number, except in a sum, a comparison or a choice. `settled` are the
    numbers whose unit their place decides; `label` tells this formula's unknowns from those of others.
    """

    names: Mapping[str, Units]
    values: Mapping[str, float]
    covariates: Collection[str]
    unifier: Unifier
    free: Collection[int] = ()
    label: str = ""
    start: int = 0
    clashes: list[Clash] = field(default_factory=list)
    literals: dict[int, tuple[float, Units]] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)

    def unit(self, node: ast.expr, *, takes: bool = False) -> Units:
        """The unit of a piece; `takes` says that a number standing here takes the unit of what is beside it."""
        match node:
            case ast.Constant(value=value):
                return self._literal(float(value), takes=takes)  # type: ignore[arg-type]  # checked by the parser
            case ast.Name(id=name):
                return self.unifier.reduced(self.names[name])
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                self.unit(inner, takes=True)
                return NUMBER
            case ast.UnaryOp(operand=inner):
                return self.unit(inner, takes=takes)
            case ast.BinOp():
                return self._pair(node)
            case ast.Compare(left=left, comparators=rest):
                self._same([left, *rest], node)
                return NUMBER
            case ast.BoolOp(values=parts):
                for part in parts:
                    self.unit(part, takes=True)
                return NUMBER
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.unit(test, takes=True)
                return self._same([body, orelse], node)
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, args, node)
        raise TypeError(type(node).__name__)

    def _literal(self, value: float, *, takes: bool) -> Units:
        index = self.start + len(self.literals)
        units: Units = {f"?#{self.label}.{index:03d}": 1.0} if takes or index in self.free else NUMBER
        self.literals[index] = value, units
        if takes:
            self.settled.add(index)
        return units

    def _pair(self, node: ast.BinOp) -> Units:
        match node.op:
            case ast.Add() | ast.Sub():
                return self._same([node.left, node.right], node)
            case ast.Mult():
                return self._product(node, 1.0)
            case ast.Div():
                return self._product(node, -1.0)
        return self._raised(node)

    def _product(self, node: ast.BinOp, power: float) -> Units:
        before = self.start + len(self.literals)
        left, right = self.unit(node.left), self.unit(node.right)
        beside = self._beside(node, before) if power < 0 else NUMBER
        return self.unifier.reduced(times(times(left, right, power), beside, -1.0))

    def _beside(self, node: ast.BinOp, before: int) -> Units:
        """The unit that a number of this division has from the covariate it divides (WT / 70) or is divided by (54 / SCR)."""
        trail = node.left.right if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult) else node.left
        trail = node.left if self._of_covariates(node.left) else trail
        if _number(node.right) and self._of_covariates(trail):
            self.settled.add(self.start + len(self.literals) - 1)
            return self._quiet(trail)
        if _number(node.left) and self._of_covariates(node.right):
            self.settled.add(before)
            return times({}, self._quiet(node.right), -1.0)
        return NUMBER

    def _quiet(self, node: ast.expr) -> Units:
        """The unit of a piece that has been walked already."""
        again = Walk(names=self.names, values=self.values, covariates=self.covariates, unifier=self.unifier.copy(), label=f"{self.label}~")
        return again.unit(node)

    def _of_covariates(self, node: ast.expr) -> bool:
        names = Expression("", node).names
        return bool(names) and all(name in self.covariates for name in names)

    def _raised(self, node: ast.BinOp) -> Units:
        base, exponent = self.unit(node.left), self._exponent(node.right)
        self._plain(self.unit(node.right), node.right, "an exponent")
        if exponent is None:
            return self._varying(base, node)
        return self.unifier.reduced(times({}, base, exponent))

    def _varying(self, base: Units, node: ast.BinOp) -> Units:
        """A power that varies, as C ** GAM of a Hill curve: mg^(GAM) cancels against itself and nothing else."""
        if any(name.startswith("?") for name in base):
            self._plain(base, node.left, "raised to a power that varies")
            return NUMBER
        power = ast.unparse(node.right)
        return {f"{name}^({power})": n for name, n in base.items()}

    def _exponent(self, node: ast.expr) -> float | None:
        """The exponent's number, where it is one."""
        if not Expression("", node).names <= self.values.keys():
            return None
        try:
            return float(Expression(ast.unparse(node), node).evaluate(dict(self.values)))
        except ModelError:
            return None

    def _same(self, nodes: list[ast.expr], whole: ast.expr) -> Units:
        """Every piece in one unit, which is the unit of the whole."""
        first, *rest = [self.unit(node, takes=True) for node in nodes]
        for other in rest:
            if self.unifier.equal(first, other):
                continue
            one, two = self.unifier.reduced(first), self.unifier.reduced(other)
            self._clash(whole, f"{shown(one)} beside {shown(two)}", mild=not one or not two)
            first = one or two
        common = self.unifier.reduced(first)
        if any(base.startswith("?") for base in common) and any(_number(node) and not _zero(node) for node in nodes):
            self.unifier.equal(common, NUMBER)  # 1 + b * SEX: nothing here has a unit
        return self.unifier.reduced(common)

    def _call(self, name: str, args: list[ast.expr], node: ast.expr) -> Units:
        if name in ("exp", "log"):
            self._plain(self.unit(args[0]), args[0], f"the argument of {name}")
            return NUMBER
        if name == "sqrt":
            return self.unifier.reduced(times({}, self.unit(args[0]), 0.5))
        if name == "where":
            self.unit(args[0], takes=True)
            return self._same(args[1:], node)
        return self._same(args, node)

    def _plain(self, units: Units, node: ast.expr, part: str) -> None:
        if not self.unifier.equal(units, NUMBER):
            self._clash(node, f"{shown(self.unifier.reduced(units))} as {part}", mild=False)

    def _clash(self, node: ast.expr, what: str, *, mild: bool) -> None:
        # what reads covariates alone is right as long as they are in their declared units
        names = Expression("", node).names
        printed = all(name in self.covariates or name in self.values for name in names)
        self.clashes.append(Clash(text=ast.unparse(node), what=what, mild=mild or printed))


def _zero(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant))
