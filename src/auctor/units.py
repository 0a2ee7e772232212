"""Units at the border: UCUM and the usual spellings to the engine's h, mg, L, mg/L, by pint with exact fractions; no unit is ever guessed.

The registry knows only the units below, so that a letter never means something unexpected (pint's own `a` is an are, UCUM's a year).
"""

from __future__ import annotations

import re
import sys
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from auctor.errors import UnitError

if TYPE_CHECKING:
    import pint

PREFIXES = {"k": "kilo- = 1000", "d": "deci- = 1e-1", "c": "centi- = 1e-2", "m": "milli- = 1e-3", "u": "micro- = 1e-6"} | {
    "n": "nano- = 1e-9",
    "p": "pico- = 1e-12",
}
# UCUM 2.1: a year is the mean Julian year (365.25 d), a month a twelfth of it; the pound is the international one (NIST SP 811, B.8).
DEFINITIONS = (
    "gram = [mass] = g",
    "metre = [length] = m",
    "hour = [time] = h",
    "mole = [substance] = mol",
    "international_unit = [activity] = IU",
    "per_173_m2 = [indexed] = bsa173",
    "litre = 1e-3 * metre ** 3 = L",
    "minute = 1/60 * hour = min",
    "second = 1/3600 * hour = s",
    "day = 24 * hour = d",
    "week = 168 * hour = wk",
    "month = 730.5 * hour = mo",
    "year = 8766 * hour = a",
    "pound = 453.59237 * gram = lb",
    "inch = 0.0254 * metre = in_i",
    "percent = 1/100",
    "E3 = 1e3",
    "E6 = 1e6",
    "E9 = 1e9",
    "E12 = 1e12",
)
# Spellings met in laboratory exports and papers that UCUM does not allow, or that pint cannot read.
ALIASES = {
    "mcg": "ug", "mcL": "uL", "mcmol": "umol", "l": "L", "dl": "dL", "ml": "mL", "ul": "uL", "cc": "mL",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "minute": "min", "minutes": "min", "mins": "min", "sec": "s", "day": "d", "days": "d",
    "week": "wk", "weeks": "wk", "month": "mo", "months": "mo", "y": "a", "yr": "a", "yrs": "a", "year": "a", "years": "a",
    "gram": "g", "grams": "g", "kgs": "kg", "lbs": "lb", "lb_av": "lb", "in": "in_i", "iU": "IU",
    "%": "percent", "ratio": "1", "fraction": "1", "score": "1",
}  # fmt: skip
MOST = sys.float_info.max
_USUAL = ("mg", "ug", "ng", "g", "kg", "mg/L", "ug/L", "ng/mL", "ug/mL", "umol/L", "mg*h/L", "h", "min", "d", "mL/min", "L/h", "%", "mg/dL")
_INDEXED = re.compile(r"/\s*[({]?\s*1\.73\s*_?\s*m2\s*[)}]?")
_SIGNS = str.maketrans({"µ": "u", "μ": "u", "·": "*", "⋅": "*", "×": "*", "²": "2", "³": "3", "^": "", "[": "", "]": ""})
_TERM = re.compile(r"1|bsa173|E(?:3|6|9|12)|(?P<name>[A-Za-z_%]\w*?)(?P<power>-?[1-9])?")
_QUANTITY = re.compile(r"\s*(?P<sign><=|<|≤|>=|>|≥|)\s*(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)\s*(?P<unit>\D.*)?", re.DOTALL)


class Quantity(NamedTuple):
    """A number as written with its unit ("" when there was none); `below` when written `<2.0 mg/L`, `above` when `>40 mg/L`."""

    value: float
    unit: str
    below: bool = False
    above: bool = False


def parse(text: str, *, where: str) -> Quantity:
    """Split a written quantity into number and unit, without converting; raises UnitError when it is not one.

    A decimal comma is refused: 1,000 is one or one thousand, depending on the reader.

    >>> parse("1000 mg", where="doses[0].amount")
    Quantity(value=1000.0, unit='mg', below=False, above=False)
    >>> parse("<2.0 ng/mL", where="samples[0].value").below
    True
    """
    found = _QUANTITY.fullmatch(text)
    if found is None or (found["unit"] or "").startswith((",", ".")):
        remedy = "write a number with a decimal point and a unit, for example '12.5 mg'"
        raise UnitError(where=where, what="not a number with a unit", remedy=remedy)
    return Quantity(
        float(found["number"]), (found["unit"] or "").strip(), found["sign"] in ("<", "<=", "≤"), found["sign"] in (">", ">=", "≥")
    )


def convert(value: float, unit: str | None, to: str, *, where: str, molar_mass: float | None = None) -> float:
    """`value` in `unit`, expressed in `to`, rounded once. `molar_mass` (g/mol) bridges moles and mass.

    Raises UnitError when the unit is missing, unknown, of another dimension, or needs a molar mass that is not known.

    >>> convert(6.8, "ng/mL", "mg/L", where="samples[0]"), convert(50, "mL/min", "L/h", where="covariates.CRCL")
    (0.0068, 3.0)
    >>> convert(88.4, "umol/L", "mg/dL", where="covariates.SCR", molar_mass=113.12)
    0.99998...
    """
    if not abs(value) <= MOST:
        raise _beyond(where)
    if unit is None or not unit.strip():
        raise UnitError(where=where, what="no unit", remedy=f"write the unit, for example '{to}'")
    if unit == to:
        return float(value)
    # the shortest decimal that reads back as the number: 14.2 ng/mL becomes 0.0142 mg/L, not 0.014199999999999999
    found = Fraction(repr(float(value))) * factor(unit, to, where=where, molar_mass=molar_mass)
    if abs(found) > MOST:
        raise _beyond(where)
    return float(found)


def _beyond(where: str) -> UnitError:
    return UnitError(where=where, what="not a finite number", remedy="give the measured number, or leave the field out")


def factor(unit: str, to: str, *, where: str, molar_mass: float | None = None) -> Fraction:
    """The exact number of `to` in one `unit`; raises UnitError as `convert` does.

    >>> factor("mg/kg/d", "ug/kg/h", where="rate")
    Fraction(125, 3)
    """
    return _factor(_spelling(unit, where), _spelling(to, where), where, molar_mass)


@lru_cache(maxsize=512)
def _factor(unit: str, to: str, where: str, molar_mass: float | None) -> Fraction:
    one, target = _quantity(unit, where), _quantity(to, where)
    ratio = one / target
    for moles_to_mass in (0, 1, -1):
        bridged = ratio * _registry().Quantity(Fraction(molar_mass or 1), "g/mol") ** moles_to_mass
        if not bridged.dimensionless:
            continue
        if moles_to_mass and molar_mass is None:
            remedy = f"give it in {to}, or use a model whose file states the molar mass"
            raise UnitError(where=where, what=f"{unit} counts molecules and the molar mass is not known", remedy=remedy)
        return Fraction(bridged.to("").magnitude)
    raise UnitError(where=where, what=f"{unit} cannot be turned into {to}", remedy=f"give it in {to} or a unit of the same kind")


def _quantity(unit: str, where: str) -> pint.Quantity[Any]:
    from pint.errors import UndefinedUnitError

    try:
        quantity: pint.Quantity[Any] = _registry().Quantity(Fraction(1), unit)
    except (UndefinedUnitError, ValueError) as problem:  # `NaN` is a number to pint, and no fraction
        raise _unknown(unit, where) from problem
    return quantity


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry[Any]:
    import pint

    registry: pint.UnitRegistry[Any] = pint.UnitRegistry(None, non_int_type=Fraction)
    for letter, definition in PREFIXES.items():
        registry.define(f"{definition} = {letter}-")
    for definition in DEFINITIONS:
        registry.define(definition)
    return registry


@lru_cache(maxsize=512)
def _spelling(unit: str, where: str) -> str:
    """One spelling for pint: known aliases, `*` between factors, `**` before powers."""
    text = re.sub(r"10[*^]{1,2}(\d+)", r"E\1", unit.strip()).translate(_SIGNS).replace("**", "")
    text = re.sub(r"\{[^}]*\}", "1", _INDEXED.sub("/bsa173", text))
    words = re.split(r"([*/])", re.sub(r"(?<=[A-Za-z0-9])\.(?=[A-Za-z])", "*", text))
    terms = [_term(word.strip(), unit, where) if k % 2 == 0 else word for k, word in enumerate(words)]
    return "".join(terms)


def _term(word: str, unit: str, where: str) -> str:
    found = _TERM.fullmatch(word)
    if found is None:
        raise _unknown(unit, where)
    if found["name"] is None:
        return word
    name = ALIASES.get(found["name"], found["name"])
    return f"{name}**({found['power']})" if found["power"] else name


def _unknown(unit: str, where: str) -> UnitError:
    import difflib

    near = difflib.get_close_matches(unit, _USUAL, n=1, cutoff=0.5)
    remedy = f"did you mean '{near[0]}'?" if near else "use a UCUM unit such as mg, ng/mL, mg/L, h, kg, mL/min or %"
    return UnitError(where=where, what=f"unknown unit '{unit[:24]}'", remedy=remedy)
