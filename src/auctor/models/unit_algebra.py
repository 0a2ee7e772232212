"""Units as products of powers, some of them unknown, and the solving of equations between them.

A unit is a mapping from base units to exponents: L/h is {"L": 1, "h": -1}. An unknown unit is a name that starts with `?`. Two units are
made equal by solving for one unknown (linear equations in the exponents, as in A. J. Kennedy, Programming Languages and Dimensions, 1996).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from auctor.models.quantities import Unit

Units = dict[str, float]

NUMBER: Units = {}
_ENGINE = {"mass": "mg", "volume": "L", "time": "h"}
_SPELLED = {"µg": "ug", "μg": "ug", "mcg": "ug", "µmol": "umol", "μmol": "umol", "l": "L", "ml": "mL", "dl": "dL", "hr": "h"}
_SPELLED |= {
    "d": "day",
    "days": "day",
    "weeks": "week",
    "wk": "week",
    "months": "month",
    "y": "year",
    "yr": "year",
    "years": "year",
    "a": "year",
}
_PLAIN = {"", "1", "fraction", "ratio", "score", "count"}
# unit -> (physical dimension, worth in the dimension's first unit)
_WORTH: dict[str, tuple[str, float]] = {
    "mg": ("mass", 1.0), "g": ("mass", 1e3), "ug": ("mass", 1e-3), "ng": ("mass", 1e-6), "L": ("volume", 1.0), "mL": ("volume", 1e-3),
    "dL": ("volume", 0.1), "uL": ("volume", 1e-6), "h": ("time", 1.0), "min": ("time", 1 / 60), "day": ("time", 24.0),
    "week": ("time", 168.0), "month": ("time", 730.5), "year": ("time", 8766.0), "umol": ("amount", 1e-3), "mmol": ("amount", 1.0),
    "nmol": ("amount", 1e-6), "mol": ("amount", 1e3), "cm": ("length", 1e-2), "m": ("length", 1.0), "%": ("", 1e-2),
}  # fmt: skip
_ORDER = {name: k for k, name in enumerate(_WORTH)}
KNOWN = frozenset({*_WORTH, "kg", "m2", "U", "IU", "mmHg"})


def times(left: Mapping[str, float], right: Mapping[str, float], power: float = 1.0) -> Units:
    """left * right^power, without exponents that cancel.

    >>> times({"L": 1.0}, {"h": 1.0}, -1)
    {'L': 1.0, 'h': -1.0}
    """
    found = dict(left)
    for base, exponent in right.items():
        found[base] = found.get(base, 0.0) + power * exponent
    return {base: exponent for base, exponent in found.items() if abs(exponent) > 1e-9}


def read_units(text: str) -> Units:
    """A unit as printed beside a covariate; a word that is no known unit stands for itself.

    >>> read_units("mL/min/1.73m2"), read_units("10^9/L"), read_units("%")
    ({'mL': 1.0, 'min': -1.0, '1.73m2': -1.0}, {'10^9': 1.0, 'L': -1.0}, {'%': 1.0})
    """
    found: Units = {}
    for k, part in enumerate(re.split(r"/", text.strip())):
        for token in re.split(r"[*·.]", part) if not re.search(r"\d\.\d", part) else [part]:
            name = _SPELLED.get(token.strip(), token.strip())
            if name not in _PLAIN:
                found = times(found, {name: 1.0}, -1.0 if k else 1.0)
    return found


def engine_units(unit: Unit) -> Units:
    """The unit of a parameter once it is in engine units: mg, L, h, and the kg or m2 it is printed per."""
    found = {_ENGINE[name]: float(n) for name, n in unit.powers if name in _ENGINE}
    above, *below = unit.text.split("/")
    body = [(part.strip(), 1.0) for part in above.split("*")] + [(part.strip(), -1.0) for part in below]
    for name, power in body:
        found = times(found, {name: power} if name in ("kg", "m2") else {})
    return found


def shown(units: Mapping[str, float]) -> str:
    """The unit in words.

    >>> shown({"L": 1.0, "h": -1.0}), shown({}), shown({"kg": 0.75}), shown({"h": -1.0})
    ('L/h', 'a plain number', 'kg^0.75', '1/h')
    """
    if not units:
        return "a plain number"
    order = sorted(units.items(), key=lambda item: _ORDER.get(item[0], len(_ORDER)))
    above = [_power(base, exponent) for base, exponent in order if exponent > 0]
    below = [_power(base, -exponent) for base, exponent in order if exponent < 0]
    return "/".join(["*".join(above) or "1", *below])


def _power(base: str, exponent: float) -> str:
    name = "unknown" if base.startswith("?") else base
    return name if exponent == 1 else f"{name}^{exponent:g}"


def conversion(units: Mapping[str, float]) -> float | None:
    """The number that a pure change of scale is worth: how many of the unit's denominator one of its numerator is. None for a real unit.

    >>> round(conversion({"L": 1.0, "h": -1.0, "mL": -1.0, "min": 1.0}), 6), conversion({"L": 1.0})
    (0.06, None)
    """
    left: Units = {}
    worth = 1.0
    for base, exponent in units.items():
        if base not in _WORTH:
            return None
        dimension, size = _WORTH[base]
        left = times(left, {dimension: exponent} if dimension else {})
        worth *= size**-exponent
    return None if left else worth


class Unifier:
    """Unknown units solved so far."""

    def __init__(self, solved: Mapping[str, Units] | None = None) -> None:
        self.solved: dict[str, Units] = dict(solved or {})

    def copy(self) -> Unifier:
        """An independent copy, for an attempt that may be given up."""
        return Unifier(self.solved)

    def reduced(self, units: Mapping[str, float]) -> Units:
        """The unit with every solved unknown replaced."""
        found = dict(units)
        while known := [base for base in found if base in self.solved]:
            power = found.pop(known[0])
            found = times(found, self.solved[known[0]], power)
        return found

    def equal(self, left: Mapping[str, float], right: Mapping[str, float]) -> bool:
        """Make two units equal by solving for an unknown; False where they cannot be.

        >>> unifier = Unifier()
        >>> unifier.equal({"?a": 1.0, "kg": 1.0}, {"L": 1.0}), unifier.reduced({"?a": 1.0})
        (True, {'kg': -1.0, 'L': 1.0})
        """
        rest = self.reduced(times(left, right, -1.0))
        unknown = sorted(base for base in rest if base.startswith("?"))
        if unknown:
            power = rest.pop(unknown[0])
            self.solved[unknown[0]] = times({}, rest, -1.0 / power)
        return bool(unknown) or not rest
