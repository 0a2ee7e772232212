"""$ERROR understood by evaluating it: the prediction, whether it is on the log scale, and which residual error the SD follows."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from auctor.errors import ModelError
from auctor.models.exchange.trees import folded, formula, names_in, replaced

Array = NDArray[np.float64]
Point = Mapping[str, float]
KINDS = "additive, proportional, both (variances or SDs added), power, or additive on the logarithm"
RTOL = 1e-9
NOTHING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One output: its prediction (the concentration, also where Y is on the log scale) and its residual error, SDs in its unit."""

    prediction: ast.expr
    kind: str
    proportional: float
    additive: float
    power: float
    exponential: bool = False


def observation(y: ast.expr, sigma: Array, points: Sequence[Point], where: str) -> Observation:
    """Read Y, a tree of amounts, parameters and EPS1 .., at `points` (values of all other names). ModelError where no kind fits.

    >>> y = ast.parse("A1 / V + EPS1 * sqrt((0.1 * A1 / V) ** 2 + 0.25)", mode="eval").body
    >>> points = [{"A1": a, "V": 10.0} for a in (1.0, 20.0, 300.0, 4000.0)]
    >>> found = observation(y, np.array([[1.0]]), points, "x")
    >>> found.kind, found.proportional, found.additive
    ('combined', 0.1, 0.5)
    """
    epsilons = [f"EPS{k + 1}" for k in range(len(sigma))]
    y = _unguarded(y, epsilons, points)
    bare = folded(replaced(y, dict.fromkeys(epsilons, ast.Constant(0))))
    logged = isinstance(bare, ast.Call) and isinstance(bare.func, ast.Name) and bare.func.id == "log"
    prediction = bare.args[0] if logged and isinstance(bare, ast.Call) else bare
    f = np.asarray([_value(prediction, p) for p in points])
    sd, exponential = _sds(y, epsilons, sigma, points, where)
    if logged:
        return Observation(prediction=prediction, kind="log", proportional=_log(sd, where), additive=0.0, power=1.0)
    kind, b, a, p = _fitted(f, sd, where)
    return Observation(prediction=prediction, kind=kind, proportional=b, additive=a, power=p, exponential=exponential)


def _value(tree: ast.expr, point: Point) -> float:
    return float(formula(tree).evaluate(point, math))


def _unguarded(tree: ast.expr, epsilons: Sequence[str], points: Sequence[Point]) -> ast.expr:
    """The tree without its guards: tests of an amount against 0 (before a logarithm, or for a weight) that are the same at every point."""
    quiet = dict.fromkeys(epsilons, 0.0)

    class Guards(ast.NodeTransformer):
        def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
            """The branch that a concentration above zero takes."""
            taken = {_value(node.test, {**p, **quiet}) != 0 for p in points} if _is_guard(node.test) else set()
            made = self.visit(node.body if True in taken else node.orelse) if len(taken) == 1 else self.generic_visit(node)
            assert isinstance(made, ast.expr)
            return made

    made = Guards().visit(folded(tree))
    assert isinstance(made, ast.expr)
    return folded(made)


def _is_guard(test: ast.expr) -> bool:
    """Whether a test compares something built from the amounts with 0 or as good as 0."""
    match test:
        case ast.Compare(left=left, ops=[_], comparators=[ast.Constant(value=int() | float() as bound)]):
            return abs(bound) < NOTHING and any(n[0] == "A" and n[1:].isdigit() for n in names_in(left))
    return False


def _sds(y: ast.expr, epsilons: Sequence[str], sigma: Array, points: Sequence[Point], where: str) -> tuple[Array, bool]:
    """SD of Y at every point; Y must be linear in the epsilons, or F * EXP(EPS), which NONMEM takes to first order."""
    found, exponential = [], False
    for point in points:
        base = {**point, **dict.fromkeys(epsilons, 0.0)}
        y0 = _value(y, base)
        slopes = []
        for name in epsilons:
            one, two = (_value(y, {**base, name: step}) for step in (0.01, 0.02))
            linear = math.isclose(two - y0, 2 * (one - y0), rel_tol=1e-7, abs_tol=1e-12 * abs(y0))
            if not linear and not (one > 0 and math.isclose(math.log(two / y0), 2 * math.log(one / y0), rel_tol=1e-7)):
                what = f"Y is neither linear in {name} nor F * EXP({name})"
                raise ModelError(where=where, what=what, remedy=f"write Y = F + W*EPS(1), the error {KINDS}")
            exponential = exponential or not linear
            # unit steps are exact for a linear Y
            slopes.append(_value(y, {**base, name: 1.0}) - y0 if linear else y0 * math.log(one / y0) / 0.01)
        found.append(math.sqrt(max(float(np.asarray(slopes) @ sigma @ np.asarray(slopes)), 0.0)))
    return np.asarray(found), exponential


def _log(sd: Array, where: str) -> float:
    if not np.allclose(sd, sd[0], rtol=RTOL):
        raise ModelError(where=where, what="the error on the logarithm is not one number", remedy="use one additive SD on log(F)")
    return _tidy(sd[0])


def _fitted(f: Array, sd: Array, where: str) -> tuple[str, float, float, float]:
    """The first kind whose two or three numbers, solved from the first points, give the SD at all of them."""
    solvers: dict[str, Callable[[Array, Array], tuple[float, float, float]]] = {
        "combined": _combined, "combined1": _combined1, "power": _power,
    }  # fmt: skip
    for kind, solve in solvers.items():
        b, a, p = solve(f, sd)
        shaped = np.sqrt((b * f) ** 2 + a**2) if kind == "combined" else b * f**p + a
        if all(map(math.isfinite, (a, b, p))) and min(a, b) >= 0 and np.allclose(shaped, sd, rtol=RTOL, atol=0.0):
            return kind, _tidy(b), _tidy(a), _tidy(p)
    remedy = f"auctor knows these errors, the same for every patient: {KINDS}; rewrite $ERROR as one of them"
    raise ModelError(where=where, what="the residual error is none that auctor knows", remedy=remedy)


def _combined(f: Array, sd: Array) -> tuple[float, float, float]:
    slope, level = _line(f**2, sd**2)
    if slope < 0 or level < 0:
        return math.nan, math.nan, 1.0
    return math.sqrt(slope), math.sqrt(level), 1.0


def _combined1(f: Array, sd: Array) -> tuple[float, float, float]:
    return (*_line(f, sd), 1.0)


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Slope and level through the two outermost points; a part that is nothing but rounding is 0."""
    low, high = int(np.argmin(x)), int(np.argmax(x))
    slope = (y[high] - y[low]) / (x[high] - x[low])
    level = y[low] - slope * x[low]
    small = 1e-11 * np.abs(y)
    slope = 0.0 if abs(slope * x[high]) < small[high] else slope
    return float(slope), 0.0 if abs(level) < small[low] else float(level)


def _power(f: Array, sd: Array) -> tuple[float, float, float]:
    """SD = b f^p + a from three points in geometric progression, which the first three points must be."""
    first, second, third = (float(v) for v in sd[:3])
    rise, ratios = (second - first, third - second), [float(b / a) for a, b in pairwise(f[:3])]
    if rise[0] == 0 or rise[1] / rise[0] <= 0 or not math.isclose(*ratios, rel_tol=1e-9):
        return math.nan, math.nan, math.nan
    p = math.log(rise[1] / rise[0]) / math.log(ratios[0])
    b = rise[0] / (float(f[1]) ** p - float(f[0]) ** p)
    a = first - b * float(f[0]) ** p
    return b, 0.0 if abs(a) < 1e-9 * first else a, p


def _tidy(value: float) -> float:
    return float(f"{value:.12g}")
