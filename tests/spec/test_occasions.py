"""What counts as one occasion, what is refused, and that nobody gets IOV who has none."""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.analysis import analyse
from auctor.case import Blq, Case, Covariates, Dose, FutureIov, Interpolation, Metric, Occasions, Regimen, Route, Sample
from auctor.cli import app
from auctor.data.casefile import read_case
from auctor.data.interpolation import interpolated
from auctor.data.nonmem import read_table
from auctor.errors import CaseError, ModelError, TableError
from auctor.estimate.flatten import flattened
from auctor.estimate.nonparametric_table import nonparametric_table
from auctor.estimate.occasions import SLACK_H, prepared, prepared_records
from auctor.estimate.patient import a_priori, map_estimate
from auctor.estimate.support import AssayError, SupportPoints, write_support_points
from auctor.models.mechanism import mechanism
from auctor.models.model import OCCASION, DrugModel
from auctor.models.occasions import idle, kappas_of, padded, with_occasions
from auctor.models.reader import library_path, read_model
from auctor.population.cohort import Question, simulate_cohort
from auctor.records import Records
from auctor.report import as_dict, to_html
from spec.bad_inputs import ORAL
from spec.test_report import ByWeight, NomogramPlan

KNOWN = {"HCT": 35.0, "CYP3A5": 0.0, "FORM": 1.0}


@pytest.fixture(scope="module")
def model() -> DrugModel:
    return read_model("tacrolimus_woillard2011")


def case(*times: float, doses: Regimen | None = None, **known: float) -> Case:
    course = Dose(time_h=0.0, amount_mg=3.0, route=Route.ORAL, every_h=12.0, additional=29, steady_state=True)
    samples = tuple(Sample(time_h=t, value=0.01) for t in times)
    covariates = Covariates.constant(KNOWN | known)
    return Case(label="A", drug="tacrolimus", history=doses or Regimen(doses=(course,)), samples=samples, covariates=covariates)


def numbers(model: DrugModel, one: Case, how: str = "visit") -> list[int]:
    """The occasion of each sample."""
    found = prepared(model, one, occasions=Occasions.read(how))
    return [int(found.case.covariates.at(s.time_h)[OCCASION]) for s in found.case.samples]


@pytest.mark.parametrize(
    ("how", "times", "expected"),
    [
        ("visit", (0.0, 1.0, 3.0), [1, 1, 1]),  # the trough before a dose and what follows it
        ("visit", (12.0, 13.0, 15.0, 24.0), [1, 1, 1, 1]),
        ("visit", (0.0, 24.0, 48.0), [1, 2, 3]),  # a trough a day
        ("visit", (0.0, 1.0, 168.0, 169.0), [1, 1, 2, 2]),
        ("interval", (0.0, 1.0, 12.0, 13.0), [1, 1, 1, 2]),  # at a dose time: drawn before it, but nothing precedes a steady state
        ("interval", (11.0, 12.0, 12.5, 30.0), [1, 1, 2, 3]),
        ("0,12.5,100", (0.0, 12.0, 12.5, 13.0, 100.0, 170.0), [1, 1, 2, 2, 3, 3]),
    ],
)
def test_the_occasion_of_each_sample(model: DrugModel, how: str, times: tuple[float, ...], expected: list[int]) -> None:
    assert numbers(model, case(*times), how) == expected


def test_a_peak_and_a_trough_of_one_long_interval_share_an_occasion(model: DrugModel) -> None:
    daily = Regimen(doses=(Dose(time_h=0.0, amount_mg=3.0, route=Route.ORAL, every_h=24.0, additional=9),))
    assert numbers(model, case(2.0, 23.5, 26.0, 47.0, doses=daily)) == [1, 1, 2, 2]


def test_a_dose_that_opens_an_occasion_is_already_its_own(model: DrugModel) -> None:
    """The course of OCC: the sample at 24 h lies before the change, the dose at 24 h after it; the history's end opens the next one."""
    found = prepared(model, case(12.0, 13.0, 24.0, 169.0))
    at = found.case.covariates.at
    assert [int(at(t)[OCCASION]) for t in (-np.inf, 0.0, found.case.samples[2].time_h, 24.0, 169.0, 180.0, np.inf)] == [1, 1, 1, 2, 2, 3, 3]
    assert 0 < 24.0 - found.case.samples[2].time_h < SLACK_H
    assert [(s.number, s.end_h, s.n_samples) for s in found.spans] == [(1, 24.0, 3), (2, 180.0, 1)]


def test_between_sampled_intervals_there_is_no_kappa(model: DrugModel) -> None:
    found = prepared(model, case(13.0, 100.0), occasions=Occasions.read("interval"))
    at = found.case.covariates.at
    assert [int(at(t)[OCCASION]) for t in (5.0, 13.0, 30.0, 95.9, 96.0, 100.0, 110.0)] == [0, 1, 0, 0, 2, 2, 3]


def test_the_future_is_a_new_occasion_or_none(model: DrugModel) -> None:
    drawn, still = (prepared(model, case(0.0, 1.0, 168.0), future=future) for future in FutureIov)
    assert (drawn.model.occasions, still.model.occasions) == (3, 2)
    assert drawn.case.covariates.at(np.inf)[OCCASION] == 3 and still.case.covariates.at(np.inf)[OCCASION] == 0


def test_a_priori_draws_carry_the_next_occasion(model: DrugModel) -> None:
    """Without a sample: log AUC has variance 0.28^2 + 0.31^2 with the occasion drawn, 0.28^2 with it zero."""
    regimen, metric = Regimen.steady(3.0, every_h=12, route=Route.ORAL), Metric.parse("AUC0-12")
    for future, expected in ((FutureIov.DRAW, 0.28**2 + 0.31**2), (FutureIov.ZERO, 0.28**2)):
        found = prepared(model, case(), future=future)
        answer = a_priori(found.model, found.case, n_draws=4000).exposure(regimen, metric)
        assert np.log(answer.values).var() == pytest.approx(expected, rel=0.08)
        assert answer.point == pytest.approx(3.0 / 21.2, rel=1e-9)


def test_nobody_gets_iov_who_has_none(model: DrugModel) -> None:
    """IOV was estimated on the immediate release only; --occasions none; a model without any."""
    extended = prepared(model, case(0.0, 1.0, FORM=0.0))
    assert extended.model is model and extended.future is None
    assert prepared(model, case(0.0), occasions=Occasions.read("none")).model is model
    other = read_model("vancomycin_goti2018")
    assert prepared(other, case(0.0)).model is other
    assert with_occasions(other, 4) is other


def test_the_model_with_occasions_is_another_identity(model: DrugModel) -> None:
    two, four = with_occasions(model, 2), with_occasions(model, 4)
    assert len({model.sha256, two.sha256, four.sha256}) == 3 and two == with_occasions(model, 2)
    assert len({mechanism(m) for m in (model, two, four)}) == 3
    np.testing.assert_allclose(np.diag(two.omega)[5:], [0.33**2, 0.31**2, 0.75**2] * 2)
    assert np.count_nonzero(two.omega - np.diag(np.diag(two.omega))) == 0
    with pytest.raises(ModelError, match="occasions already"):
        with_occasions(two, 2)


def test_a_flattened_prior_weighs_kappas_like_etas(model: DrugModel) -> None:
    one = with_occasions(flattened(model, 0.25), 2)
    np.testing.assert_allclose(one.omega, flattened(with_occasions(model, 2), 0.25).omega)
    assert one.omega[5, 5] == pytest.approx(4 * 0.33**2)
    named = flattened(model, dict.fromkeys(model.eta_names, 0.25))  # the etas alone
    assert with_occasions(named, 2).omega[5, 5] == pytest.approx(0.33**2) and named != flattened(model, 0.25)


def test_idle_kappas(model: DrugModel) -> None:
    four = with_occasions(model, 4)
    rows = [KNOWN | {OCCASION: 1.0}, KNOWN | {OCCASION: 3.0, "FORM": 0.0}]
    found = dict(zip(four.eta_names, idle(four, rows), strict=True))
    assert [found[f"CL{suffix}"] for suffix in ("", "@1", "@2", "@3", "@4")] == [False, False, True, True, True]
    assert kappas_of(four, 2).sum() == 3 and not kappas_of(four, 0).any()


def test_sizes_are_few_and_bounded(model: DrugModel) -> None:
    assert [padded(n, where="x") for n in (1, 2, 3, 4, 6, 9, 16)] == [1, 2, 3, 5, 8, 16, 16]
    with pytest.raises(ModelError, match="more than 16 occasions"):
        prepared(model, case(*(24.0 * k for k in range(14)), *(24.0 * k + 1 for k in range(14, 17)), 700.0, 800.0))


def test_a_sample_before_the_first_window_is_refused(model: DrugModel) -> None:
    with pytest.raises(CaseError, match="before the first occasion"):
        prepared(model, case(1.0, 30.0), occasions=Occasions.read("24,100"))


@pytest.mark.parametrize("text", ["visits", "", "12,0", "0,0", "nan", "0;12"])
def test_a_kind_of_occasion_that_is_none(text: str) -> None:
    with pytest.raises(CaseError) as refusal:
        Occasions.read(text, where="--occasions")
    assert refusal.value.where == "--occasions" and refusal.value.remedy


# --- files -------------------------------------------------------------------------------------------------------------


def with_table(folder: Path, text: str) -> Case:
    path = folder / "case.toml"
    path.write_text(ORAL + text, encoding="utf-8")
    return read_case(path, read_model("tacrolimus_woillard2011"))


def test_a_case_file_says_its_occasions(tmp_path: Path) -> None:
    assert with_table(tmp_path, "").occasions is None
    assert with_table(tmp_path, 'occasions = { by = "interval" }').occasions == Occasions.read("interval")
    assert with_table(tmp_path, "occasions = { starts_h = [-3, 12] }").occasions == Occasions.windows([-3.0, 12.0])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("occasions = {}", "occasions"),
        ('occasions = { by = "interval", starts_h = [0] }', "occasions"),
        ('occasions = { by = "day" }', "occasions.by"),
        ("occasions = { starts_h = [] }", "occasions.starts_h"),
        ("occasions = { starts_h = [12, 0] }", "occasions.starts_h"),
        ('occasions = { starts_at = ["2026-03-01T08:00:00Z"] }', "occasions.starts_at[0]"),
        ("occasions = { start_h = [0] }", "occasions.start_h"),
    ],
)
def test_a_table_of_occasions_that_cannot_be_used(tmp_path: Path, text: str, where: str) -> None:
    with pytest.raises(CaseError) as refusal:
        with_table(tmp_path, text)
    assert refusal.value.where == where


ROWS = """ID,TIME,AMT,EVID,DV,HCT,CYP3A5,FORM,VISIT
1,0,3,1,.,35,0,1,10
1,1,0,0,12,35,0,1,10
1,168,3,1,.,35,0,1,30
1,169,0,0,11,35,0,1,.
2,0,3,1,.,35,0,1,0
2,1,0,0,9,35,0,1,0
2,24,3,1,.,35,0,1,20
2,25,0,0,8,35,0,1,20
"""


def test_a_column_of_occasions(tmp_path: Path, model: DrugModel) -> None:
    """Codes by rank where they are not 1 to 16, 0 for none, an empty cell as the record before; without the column, by visit."""
    path = tmp_path / "table.csv"
    path.write_text(ROWS)
    found, (first, second), codes = prepared_records(model, read_table(path, model, occasion="visit"))
    assert (found.occasions, codes) == (3, (10.0, 20.0, 30.0))
    named = [codes[int(k) - 1] if k else 0.0 for r in (first, second) for k in r.covariates[OCCASION]]
    assert named == [10.0, 10.0, 30.0, 30.0, 0.0, 0.0, 20.0, 20.0]
    assert not [n for n in first.notices if n.code == "unused-column"]
    found, (first, second), codes = prepared_records(model, read_table(path, model))
    assert (found.occasions, codes) == (2, (1.0, 2.0))
    assert second.covariates[OCCASION].tolist() == [1.0, 1.0, 1.0, 2.0]


def test_a_dose_record_between_occasions(model: DrugModel) -> None:
    """A record's occasion governs the time since the one before: a dose at the end of a visit stays in it, unless its F varies too."""
    rows = Records.make(
        "1",
        time_h=[0, 1, 12, 24, 36, 37],
        evid=[1, 0, 1, 1, 1, 0],
        amt=[3, 0, 3, 3, 3, 0],
        covariates={n: [v] * 6 for n, v in KNOWN.items()},
    )
    _, (found,), _ = prepared_records(model, [rows])
    assert found.covariates[OCCASION].tolist() == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]
    of_share = replace(
        model,
        structure=replace(model.structure, bioavailability="KTR"),  # KTR has an IOV: as if it were F
    )
    _, (found,), _ = prepared_records(of_share, [rows])
    assert found.covariates[OCCASION].tolist() == [1.0, 1.0, 2.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize(("old", "new", "where"), [("1,10\n1,168", "1,ten\n1,168", "line 3, VISIT"), ("1,30", "1,1.5", "line 4, VISIT")])
def test_a_column_that_numbers_no_occasions(tmp_path: Path, model: DrugModel, old: str, new: str, where: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(ROWS.replace(old, new, 1))
    with pytest.raises(TableError, match=where):
        read_table(path, model, occasion="VISIT")
    with pytest.raises(TableError, match="no such column"):
        read_table(path, model, occasion="OCC")


# --- the answer --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def neonatal(tmp_path_factory: pytest.TempPathFactory) -> DrugModel:
    """A one-compartment model of the library with an IOV of clearance that nobody published: fast."""
    path = tmp_path_factory.mktemp("iov") / "neonatal.toml"
    text = library_path("phenobarbital_grasela1985").read_text()
    path.write_text(re.sub(r"(?m)^(CL = \{ value = [\d.]+,)", r"\1 iov = 0.3,", text))
    return read_model(path)


def neonate(*times: float) -> Case:
    doses = Regimen(doses=(Dose(time_h=0.0, amount_mg=4.0, route=Route.IV, every_h=12.0, additional=29),))
    samples = tuple(Sample(time_h=t, value=v) for t, v in zip(times, (18.0, 26.0), strict=False))
    return Case(label="N", drug="phenobarbital", history=doses, samples=samples, covariates=Covariates.constant({"WT": 1.4, "APGR": 7.0}))


def test_the_report_says_which_occasions_and_what_becomes_of_the_next(neonatal: DrugModel) -> None:
    one = neonate(100.0, 300.0)
    found = analyse(one, neonatal, n_draws=200)
    assert [row.occasion for row in found.samples] == [1, 2]
    assert "iov-unused" not in {n.code for n in found.notices}
    shown = as_dict(found)["occasions"]
    assert shown["forecast"] == "draw" and [s["number"] for s in shown["found"]] == [1, 2]
    assert shown["found"][0]["start"] is None and shown["found"][0]["end"]["unit"] == "h"
    last = found.method("posterior").sampled
    now = found.method("posterior").reference
    assert last is not None and now is not None and now.interval90 is not None
    assert np.diff(np.log(last.interval(0.9))) < 0.9 * np.diff(np.log(now.interval90))  # what was measured is known better than what comes
    assert found.method("a_priori").sampled is None and as_dict(found)["methods"]["map"]["sampled_occasion"]["unit"]
    page = to_html(found)
    assert "at the last sampled occasion" in page
    assert "2 occasion(s) in the history" in page and ">Occasion</th>" in page
    without = analyse(one, neonatal, n_draws=200, occasions=Occasions.read("none"))
    assert "iov-unused" in {n.code for n in without.notices} and as_dict(without)["occasions"] is None
    assert ">Occasion</th>" not in to_html(without)


def test_a_forecast_without_iov_is_narrower(neonatal: DrugModel) -> None:
    widths = []
    for future in FutureIov:
        now = analyse(neonate(100.0), neonatal, n_draws=400, future_iov=future).method("posterior").reference
        assert now is not None and now.interval90 is not None
        widths.append(np.log(now.interval90[1] / now.interval90[0]))
    assert widths[1] < 0.85 * widths[0]


def test_virtual_patients_of_one_occasion(model: DrugModel) -> None:
    """A simulated cohort in an occasion varies by IIV and IOV together."""
    question = Question(
        regimen=Regimen.steady(3.0, every_h=12, route=Route.ORAL), times_h=np.asarray([0.0]), n=4000, fixed=KNOWN | {OCCASION: 1.0}
    )
    cohort = simulate_cohort(with_occasions(model, 1), question)
    assert np.log(cohort.parameters["CL"]).var() == pytest.approx(0.28**2 + 0.31**2, rel=0.08)


# --- the command line --------------------------------------------------------------------------------------------------


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == code, result.output
    return result.output


CYCLES = """ID,TIME,AMT,EVID,DV,WT,APGR,CYC
1,0,25,1,.,1.4,7,1
1,2,0,0,18,1.4,7,1
1,60,0,0,12,1.4,7,1
1,300,25,1,.,1.4,7,2
1,302,0,0,19,1.4,7,2
1,360,0,0,9,1.4,7,2
2,0,20,1,.,1.2,7,0
2,2,0,0,17,1.2,7,0
2,60,0,0,11,1.2,7,0
"""


def test_estimate_writes_kappas_beside_etas(tmp_path: Path, neonatal: DrugModel) -> None:
    model, table = tmp_path / "neonatal.toml", tmp_path / "cycles.csv"
    text = library_path("phenobarbital_grasela1985").read_text()
    model.write_text(re.sub(r"(?m)^(CL = \{ value = [\d.]+,)", r"\1 iov = 0.3,", text))
    table.write_text(CYCLES)
    run("estimate", str(model), str(table), "--occasion-column", "CYC", "--out", str(tmp_path / "out"))
    first, second = csv.DictReader((tmp_path / "out" / "etas.csv").read_text().splitlines())
    assert list(first) == [
        *("ID", "ETA_CL", "ETA_V", "KAPPA_CL_1", "KAPPA_CL_2", "SD_CL", "SD_V", "SD_KAPPA_CL_1", "SD_KAPPA_CL_2", "OFV"),
    ]
    assert float(first["KAPPA_CL_1"]) < float(first["KAPPA_CL_2"])
    iov = math.sqrt(math.log(1.09))  # printed as a CV of 30 %
    assert float(second["KAPPA_CL_1"]) == pytest.approx(0.0, abs=1e-9) and float(second["SD_KAPPA_CL_1"]) == pytest.approx(iov, rel=1e-6)
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert told["occasions"] == [1.0, 2.0] and told["model"]["sha256"] == neonatal.sha256
    last = next(csv.DictReader((tmp_path / "out" / "parameters.csv").read_text().splitlines()))
    expected = 0.0047 * 1.4 * np.exp(float(first["ETA_CL"]) + float(first["KAPPA_CL_2"]))
    assert float(last["CL"]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--occasion-column", "CYC", "--occasions", "visit"), "--occasions"),
        (("--occasion-column", "OCC"), "cycles.csv, OCC"),
        (("--occasions", "day"), "--occasions"),
    ],
)
def test_occasions_on_the_command_line_that_cannot_be_used(tmp_path: Path, words: tuple[str, ...], where: str) -> None:
    (tmp_path / "cycles.csv").write_text(CYCLES)
    told = run("estimate", "phenobarbital_grasela1985", str(tmp_path / "cycles.csv"), *words, "--out", str(tmp_path / "out"), code=2)
    assert where in told and not (tmp_path / "out").exists()
    if where != "cycles.csv, OCC":
        case = tmp_path / "case.toml"
        case.write_text(ORAL)
        assert "--occasions" in run("analyse", str(case), "--no-ml", "--occasions", "day", code=2)


# --- beside the other choices ----------------------------------------------------------------------------------------------


def test_one_prior_weight_holds_for_the_occasions_too(neonatal: DrugModel) -> None:
    """Every eta and kappa moves as in the flattened model laid out by hand; a weight by name leaves the kappas as published."""
    one = neonate(100.0, 300.0)
    ready = prepared(neonatal, one)
    found = analyse(one, neonatal, n_draws=200, prior_weight=0.5)
    assert dict(found.prior_weight) == {"CL": 0.5, "V": 0.5, "IOV": 0.5}
    expected = map_estimate(flattened(ready.model, 0.5), ready.case).params_point
    assert found.method("map").params["CL"] == pytest.approx(expected["CL"], rel=1e-9)
    named = analyse(one, neonatal, n_draws=200, prior_weight={"CL": 0.5, "V": 0.5})
    assert dict(named.prior_weight) == {"CL": 0.5, "V": 0.5}
    assert named.method("map").params["CL"] != pytest.approx(expected["CL"], rel=1e-6)


def test_a_sample_that_does_not_count_opens_no_occasion(neonatal: DrugModel, tmp_path: Path) -> None:
    one = neonate(100.0, 300.0)
    low = replace(one, samples=(one.samples[0], Sample(time_h=300.0, value=2.0, lloq=2.0, below_lloq=True)))
    assert [len(analyse(low, neonatal, n_draws=200, blq=blq).occasions) for blq in (Blq.M1, Blq.M3)] == [1, 2]
    path = tmp_path / "table.csv"
    path.write_text(CYCLES.replace("CYC", "DVWT").replace("1.2,7,0", "1.2,7,1").replace("1.4,7,2", "1.4,7,0"))
    (records, _) = read_table(path, neonatal)
    _, (laid_out,), codes = prepared_records(neonatal, [records])
    assert codes == (1.0,) and laid_out.covariates[OCCASION][0] == 1.0


def test_covariates_on_a_line_leave_the_occasions_alone(neonatal: DrugModel, tmp_path: Path) -> None:
    """A number of an occasion has no half: rows between two records carry that of the record they precede."""
    path = tmp_path / "table.csv"
    path.write_text(CYCLES.replace("1,360,0,0,9,1.4", "1,360,0,0,9,1.6"))
    for how in (Interpolation.LINEAR, Interpolation.LOCF):
        drawn = [interpolated(r, neonatal, how) for r in read_table(path, neonatal, occasion="CYC")]
        assert len(drawn[0]) > 6 and set(drawn[0].covariates[OCCASION]) == {1.0, 2.0}
        added = drawn[0].time_h > 302
        assert set(drawn[0].covariates[OCCASION][added]) == {2.0}
    one = replace(neonate(100.0, 300.0), covariates=Covariates(series={"WT": ((0.0, 1.2), (300.0, 1.6)), "APGR": ((0.0, 7.0),)}))
    found = analyse(one, neonatal, n_draws=200, interpolation=Interpolation.LINEAR)
    assert [row.occasion for row in found.samples] == [1, 2] and found.interpolation == "linear"
    plain = analyse(one, neonatal, n_draws=200)
    assert found.method("map").params["CL"] != plain.method("map").params["CL"]


def test_diagnostics_of_a_table_with_occasions(neonatal: DrugModel, tmp_path: Path) -> None:
    """Kappas of the table's occasions have a shrinkage of their own; support points have none and say so."""
    model, table, out = tmp_path / "neonatal.toml", tmp_path / "cycles.csv", tmp_path / "out"
    text = library_path("phenobarbital_grasela_1985").read_text()
    model.write_text(re.sub(r"(?m)^(CL = \{ value = [\d.]+,)", r"\1 iov = 0.3,", text))
    table.write_text(CYCLES)
    run("estimate", str(model), str(table), "--occasion-column", "CYC", "--diagnostics", "--out", str(out))
    names = [row["NAME"] for row in csv.DictReader((out / "shrinkage.csv").read_text().splitlines())]
    assert names == ["ETA_CL", "ETA_V", "KAPPA_CL_1", "KAPPA_CL_2", "EPSILON"]
    assert len((out / "diagnostics.csv").read_text().splitlines()) == 7
    support = SupportPoints(
        parameters=("CL", "V"), points=np.asarray([[0.006, 1.3], [0.008, 1.5]]), probabilities=np.asarray([0.5, 0.5]),
        error=AssayError(coefficients=(2.0,)),
    )  # fmt: skip
    found = nonparametric_table(neonatal, read_table(table, neonatal), support)
    assert "iov-unused" in {n.code for n in found.notices}
    write_support_points(support, tmp_path / "points.toml")
    words = ("--method", "nonparametric", "--points", str(tmp_path / "points.toml"), "--occasions", "visit")
    assert "--occasions" in run("estimate", str(model), str(table), *words, "--out", str(tmp_path / "none"), code=2)


class Nomogram:
    """A learner that knows one clearance."""

    plan = NomogramPlan()

    def predictor(self, case: Case, model: DrugModel) -> ByWeight:
        return ByWeight(clearance=0.0047 * 1.4 * np.exp(np.linspace(-0.3, 0.3, 200)), point=0.0047 * 1.4)


def test_a_learner_that_knows_no_occasions_is_marked(neonatal: DrugModel) -> None:
    found = analyse(neonate(100.0), neonatal, learner=Nomogram(), n_draws=200)
    assert "iov-not-learned" in {n.code for n in found.notices}
    plain = analyse(neonate(100.0), neonatal, learner=Nomogram(), n_draws=200, occasions=Occasions.read("none"))
    assert "iov-not-learned" not in {n.code for n in plain.notices}
