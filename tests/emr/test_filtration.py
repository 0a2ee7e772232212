"""Filtration rates from creatinine: figures worked by hand at the knots of the formulas, and their shape beside them."""

from __future__ import annotations

import pytest

from auctor.fhir.filtration import FORMULAS, Person, filtration


@pytest.mark.parametrize(
    ("formula", "person", "rate"),
    [
        ("cockcroft-gault", Person(creatinine=1.2, age=60, male=True, weight=72), 80 * 72 / (72 * 1.2)),
        ("cockcroft-gault", Person(creatinine=1.2, age=60, male=False, weight=72), 0.85 * 80 / 1.2),
        ("ckd-epi-2009", Person(creatinine=0.9, age=50, male=True), 141 * 0.993**50),  # at the knot the power is 1
        ("ckd-epi-2009", Person(creatinine=0.7, age=50, male=False), 141 * 0.993**50 * 1.018),
        ("ckd-epi-2009", Person(creatinine=1.8, age=50, male=True), 141 * 2**-1.209 * 0.993**50),
        ("ckd-epi-2021", Person(creatinine=0.9, age=50, male=True), 142 * 0.9938**50),
        ("ckd-epi-2021", Person(creatinine=0.35, age=50, male=False), 142 * 0.5**-0.241 * 0.9938**50 * 1.012),
        ("ckd-epi-2021", Person(creatinine=1.8, age=50, male=True), 142 * 2**-1.2 * 0.9938**50),
        ("schwartz-2009", Person(creatinine=0.6, age=7, male=True, height=120), 82.6),
    ],
)
def test_worked_by_hand(formula: str, person: Person, rate: float) -> None:
    assert filtration(formula, person) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("formula", FORMULAS)
def test_more_creatinine_less_filtration(formula: str) -> None:
    people = [
        Person(creatinine=x / 10, age=17 if formula.startswith("sch") else 50, male=True, weight=70, height=150) for x in range(3, 60)
    ]
    rates = [filtration(formula, person) for person in people]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == len(rates)


def test_what_is_needed_is_asked_for() -> None:
    with pytest.raises(ValueError, match="weight"):
        filtration("cockcroft-gault", Person(creatinine=1, age=50, male=True))
