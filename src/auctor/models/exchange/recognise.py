"""What a formula of thetas and etas is as a parameter: a typical value with a lognormal or normal eta, or something more."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass

from auctor.models.exchange.trees import factors, folded, names_in, product, replaced, terms, total


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A parameter in the model file's words: P = typical * exp(eta), P = typical + eta, or typical alone (`eta` None)."""

    typical: ast.expr
    eta: str | None
    distribution: str


def recognise(tree: ast.expr, etas: Collection[str]) -> Recognised | None:
    """The parts of a formula, or None where one plain eta does not say it.

    >>> found = recognise(ast.parse("THETA1 * WT * exp(ETA1)", mode="eval").body, ["ETA1"])
    >>> ast.unparse(found.typical), found.eta, found.distribution
    ('THETA1 * WT', 'ETA1', 'lognormal')
    """
    own = names_in(tree) & set(etas)
    if not own:
        return Recognised(typical=tree, eta=None, distribution="lognormal")
    if len(own) > 1:
        return None
    (eta,) = own
    return _lognormal(tree, eta) or _normal(tree, eta)


def _lognormal(tree: ast.expr, eta: str) -> Recognised | None:
    top, below = factors(tree)
    holding = [f for f in (*top, *below) if eta in names_in(f)]
    if len(holding) != 1 or holding[0] not in top:
        return None
    match holding[0]:
        case ast.Call(func=ast.Name(id="exp"), args=[argument]):
            rest = _without(argument, eta)
            if rest is None:
                return None
            others = [f for f in top if f is not holding[0]]
            shift = [] if rest == [] else [ast.Call(ast.Name("exp"), [total(rest)], [])]
            return Recognised(typical=folded(product([*others, *shift], below)), eta=eta, distribution="lognormal")
    return None


def _normal(tree: ast.expr, eta: str) -> Recognised | None:
    rest = _without(tree, eta)
    return None if rest is None else Recognised(typical=folded(total(rest)), eta=eta, distribution="normal")


def _without(tree: ast.expr, eta: str) -> list[ast.expr] | None:
    """The other terms of a sum in which the eta stands once, alone."""
    parts = terms(tree)
    alone = [p for p in parts if isinstance(p, ast.Name) and p.id == eta]
    others = [p for p in parts if not (isinstance(p, ast.Name) and p.id == eta)]
    return others if len(alone) == 1 and not any(eta in names_in(p) for p in others) else None


def leading_theta(typical: ast.expr, thetas: Collection[str]) -> tuple[str, ast.expr] | None:
    """The theta that the rest multiplies, and the rest; None where there is no such theta, or it stands twice.

    >>> theta, rest = leading_theta(ast.parse("THETA1 * (WT / 70) ** THETA2", mode="eval").body, ["THETA1", "THETA2"])
    >>> theta, ast.unparse(rest)
    ('THETA1', '(WT / 70) ** THETA2')
    """
    if isinstance(typical, ast.IfExp):
        return _shared_theta(typical, thetas)
    top, below = factors(typical)
    for factor in top:
        if isinstance(factor, ast.Name) and factor.id in thetas:
            rest = product([f for f in top if f is not factor], below)
            if factor.id not in names_in(rest):
                return factor.id, folded(rest)
    return None


def _shared_theta(typical: ast.IfExp, thetas: Collection[str]) -> tuple[str, ast.expr] | None:
    """A choice between two formulas with the same leading theta."""
    first, second = leading_theta(typical.body, thetas), leading_theta(typical.orelse, thetas)
    if first is None or second is None or first[0] != second[0] or first[0] in names_in(typical.test):
        return None
    return first[0], _common(ast.IfExp(typical.test, first[1], second[1]))


def _common(choice: ast.IfExp) -> ast.expr:
    """Factors that both branches share, before the choice."""
    (top, below), (other, beneath) = factors(choice.body), factors(choice.orelse)
    shared = [f for f in top if any(ast.dump(f) == ast.dump(g) for g in other) and not isinstance(f, ast.Constant)]
    if not shared or below or beneath:
        return choice
    dumps = [ast.dump(f) for f in shared]
    rest = [product([f for f in side if ast.dump(f) not in dumps]) for side in (top, other)]
    return folded(product([*shared, ast.IfExp(choice.test, *rest)]))


def at_zero(tree: ast.expr, etas: Collection[str]) -> ast.expr:
    """The formula where every eta is 0."""
    return folded(replaced(tree, {eta: ast.Constant(0) for eta in etas}))
