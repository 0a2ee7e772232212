"""Units: conversions go there and back, agree with an independent table, and refuse rather than guess."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auctor.errors import UnitError
from auctor.units import convert, factor, parse


def _fraction(text: str) -> Fraction:
    top, _, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom or "1")


# kind -> unit -> size in the kind's first unit; written by hand, so that it is a second source beside the registry
WRITTEN = {
    "mass": "mg 1, g 1000, kg 1000000, ug 1/1000, mcg 1/1000, µg 1/1000, ng 1/1000000",
    "concentration": "mg/L 1, ug/mL 1, mcg/mL 1, µg/mL 1, mg/l 1, g/L 1000, mg/dL 10, ng/mL 1/1000, μg/L 1/1000, pg/mL 1/1000000",
    "time": "h 1, hr 1, hours 1, min 1/60, d 24, days 24, wk 168, mo 730.5, a 8766, years 8766",
    "clearance": "L/h 1, mL/min 0.06, ml/min 0.06, L/d 1/24, dL/h 0.1",
    "share": "1 1, % 0.01, L/L 1, {ratio} 1",
    "exposure": "mg*h/L 1, mg.h/L 1, h*mg/L 1, mg·h/L 1, ng*h/mL 1/1000, ug*h/mL 1",
    "indexed": "mL/min/1.73m2 1, mL/min/{1.73_m2} 1, mL/min/1.73m² 1, L/h/1.73m2 100/6",
    "mass index": "kg/m2 1, kg/m^2 1, kg/m² 1, g/m**2 1/1000",
    "count": "10*9/L 1, 10^9/L 1, 10*6/mL 1",
}
SIZES: dict[str, dict[str, Fraction]] = {
    kind: {pair.split(" ")[0]: _fraction(pair.split(" ")[1]) for pair in text.split(", ")} for kind, text in WRITTEN.items()
}
PAIRS = [(kind, a, b) for kind, table in SIZES.items() for a in table for b in table]


@pytest.mark.parametrize(("kind", "unit", "to"), PAIRS)
def test_factor_equals_the_table_exactly(kind: str, unit: str, to: str) -> None:
    assert factor(unit, to, where="x") == SIZES[kind][unit] / SIZES[kind][to]


@settings(max_examples=300, deadline=None)
@given(pair=st.sampled_from(PAIRS), value=st.floats(min_value=1e-9, max_value=1e9))
def test_there_and_back_is_the_same_number(pair: tuple[str, str, str], value: float) -> None:
    _, unit, to = pair
    assert convert(convert(value, unit, to, where="x"), to, unit, where="x") == pytest.approx(value, rel=4e-16)


@settings(max_examples=100, deadline=None)
@given(value=st.floats(min_value=1e-6, max_value=1e6), molar_mass=st.floats(min_value=10, max_value=2000))
def test_moles_and_mass_go_there_and_back(value: float, molar_mass: float) -> None:
    mass = convert(value, "umol/L", "mg/L", where="x", molar_mass=molar_mass)
    assert mass == pytest.approx(value * molar_mass / 1000, rel=1e-14)
    assert convert(mass, "mg/L", "umol/L", where="x", molar_mass=molar_mass) == pytest.approx(value, rel=1e-14)


@settings(max_examples=200, deadline=None)
@given(value=st.floats(min_value=-1e6, max_value=1e6), unit=st.sampled_from(sorted({unit for table in SIZES.values() for unit in table})))
def test_a_written_quantity_reads_back(value: float, unit: str) -> None:
    if not unit[0].isalpha() and unit[0] not in "%{µμ":
        return
    read = parse(f"{value!r} {unit}", where="x")
    assert (read.value, read.unit, read.below) == (value, unit, False)


@settings(max_examples=300, deadline=None)
@given(unit=st.text(max_size=12), to=st.sampled_from(["mg", "mg/L", "h", "%", "mL/min"]))
def test_any_text_is_a_unit_or_a_typed_refusal(unit: str, to: str) -> None:
    try:
        outcome: float | UnitError = convert(1.0, unit, to, where="x")
    except UnitError as refusal:
        outcome = refusal
    assert all((outcome.where, outcome.what, outcome.remedy)) if isinstance(outcome, UnitError) else outcome > 0


@pytest.mark.parametrize(
    ("unit", "to"),
    [
        ("", "mg"), (" ", "mg"), (None, "mg"), ("mgg", "mg"), ("mg mg", "mg"), ("mg/", "mg"), ("//", "mg"), ("mg", "mg/L"), ("mL", "mg"),
        ("umol/L", "mg/L"), ("h", "mg"), ("mg/kg", "mg"), ("MG", "mg"), ("%", "mg"), ("1", "mg/L"), ("M", "mg/L"), ("mol*mol", "mg*mg"),
        ("mL/min/1.73m2", "mL/min"), ("Cel", "h"), ("NaN", "mg"),
    ],
)  # fmt: skip
def test_refused_units(unit: str | None, to: str) -> None:
    with pytest.raises(UnitError) as refusal:
        convert(1.0, unit, to, where="doses[0].amount")
    assert refusal.value.where == "doses[0].amount"
    assert refusal.value.remedy


@pytest.mark.parametrize("text", ["", "mg", "1,000 mg", "1.000,5 mg", "12.5.1 mg", "nan mg", "inf mg", "-", "<", "10 000,5 mg"])
def test_refused_quantities(text: str) -> None:
    with pytest.raises(UnitError):
        _read(text)


def _read(text: str) -> float:
    quantity = parse(text, where="doses[0].amount")
    return convert(quantity.value, quantity.unit, "mg", where="doses[0].amount")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(UnitError):
        convert(value, "mg", "mg", where="x")


@pytest.mark.parametrize("value", [-sys.float_info.max, 1e306, 10**400])
def test_a_number_that_no_float_holds_is_refused(value: float) -> None:
    """Found by 10^5 cases of entry: -1.8e308 g has no number in mg."""
    with pytest.raises(UnitError, match="finite"):
        convert(value, "g", "mg", where="w")


def test_pint_is_not_imported_with_the_module() -> None:
    code = "import sys, auctor.units; sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
