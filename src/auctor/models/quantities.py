"""The units a model file may use, as one explicit table; everything becomes h, mg, L, mg/L."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from auctor.errors import ModelError

# token -> (dimension, factor to the engine's unit)
_TOKENS: dict[str, tuple[str, float]] = {
    "ng": ("mass", 1e-6),
    "ug": ("mass", 1e-3),
    "mg": ("mass", 1.0),
    "g": ("mass", 1e3),
    "nmol": ("amount", 1e-9),
    "umol": ("amount", 1e-6),
    "mmol": ("amount", 1e-3),
    "mol": ("amount", 1.0),
    "uL": ("volume", 1e-6),
    "mL": ("volume", 1e-3),
    "dL": ("volume", 0.1),
    "L": ("volume", 1.0),
    "s": ("time", 1.0 / 3600.0),
    "min": ("time", 1.0 / 60.0),
    "h": ("time", 1.0),
    "d": ("time", 24.0),
    "kg": ("body", 1.0),
    "m2": ("body", 1.0),
    "%": ("", 0.01),
    "1": ("", 1.0),
    "": ("", 1.0),
}
_ALIASES = {"µg": "ug", "μg": "ug", "mcg": "ug", "µmol": "umol", "μmol": "umol", "l": "L", "ml": "mL", "dl": "dL", "hr": "h", "day": "d"}
_WHOLE = {"h-1": "1/h", "h^-1": "1/h", "ratio": "1", "fraction": "1"}
REMEDY = "use L, mL, L/h, mL/min, 1/h, h, min, mg, ng/mL, mg/L, ug/L, umol/L, mg*h/L, %, or these per kg (L/h/kg)"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit read: `factor` takes a number into the engine's unit, `powers` says its dimension."""

    text: str
    factor: float
    powers: tuple[tuple[str, int], ...]

    @property
    def per_body(self) -> bool:
        """Whether it is per kg or per m2 of body, so that a covariate must multiply it."""
        return ("body", -1) in self.powers

    @property
    def dimension(self) -> tuple[tuple[str, int], ...]:
        """The dimension without the per-body part."""
        return tuple(p for p in self.powers if p[0] != "body")


def _dimension(**powers: int) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(powers.items()))


CLEARANCE = _dimension(volume=1, time=-1)
VOLUME = _dimension(volume=1)
RATE = _dimension(time=-1)
TIME = _dimension(time=1)
MASS = _dimension(mass=1)
INPUT = _dimension(mass=1, time=-1)
CONCENTRATION = _dimension(mass=1, volume=-1)
AUC = _dimension(mass=1, volume=-1, time=1)
NUMBER = _dimension()


def read_unit(text: str, *, where: str, molar_mass: float | None = None) -> Unit:
    """Read a unit such as `mL/min` or `mg*h/L`; molar units need `molar_mass` in g/mol. ModelError when unknown.

    >>> read_unit("mL/min/kg", where="x").dimension
    (('time', -1), ('volume', 1))
    """
    factor, powers = 1.0, Counter[str]()
    spelled = _WHOLE.get(text.strip(), text.strip())
    numerator, *denominators = spelled.split("/")
    for token, sign in [*((t, 1) for t in numerator.replace("·", "*").split("*")), *((t, -1) for t in denominators)]:
        dimension, worth = _token(token.strip(), text, where)
        if dimension == "amount":
            dimension, worth = "mass", worth * 1e3 * _molar(molar_mass, where)
        factor = factor * worth if sign > 0 else factor / worth
        if dimension:
            powers[dimension] += sign
    # 1e-6 / 1e-3 leaves a rounding error that would show in printed tables
    return Unit(text=text, factor=float(f"{factor:.15g}"), powers=tuple(sorted((k, n) for k, n in powers.items() if n)))


def factor(text: str, dimension: tuple[tuple[str, int], ...], *, where: str, molar_mass: float | None = None) -> float:
    """The factor of a unit that must have this dimension; ModelError otherwise.

    >>> factor("ng/mL", CONCENTRATION, where="x")
    0.001
    """
    unit = read_unit(text, where=where, molar_mass=molar_mass)
    if unit.powers != dimension:
        raise ModelError(where=where, what=f"{text!r} is not a unit of {_words(dimension)}", remedy=REMEDY)
    return unit.factor


def _token(token: str, text: str, where: str) -> tuple[str, float]:
    known = _TOKENS.get(_ALIASES.get(token, token))
    if known is None or (token == "" and text.strip() != ""):
        raise ModelError(where=where, what=f"unit {text!r} is not known", remedy=REMEDY)
    return known


def _molar(molar_mass: float | None, where: str) -> float:
    if molar_mass is None:
        raise ModelError(where=where, what="a molar unit without molar_mass", remedy="add molar_mass = ... (g/mol) to the model file")
    return molar_mass


def _words(dimension: tuple[tuple[str, int], ...]) -> str:
    return " ".join(name if n == 1 else f"{name}^{n}" for name, n in dimension) or "a plain number"
