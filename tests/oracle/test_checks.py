"""The runner of `[[checks]]` against closed forms and an independent solver, and that each kind of check can fail."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from auctor.errors import CaseError, ModelError
from auctor.models.checks import CheckResult
from auctor.models.reader import read_model
from auctor.pk.checks import run_checks

HEAD = """
schema = 1
drug = "examplin"
status = "draft"
population = "12 adults"
reference = { cite = "Nobody 2020" }
units = { time = "h", dose = "mg", concentration = "ug/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
covariates.WT = { unit = "kg", reference = 70 }
residual.concentration = { proportional = 0.1, source = "T1" }
"""
ORAL = """
[structure]
absorption = { kind = "first_order", rate = "KA", lag = "TLAG" }
disposition = { kind = "one_compartment", CL = "CL", V1 = "V" }
bioavailability = "F1"
[parameters]
CL = { value = 4, unit = "L/h", iiv = 0.3, source = "T1" }
V = { value = 40, unit = "L", source = "T1" }
KA = { value = 1.3, unit = "1/h", source = "T1" }
TLAG = { value = 0.4, unit = "h", source = "T1" }
F1 = { value = 0.6, unit = "1", source = "T1" }
"""
SATURABLE = """
[structure]
cmt = { depot = 1, central = 2 }
[parameters]
VMAX = { value = 18, unit = "1", iiv = 0.3, source = "T1" }
KM = { value = 5, unit = "mg/L", source = "T1" }
V = { value = 45, unit = "L", source = "T1" }
KA = { value = 0.6, unit = "1/h", source = "T1" }
[individual]
CLINT = "VMAX / KM * WT / 70"
[odes]
A1 = "-KA * A1"
A2 = "KA * A1 - VMAX * (A2 / V) / (KM + A2 / V)"
[outputs]
2 = "1000 * A2 / V"
1 = "A1"
[doses]
F.1 = "0.9"
"""


def results(folder: Path, body: str, checks: str) -> tuple[CheckResult, ...]:
    """The results of a file's checks."""
    path = folder / "mine.toml"
    path.write_text(HEAD + body + checks, encoding="utf-8")
    return run_checks(read_model(path))


def check(*, expect: str, regimen: str = "", more: str = "") -> str:
    """One `[[checks]]` table for a patient of 70 kg."""
    return f"[[checks]]\npatient = {{ WT = 70 }}\n{regimen and f'regimen = {{ {regimen} }}'}\nexpect = {{ {expect} }}\n{more}\n"


def found(folder: Path, body: str, *, regimen: str, names: str, more: str = "") -> list[float]:
    """What the runner computes for figures, whatever is expected of them."""
    expect = ", ".join(f"{name} = 1" for name in names.split())
    return [r.found for r in results(folder, body, check(expect=expect, regimen=regimen, more=more)) if r.kind == "figure"]


def oral_level(time: float, every: float) -> float:
    """Bateman's function at steady state (Gibaldi & Perrier 1982, eq. 3.20), after the lag, in ug/L; 500 mg."""
    ka, k, after = 1.3, 0.1, (time - 0.4) % every
    return 1e3 * 0.6 * 500 * ka / 40 / (ka - k) * sum(s * math.exp(-r * after) / (1 - math.exp(-r * every)) for s, r in ((1, k), (-1, ka)))


def test_oral_figures_agree_with_the_closed_form(tmp_path: Path) -> None:
    regimen = 'dose = 500, every = 12, route = "oral", steady_state = true'
    peak = -minimize_scalar(lambda t: -oral_level(t, 12), bounds=(0.5, 6), method="bounded", options={"xatol": 1e-10}).fun
    expected = [oral_level(12, 12), peak, 1e3 * 0.6 * 500 / 4, oral_level(6, 12), oral_level(17, 12)]
    np.testing.assert_allclose(found(tmp_path, ORAL, regimen=regimen, names="C_trough C_peak AUC_tau C6 C17"), expected, rtol=1e-9)


def test_infusion_and_bolus_peaks_are_found_exactly(tmp_path: Path) -> None:
    """An infusion peaks at its end, a bolus the moment after it; the lag of swallowed doses is not theirs."""
    k, every = 0.1, 12.0
    infused = 1e3 * 500 / 4 * (1 - math.exp(-k)) / (1 - math.exp(-k * every))
    rows = [found(tmp_path, ORAL, regimen=f'dose = 500, route = "iv", {more}', names="C_peak") for more in (
        "every = 12, steady_state = true, infusion_h = 1", "every = 12, steady_state = true", "infusion_h = 30", "infusion_h = 0.5"
    )]  # fmt: skip
    single = [1e3 * 500 / 4 / h * (1 - math.exp(-k * h)) for h in (30, 0.5)]
    np.testing.assert_allclose(np.ravel(rows), [infused, 1e3 * 500 / 40 / (1 - math.exp(-k * every)), *single], rtol=1e-7)


def test_a_saturable_course_agrees_with_another_solver(tmp_path: Path) -> None:
    def slope(_: float, a: np.ndarray) -> list[float]:
        return [-0.6 * a[0], 0.6 * a[0] - 18 * (a[1] / 45) / (5 + a[1] / 45), a[1] / 45]

    state = [0.0, 0.0, 0.0]
    for _ in range(200):
        start = [state[0] + 0.9 * 300, state[1], 0.0]
        course = solve_ivp(slope, (0, 24), start, method="DOP853", rtol=1e-12, atol=1e-12, dense_output=True)
        state = course.y[:, -1]
    peak = minimize_scalar(lambda t: -course.sol(t)[1], bounds=(1, 12), method="bounded", options={"xatol": 1e-9})
    expected = np.array([state[1] / 45, -peak.fun / 45, state[2], course.sol(6.0)[1] / 45]) * 1e3
    regimen = 'dose = 300, every = 24, route = "oral", steady_state = true'
    np.testing.assert_allclose(found(tmp_path, SATURABLE, regimen=regimen, names="C_trough C_peak AUC_tau C6"), expected, rtol=2e-7)
    depot = found(tmp_path, SATURABLE, regimen=regimen, names="C6 AUC_tau", more="output = 1")
    left = 270 * math.exp(-0.6 * 6) / (1 - math.exp(-0.6 * 24))
    np.testing.assert_allclose(depot, [left, 270 / 0.6], rtol=1e-7)


STEADY = 'dose = 300, every = 24, route = "{}", steady_state = true'


@pytest.mark.parametrize(
    ("body", "regimen", "invariant"),
    [
        (ORAL, STEADY.format("oral"), "auc"),
        (ORAL, STEADY.format("iv") + ", infusion_h = 2", "auc"),
        (ORAL, STEADY.format("oral"), "css"),
        (ORAL, 'dose = 300, route = "oral"', "mass"),
        (SATURABLE, STEADY.format("oral"), "css"),
        (SATURABLE, STEADY.format("iv") + ", infusion_h = 24", "css"),
        (SATURABLE, 'dose = 300, route = "oral"', "mass"),
        (SATURABLE, 'dose = 300, route = "iv", infusion_h = 3', "mass"),
        (SATURABLE.replace("/ (KM + A2 / V)", "/ KM"), STEADY.format("oral"), "auc"),
    ],
)
def test_invariants_hold(tmp_path: Path, body: str, regimen: str, invariant: str) -> None:
    rows = results(tmp_path, body, check(regimen=regimen, expect="rtol = 1e-6", more=f'invariant = "{invariant}"'))
    assert rows and all(r.kind == "invariant" for r in rows)
    assert [r for r in rows if not r.passed] == []


def test_saturable_steady_state_of_an_infusion_is_the_closed_form(tmp_path: Path) -> None:
    """Css = Km R / (Vmax - R)."""
    (level,) = found(tmp_path, SATURABLE, regimen=STEADY.format("iv") + ", infusion_h = 24", names="C_trough")
    assert level == pytest.approx(1e3 * 5 * 12.5 / (18 - 12.5), rel=1e-7)


def test_drug_that_never_leaves_breaks_the_mass_balance_and_a_wrong_number_its_figure(tmp_path: Path) -> None:
    body = SATURABLE.replace('A2 = "KA', 'A3 = "0.1 * A2"\nA2 = "-0.1 * A2 + KA')
    (row,) = results(tmp_path, body, check(regimen='dose = 300, route = "oral"', expect="rtol = 1e-6", more='invariant = "mass"'))
    assert not row.passed and row.found < row.expected == 270
    (row,) = [r for r in results(tmp_path, ORAL, check(regimen=STEADY.format("oral"), expect="C6 = 4000, rtol = 1e-3")) if not r.passed]
    assert (row.quantity, row.kind) == ("C6", "figure")


def test_parameters_and_individual_formulas_are_those_at_eta_zero(tmp_path: Path) -> None:
    rows = results(tmp_path, SATURABLE, check(expect="CLINT = 3.6, VMAX = 18, rtol = 1e-12"))
    assert [(r.quantity, r.passed) for r in rows] == [("CLINT", True), ("VMAX", True)]


def test_compartments_limit_the_balance_to_the_drug(tmp_path: Path) -> None:
    """A response that turns over for ever is not drug."""
    body = SATURABLE.replace("[outputs]", 'A3 = "10 - 0.1 * A3 / (1 + A2)"\n[outputs]')
    with_response, drug = (
        results(tmp_path, body, check(regimen='dose = 300, route = "oral"', expect="rtol = 1e-6", more=f'invariant = "mass"\n{more}'))[0]
        for more in ("", "compartments = [1, 2]")
    )
    assert drug.passed and not with_response.passed


MEMORY = SATURABLE.replace(
    'A1 = "-KA * A1"\nA2 = "KA * A1 -', 'A1 = "-20 * (tad > 8) * A1"\nA2 = "A1 * (tad >= START) * (tad < START + 2) / 2 -'
).replace("[individual]", '[individual]\nSTART = "1.5"')


@pytest.mark.parametrize(
    ("more", "passes"),
    [
        ('eliminated = "VMAX * (A2 / V) / (KM + A2 / V)"', True),
        ('eliminated = "0.999 * VMAX * (A2 / V) / (KM + A2 / V)"', False),
        ("compartments = [2]", False),
    ],
)
def test_what_is_eliminated_can_be_written_where_the_compartments_do_not_say_it(tmp_path: Path, more: str, passes: bool) -> None:
    """A dose that one compartment remembers and another takes in between 1.5 and 3.5 h: the second gains what it loses."""
    more = f'invariant = "mass"\n{more}'
    (row,) = results(tmp_path, MEMORY, check(regimen='dose = 300, route = "oral"', expect="rtol = 1e-6", more=more))
    assert row.passed == passes and row.expected == 270


RESPONSE = """
[parameters]
KIN = { value = 2, unit = "1", source = "T1" }
KOUT = { value = 0.1, unit = "1/h", source = "T1" }
[odes]
A1 = "KIN * WT / 70 - KOUT * A1"
[outputs]
1 = "A1"
[structure]
"""


def test_a_response_that_takes_no_dose_has_figures_without_one(tmp_path: Path) -> None:
    """A = kin / kout (1 - exp(-kout t))."""
    (row,) = results(tmp_path, RESPONSE, check(expect=f"C6 = {20 * (1 - math.exp(-0.6))!r}, rtol = 1e-7"))
    assert row.kind == "figure" and row.passed
    for expect in ("C_trough = 1", "C_peak = 1", "AUC_tau = 1"):
        with pytest.raises(ModelError, match="regimen: missing"):
            results(tmp_path, RESPONSE, check(expect=expect))


MALFORMED = [
    (
        {"expect": "rtol = 1", "regimen": 'dose = 3, route = "oral"', "more": 'invariant = "mass"\neliminated = "CL"'},
        ORAL,
        "without [odes]",
    ),
    ({"expect": "rtol = 1", "regimen": 'dose = 3, route = "oral"', "more": 'invariant = "mass"\neliminated = "VMX"'}, SATURABLE, "'VMAX'"),
    ({"expect": "CLL = 1"}, ORAL, "did you mean 'CL'"),
    ({"expect": "C_trogh = 1", "regimen": STEADY.format("oral")}, ORAL, "did you mean 'C_trough'"),
    ({"expect": "rtol = 0.1"}, ORAL, "expects nothing"),
    ({"expect": "C6 = 1"}, ORAL, "regimen: missing"),
    ({"expect": "C_trough = 1", "regimen": 'dose = 3, route = "oral"'}, ORAL, "missing for C_trough"),
    ({"expect": "rtol = 0.1", "regimen": 'dose = 3, route = "oral"', "more": 'invariant = "auc"'}, ORAL, "missing for auc"),
    ({"expect": "rtol = 0.1", "regimen": STEADY.format("oral"), "more": 'invariant = "auk"'}, ORAL, "did you mean 'auc'"),
    ({"expect": "rtol = 0.1", "regimen": STEADY.format("oral"), "more": 'invariant = "auc"'}, SATURABLE, "holds for linear models"),
    ({"expect": "C6 = 1", "regimen": "dose = 3"}, ORAL, "takes more than one"),
    ({"expect": "C6 = 1", "regimen": 'dose = 3, route = "oral", every = 12'}, ORAL, "steady_state: not true"),
    ({"expect": "C6 = 1", "regimen": 'dose = 3, route = "oral", infusion_h = 1'}, ORAL, "given for an oral dose"),
    ({"expect": "C6 = 1", "regimen": 'dose = 3, route = "im"'}, ORAL, "not one of oral, iv"),
    ({"expect": "C6 = 1", "regimen": 'dose = 3, route = "oral"', "more": "output = 3"}, SATURABLE, "not a number under [outputs]"),
    ({"expect": "C6 = 1", "regimen": 'dose = 3, route = "oral"', "more": "compartments = [3]"}, SATURABLE, "use 1 to 2"),
]


@pytest.mark.parametrize(("table", "body", "word"), MALFORMED)
def test_a_malformed_check_is_refused(tmp_path: Path, table: dict[str, str], body: str, word: str) -> None:
    with pytest.raises((ModelError, CaseError), match=re.escape(word)) as refusal:
        results(tmp_path, body, check(**table))
    assert "checks[0]" in refusal.value.where
