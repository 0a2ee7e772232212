"""What a user chooses about samples and prior: limits, weights, methods for BLQ, prior weight; each against its meaning."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.analysis import analyse
from auctor.case import Blq, Case, Covariates, Dose, Regimen, Route, Sample
from auctor.cli import app
from auctor.data.casefile import read_case
from auctor.data.nonmem import read_table
from auctor.data.subject import subject_case
from auctor.errors import CaseError, ModelError, TableError
from auctor.estimate import patient
from auctor.estimate.flatten import flattened
from auctor.estimate.observations import ABOVE, above_limit, of_case, of_records
from auctor.estimate.table import TableEstimate, estimate_table
from auctor.models.model import DrugModel
from auctor.models.reader import read_model
from auctor.report import as_dict, to_html
from spec.bad_inputs import ORAL

HEAD = "ID,TIME,AMT,DV,{more},WT,APGR\n1,0,25,.,{dose},1.4,7\n"
LLOQ_ROWS = "1,2,0,17.3,{a},1.4,7\n1,40,0,2.5,{b},1.4,7\n"


@pytest.fixture(scope="module")
def pheno() -> DrugModel:
    return read_model("phenobarbital_grasela_1985")


def table(folder: Path, text: str) -> str:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def rows(columns: str, dose: str, first: str, second: str) -> str:
    """A dose and two observations with further columns."""
    return HEAD.format(more=columns, dose=dose) + LLOQ_ROWS.format(a=first, b=second)


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def found(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def estimated(folder: Path, text: str, model: DrugModel, **options: Any) -> TableEstimate:
    return estimate_table(model, read_table(table(folder, text), model), **options)


# --- limits in tables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "dose", "first", "second"),
    [
        ("CENS", "0", "-1", "1"),
        ("CENS,LLOQ,ULOQ", "0,0,0", "-1,0,17.3", "1,2.5,0"),
        ("BLQ,LLOQ,ALQ,ULOQ", "0,0,0,0", "0,2.5,1,17.3", "1,2.5,0,17.3"),
    ],
)
def test_levels_beyond_either_limit(columns: str, dose: str, first: str, second: str, pheno: DrugModel, tmp_path: Path) -> None:
    """Monolix' CENS (-1 above, 1 below, the limit in DV) and flags with limits in columns of their own say the same."""
    (records,) = read_table(table(tmp_path, rows(columns, dose, first, second)), pheno)
    assert (records.alq.tolist(), records.blq.tolist()) == ([False, True, False], [False, False, True])
    seen = of_records(pheno, records)
    assert (seen.limit.tolist(), seen.censored.tolist()) == ([0.0, 17.3, 2.5], [False, True, True])
    assert records.notices == ()
    upper, lower = subject_case(records, pheno).samples
    assert (upper.above_uloq, upper.uloq, upper.value) == (True, 17.3, 17.3)
    assert (lower.below_lloq, lower.lloq, lower.value) == (True, 2.5, 2.5)


def test_a_number_above_its_own_limit_counts_as_above_and_says_so(pheno: DrugModel, tmp_path: Path) -> None:
    (records,) = read_table(table(tmp_path, rows("ULOQ", "0", "15", "15")), pheno)
    assert of_records(pheno, records).limit.tolist() == [0.0, 15.0, 0.0]
    assert [n.code for n in records.notices] == ["above-uloq"]
    (at_limit,) = read_table(table(tmp_path, rows("ULOQ", "0", "17.3", "17.3")), pheno)
    assert not at_limit.alq.any()


@pytest.mark.parametrize(
    ("columns", "dose", "first", "second", "where"),
    [
        ("ALQ", "0", "1", "0", "ULOQ"),
        ("CENS", "0", "2", "0", "CENS"),
        ("CENS", "0", "0.5", "0", "CENS"),
        ("BLQ,LLOQ,ALQ,ULOQ", "0,0,0,0", "1,1,1,20", "0,0,0,0", "ALQ"),
        ("LLOQ,ULOQ", "0,0", "5,4", "0,0", "ULOQ"),
        ("ULOQ", "0", "-4", "0", "ULOQ"),
        ("DVWT", ".", "-1", "1", "DVWT"),
    ],
)
def test_limits_that_contradict_themselves_are_refused(
    columns: str, dose: str, first: str, second: str, where: str, pheno: DrugModel, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match=rf"line 3, {where}"):
        read_table(table(tmp_path, rows(columns, dose, first, second)), pheno)


# --- limits and weights in case files -----------------------------------------------------------------------------------------


def oral(folder: Path, written: str) -> Case:
    path = folder / "case.toml"
    path.write_text(ORAL.replace('value = "14.2 ng/mL"', written), encoding="utf-8")
    return read_case(path, read_model("tacrolimus_woillard_2011"))


@pytest.mark.parametrize(
    "written",
    [
        'value = ">30 ng/mL"',
        'value = "≥ 30 ug/L", uloq = "30 ng/mL"',
        'value = "30 ng/mL", above_uloq = true, uloq = "30 ng/mL"',
        'above_uloq = true, uloq = "30 ng/mL"',
        'value = 30, unit = "ng/mL", above_uloq = true, uloq = 30',
    ],
)
def test_a_level_above_its_limit_is_censored_at_the_limit(written: str, tmp_path: Path) -> None:
    sample = oral(tmp_path, written).samples[1]
    assert (sample.above_uloq, sample.uloq, sample.value, sample.below_lloq) == (True, 0.03, 0.03, False)


def test_a_number_above_the_assay_s_limit_is_carried(tmp_path: Path) -> None:
    case = oral(tmp_path, 'value = "34 ng/mL", uloq = "30 ng/mL"')
    assert (case.samples[1].value, [n.code for n in case.notices]) == (0.03, ["above-uloq"])


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ('value = "14.2 ng/mL", above_uloq = true', "samples[1].uloq"),
        ('value = ">30 ng/mL", uloq = "20 ng/mL"', "samples[1].value"),
        ('value = ">30 ng/mL", below_lloq = true', "samples[1].value"),
        ('value = "14 ng/mL", above_uloq = true, uloq = "30 ng/mL"', "samples[1].value"),
        ('above_uloq = true, below_lloq = true, uloq = "30 ng/mL"', "samples[1].above_uloq"),
        ('value = "14 ng/mL", lloq = "20 ng/mL", uloq = "10 ng/mL"', "samples[1].uloq"),
        ('value = "14 ng/mL", uloq = ">20 ng/mL"', "samples[1].uloq"),
        ('value = "14 ng/mL", weight = 0.5', "samples[1].reason"),
        ('value = "14 ng/mL", weight = -0.5, reason = "x"', "samples[1].weight"),
    ],
)
def test_a_sample_that_contradicts_itself_is_refused(written: str, where: str, tmp_path: Path) -> None:
    with pytest.raises(CaseError) as refusal:
        oral(tmp_path, written)
    assert refusal.value.where == where


def test_a_weight_is_read_with_its_reason(tmp_path: Path) -> None:
    case = oral(tmp_path, 'value = "14.2 ng/mL", weight = 0.5, reason = "time uncertain"')
    assert (case.samples[1].weight, case.samples[1].reason) == (0.5, "time uncertain")
    assert [(n.code, n.where) for n in case.notices] == [("sample-weight", "samples[1]")]


# --- what they mean -----------------------------------------------------------------------------------------------------------


def neonate(*samples: Sample, **changes: Any) -> Case:
    dose = Dose(time_h=0, amount_mg=25, route=Route.IV)
    case = Case(label="n", drug="phenobarbital", history=Regimen(doses=(dose,)), samples=samples, covariates=WEIGHED)
    return replace(case, **changes)


WEIGHED = Covariates.constant({"WT": 1.4, "APGR": 7.0})
HIGH = Sample(time_h=2.0, value=17.3)
LOW = Sample(time_h=40.0, value=2.5, lloq=2.5, below_lloq=True)


def test_above_in_a_case_is_the_upper_tail() -> None:
    """The same observations as `above_limit`, whose likelihood test_residual holds against the normal distribution."""
    case = neonate(replace(HIGH, uloq=17.3, above_uloq=True), LOW)
    plain = above_limit(of_case(neonate(HIGH, LOW)), np.asarray([True, False]), 17.3)
    assert all(np.array_equal(a, b) for a, b in zip(of_case(case), plain, strict=True))
    assert of_case(case).state[0] == ABOVE


def test_m1_is_the_case_without_the_level_and_weight_two_is_the_level_twice(pheno: DrugModel) -> None:
    """By the definition of the objective, exactly."""
    without = patient.map_estimate(pheno, neonate(HIGH))
    m1 = patient.map_estimate(pheno, neonate(HIGH, LOW), blq=Blq.M1)
    assert m1.eta_point == pytest.approx(without.eta_point, abs=1e-8)
    twice = patient.map_estimate(pheno, neonate(HIGH, HIGH))
    heavy = patient.map_estimate(pheno, neonate(replace(HIGH, weight=2.0)))
    assert heavy.eta_point == pytest.approx(twice.eta_point, abs=1e-8)
    m3, m4 = (patient.map_estimate(pheno, neonate(HIGH, LOW), blq=b).eta_point for b in (Blq.M3, Blq.M4))
    assert abs(m3 - m1.eta_point).max() > 1e-3 and abs(m4 - m3).max() > 1e-9


def test_the_options_of_a_search_are_those_of_the_model_and_the_case(pheno: DrugModel) -> None:
    """`blq` and `prior_weight` are the flattened model and the case with its method, for every estimator."""
    case, light = neonate(HIGH, LOW), {"CL": 0.25}
    expected = patient.posterior_estimate(flattened(pheno, light), replace(case, blq=Blq.M4), 500)
    ours = patient.posterior_estimate(pheno, case, 500, blq=Blq.M4, prior_weight=light)
    assert ours.etas.tobytes() == expected.etas.tobytes()
    mode = patient.fit(pheno, case, blq=Blq.M4, prior_weight=light)
    for estimate in (patient.map_estimate, patient.laplace_estimate):
        given = estimate(pheno, case, found=mode, blq=Blq.M4, prior_weight=light)
        assert given.eta_point.tobytes() == mode.eta[0].tobytes()
        assert given.model == flattened(pheno, light)


def test_a_table_takes_the_same_options(pheno: DrugModel, tmp_path: Path) -> None:
    """Each subject of a table is the MAP of its case; a row left out is a row that is not there."""
    text = rows("CENS,DVWT", "0,.", "0,2", "1,.")
    whole = estimated(tmp_path, text, pheno, blq=Blq.M4, prior_weight=0.5)
    case = neonate(replace(HIGH, weight=2.0), LOW)
    alone = patient.map_estimate(pheno, case, blq=Blq.M4, prior_weight=0.5)
    assert whole.subjects[0].eta == pytest.approx(alone.eta_point, abs=1e-7)
    assert whole.subjects[0].ofv == pytest.approx(alone.ofv, rel=1e-10)
    assert (whole.prior_weight, whole.source.sha256) == ({"CL": 0.5, "V": 0.5}, pheno.sha256)
    excluded = estimated(tmp_path, rows("DVWT", ".", "1", "0"), pheno).subjects[0]
    assert excluded.eta == pytest.approx(patient.map_estimate(pheno, neonate(HIGH)).eta_point, abs=1e-7)
    assert np.isfinite(excluded.rows[1].iwres) and np.isnan(whole.subjects[0].rows[1].iwres)


def test_nuts_on_a_table_is_importance_resampling(pheno: DrugModel, tmp_path: Path) -> None:
    """Two samplers, one posterior: means within 0.1 SD, SDs within 10 %; mixed chains say so."""
    text = rows("CENS", "0", "0", "1")
    text += "".join(line.replace("1,", "2,", 1) + "\n" for line in text.splitlines()[1:])
    chains, drawn = (estimated(tmp_path, text, pheno, method=m, n_draws=1000) for m in ("nuts", "sir"))
    for one, other in zip(chains.subjects, drawn.subjects, strict=True):
        assert (abs(one.eta - other.eta) < 0.1 * other.sd).all()
        assert one.sd == pytest.approx(other.sd, rel=0.1)
        assert one.mixed and one.rhat is not None and one.rhat < 1.01 and one.divergences == 0 and (one.ess or 0) > 300
    assert not replace(chains.subjects[0], rhat=1.2).mixed and not replace(chains.subjects[0], divergences=1).mixed


# --- on the command line ------------------------------------------------------------------------------------------------------


def test_estimate_says_what_was_chosen(pheno: DrugModel, tmp_path: Path) -> None:
    path = table(tmp_path, rows("CENS,DVWT", "0,.", "0,0.5", "1,."))
    said = found("estimate", pheno.name, path, "--blq", "M4", "--prior-weight", "CL=0.2,V=1", "--out", str(tmp_path / "out"))
    assert (said["blq"], said["prior_weight"], said["model"]["sha256"]) == ("M4", {"CL": 0.2}, pheno.sha256)
    assert [n["code"] for n in said["notices"]] == ["sample-weight"]
    printed = list(csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines()))
    assert [row["IWRES"] == "." for row in printed] == [False, True]
    chains = found("estimate", pheno.name, path, "--method", "nuts", "--draws", "200", "--out", str(tmp_path / "nuts"))
    assert [(c["id"], c["rhat"] < 1.01, c["divergences"]) for c in chains["chains"]] == [("1", True, 0)]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--prior-weight", "half"), "--prior-weight"),
        (("--prior-weight", "CL=0.2,CL=1"), "--prior-weight"),
        (("--prior-weight", "0"), "prior_weight"),
        (("--prior-weight", "KA=0.5"), "prior_weight.KA"),
        (("--points", "x.toml"), "--points"),
        (("--method", "nonparametric"), "--points"),
        (("--method", "nonparametric", "--points", "x.toml", "--prior-weight", "0.5"), "--prior-weight"),
    ],
)
def test_estimate_refuses_what_does_not_go_together(words: tuple[str, ...], where: str, tmp_path: Path) -> None:
    path = table(tmp_path, rows("CENS", "0", "0", "1"))
    said = found("estimate", "phenobarbital_grasela_1985", path, *words, "--out", str(tmp_path / "out"))
    assert (said["error"]["where"], said["error"]["exit_code"]) == (where, 2)


def test_chains_that_did_not_mix_leave_with_3(monkeypatch: pytest.MonkeyPatch, pheno: DrugModel, tmp_path: Path) -> None:
    """With an R-hat limit that no chain can meet; the files are written first."""
    monkeypatch.setattr("auctor.estimate.table.RHAT_LIMIT", 0.5)
    path, folder = table(tmp_path, rows("CENS", "0", "0", "1")), tmp_path / "out"
    result = run("estimate", pheno.name, path, "--method", "nuts", "--draws", "200", "--out", str(folder))
    assert result.exit_code == 3 and "did not mix" in result.stderr
    assert json.loads((folder / "summary.json").read_text())["not_mixed"] == ["1"]


# --- what the one who signs sees ----------------------------------------------------------------------------------------------


def test_a_changed_prior_and_every_sample_left_out_are_in_the_report(pheno: DrugModel) -> None:
    case = neonate(HIGH, LOW, Sample(time_h=50, value=9.0, weight=0.5, reason="time uncertain"))
    changed = analyse(case, pheno, n_draws=200, blq=Blq.M1, prior_weight={"CL": 0.2})
    said, page = as_dict(changed), to_html(changed)
    assert (said["settings"]["blq"], said["settings"]["prior_weight"]) == ("M1", {"CL": 0.2})
    assert said["model"]["sha256"] == pheno.sha256
    assert [(s["used"], s["weight"]["value"]) for s in said["samples"]] == [(True, 1.0), (False, 1.0), (True, 0.5)]
    assert ("prior-weight", True) in [(n.code, n.blocks_signing) for n in changed.notices]
    assert ("sample-excluded", "samples[1]") in [(n.code, n.where) for n in changed.notices]
    for text in ("Weight of the published prior", "CL × 0.2", "no: below the LLOQ, method M1", "weight 0.5: time uncertain"):
        assert text in page
    plain = analyse(case, pheno, n_draws=200)
    assert as_dict(plain)["settings"]["prior_weight"] == {} and "Weight of the published prior" not in to_html(plain)


def test_prior_weight_moves_map_and_posterior_and_not_the_a_priori_column(pheno: DrugModel) -> None:
    """A weight of 1 by name is the published prior to the last byte; a light one brings the curve nearer to the level."""
    case = neonate(replace(HIGH, value=30.0))
    plain, named, light = (analyse(case, pheno, n_draws=200, prior_weight=w) for w in (1.0, {"V": 1.0}, 0.05))
    assert as_dict(plain) == as_dict(named)
    point = {key: [a.method(key).params for a in (plain, light)] for key in ("a_priori", "map", "posterior")}
    assert point["a_priori"][0] == point["a_priori"][1]
    assert all(abs(one["V"] - other["V"]) > 0.01 for one, other in (point["map"], point["posterior"]))
    misfit = [abs((a.samples[0].ipred or 0.0) - 30.0) for a in (plain, light)]
    assert misfit[1] < misfit[0]
    with pytest.raises(ModelError, match="prior_weight"):
        analyse(case, pheno, prior_weight={"KA": 0.5})


def test_analyse_takes_the_options(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(ORAL.replace('"14.2 ng/mL"', '"<5 ng/mL"'), encoding="utf-8")
    said = found("analyse", str(path), "--no-ml", "--draws", "100", "--blq", "M1", "--prior-weight", "0.5")
    assert said["settings"]["blq"] == "M1" and set(said["settings"]["prior_weight"].values()) == {0.5}
    assert said["signing_blocked"]
    assert [s["used"] for s in said["samples"]] == [True, False]
