"""What a control stream does not say and whoever imports it must: drug, units, and what each covariate is measured in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auctor.errors import UnitError
from auctor.models.quantities import CONCENTRATION, MASS, TIME, factor, read_unit

_WANTED = {"drug": "--drug NAME", "dose_unit": "--dose-unit mg", "conc_unit": "--conc-unit mg/L", "time_unit": "--time-unit h"}


@dataclass(frozen=True, kw_only=True)
class Said:
    """Units of AMT, DV and TIME as the table has them; `covariates` by name, as `--covariate` writes them. None: not said."""

    drug: str | None = None
    dose_unit: str | None = None
    conc_unit: str | None = None
    time_unit: str | None = None
    molar_mass: float | None = None
    title: str | None = None
    cite: str | None = None
    covariates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def factors(self) -> tuple[float, float, float]:
        """AMT in mg, DV in mg/L and TIME in h."""
        assert self.dose_unit and self.conc_unit and self.time_unit
        return (
            factor(self.dose_unit, MASS, where="--dose-unit", molar_mass=self.molar_mass),
            factor(self.conc_unit, CONCENTRATION, where="--conc-unit", molar_mass=self.molar_mass),
            factor(self.time_unit, TIME, where="--time-unit", molar_mass=None),
        )


def require(said: Said, covariates: Iterable[str], where: str) -> None:
    """UnitError listing everything that is missing, with the command line that says it; nothing is assumed."""
    missing = {key: option for key, option in _WANTED.items() if not getattr(said, key)}
    lacking = [name for name in covariates if name not in said.covariates]
    if missing or lacking:
        words = [*(key.replace("_", " ").replace("conc", "concentration") for key in missing), *(f"covariate {n}" for n in lacking)]
        options = [*missing.values(), *(f"--covariate '{n}=REFERENCE UNIT'" for n in lacking)]
        what = f"a control stream does not say: {', '.join(words)}"
        raise UnitError(where=where, what=what, remedy=f"add {' '.join(options)} with the units of your table")


def covariate(text: str) -> tuple[str, dict[str, Any]]:
    """One `--covariate`: NAME=REFERENCE UNIT, or NAME=WORD:word=code,word=code. UnitError when it is neither.

    >>> covariate("WGT=1.3 kg")
    ('WGT', {'unit': 'kg', 'reference': 1.3})
    >>> covariate("SEX=male:male=0,female=1")
    ('SEX', {'levels': {'male': 0.0, 'female': 1.0}, 'reference': 'male'})
    """
    name, _, rest = text.partition("=")
    measured = re.fullmatch(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s+(\S+)\s*", rest)
    where = f"--covariate {name.strip()}"
    if measured:
        _known_unit(measured[2], where)
        return name.strip(), {"unit": measured[2], "reference": _number(measured[1], where)}
    word, colon, pairs = rest.partition(":")
    levels = dict(pair.split("=", 1) for pair in pairs.split(",") if "=" in pair)
    if not colon or word.strip() not in levels or len(levels) < 2:
        remedy = "write 'WT=70 kg', 'APGR=7 1' (no unit) or 'SEX=male:male=0,female=1'"
        raise UnitError(where=where, what="no reference with a unit", remedy=remedy)
    codes = {key.strip(): _number(value, where) for key, value in levels.items()}
    return name.strip(), {"levels": codes, "reference": word.strip()}


def _known_unit(unit: str, where: str) -> None:
    """Any text names a covariate's unit in a model file; it must at least not be a number."""
    if re.fullmatch(r"[\d.]+", unit) and unit != "1":
        raise UnitError(where=where, what=f"{unit!r} is not a unit", remedy="write the unit, or 1 where there is none")


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnitError(where=where, what=f"{text!r} is not a number", remedy="write for example 'WT=70 kg'") from error


def volume_unit(worth: float) -> str | None:
    """The unit of a volume of `worth` litres that a model file can print; None where there is none.

    >>> volume_unit(0.001)
    'mL'
    """
    units = ("L", "mL", "dL", "uL")
    return next((u for u in units if abs(read_unit(u, where="volume").factor - worth) <= 1e-12 * worth), None)
