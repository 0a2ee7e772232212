"""One patient's typical parameters worked out on paper: each formula, the same with the numbers in it, and what it gives.

Then what follows from them without a simulation: half-lives, F * dose / CL, and the levels of one compartment. Every eta is zero.
References: Gibaldi & Perrier, Pharmacokinetics, 2nd ed., 1982, eq. 2.11 and 2.53 (rates), 3.18 (AUC); Michaelis-Menten at steady state.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from auctor.case import Dose
from auctor.models.checks import at_eta_zero, entering, linear_clearance, saturable
from auctor.models.equations import combined, typical_tree, unit_after_effects, with_numbers
from auctor.models.expressions import Expression
from auctor.models.model import DrugModel, Parameter
from auctor.models.plausible_ranges import terminal_half_life
from auctor.models.quantities import CLEARANCE, INPUT, RATE, TIME, VOLUME, read_unit

DIGITS = 6  # of the numbers put into a formula
_ENGINE = {CLEARANCE: "L/h", VOLUME: "L", RATE: "1/h", TIME: "h", INPUT: "mg/h"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line of the arithmetic: `symbols` and `numbers` are the two sides of the same formula, `value` what it is worth in `unit`.

    `engine` is the same in h, mg, L where the printed unit is another one.
    """

    name: str
    symbols: str
    numbers: str
    value: float
    unit: str
    engine: tuple[float, str] | None = None

    @property
    def text(self) -> str:
        """The line as written on paper.

        >>> Step(name="CL", symbols="2 × WT", numbers="2 × 3", value=6.0, unit="L/h").text
        'CL = 2 × WT = 2 × 3 = 6 L/h'
        """
        digits = ".5g" if self.numbers else ".8g"
        shown = f"{self.value:{digits}}{f' {self.unit}' if self.unit not in ('', '1') else ''}"
        engine = [f"{self.engine[0]:{digits}} {self.engine[1]}"] if self.engine else []
        formula = [part for part in dict.fromkeys((self.symbols, self.numbers)) if part]
        return " = ".join([self.name, *formula, shown, *engine])


def parameter_steps(model: DrugModel, patient: Mapping[str, float]) -> tuple[Step, ...]:
    """Every parameter and individual formula at these covariates (codes and numbers in the model's units), in file order.

    A parameter that is nothing but an eta (value 0, no effect) is left out.

    >>> from auctor.models.reader import read_model
    >>> parameter_steps(read_model("vancomycin_goti_2018"), {"CRCL": 90.0, "WT": 79.0, "DIAL": 0.0})[0].text
    'CL = 4.5 × (CRCL / 120)^0.8 × 0.7^DIAL = 4.5 × (90 / 120)^0.8 × 0.7^0 = 3.5749 L/h'
    """
    values, trees = at_eta_zero(model, patient), _numbered(model, patient)
    acted_on, typical = {effect.parameter for effect in model.effects}, model.typical(dict(patient))
    shown = (p for p in model.parameters.values() if p.printed or p.name in acted_on)
    rows = [_step(model, p, trees[p.name] if p.name in acted_on else None, float(typical[p.name])) for p in shown]
    known = {**patient, **{name: float(value) for name, value in model.typical(dict(patient)).items()}}
    for name, formula in model.formulas.items():
        rows.append(Step(name=name, symbols=formula.readable(), numbers=_put_in(formula, known), value=values[name], unit=""))
        known[name] = values[name]
    return tuple(rows)


def _step(model: DrugModel, parameter: Parameter, numbered: ast.expr | None, value: float) -> Step:
    unit = read_unit(parameter.unit, where=parameter.name)
    engine = None if unit.factor == 1.0 else (value, _ENGINE.get(unit.dimension, "in h, mg, L"))
    shown = unit_after_effects(model, parameter.name)
    symbols, numbers = ("", "") if numbered is None else (_readable(tree) for tree in (typical_tree(model, parameter), numbered))
    return Step(name=parameter.name, symbols=symbols, numbers=numbers, value=value / unit.factor, unit=shown, engine=engine)


def _numbered(model: DrugModel, patient: Mapping[str, float]) -> dict[str, ast.expr]:
    """Each parameter's formula with the numbers in it, as far as the effects before it had come (the order of `DrugModel.typical`)."""
    bare = replace(model, effects=())
    trees = {name: typical_tree(bare, p) for name, p in model.parameters.items()}
    values = {name: p.value for name, p in model.parameters.items()}
    for effect in model.effects:
        names = {**values, **patient, **effect.constants}
        formula = with_numbers(effect.expr, {**_rounded({**values, **patient}), **effect.constants})
        trees[effect.parameter] = formula if effect.replaces else combined(trees[effect.parameter], formula)
        worth = float(effect.expr.evaluate(names, np))
        values[effect.parameter] = worth if effect.replaces else values[effect.parameter] * worth
    return trees


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.{DIGITS}g}") for name, value in values.items()}


def _put_in(formula: Expression, names: Mapping[str, float]) -> str:
    return _readable(with_numbers(formula, _rounded(names)))


def _readable(tree: ast.expr) -> str:
    return Expression(ast.unparse(tree), tree).readable()


def exposure_steps(model: DrugModel, patient: Mapping[str, float], dose: Dose | None = None) -> tuple[Step, ...]:
    """Half-lives, and of a dose (mg) every `every_h` at steady state: what enters, AUC over the interval and a day, average, and levels.

    Concentrations in the model's own unit. Nothing here is simulated: what has no closed arithmetic is left out.

    >>> from auctor.case import Route
    >>> from auctor.models.reader import read_model
    >>> dose = Dose(time_h=0.0, amount_mg=1000.0, route=Route.IV, duration_h=1.0, every_h=12.0, steady_state=True)
    >>> exposure_steps(read_model("vancomycin_goti_2018"), {"CRCL": 90.0, "WT": 79.0, "DIAL": 0.0}, dose)[5].text
    'AUC over 12 h = F × dose / CL = 1000 / 3.57488 = 279.73 mg*h/L'
    """
    values = at_eta_zero(model, patient)
    return (*_half_lives(model, patient, values), *(_of_dose(model, patient, values, dose) if dose is not None else ()))


def _half_lives(model: DrugModel, patient: Mapping[str, float], values: Mapping[str, float]) -> Iterator[Step]:
    if (rate := model.structure.rate) is not None and model.system is None:
        yield _half_life(f"half-life of {rate}", rate, values[rate])
    found = terminal_half_life(model, dict(values), dict(patient))
    if found is None:
        return
    s, rate_found = model.structure, math.log(2) / found
    if model.system is None and s.clearance and not s.peripherals:
        yield _quotient("k", (s.clearance, s.central), values)
        yield _half_life("half-life", "k", rate_found)
    elif model.system is None and s.clearance and len(s.peripherals) == 1:
        yield from _two_rates(model, values)
        yield _half_life("terminal half-life", "λ", rate_found)
    else:
        yield _half_life("terminal half-life", "the slowest rate of the equations", rate_found)


def _half_life(name: str, rate: str, value: float) -> Step:
    return Step(name=name, symbols=f"ln 2 / {rate}", numbers=f"0.693147 / {value:.6g}", value=math.log(2) / value, unit="h")


def _quotient(name: str, pair: tuple[str, str], values: Mapping[str, float]) -> Step:
    above, below = (values[key] for key in pair)
    return Step(name=name, symbols=" / ".join(pair), numbers=f"{above:.6g} / {below:.6g}", value=above / below, unit="1/h")


def _two_rates(model: DrugModel, values: Mapping[str, float]) -> Iterator[Step]:
    """The micro-constants of two compartments and the slower of their two rates."""
    s, (q, v) = model.structure, model.structure.peripherals[0]
    pairs = {"k10": (s.clearance or "", s.central), "k12": (q, s.central), "k21": (q, v)}
    steps = [_quotient(name, pair, values) for name, pair in pairs.items()]
    yield from steps
    total, product = sum(step.value for step in steps), steps[0].value * steps[2].value
    yield Step(
        name="λ",
        symbols="(S - sqrt(S^2 - 4 × k10 × k21)) / 2, S = k10 + k12 + k21",
        numbers=f"({total:.6g} - sqrt({total:.6g}^2 - 4 × {steps[0].value:.6g} × {steps[2].value:.6g})) / 2",
        value=(total - math.sqrt(total**2 - 4 * product)) / 2,
        unit="1/h",
    )


def _of_dose(model: DrugModel, patient: Mapping[str, float], values: Mapping[str, float], dose: Dose) -> Iterator[Step]:
    amount = entering(model, dose, values, patient)
    if amount != dose.amount_mg:
        numbers = f"{amount / dose.amount_mg:.6g} × {dose.amount_mg:.6g}"
        yield Step(name="what enters", symbols="F × dose", numbers=numbers, value=amount, unit="mg")
    clearance = linear_clearance(model)
    if clearance is not None:
        yield from _linear(model, amount, (clearance, values[clearance]), dose)
        if not model.structure.peripherals and model.structure.absorption == "none" and dose.every_h > 0:
            yield from _one_compartment(model, values, amount, dose)
    elif (pair := saturable(model)) is not None and model.structure.clearance is None and dose.every_h > 0:
        yield from _saturable(model, pair, values, amount / dose.every_h)


def _saturable(model: DrugModel, pair: tuple[str, str], values: Mapping[str, float], rate: float) -> Iterator[Step]:
    """The level that a constant rate keeps up, Km R / (Vmax - R); nothing where the rate exceeds what can be eliminated."""
    fastest, half = (values[name] for name in pair)
    if rate >= fastest:
        return
    yield Step(
        name="level at a constant rate R",
        symbols=f"{pair[1]} × R / ({pair[0]} - R), R = F × dose / interval",
        numbers=f"{half:.6g} × {rate:.6g} / ({fastest:.6g} - {rate:.6g}){_scaled(model)}",
        value=half * rate / (fastest - rate) * model.scale,
        unit=model.units["concentration"],
    )


def _linear(model: DrugModel, amount: float, clearance: tuple[str, float], dose: Dose) -> Iterator[Step]:
    """AUC_tau = F dose / CL, its average, and the AUC over 24 h; of a single dose AUC to infinity."""
    (name, value), scale = clearance, _scaled(model)
    area = amount / value * model.scale
    unit, per = model.units["concentration"], area_unit(model)
    over = f"AUC over {dose.every_h:g} h" if dose.every_h > 0 else "AUC to infinity"
    yield Step(name=over, symbols=f"F × dose / {name}", numbers=f"{amount:.6g} / {value:.6g}{scale}", value=area, unit=per)
    if dose.every_h > 0:
        if dose.every_h != 24:
            daily = area * 24 / dose.every_h
            numbers = f"{area:.6g} × 24 / {dose.every_h:g}"
            yield Step(name="AUC over 24 h, on average", symbols="AUC × 24 / interval", numbers=numbers, value=daily, unit=per)
        mean = area / dose.every_h
        yield Step(name="average level", symbols="AUC / interval", numbers=f"{area:.6g} / {dose.every_h:g}", value=mean, unit=unit)


def _one_compartment(model: DrugModel, values: Mapping[str, float], amount: float, dose: Dose) -> Iterator[Step]:
    """Peak and trough at steady state. Reference: Gibaldi & Perrier 1982, eq. 3.8 (bolus) and 3.31 (infusion)."""
    clearance, volume = model.structure.clearance or "", model.structure.central
    cl, v = values[clearance], values[volume]
    k, every, length, unit = cl / v, dose.every_h, dose.duration_h, model.units["concentration"]
    kept, shared = f"(1 - exp(-{k:.6g} × {every:g})){_scaled(model)}", -math.expm1(-k * every) / model.scale
    if length > 0:
        peak = amount / length / cl * -math.expm1(-k * length) / shared
        symbols = f"F × dose / duration / {clearance} × (1 - exp(-k × duration)) / (1 - exp(-k × interval))"
        numbers = f"{amount:.6g} / {length:g} / {cl:.6g} × (1 - exp(-{k:.6g} × {length:g})) / {kept}"
    else:
        peak = amount / v / shared
        symbols, numbers = f"F × dose / {volume} / (1 - exp(-k × interval))", f"{amount:.6g} / {v:.6g} / {kept}"
    yield Step(name="peak", symbols=symbols, numbers=numbers, value=peak, unit=unit)
    trough, numbers = peak * math.exp(-k * (every - length)), f"{peak:.6g} × exp(-{k:.6g} × {every - length:g})"
    yield Step(name="trough", symbols="peak × exp(-k × (interval - duration))", numbers=numbers, value=trough, unit=unit)


def _scaled(model: DrugModel) -> str:
    return "" if model.scale == 1.0 else f" × {model.scale:.6g}"


def area_unit(model: DrugModel) -> str:
    """The unit of an AUC of this model: `ng*h/mL`.

    >>> from auctor.models.reader import read_model
    >>> area_unit(read_model("tacrolimus_woillard_2011"))
    'ng*h/mL'
    """
    mass, _, volume = model.units["concentration"].partition("/")
    return f"{mass}*h/{volume}"
