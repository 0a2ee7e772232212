"""Covariates between their values: a line against scipy's ODE solver, and LOCF and NOCB against NONMEM and against each other."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from auctor.case import Case, Covariates, Dose, Interpolation, Regimen, Route
from auctor.data.interpolation import JUST_BEFORE_H, interpolated
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.pk.course import concentrations
from auctor.pk.exposure import curves
from auctor.pk.timeline import build, from_records, stack
from auctor.records import Records
from oracle.test_systems import records_of, rows_of
from oracle.written_out import nmtests_file

KNOTS = np.asarray([0.0, 6.0, 18.0, 30.0])
CRCL, WT = np.asarray([30.0, 90.0, 55.0, 120.0]), np.asarray([70.0, 70.0, 78.0, 74.0])
DOSE = Dose(time_h=0.0, amount_mg=1000.0, route=Route.IV)


@pytest.fixture(scope="module")
def model() -> DrugModel:
    return read_model("vancomycin_goti_2018")


def records() -> Records:
    """A dose and levels at the times at which the covariates are known."""
    return Records.make(
        "1", time_h=[0.0, *KNOTS], evid=[1, 0, 0, 0, 0], amt=[1000, 0, 0, 0, 0], dv=[0, 1, 1, 1, 1], cmt=[1] * 5,
        covariates={"CRCL": [CRCL[0], *CRCL], "WT": [WT[0], *WT], "DIAL": [0.0] * 5},
    )  # fmt: skip


def case() -> Case:
    series = {"CRCL": tuple(zip(KNOTS, CRCL, strict=True)), "WT": tuple(zip(KNOTS, WT, strict=True)), "DIAL": ((0.0, 0.0),)}
    return Case(label="c", drug="vancomycin", history=Regimen(doses=(DOSE,)), covariates=Covariates(series=series))


@pytest.fixture(scope="module")
def truth(model: DrugModel) -> np.ndarray:
    """Levels at KNOTS by scipy: two compartments whose CL and volumes follow the covariates' lines."""

    def slope(t: float, amount: np.ndarray) -> list[float]:
        p = model.typical({"CRCL": np.interp(t, KNOTS, CRCL), "WT": np.interp(t, KNOTS, WT), "DIAL": 0.0})
        out, back = p["Q"] / p["V1"] * amount[0], p["Q"] / p["V2"] * amount[1]
        return [-p["CL"] / p["V1"] * amount[0] - out + back, out - back]

    amounts = [np.asarray([1000.0, 0.0])]
    for start, end in pairwise(KNOTS):
        amounts.append(solve_ivp(slope, (start, end), amounts[-1], rtol=1e-11, atol=1e-11).y[:, -1])
    volume = [model.typical({"CRCL": c, "WT": w, "DIAL": 0.0})["V1"] for c, w in zip(CRCL, WT, strict=True)]
    return np.asarray(amounts)[:, 0] / volume


def levels_of_table(model: DrugModel, one: Records) -> np.ndarray:
    got = concentrations(model, stack([from_records(model, one)]), np.zeros((1, len(model.eta_names))))[0]
    return got[: len(one)][one.observed]


def test_a_line_in_a_table_converges_to_the_solver(model: DrugModel, truth: np.ndarray) -> None:
    """The error falls with the square of the step, under 5e-4 at one hour (a clearance that doubles in 6 h); NOCB is a tenth off."""
    error = {
        step: abs(levels_of_table(model, interpolated(records(), model, Interpolation.LINEAR, step_h=step)) / truth - 1)[1:].max()
        for step in (6.0, 3.0, 1.0)
    }
    assert error[1.0] < 5e-4
    assert error[6.0] / error[3.0] == pytest.approx(4.0, rel=0.25) and error[3.0] / error[1.0] == pytest.approx(9.0, rel=0.25)
    assert abs(levels_of_table(model, records()) / truth - 1)[1:].max() > 0.1


def test_a_line_in_a_case_converges_to_the_solver(model: DrugModel, truth: np.ndarray) -> None:
    """As in a table, at the times of the values too."""
    drawn = interpolated(case(), model, Interpolation.LINEAR)
    got = curves(model, drawn.history, KNOTS[1:], drawn.covariates, np.zeros((1, len(model.eta_names))))[0]
    np.testing.assert_allclose(got, truth[1:], rtol=5e-4)
    assert drawn.covariates.at(np.inf) == case().covariates.at(np.inf)
    assert drawn.covariates.at(-5.0) == case().covariates.at(-5.0)


@pytest.mark.oracle
def test_locf_against_nonmem(oracles: Path, tmp_path: Path) -> None:
    """NONMEM's table (NOCB) with its covariate written one record early is the same course under LOCF; as it is written, it is another."""
    model = read_model(nmtests_file(tmp_path / "nmtests.toml", weight=True))
    rows = rows_of(oracles / "nmtests_events" / "timevarying_2001.csv")
    printed = np.asarray([float(row["NONMEM_CP"]) for row in rows])
    given = records_of(rows, model)
    early = [replace(r, covariates={"WT": np.append(r.covariates["WT"][1:], r.covariates["WT"][-1])}) for r in given]

    def course(subjects: list[Records]) -> np.ndarray:
        drawn = [interpolated(r, model, Interpolation.LOCF) for r in subjects]
        got = concentrations(model, stack([from_records(model, r) for r in drawn]), np.zeros((len(drawn), 1)))
        # the rows of the table: those added stand just before them
        return np.concatenate([got[i, : len(r)][~just_added(r)] for i, r in enumerate(drawn)])

    scale = np.maximum(printed, 1e-3 * printed.max())
    assert (abs(course(early) - printed) / scale).max() < 1e-4
    assert (abs(course(given) - printed) / scale).max() > 0.01


def just_added(records: Records) -> np.ndarray:
    """Rows that `interpolated` put just before another one."""
    gap = np.diff(records.time_h, append=np.inf)
    return (records.evid == 2) & (gap > 0) & (gap < 2 * JUST_BEFORE_H)


BETWEEN = np.asarray([3.0, 12.0, 24.0])


def table_of(how: Interpolation) -> Records:
    """Levels between the values of the covariates: empty cells for a line, the value that holds where they are carried."""
    times = np.sort(np.concatenate([[0.0], KNOTS, BETWEEN]))
    seen, dosed = np.isin(times, BETWEEN), np.arange(len(times)) == 0
    at = np.searchsorted(KNOTS, times, side="left" if how is Interpolation.NOCB else "right") - (how is not Interpolation.NOCB)
    one = Records.make(
        "1", time_h=times, evid=np.where(dosed, 1, np.where(seen, 0, 2)), amt=np.where(dosed, 1000, 0), dv=seen * 1.0,
        covariates={"CRCL": CRCL[at], "WT": WT[at], "DIAL": np.zeros(len(times))},
    )  # fmt: skip
    return replace(one, given={"CRCL": ~seen, "WT": ~seen})


@pytest.mark.parametrize(("how", "rtol"), [(Interpolation.NOCB, 1e-6), (Interpolation.LOCF, 1e-6), (Interpolation.LINEAR, 2e-3)])
def test_a_table_and_its_case_agree(how: Interpolation, rtol: float, model: DrugModel) -> None:
    """One subject by both doors (between values, the volume at a level's time is in the case that of a piece: half a step off)."""
    table = levels_of_table(model, interpolated(table_of(how), model, how, step_h=0.25))
    drawn = interpolated(case(), model, how, step_h=0.25)
    got = curves(model, drawn.history, BETWEEN, drawn.covariates, np.zeros((1, len(model.eta_names))))[0]
    np.testing.assert_allclose(got, table, rtol=rtol)


@pytest.mark.parametrize("how", list(Interpolation))
def test_a_value_of_a_case_holds_at_its_own_time(how: Interpolation, model: DrugModel) -> None:
    """At the time of a value the level is that of the table, whose record carries it: for a dose then, too, it is the value in force."""
    table = levels_of_table(model, interpolated(records(), model, how, step_h=0.5))
    drawn = interpolated(case(), model, how, step_h=0.5)
    got = curves(model, drawn.history, KNOTS[1:], drawn.covariates, np.zeros((1, len(model.eta_names))))[0]
    np.testing.assert_allclose(got, table[1:], rtol=1e-5)
    assert [drawn.covariates.at(t) for t in KNOTS] == [case().covariates.at(t) for t in KNOTS]
    if how is Interpolation.LOCF:
        plain = curves(model, case().history, KNOTS[1:], case().covariates, np.zeros((1, len(model.eta_names))))[0]
        np.testing.assert_allclose(plain, table[1:], rtol=1e-5)


SWITCH = """
schema = 1
drug = "any"
status = "draft"
population = "none"
reference = { doi = "none", cite = "a tablet whose F and lag double with the formulation" }
units = { time = "h", dose = "mg", concentration = "mg/L" }
variability = { distribution = "lognormal", printed_as = "sd" }
[structure]
absorption = { kind = "first_order", rate = "KA", lag = "LAG" }
disposition = { kind = "one_compartment", CL = "CL", V = "V" }
bioavailability = "F1"
[covariates]
FORM = { unit = "1", reference = 0, label = "Formulation", source = "none" }
[parameters]
CL = { value = 2.0, unit = "L/h", iiv = 0.3, source = "none" }
V = { value = 30.0, unit = "L", source = "none" }
KA = { value = 0.7, unit = "1/h", source = "none" }
LAG = { value = 0.5, unit = "h", source = "none" }
F1 = { value = 0.4, unit = "1", source = "none" }
[effects]
LAG = { expr = "1 + FORM", source = "none" }
F1 = { expr = "1 + FORM", source = "none" }
[residual]
concentration = { proportional = 0.1, unit = "mg/L", source = "none" }
"""


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("when", [24.0, 0.0])
def test_a_dose_takes_the_value_of_its_own_time(when: float, compiled: bool, tmp_path: Path) -> None:
    """A dose given at the time of a change has the new F and lag, the one before it kept its own: the sum of two Bateman courses."""
    path = tmp_path / "switch.toml"
    path.write_text(SWITCH)
    model, ka, ke = read_model(path), 0.7, 2.0 / 30.0

    def bateman(since: np.ndarray, share: float) -> np.ndarray:
        t = np.maximum(since, 0.0)
        return share * 100.0 * ka / 30.0 / (ka - ke) * (np.exp(-ke * t) - np.exp(-ka * t))

    doses = Regimen(doses=tuple(Dose(time_h=t, amount_mg=100.0, route=Route.ORAL) for t in (when - 24.0, when)))
    known = Covariates(series={"FORM": ((when - 24.0, 0.0), (when, 1.0))})
    at = when + np.asarray([-2.0, 0.0, 0.7, 1.5, 6.0])
    one = build(model, doses, known, at)
    got = (
        concentrations(model, stack([one]), np.zeros((1, 1)))[0, : len(at)]
        if compiled
        else curves(model, doses, at, known, np.zeros((1, 1)))[0]
    )
    np.testing.assert_allclose(got, bateman(at - when + 23.5, 0.4) + bateman(at - when - 1.0, 0.8), rtol=1e-9)


def test_a_record_keeps_its_own_values_and_a_category_has_no_line(model: DrugModel) -> None:
    """What is written on a dose holds for that dose, whatever holds before it; dialysis goes from no to yes without a half."""
    one = records()
    one = replace(one, covariates={**one.covariates, "DIAL": np.asarray([0.0, 0.0, 0.0, 1.0, 1.0])})
    for how in (Interpolation.LOCF, Interpolation.LINEAR):
        drawn = interpolated(one, model, how)
        own = ~((drawn.evid == 2) & (drawn.mdv == 1))
        for name, values in one.covariates.items():
            assert drawn.covariates[name][own].tolist() == values.tolist()
        assert set(drawn.covariates["DIAL"]) == {0.0, 1.0}
        assert drawn.dosed.sum() == 1 and drawn.observed.sum() == 4 and (np.diff(drawn.time_h) >= 0).all()
        assert [n.code for n in drawn.notices] == [f"covariates-{how.value}"]
    assert len(interpolated(one, model, Interpolation.LOCF)) == len(one) + 3
    assert interpolated(one, model, Interpolation.NOCB) is one
    still = replace(one, covariates={name: values[:1].repeat(5) for name, values in one.covariates.items()})
    assert interpolated(still, model, Interpolation.LINEAR).notices == ()


def test_a_long_gap_is_cut_into_few_pieces(model: DrugModel) -> None:
    one = Records.make(
        "1", time_h=[0.0, 0.0, 5000.0], evid=[1, 0, 0], amt=[1, 0, 0], dv=[0, 1, 1],
        covariates={"CRCL": [10.0, 10.0, 250.0], "WT": [70.0] * 3, "DIAL": [0.0] * 3},
    )  # fmt: skip
    drawn = interpolated(one, model, Interpolation.LINEAR)
    assert len(drawn) == 3 + 240
    np.testing.assert_allclose(drawn.covariates["CRCL"][2:-1], 10.5 + np.arange(240), rtol=1e-12)
