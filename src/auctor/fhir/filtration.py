"""Filtration rate from creatinine by a formula that somebody names: laboratories' own figures come from several, and do not say which."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Person:
    """What the formulas need: creatinine mg/dL, age a, sex male or female, weight kg, height cm (None where not known)."""

    creatinine: float
    age: float
    male: bool
    weight: float | None = None
    height: float | None = None


@dataclass(frozen=True, kw_only=True)
class Formula:
    """A formula: the covariate that it gives and its unit, the ages it was made for, and its source."""

    covariate: str
    unit: str
    ages: tuple[float, float]
    needs: tuple[str, ...]
    source: str


FORMULAS = {
    "cockcroft-gault": Formula(
        covariate="CRCL", unit="mL/min", ages=(18, 123), needs=("weight",),
        source="Cockcroft and Gault 1976, Nephron 16:31-41; (140 - age) weight / (72 creatinine), 0.85 of it in women; no cap and no floor",
    ),
    "ckd-epi-2009": Formula(
        covariate="EGFR", unit="mL/min/1.73m2", ages=(18, 123), needs=(),
        source="Levey 2009, Ann Intern Med 150:604-612, without the coefficient of race",
    ),
    "ckd-epi-2021": Formula(
        covariate="EGFR", unit="mL/min/1.73m2", ages=(18, 123), needs=(), source="Inker 2021, N Engl J Med 385:1737-1749, creatinine alone"
    ),
    "schwartz-2009": Formula(
        covariate="EGFR", unit="mL/min/1.73m2", ages=(1, 18), needs=("height",),
        source="Schwartz 2009, J Am Soc Nephrol 20:629-637, bedside: 0.413 height / creatinine",
    ),
}  # fmt: skip


def filtration(formula: str, person: Person) -> float:
    """The rate in the formula's unit; KeyError for an unknown formula, ValueError where it needs what is not known.

    >>> filtration("cockcroft-gault", Person(creatinine=1.0, age=40, male=True, weight=72))
    100.0
    >>> round(filtration("ckd-epi-2021", Person(creatinine=1.0, age=50, male=False)), 1)
    68.6
    """
    known = FORMULAS[formula]
    missing = [name for name in known.needs if getattr(person, name) is None]
    if missing:
        raise ValueError(f"{formula} needs {missing[0]}")
    if formula == "cockcroft-gault":
        return (140 - person.age) * (person.weight or 0.0) / (72 * person.creatinine) * (1.0 if person.male else 0.85)
    if formula == "schwartz-2009":
        return 0.413 * (person.height or 0.0) / person.creatinine
    return _ckd_epi(person, revised=formula == "ckd-epi-2021")


def _ckd_epi(person: Person, *, revised: bool) -> float:
    kappa = 0.9 if person.male else 0.7
    low = ((-0.302 if person.male else -0.241) if revised else (-0.411 if person.male else -0.329)) if person.creatinine <= kappa else 0.0
    high = (-1.200 if revised else -1.209) if person.creatinine > kappa else 0.0
    sex = 1.0 if person.male else (1.012 if revised else 1.018)
    level = math.pow(person.creatinine / kappa, low + high)
    return (142 if revised else 141) * level * math.pow(0.9938 if revised else 0.993, person.age) * sex
