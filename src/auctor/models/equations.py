"""The equations of a model written out with its numbers, as plain text and as LaTeX."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from auctor.models.expressions import Expression, parse
from auctor.models.latex import render, symbol
from auctor.models.model import DrugModel, Parameter, Residual, Structure, System
from auctor.models.quantities import Unit, read_unit
from auctor.models.spelled import Door, amounts, doors


@dataclass(frozen=True, kw_only=True)
class Equation:
    """One equation: `text` for the hand calculation, `latex` for print, `unit` of the left side."""

    text: str
    latex: str
    unit: str


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
    rows = [(f"d({name})/dt", rf"\frac{{d\,{symbol(name)}}}{{dt}}", formula, "mg/h") for name, formula in _amounts(s).items()]
    rows.append(("C", "C", f"{scale}central / {s.central}", model.units["concentration"]))
    return tuple(_equation((text, tex), parse(formula, where=model.name), unit) for text, tex, formula, unit in rows)


def _written_out(model: DrugModel, system: System) -> tuple[Equation, ...]:
    """Individual formulas, the differential equations, what a dose carries, and the outputs, as they stand in the file."""
    rows = [(name, symbol(name), formula, "") for name, formula in model.formulas.items()]
    rows += [(f"dA{k}/dt", rf"\frac{{d\,A_{{{k}}}}}{{dt}}", formula, "mg/h") for k, formula in enumerate(system.derivatives, 1)]
    rows += [(f"{key}({cmt})", rf"\mathrm{{{key}}}_{{{cmt}}}", f, "") for key, table in system.inputs.items() for cmt, f in table.items()]
    rows += [(f"C({cmt})", f"C_{{{cmt}}}", formula, model.units["concentration"]) for cmt, formula in system.outputs.items()]
    return tuple(_equation((text, tex), formula, unit) for text, tex, formula, unit in rows)


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
    tree: ast.expr = ast.Constant(_tidy(parameter.printed))
    for effect in (e for e in model.effects if e.parameter == parameter.name):
        formula = _numbered(effect.expr, effect.constants)
        tree = formula if effect.replaces else _times(tree, formula)
    if (shift := _shift(parameter)) is not None:
        tree = _varied(parameter, tree, shift)
    expression = Expression(ast.unparse(tree), tree)
    return _equation((parameter.name, symbol(parameter.name)), expression, unit_after_effects(model, parameter.name))


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
        return _times(typical, ast.Call(ast.Name("exp"), [ast.BinOp(power, ast.Div(), shape)], []))
    if parameter.distribution != "logitnormal":
        return _times(typical, grown)
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


def _equation(left: tuple[str, str], expression: Expression, unit: str) -> Equation:
    return Equation(text=f"{left[0]} = {expression.readable()}", latex=f"{left[1]} = {render(expression.tree)}", unit=unit)


class _Numbers(ast.NodeTransformer):
    """Put numbers in the place of an effect's named constants."""

    def __init__(self, constants: Mapping[str, float]) -> None:
        self.constants = constants

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A constant's number, or the name itself."""
        if node.id not in self.constants:
            return node
        value = _tidy(self.constants[node.id])
        return ast.Constant(value) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _numbered(expression: Expression, constants: Mapping[str, float]) -> ast.expr:
    fresh = ast.parse(expression.text, mode="eval").body  # the transformer writes into the tree it is given
    found = _Numbers(constants).visit(fresh)
    assert isinstance(found, ast.expr)
    return found


def _times(left: ast.expr, right: ast.expr) -> ast.expr:
    """The product, a * (b * c / d) written a * b * c / d so that it prints without brackets."""
    if isinstance(right, ast.BinOp) and isinstance(right.op, (ast.Mult, ast.Div)):
        return ast.BinOp(_times(left, right.left), right.op, right.right)
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
