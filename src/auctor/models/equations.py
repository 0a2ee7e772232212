"""The equations of a model written out with its numbers, as plain text and as LaTeX."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from auctor.models.expressions import Expression, parse
from auctor.models.latex import render, symbol
from auctor.models.model import DrugModel, Parameter, Residual, Structure, System
from auctor.models.quantities import Unit, read_unit


@dataclass(frozen=True, kw_only=True)
class Equation:
    """One equation: `text` for the hand calculation, `latex` for print, `unit` of the left side."""

    text: str
    latex: str
    unit: str


def parameter_equations(model: DrugModel) -> dict[str, Equation]:
    """Every parameter with its printed value, covariate effects and eta, the effects' constants put in as numbers.

    >>> from auctor.models.reader import read_model
    >>> parameter_equations(read_model("tacrolimus_woillard2011"))["CL"].text
    'CL = 21.2 × (HCT / 35)^(-1.14) × 2^CYP3A5 × exp(eta_CL)'
    """
    return {name: _parameter(model, parameter) for name, parameter in model.parameters.items()}


def course_equations(model: DrugModel) -> tuple[Equation, ...]:
    """The amounts (mg) in each compartment and the concentration, as differential equations in engine units.

    >>> from auctor.models.reader import read_model
    >>> [e.text for e in course_equations(read_model("phenobarbital_grasela1985"))]
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
    >>> residual_text(read_model("tacrolimus_woillard2011"))
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
    if parameter.omega is not None:
        eta = ast.Name(f"eta_{parameter.name}")
        varied = ast.Call(ast.Name("exp"), [eta], [])
        tree = _times(tree, varied) if parameter.distribution == "lognormal" else ast.BinOp(tree, ast.Add(), eta)
    expression = Expression(ast.unparse(tree), tree)
    return _equation((parameter.name, symbol(parameter.name)), expression, unit_after_effects(model, parameter.name))


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
    """Amount -> right-hand side in the formula language. `input` is the infusion or bolus, `dose` what is swallowed."""
    chain = ["depot", *(f"transit{k}" for k in range(1, s.stages))] if s.stages else []
    dose = f"{s.bioavailability} * dose" if s.bioavailability else "dose"
    rows = {name: f"{dose} - {s.rate} * {name}" if k == 0 else f"{s.rate} * ({chain[k - 1]} - {name})" for k, name in enumerate(chain)}
    source = f"{s.rate} * {chain[-1]}" if chain else f"{dose} / {s.duration}" if s.duration else "input"
    exchange = f" - {s.distribution} / {s.central} * central + {s.distribution} / {s.peripheral} * peripheral" if s.peripheral else ""
    rows["central"] = f"{source} - {s.clearance} / {s.central} * central{exchange}"
    if s.peripheral:
        rows["peripheral"] = f"{s.distribution} / {s.central} * central - {s.distribution} / {s.peripheral} * peripheral"
    return rows


def amounts(structure: Structure) -> dict[str, str]:
    """Each compartment of a named structure, in NONMEM's order, with its right-hand side (mg/h); `input` and `dose` are what is given.

    >>> from auctor.models.reader import read_model
    >>> amounts(read_model("phenobarbital_grasela1985").structure)
    {'central': 'input - CL / V * central'}
    """
    return _amounts(structure)
