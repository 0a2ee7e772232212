"""The equations of a model written out with its numbers, as plain text, LaTeX and MathML."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from auctor.models import latex, mathml
from auctor.models.expressions import Expression, parse
from auctor.models.model import DrugModel, Parameter, Residual, Structure, System
from auctor.models.quantities import Unit, read_unit
from auctor.models.spelled import Door, amounts, doors


@dataclass(frozen=True, kw_only=True)
class Equation:
    """One equation: `text` for the hand calculation, `latex` for print, `mathml` for a web page, `unit` of the left side."""

    text: str
    latex: str
    mathml: str
    unit: str


class _Left(NamedTuple):
    """A left side in the three notations."""

    text: str
    latex: str
    mathml: str

    @classmethod
    def named(cls, name: str) -> _Left:
        return cls(name, latex.symbol(name), mathml.symbol(name))

    @classmethod
    def numbered(cls, word: str, number: int) -> _Left:
        return cls(f"{word}({number})", rf"\mathrm{{{word}}}_{{{number}}}", _subscript(mathml.symbol(word), number))


def _subscript(inner: str, number: int) -> str:
    return f"<msub>{inner}<mn>{number}</mn></msub>"


def parameter_equations(model: DrugModel) -> dict[str, Equation]:
    """Every parameter with its printed value, covariate effects and eta, the effects' constants put in as numbers.

    >>> from auctor.models.reader import read_model
    >>> parameter_equations(read_model("tacrolimus_woillard_2011"))["CL"].text
    'CL = 21.2 × (HCT / 35)^(-1.14) × 2^CYP3A5 × exp(eta_CL + kappa_CL × (FORM == 1))'
    """
    return {name: _parameter(model, parameter) for name, parameter in model.parameters.items()}


def course_equations(model: DrugModel) -> tuple[Equation, ...]:
    """The amounts (mg) in each compartment and the concentration, as differential equations in engine units.

    >>> from auctor.models.reader import read_model
    >>> [e.text for e in course_equations(read_model("phenobarbital_grasela_1985"))]
    ['d(central)/dt = input - CL / V × central', 'C = central / V']
    """
    if model.system is not None:
        return _written_out(model, model.system)
    s = model.structure
    scale = "" if model.scale == 1.0 else f"{model.scale:g} * "
    rows = [(_rate(name), formula, "mg/h") for name, formula in _amounts(s).items()]
    rows.append((_Left("C", "C", "<mi>C</mi>"), f"{scale}central / {s.central}", model.units["concentration"]))
    return tuple(_equation(left, parse(formula, where=model.name), unit) for left, formula, unit in rows)


def _rate(name: str) -> _Left:
    return _Left(f"d({name})/dt", rf"\frac{{d\,{latex.symbol(name)}}}{{dt}}", mathml.derivative(mathml.symbol(name)))


def _written_out(model: DrugModel, system: System) -> tuple[Equation, ...]:
    """Individual formulas, the differential equations, what a dose carries, and the outputs, as they stand in the file."""
    rows = [(_Left.named(name), formula, "") for name, formula in model.formulas.items()]
    rows += [(_slope(k), formula, "mg/h") for k, formula in enumerate(system.derivatives, 1)]
    rows += [(_Left.numbered(key, cmt), f, "") for key, table in system.inputs.items() for cmt, f in table.items()]
    outputs = [(_Left(f"C({cmt})", f"C_{{{cmt}}}", _subscript("<mi>C</mi>", cmt)), f) for cmt, f in system.outputs.items()]
    rows += [(left, formula, model.units["concentration"]) for left, formula in outputs]
    return tuple(_equation(left, formula, unit) for left, formula, unit in rows)


def _slope(k: int) -> _Left:
    return _Left(f"dA{k}/dt", rf"\frac{{d\,A_{{{k}}}}}{{dt}}", mathml.derivative(_subscript("<mi>A</mi>", k)))


def residual_text(model: DrugModel) -> str:
    """The residual error in the model's concentration unit.

    >>> from auctor.models.reader import read_model
    >>> residual_text(read_model("tacrolimus_woillard_2011"))
    'SD = sqrt((0.113 × C)^2 + 0.71^2) ng/mL'
    """
    if len(model.residuals) > 1:
        return "; ".join(f"output {cmt}: {_residual_text(model, r)}" for cmt, r in model.residuals.items())
    return _residual_text(model, model.residual)


def _residual_text(model: DrugModel, r: Residual) -> str:
    unit = model.units["concentration"]
    additive = f"{r.additive * model.scale:.6g}"
    if r.kind == "log":
        return f"SD of log(C) = {r.proportional:.6g}"
    if r.additive == 0 or r.proportional == 0:
        return f"SD = {r.proportional:.6g} × C" if r.additive == 0 else f"SD = {additive} {unit}"
    if r.kind == "power":
        return f"SD = {r.proportional:.6g} × C^{r.power:.6g} + {additive} {unit}, C in mg/L"
    if r.kind == "combined1":
        return f"SD = {r.proportional:.6g} × C + {additive} {unit}"
    return f"SD = sqrt(({r.proportional:.6g} × C)^2 + {additive}^2) {unit}"


def unit_after_effects(model: DrugModel, name: str) -> str:
    """The unit of the parameter once its effects are in: `L/h/kg` with a weight effect becomes `L/h`."""
    unit: Unit = read_unit(model.parameters[name].unit, where=name)
    return "/".join(part for part in unit.text.split("/") if part.strip() not in ("kg", "m2")) if unit.per_body else unit.text


def _parameter(model: DrugModel, parameter: Parameter) -> Equation:
    tree = typical_tree(model, parameter)
    if (shift := _shift(parameter)) is not None:
        tree = _varied(parameter, tree, shift)
    return _equation(_Left.named(parameter.name), Expression(ast.unparse(tree), tree), unit_after_effects(model, parameter.name))


def typical_tree(model: DrugModel, parameter: Parameter) -> ast.expr:
    """The printed value with its covariate effects, their constants as numbers: the typical value in the printed unit."""
    tree: ast.expr = ast.Constant(_tidy(parameter.printed))
    for effect in (e for e in model.effects if e.parameter == parameter.name):
        formula = with_numbers(effect.expr, effect.constants)
        tree = formula if effect.replaces else combined(tree, formula)
    return tree


def _shift(parameter: Parameter) -> ast.expr | None:
    """eta, kappa (under its condition) or their sum."""
    eta = ast.Name(f"eta_{parameter.name}") if parameter.omega is not None else None
    if parameter.iov is None:
        return eta
    kappa: ast.expr = ast.Name(f"kappa_{parameter.name}")
    if parameter.iov_when is not None:
        kappa = ast.BinOp(kappa, ast.Mult(), parameter.iov_when.tree)
    return kappa if eta is None else ast.BinOp(eta, ast.Add(), kappa)


def _varied(parameter: Parameter, typical: ast.expr, shift: ast.expr) -> ast.expr:
    """The typical value with its shift, as in `auctor.models.distributions.varied`; the logit as odds, for the hand calculation."""
    grown = ast.Call(ast.Name("exp"), [shift], [])
    if parameter.distribution == "normal":
        return ast.BinOp(typical, ast.Add(), shift)
    if parameter.distribution == "boxcox" and parameter.shape != 0:
        shape = ast.Constant(_tidy(parameter.shape))
        power = ast.BinOp(ast.BinOp(grown, ast.Pow(), shape), ast.Sub(), ast.Constant(1))
        return combined(typical, ast.Call(ast.Name("exp"), [ast.BinOp(power, ast.Div(), shape)], []))
    if parameter.distribution != "logitnormal":
        return combined(typical, grown)
    return _bounded(parameter, typical, shift)


def _bounded(parameter: Parameter, typical: ast.expr, shift: ast.expr) -> ast.expr:
    """low + (high - low) / (1 + (high - T) / (T - low) exp(-shift)), in the printed unit."""
    worth = read_unit(parameter.unit, where=parameter.name).factor
    low, high = (float(f"{bound / worth:.12g}") for bound in (parameter.low, parameter.high))
    above = typical if low == 0 else ast.BinOp(typical, ast.Sub(), ast.Constant(_tidy(low)))
    odds = ast.BinOp(ast.BinOp(ast.Constant(_tidy(high)), ast.Sub(), typical), ast.Div(), above)
    shrunk = ast.Call(ast.Name("exp"), [ast.UnaryOp(ast.USub(), shift)], [])
    below = ast.BinOp(ast.Constant(1), ast.Add(), ast.BinOp(odds, ast.Mult(), shrunk))
    share = ast.BinOp(ast.Constant(_tidy(high - low)), ast.Div(), below)
    return share if low == 0 else ast.BinOp(ast.Constant(_tidy(low)), ast.Add(), share)


def _equation(left: _Left, expression: Expression, unit: str) -> Equation:
    return Equation(
        text=f"{left.text} = {expression.readable()}",
        latex=f"{left.latex} = {latex.render(expression.tree)}",
        mathml=mathml.equation(left.mathml, mathml.render(expression.tree)),
        unit=unit,
    )


class _Numbers(ast.NodeTransformer):
    """Put numbers in the place of names."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The number of a name, or the name itself."""
        if node.id not in self.constants:
            return node
        value = _tidy(self.constants[node.id])
        return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def with_numbers(expression: Expression, constants: Mapping[str, float]) -> ast.expr:
    """The tree of a formula with the numbers of these names put in, the other names left.

    >>> ast.unparse(with_numbers(parse("a * WT ** b", where="x"), {"a": 2.0, "b": -0.5}))
    '2 * WT ** (-0.5)'
    """
    fresh = ast.parse(expression.text, mode="eval").body  # the transformer writes into the tree it is given
    found = _Numbers(constants).visit(fresh)
    assert isinstance(found, ast.expr)
    return found


def combined(left: ast.expr, right: ast.expr) -> ast.expr:
    """The product, a * (b * c / d) written a * b * c / d so that it prints without brackets.

    >>> a, b = (parse(text, where="x").tree for text in ("a", "b * c / d"))
    >>> ast.unparse(combined(a, b))
    'a * b * c / d'
    """
    if isinstance(right, ast.BinOp) and isinstance(right.op, (ast.Mult, ast.Div)):
        return ast.BinOp(combined(left, right.left), right.op, right.right)
    return ast.BinOp(left, ast.Mult(), right)


def _tidy(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _amounts(s: Structure) -> dict[str, str]:
    """Amount -> right-hand side in the formula language. `input` is an infusion or bolus, `dose` what is swallowed."""
    rows = amounts(s)
    for door in doors(s):
        if door.role == "bare" or (door.role == "central" and s.absorption not in ("none", "zero_order")):
            continue
        rows[door.into] = f"{_given(s, door)} {_signed(rows[door.into])}"
    return rows


def _given(s: Structure, door: Door) -> str:
    """What a dose brings per hour through a door, in words of the formula language."""
    share = f"{_bracketed(door.carries['F'])} * " if "F" in door.carries else ""
    if s.absorption == "none":
        return f"{share}input"
    if door.densities:
        parts = [f"{_bracketed(part)} * gamma_{k}" if part != "1" else f"gamma_{k}" for k, (part, _, _) in enumerate(door.densities, 1)]
        return f"{share}dose * ({' + '.join(parts)})"
    return f"{share}dose / {door.carries['duration']}" if "duration" in door.carries else door.carries.get("rate", f"{share}dose")


def _bracketed(formula: str) -> str:
    return f"({formula})" if " " in formula else formula


def _signed(formula: str) -> str:
    return formula if formula.startswith("-") else f"+ {formula}"
