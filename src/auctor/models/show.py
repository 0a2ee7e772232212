"""One model on one page: everything a reader needs to redo the arithmetic by hand, as text or as a dictionary."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from auctor.case import MetricKind, Target
from auctor.models.domain import domain_text
from auctor.models.equations import course_equations, parameter_equations, residual_text
from auctor.models.model import Covariate, Dosing, DrugModel, Parameter, Structure, Variant
from auctor.models.quantities import read_unit
from auctor.models.variability import lognormal_cv

WIDTH = 110
_BODIES = {"one_compartment": "one compartment", "two_compartment": "two compartments", "three_compartment": "three compartments"}


def as_dict(model: DrugModel) -> dict[str, Any]:
    """The model as plain JSON-able data: printed and engine values, equations as text and LaTeX, sources, status.

    >>> from auctor.models.reader import read_model
    >>> as_dict(read_model("vancomycin_goti_2018"))["parameters"][0]["iiv_cv_percent"]
    39.8
    """
    words = ("name", "drug", "title", "status", "population", "matrix", "molar_mass", "sha256")
    return {
        **{key: getattr(model, key) for key in words},
        "reference": dict(model.reference),
        "units": dict(model.units),
        "structure": {"text": structure_text(model.structure), "cmt": dict(model.structure.cmt)},
        "parameters": [_parameter(p) for p in model.parameters.values()],
        "effects": [_effect(e) for e in model.effects],
        "equations": [dict(vars(e)) for e in (*parameter_equations(model).values(), *course_equations(model))],
        "omega": {"etas": list(model.eta_names), "covariance": model.omega.tolist()},
        "covariates": [_covariate(c) for c in model.covariates.values()],
        "residual": {**vars(model.residual), "text": residual_text(model), "additive_unit": "mg/L"},
        "targets": [_target(model, t) for t in model.targets],
        "dosing": None if model.dosing is None else dict(vars(model.dosing)),
        **{key: list(getattr(model, key)) for key in ("notes", "questions", "warnings")},
        "checks": [dict(check) for check in model.checks],
        "variant": model.variant,
        "variants": {name: {"about": v.about, "set": dict(v.changes)} for name, v in model.variants.items()},
    }


def describe(model: DrugModel, *, latex: bool = False) -> str:
    """The same as readable text: header, parameter table, equations, population and domain, residual, targets, dosing.

    >>> from auctor.models.reader import read_model
    >>> print(describe(read_model("vancomycin_goti_2018")).splitlines()[0])
    vancomycin_goti_2018: Vancomycin, hospitalised adults with and without haemodialysis
    """
    sections = (
        ("", _header(model)),
        ("Parameters", _parameter_rows(model)),
        ("Equations", _equation_rows(model, latex=latex)),
        ("Covariates and the population they come from", _covariate_rows(model)),
        ("Residual error", [f"{residual_text(model)}  [{model.residual.source}]"]),
        ("Targets", [target_text(model, t) for t in model.targets]),
        ("Dosing", _dosing_rows(model.dosing)),
        ("Checks by hand", [str(check["how"]) for check in model.checks if "how" in check]),
        ("Variants of this file", [_variant_text(model, name, v) for name, v in model.variants.items()]),
        ("Notes", list(model.notes)),
        ("Open questions", [*model.questions, *model.warnings]),
    )
    return "\n".join(line for title, rows in sections if rows for line in _section(title, rows))


def _variant_text(model: DrugModel, name: str, variant: Variant) -> str:
    shown = " (shown here)" if name == model.variant else ""
    changes = ", ".join(f"{path} = {value}" for path, value in variant.changes.items())
    return f"{model.name.removesuffix('@' + model.variant)}@{name}{shown}: {variant.about} [{changes}]"


def structure_text(s: Structure) -> str:
    """The structure in one sentence.

    >>> from auctor.models.reader import read_model
    >>> structure_text(read_model("phenobarbital_grasela_1985").structure)
    'one compartment (CL, V), linear elimination; intravenous input'
    """
    if s.absorption == "system":
        return "written out as differential equations"
    body = ", ".join(n for n in (s.clearance, s.central, *(name for pair in s.peripherals for name in pair)) if n)
    saturable = f"Michaelis-Menten elimination ({s.maximum}, {s.half})"
    elimination = "linear elimination" if s.maximum is None else f"linear and {saturable}" if s.clearance else saturable
    extras = [f"{word} {name}" for word, name in (("lag", s.lag), ("bioavailability", s.bioavailability)) if name]
    return f"{_BODIES[s.disposition]} ({body}), {elimination}; {', '.join([_entry(s), *extras])}"


def _entry(s: Structure) -> str:
    part = s.parts.get
    over = f"over {s.duration} h" if s.duration else f"at the rate {part('input_rate')}"
    return {
        "none": "intravenous input",
        "first_order": f"first-order absorption ({s.rate})",
        "erlang": f"absorption through {s.stages} first-order steps of rate {s.rate} before the central compartment (Erlang)",
        "zero_order": f"zero-order absorption {over}",
        "sequential": f"zero-order input {over} into a depot, then first-order absorption ({s.rate})",
        "mixed": f"the fraction {part('fraction')} by first-order absorption ({s.rate}), the rest by zero-order input {over}",
        "parallel": f"the fraction {part('fraction')} by first-order absorption ({s.rate}), the rest by another ({part('rate2')})",
        "transit": f"absorption through {part('stages')} transit compartments in {part('mtt')} h on average (Savic)"
        + (f", then first order ({s.rate})" if s.rate else ""),
        "weibull": f"absorption of rate {s.rate} (1 - exp(-({part('scale')} tad)^{part('shape')}))",
        "double_gamma": f"absorption by two gamma densities: the fraction {part('fraction')} by ({part('shape1')}, {part('rate1')}), "
        f"the rest by ({part('shape2')}, {part('rate2')})",
    }[s.absorption]


def target_text(model: DrugModel, target: Target) -> str:
    """A target in the model's own unit with its source.

    >>> from auctor.models.reader import read_model
    >>> model = read_model("tacrolimus_woillard_2011")
    >>> target_text(model, model.targets[1]).split("  ")[0]
    'C0 5 to 10 ng/mL'
    """
    shown = _target(model, target)
    return f"{shown['metric']} {shown['low']:g} to {shown['high']:g} {shown['unit']}  [{target.source}]"


def _target(model: DrugModel, target: Target) -> dict[str, Any]:
    mass, _, volume = model.units["concentration"].partition("/")
    unit = f"{mass}*h/{volume}" if target.metric.kind is MetricKind.AUC else model.units["concentration"]
    low, high = (float(f"{bound * model.scale:.12g}") for bound in (target.low, target.high))
    return {"metric": target.metric.name, "low": low, "high": high, "unit": unit, "source": target.source}


def _parameter(p: Parameter) -> dict[str, Any]:
    return {
        **{key: getattr(p, key) for key in ("name", "printed", "unit", "value", "distribution", "omega", "iov", "source")},
        **({"low": p.low, "high": p.high} if p.distribution == "logitnormal" else {}),
        **({"shape": p.shape} if p.distribution == "boxcox" else {}),
        "iov_when": None if p.iov_when is None else p.iov_when.text,
        "iiv_cv_percent": _cv_percent(p, p.omega),
        "iov_cv_percent": _cv_percent(p, p.iov),
    }


def _cv_percent(p: Parameter, sd: float | None) -> float | None:
    """Of a lognormal: 100 sqrt(exp(sd^2) - 1); of a normal: 100 sd / value, none of a plain eta, whose value is 0, nor of the others."""
    if sd is None or p.distribution not in ("lognormal", "normal") or (p.distribution == "normal" and p.value == 0):
        return None
    return round(100 * (lognormal_cv(sd) if p.distribution == "lognormal" else sd / abs(p.value)), 6)


def _effect(effect: Any) -> dict[str, Any]:
    kind = "whole formula" if effect.replaces else "factor"
    named = {"parameter": effect.parameter, "kind": kind, "text": effect.expr.readable(), "latex": effect.expr.latex()}
    return {**named, "constants": dict(effect.constants), "source": effect.source}


def _covariate(c: Covariate) -> dict[str, Any]:
    tables = {key: dict(value) if (value := getattr(c, key)) is not None else None for key in ("levels", "distribution")}
    return {**{key: getattr(c, key) for key in ("name", "label", "unit", "reference", "low", "high", "note")}, **tables}


def _section(title: str, rows: Sequence[str]) -> Iterable[str]:
    indent = "  " if title else ""
    if title:
        yield from ("", title)
    for row in rows:
        folded = len(row) > WIDTH and not row.startswith("\\")  # a line of LaTeX stays whole
        hanging = f"{indent}  "
        wrapped = textwrap.wrap(row, WIDTH, initial_indent=indent, subsequent_indent=hanging, break_on_hyphens=False)
        yield from wrapped if folded else [indent + row]


def _header(model: DrugModel) -> list[str]:
    reference = {key: text for key, text in model.reference.items() if key != "cite"}
    return [
        f"{model.name}: {model.title}",
        f"Status: {model.status} (draft, reviewed, validated)",
        f"Source: {model.reference['cite']}",
        *(f"{key.replace('_', ' ')}: {text}" for key, text in reference.items()),
        f"Population: {model.population}",
        f"Structure: {structure_text(model.structure)}",
        f"Concentrations in {model.units['concentration']}" + (f", {model.matrix}" if model.matrix else ""),
        f"File SHA-256: {model.sha256}",
    ]


def _parameter_rows(model: DrugModel) -> list[str]:
    head = ("name", "value", "unit", "IIV omega", "IIV CV%", "IOV SD", "IOV CV%", "scale of eta", "source")
    rows = [head, *(_parameter_row(p) for p in model.parameters.values())]
    fixed = [f"{e.parameter}: {n} = {v:g}  [{e.source}]" for e in model.effects for n, v in e.constants.items()]
    return [*_columns(rows), *fixed, *_correlation_rows(model)]


def _parameter_row(p: Parameter) -> tuple[str, ...]:
    def shown(value: float | None, digits: str) -> str:
        return "-" if value is None else f"{value:{digits}}"

    spreads = (shown(p.omega, ".4g"), shown(_cv_percent(p, p.omega), ".3g"), shown(p.iov, ".4g"), shown(_cv_percent(p, p.iov), ".3g"))
    worth = read_unit(p.unit, where=p.name).factor
    unit = p.unit if worth == 1.0 else f"{p.unit} (x {worth:g} in h, mg, L)"
    return (p.name, f"{p.printed:.8g}", unit, *spreads, _scale_of_eta(p) if p.omega is not None or p.iov is not None else "-", p.source)


def _scale_of_eta(p: Parameter) -> str:
    """The distribution with what belongs to it, and under what condition its IOV applies."""
    worth = read_unit(p.unit, where=p.name).factor
    form = {"logitnormal": f" {p.low / worth:g} to {p.high / worth:g}", "boxcox": f" {p.shape:g}"}.get(p.distribution, "")
    return p.distribution + form + (f", IOV when {p.iov_when.readable()}" if p.iov_when is not None else "")


def _correlation_rows(model: DrugModel) -> list[str]:
    names, omega = model.eta_names, model.omega
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if omega[i, j] != 0]
    return [f"correlation of eta {names[j]}, {names[i]}: {omega[i, j] / (omega[i, i] * omega[j, j]) ** 0.5:.4g}" for i, j in pairs]


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _equation_rows(model: DrugModel, *, latex: bool) -> list[str]:
    equations = [*parameter_equations(model).values(), *course_equations(model)]
    if model.system is not None:
        return [e.latex if latex else f"{e.text}  ({e.unit or 'no unit'})" for e in equations]
    factor = f"{model.structure.bioavailability} * " if model.structure.bioavailability else ""
    exposure = f"AUC over one dosing interval at steady state = {factor}dose / {model.structure.clearance}  (mg*h/L)"
    rows = [e.latex if latex else f"{e.text}  ({e.unit or 'no unit'})" for e in equations]
    return [*rows, exposure]


def _covariate_rows(model: DrugModel) -> list[str]:
    return [line for c in model.covariates.values() for line in _covariate_lines(c)]


def _covariate_lines(c: Covariate) -> list[str]:
    word = next((w for w, code in (c.levels or {}).items() if code == c.reference), f"{c.reference:g}")
    codes = f" ({', '.join(f'{w} = {code:g}' for w, code in c.levels.items())})" if c.levels else ""
    return [f"{c.name}: {c.label}{codes}; reference {word}; domain {domain_text(c)}" + (f"  [{c.note}]" if c.note else "")]


def _dosing_rows(dosing: Dosing | None) -> list[str]:
    if dosing is None:
        return []
    unit = "mg/kg" if dosing.per_kg else "mg"
    amounts = ", ".join(f"{s:g}" for s in dosing.strengths_mg)
    rate = dosing.infusion_rate_max_mg_h
    infusion = f"; infused over {dosing.infusion_h:g} h" if dosing.infusion_h else ""
    return [
        f"{dosing.route}, {amounts} {unit}, every {', '.join(f'{h:g}' for h in dosing.intervals_h)} h{infusion}"
        + (f", at most {rate:g} {unit}/h" if rate else ""),
        f"caps: {dosing.max_dose_mg:g} {unit} a dose, {dosing.max_daily_mg:g} {unit} a day  [{dosing.source}]",
    ]
