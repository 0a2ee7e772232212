"""A written quantity of a case file to a number in the unit wanted; the unit is required, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auctor.data.limits import Limit
from auctor.errors import CaseError, Notice
from auctor.units import Quantity, convert, parse

if TYPE_CHECKING:
    from auctor.data.schema import Measured

Written = "str | float | Measured"


def written(quantity: str | float | Measured, beside: str | None, *, where: str) -> Quantity:
    """Number and unit of `"1000 mg"`, `{value = 1000, unit = "mg"}`, or 1000 with `unit = "mg"` beside it.

    >>> written(1000, "mg", where="doses[0].amount")
    Quantity(value=1000.0, unit='mg', below=False, above=False)
    """
    if isinstance(quantity, str):
        found = parse(quantity, where=where)
    elif isinstance(quantity, (int, float)):
        found = Quantity(float(quantity), "")
    else:
        found = Quantity(quantity.value, quantity.unit)
    if found.unit and beside is not None:
        raise CaseError(where=where, what="its unit is given twice", remedy="write the unit once")
    return found if found.unit else found._replace(unit=beside or "")


def measure(quantity: str | float | Measured, to: str, *, where: str, beside: str | None = None, molar_mass: float | None = None) -> float:
    """The quantity in `to`; UnitError without a unit or for another kind, CaseError for "less than" or "more than".

    >>> measure("90 min", "h", where="doses[0].duration")
    1.5
    """
    found = written(quantity, beside, where=where)
    if found.below or found.above:
        word = "less" if found.below else "more"
        raise CaseError(where=where, what=f"'{word} than' where a value is needed", remedy="give the number")
    return convert(found.value, found.unit, to, where=where, molar_mass=molar_mass)


def check_limit(value: float, limit: Limit, *, where: str) -> tuple[Notice, ...]:
    """Nothing, a carried `implausible` notice, or a CaseError when the value (in the limit's unit) cannot be."""
    if not limit.low <= value <= limit.high:
        what = f"outside {limit.low:g} to {limit.high:g} {limit.unit}, beyond what is possible ({limit.reason})"
        raise CaseError(where=where, what=what, remedy=limit.hint)
    if limit.usual[0] <= value <= limit.usual[1]:
        return ()
    what = f"outside the usual {limit.usual[0]:g} to {limit.usual[1]:g} {limit.unit}"
    return (Notice(code="implausible", where=where, what=what, remedy=limit.hint, blocks_signing=True),)
