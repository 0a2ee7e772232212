"""Equations checked by their units: what fits is silent, what does not is found, and what had to be assumed is said."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auctor.models.dimensions import dimension_findings
from auctor.models.findings import Finding
from auctor.models.reader import list_models, read_every_variant, read_model
from auctor.models.unit_algebra import Unifier, conversion, read_units, shown

HEAD = """
schema = 1
drug = "examplin"
status = "draft"
population = "12 adults"
reference = { cite = "Nobody 2020" }
units = { time = "h", dose = "mg", concentration = "ug/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
residual.concentration = { proportional = 0.1, source = "T1" }
[covariates]
WT = { unit = "kg", reference = 70 }
AGE = { unit = "year", reference = 40 }
CRCL = { unit = "mL/min", reference = 90 }
SCR = { unit = "mg/dL", reference = 1 }
SEX = { levels = { male = 0, female = 1 }, reference = "male" }
[parameters]
CL = { value = 5, unit = "L/h", iiv = 0.3, source = "T1" }
V = { value = 40, unit = "L", source = "T1" }
VKG = { value = 0.6, unit = "L/kg", source = "T1" }
KA = { value = 1, unit = "1/h", source = "T1" }
KM = { value = 4, unit = "mg/L", source = "T1" }
VMAX = { value = 18, unit = "1", source = "T1" }
GAM = { value = 2, unit = "1", source = "T1" }
"""
NAMED = '[structure]\ndisposition = { kind = "one_compartment", CL = "CL", V1 = "V" }\n'
WRITTEN = "[structure]\ncmt = { depot = 1, central = 2 }\n"


def findings(folder: Path, text: str) -> tuple[Finding, ...]:
    """The findings of a file."""
    path = folder / "mine.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return dimension_findings(read_model(path))


def effect(formula: str, *, name: str = "CL", kind: str = "expr", constants: str = "") -> str:
    """A model with one effect (and the one that VKG needs)."""
    own = "" if name == "VKG" else 'VKG = { expr = "WT", source = "T1" }\n'
    return f'{NAMED}[effects]\n{own}{name} = {{ {kind} = "{formula}"{constants and ", " + constants}, source = "T1" }}\n'


FITS = [
    effect("(WT / 70) ** 0.75 * 0.8 ** SEX"),
    effect("(CRCL / 90) ** b * exp(-k * AGE)", constants="b = 0.8, k = 0.01"),
    effect("(54 / SCR) ** b", constants="b = 0.4"),
    effect("1 + b * (AGE - 40)", constants="b = 0.01"),
    effect("AGE ** h / (a50 ** h + AGE ** h)", constants="h = 3.3, a50 = 47.7"),
    effect("where(AGE > 60, 0.8, 1) * min(CRCL, 150) / 90"),
    effect("a + b * (CRCL - 90) - c * SEX", kind="typical", constants="a = 5, b = 0.03, c = 1"),
    effect("0.06 * CRCL", kind="typical"),
    effect("KA * V", kind="typical"),
    effect("WT * (1 + b * SEX)", name="VKG", constants="b = 0.1"),
    effect("max(AGE, 2) / 40"),
]


@pytest.mark.parametrize("text", FITS)
def test_what_fits_is_not_an_error(tmp_path: Path, text: str) -> None:
    assert [str(f) for f in findings(tmp_path, text) if f.severity != "info"] == []


WRONG = [
    # formula, severity, code, a word of the finding
    (effect("KA + V", kind="typical"), "error", "dimension", "1/h beside L: KA + V"),
    (effect("CL / V", name="V", kind="typical"), "error", "dimension", "1/h where L is needed"),
    (effect("exp(CL)"), "error", "dimension", "L/h as the argument of exp"),
    (effect("log(KM)"), "error", "dimension", "mg/L as the argument of log"),
    (effect("WT"), "error", "dimension", "kg where a plain number is needed"),
    (effect("1 + b * SEX", name="VKG", constants="b = 0.1"), "error", "dimension", "where kg is needed"),
    (effect("0.6 * CRCL", kind="typical"), "error", "scale", "0.6 stands where the change of scale L*min/mL/h is needed, which is 0.06"),
    (effect("CRCL", kind="typical"), "error", "dimension", "mL/min where L/h is needed"),
    (effect("WT ** 0.75"), "warning", "dimension", "kg^0.75 where a plain number is needed"),
    (effect("exp(AGE)"), "warning", "dimension", "year as the argument of exp"),
    (effect("exp(-b * (SCR - exp(-0.01)))", constants="b = 0.6"), "warning", "dimension", "mg/dL beside a plain number"),
    (effect("0.07 * WT", kind="typical"), "warning", "number-with-unit", "0.07 is taken to be in L/h/kg"),
    (effect("exp(a + b * SEX) * WT", kind="typical", constants="a = -3, b = 0.1"), "warning", "dimension", "kg where L/h is needed"),
    (effect("GAM * WT", kind="typical"), "warning", "unit-missing", "effects.CL needs L/h/kg"),
]


@pytest.mark.parametrize(("text", "severity", "code", "word"), WRONG)
def test_what_does_not_fit_is_found(tmp_path: Path, text: str, severity: str, code: str, word: str) -> None:
    (found,) = [f for f in findings(tmp_path, text) if f.severity != "info"]
    assert (found.severity, found.code) == (severity, code)
    assert word in str(found) and found.remedy


def system(*odes: str, outputs: str = '2 = "1000 * A2 / V"', more: str = "") -> str:
    """A written-out model."""
    rows = "\n".join(f'A{k} = "{formula}"' for k, formula in enumerate(odes, 1))
    return f'{WRITTEN}[effects]\nVKG = {{ expr = "WT", source = "T1" }}\n{more}[odes]\n{rows}\n[outputs]\n{outputs}\n'


ORAL = "-KA * A1"


def test_differential_equations_are_in_mg_per_h(tmp_path: Path) -> None:
    assert findings(tmp_path, system(ORAL, "KA * A1 - CL / V * A2")) == ()
    (found,) = findings(tmp_path, system(ORAL, "KA * A1 - CL * A2"))
    assert (found.severity, found.where) == ("error", "odes.A2") and "mg/h beside mg*L/h" in found.what
    (found,) = findings(tmp_path, system(ORAL, "KA * A1 - CL / V * A2 / KM"))
    assert found.severity == "error" and "mg/h beside L/h" in found.what
    (found,) = findings(tmp_path, system("-A1", "KA * A1 - CL / V * A2"))
    assert found.where == "odes.A1" and "mg where mg/h is needed" in found.what


def test_a_parameter_printed_without_its_unit_is_named_with_the_unit_it_needs(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, system(ORAL, "KA * A1 - VMAX * (A2 / V) / (KM + A2 / V)"))
    assert (found.severity, found.code, found.where) == ("warning", "unit-missing", "parameters.VMAX.unit")
    assert found.remedy == "write mg/h"
    both = 'CLINT = "VMAX / KM"\nSUM = "CLINT + V"\n'
    text = system(ORAL, "KA * A1 - VMAX * (A2 / V) / (KM + A2 / V)", more=f"[individual]\n{both}")
    assert {f.severity for f in findings(tmp_path, text)} >= {"error"}


def test_a_response_may_be_in_any_unit_and_a_hill_curve_fits(tmp_path: Path) -> None:
    odes = (ORAL, "KA * A1 - CL / V * A2", "KA * (1 - (A2 / V) ** GAM / (KM ** GAM + (A2 / V) ** GAM)) - KA * A3")
    (amount,) = findings(tmp_path, system(*odes))
    assert (amount.severity, amount.code) == ("info", "amount-unit") and "A3 is a plain number" in amount.what
    wrong = (*odes[:2], odes[2].replace("KM ** GAM", "V ** GAM"))
    assert [f.severity for f in findings(tmp_path, system(*wrong)) if f.where == "odes.A3"] == ["error"]
    (_, output) = findings(tmp_path, system(*odes, outputs='2 = "1000 * A2 / V"\n3 = "A3"', more=""))[:2]
    assert output.code == "output-unit"


def test_dose_formulas_have_their_units(tmp_path: Path) -> None:
    body = system(ORAL, "KA * A1 - CL / V * A2")
    assert findings(tmp_path, body + '[doses]\nF.1 = "0.8 ** SEX"\nlag.1 = "1 / KA"\n') == ()
    found = findings(tmp_path, body + '[doses]\nF.1 = "KM"\nlag.1 = "KA"\n')
    assert [(f.where, f.severity) for f in found] == [("doses.F.1", "warning"), ("doses.lag.1", "error")]


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    text = HEAD.replace('AGE = { unit = "year"', 'AGE = { unit = "furlong"')
    (tmp_path / "x.toml").write_text(text + effect("(AGE / 40) ** 2"), encoding="utf-8")
    (found,) = dimension_findings(read_model(tmp_path / "x.toml"))
    assert (found.severity, found.code, found.where) == ("info", "unit-unknown", "covariates.AGE.unit")


def test_units_as_they_are_printed() -> None:
    assert shown(read_units("mL/min/1.73m2")) == "mL/min/1.73m2"
    assert read_units("weeks") == read_units("week") == {"week": 1.0}
    assert conversion(read_units("day/year")) == pytest.approx(365.25)
    assert conversion(read_units("kg/h")) is None
    unifier = Unifier()
    assert unifier.equal({"?a": 2.0}, {"L": 1.0}) and unifier.reduced({"?a": 1.0}) == {"L": 0.5}
    assert not unifier.equal({"?a": 1.0}, {"h": 1.0})


@pytest.mark.parametrize("name", list_models())
def test_the_library_has_no_wrong_unit(name: str) -> None:
    found = [str(f) for model in read_every_variant(name) for f in dimension_findings(model) if f.severity == "error"]
    assert [re.sub(r"\s+", " ", text) for text in found] == []
