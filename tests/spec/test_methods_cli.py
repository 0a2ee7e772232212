"""`auctor npag`, support points, diagnostics and averaging on the command line, against published figures and their definitions."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.data.casefile import read_case
from auctor.data.nonmem import read_table
from auctor.data.subject import subject_case
from auctor.errors import EstimationError
from auctor.estimate.averaging import average_estimate, normalised
from auctor.estimate.diagnostics import next_samples
from auctor.estimate.nonparametric import nonparametric_estimate
from auctor.estimate.support import AssayError, SupportPoints, read_support_points, write_support_points
from auctor.models.reader import library_path, read_model
from oracle.test_nonparametric import MODEL, REPORTED
from spec.bad_inputs import TABLE

ROOT = Path(__file__).resolve().parents[2]
NEONATE = str(ROOT / "examples" / "phenobarbital_neonate.toml")
PHENO = "phenobarbital_grasela_1985"


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def found(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def file(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- support points -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example(oracles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """Pmetrics' example as a model and a NONMEM-style table, and a folder."""
    folder = tmp_path_factory.mktemp("npag")
    lines = ["ID,TIME,AMT,DV"]
    for row in rows_of(oracles / "pmetrics_npag" / "NPex_data.csv"):
        dosed = row["evid"] == "1"
        lines.append(f"{row['id']},{row['time']},{row['dose'] if dosed else 0},{'.' if dosed else row['out']}")
    return file(folder / "oral.toml", MODEL), file(folder / "table.csv", "\n".join(lines) + "\n"), folder


BOX = ("--range", "CL=0.03-12 L/h", "--range", "V=30-120 L", "--range", "KA=0.1-0.9 1/h", "--range", "TLAG=0-4 h")
ERROR = ("--error", "0,0.131516", "--fix-error")


@pytest.mark.oracle
def test_npag_on_a_table_is_no_worse_than_pmetrics_and_its_points_are_a_prior(example: tuple[str, str, Path]) -> None:
    """The box holds Pmetrics' own (Ke as CL/V), so the optimum is no worse; the points then give each subject the case's posterior."""
    model, data, folder = example
    summary = found("npag", model, data, *BOX, *ERROR, "--grid", "512", "--cycles", "40", "--out", str(folder / "npag"))
    assert summary["neg2ll"] < REPORTED
    assert (summary["subjects"], summary["observations"]) == (20, 139)
    support = read_support_points(folder / "npag" / "points.toml")
    assert support.error == AssayError(coefficients=(0.0, 0.131516))
    kept = rows_of(folder / "npag" / "points.csv")
    assert [[float(row[name]) for name in support.parameters] for row in kept] == support.points.tolist()
    out = folder / "estimates"
    estimated = found(
        "estimate", model, data, "--method", "nonparametric", "--points", str(folder / "npag" / "points.toml"), "--out", str(out)
    )
    assert estimated["objective"] + 139 * np.log(2 * np.pi) == pytest.approx(summary["neg2ll"], abs=1e-6)
    read = read_model(model)
    records = read_table(data, read)
    parameters, predictions = rows_of(out / "parameters.csv"), rows_of(out / "predictions.csv")
    for k in (0, 7, 19):
        case = subject_case(records[k], read)
        alone = nonparametric_estimate(read, case, support)
        assert {name: float(parameters[k][name]) for name in support.parameters} == pytest.approx(dict(alone.parameters), rel=1e-9)
        ipred = [float(row["IPRED"]) for row in predictions if row["ID"] == records[k].id]
        times = np.asarray([s.time_h for s in case.samples])
        assert alone.predict(case.history, times).point == pytest.approx(ipred, rel=1e-9)


def test_residuals_over_support_points_by_their_definition(tmp_path: Path) -> None:
    """Two points: PRED their mean, WRES from the mean and covariance of the observations written out, IWRES at IPRED."""
    model = read_model(PHENO)
    support = SupportPoints(
        parameters=("CL", "V"),
        points=np.asarray([[0.004, 0.9], [0.006, 1.1]]),
        probabilities=np.asarray([0.25, 0.75]),
        error=AssayError(coefficients=(1.0, 0.05), of="prediction"),
    )
    write_support_points(support, tmp_path / "points.toml")
    data, out = file(tmp_path / "table.csv", TABLE), tmp_path / "out"
    words = ("estimate", PHENO, data, "--method", "nonparametric", "--points", str(tmp_path / "points.toml"), "--out", str(out))
    assert run(*words).exit_code == 0
    rows = [row for row in rows_of(out / "predictions.csv") if row["ID"] == "1"]
    case = subject_case(read_table(data, model)[0], model)
    alone = nonparametric_estimate(model, case, support)
    f, p = alone.at_points.predict(case.history, np.asarray([s.time_h for s in case.samples])).values, support.probabilities
    y = np.asarray([s.value for s in case.samples])
    cov = np.cov(f.T, aweights=p, bias=True) + np.diag(p @ (1 + 0.05 * f) ** 2)
    values, vectors = np.linalg.eigh(cov)
    whitened = vectors @ np.diag(values**-0.5) @ vectors.T @ (y - p @ f)
    ipred = alone.weights @ f
    for name, expected in (("PRED", p @ f), ("WRES", whitened), ("IPRED", ipred), ("IWRES", (y - ipred) / (1 + 0.05 * ipred))):
        assert [float(row[name]) for row in rows] == pytest.approx(expected, rel=1e-9), name


def test_a_range_that_cuts_the_population_off_is_noticed_and_a_short_search_leaves_with_3(tmp_path: Path) -> None:
    data, out = file(tmp_path / "table.csv", TABLE), tmp_path / "out"
    result = run(
        "npag", PHENO, data, "--range", "CL=0.1-0.2 L/h/kg", "--range", "V=0.1-3 L/kg", "--grid", "64", "--cycles", "2",
        "--out", str(out), "--json",
    )  # fmt: skip
    assert result.exit_code == 3 and "no convergence" in result.stderr
    said = json.loads(result.stdout)  # one document, although a refusal followed it
    assert said | {"files": 0} == json.loads((out / "summary.json").read_text()) | {"files": 0}
    assert not said["converged"] and ("edge-of-range", "--range CL") in [(n["code"], n["where"]) for n in said["notices"]]
    assert sorted(path.name for path in out.iterdir()) == ["points.csv", "points.toml", "summary.json"]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("--range", "CL"), "--range"),
        (("--range", "CL=0.001-0.01"), "--range CL"),
        (("--range", "CL=0.001-0.01 L"), "--range CL"),
        (("--range", "CL=0.01-0.001 L/h/kg"), "--range CL"),
        (("--range", "KA=0.1-1 1/h"), "--range KA"),
        (("--error", "ten"), "--error"),
    ],
)
def test_npag_refuses(words: tuple[str, ...], where: str, tmp_path: Path) -> None:
    said = found("npag", PHENO, file(tmp_path / "table.csv", TABLE), *words, "--out", str(tmp_path / "out"))
    assert (said["error"]["where"], said["error"]["exit_code"]) == (where, 2)


# --- diagnostics ----------------------------------------------------------------------------------------------------------


@pytest.mark.oracle
def test_the_diagnostics_file_holds_nonmems_cwres(oracles: Path, tmp_path: Path) -> None:
    """All 155 within 1e-4; the next sample of a table is that of its cases; and the summary counts them."""
    data = oracles / "pharmpy_nonmem" / "pheno_data.csv"
    said = found("estimate", "phenobarbital_pheno_nonmem", str(data), "--diagnostics", "--out", str(tmp_path))
    printed = [float(r["CWRES"]) for r in rows_of(oracles / "pharmpy_nonmem" / "pheno_real_table.csv") if float(r["AMT"]) == 0]
    ours = rows_of(tmp_path / "diagnostics.csv")
    np.testing.assert_allclose([float(r["CWRES"]) for r in ours], printed, atol=1e-4)
    assert abs(np.mean([float(r["NPDE"]) for r in ours])) < 0.3
    assert [r["NAME"] for r in rows_of(tmp_path / "shrinkage.csv")] == ["ETA_CL", "ETA_V", "EPSILON"]
    model = read_model("phenobarbital_pheno_nonmem")
    cases = [subject_case(r, model) for r in read_table(data, model)]
    expected = next_samples(model, cases)
    ahead = rows_of(tmp_path / "next_samples.csv")
    assert [int(r["N_BEFORE"]) for r in ahead] == [p.n_before for p in expected]
    np.testing.assert_allclose([float(r["PREDICTED"]) for r in ahead], [p.predicted for p in expected], rtol=1e-6)
    assert said["next_sample"]["a_priori"]["n"] + said["next_sample"]["with_samples_before"]["n"] == 155


def test_diagnostics_of_one_subject_and_of_support_points(tmp_path: Path) -> None:
    """One subject has no shrinkage, a level below its limit no residual; support points have no Omega to refer to."""
    table = TABLE[: TABLE.index("2,0,15")].replace("21.5,0,0", "0,1,5")
    data = file(tmp_path / "table.csv", table)
    assert run("estimate", PHENO, data, "--diagnostics", "--out", str(tmp_path / "one")).exit_code == 0
    assert [(r["CWRES"] == ".", r["NPDE"] == ".") for r in rows_of(tmp_path / "one" / "diagnostics.csv")] == [(False, False), (True, True)]
    assert rows_of(tmp_path / "one" / "shrinkage.csv") == []
    said = found("estimate", PHENO, data, "--diagnostics", "--method", "nonparametric", "--points", "x.toml")
    assert said["error"]["where"] == "--diagnostics"


# --- averaging ------------------------------------------------------------------------------------------------------------


def test_average_of_a_drug_is_the_computation_of_the_library(tmp_path: Path) -> None:
    """Weights proportional to prior times marginal likelihood; the average lies between the models; another prior moves it."""
    equal = found("average", "phenobarbital", "--case", NEONATE, "--draws", "400")
    tilted = found("average", "phenobarbital", "--case", NEONATE, "--draws", "400", "--prior", "3,1")
    names = [m["name"] for m in equal["models"]]
    marginals = np.asarray([m["log_marginal"] for m in equal["models"]])
    assert len(names) >= 2
    assert [m["weight"] for m in equal["models"]] == pytest.approx(normalised(marginals), rel=1e-12)
    assert [m["weight"] for m in tilted["models"]] == pytest.approx(normalised(marginals, (3, 1)), rel=1e-12)
    points = [m["exposure"]["point"] for m in equal["models"]]
    mean = sum(m["weight"] * m["exposure"]["point"] for m in equal["models"])
    assert equal["average"]["point"] == pytest.approx(mean, rel=1e-9) and min(points) < mean < max(points)
    models = [read_model(name) for name in names]
    ours = average_estimate(models, [read_case(NEONATE, m) for m in models], 400)
    assert ours.weights == pytest.approx([m["weight"] for m in equal["models"]], rel=1e-12)
    shown = run("average", "phenobarbital", "--case", NEONATE, "--draws", "400")
    assert all(name in shown.stdout for name in (*names, "average"))


def test_mapbayr_s_weights_by_their_definition() -> None:
    for kind, worth in (("ofv", 0.0), ("aic", 2.0)):
        said = found("average", "phenobarbital", "--case", NEONATE, "--weights", kind, "--draws", "200")
        scores = np.asarray([-0.5 * m["ofv"] - worth for m in said["models"]])
        assert [m["weight"] for m in said["models"]] == pytest.approx(normalised(scores), abs=1e-9)
        assert {m["log_marginal"] for m in said["models"]} == {None}


def test_a_model_with_other_units_of_a_covariate_weighs_the_same(tmp_path: Path) -> None:
    """The same model with the weight in g: one case read twice, equal likelihoods, equal weights."""
    text = library_path(PHENO).read_text().replace('unit = "kg"\nreference = 1.3', 'unit = "g"\nreference = 1300')
    text = text.replace("median = 1.4, sd_log = 0.405, low = 0.6, high = 3.6", "median = 1400, sd_log = 0.405, low = 600, high = 3600")
    text = text.replace('expr = "WT"', 'expr = "WT / 1000"').replace('expr = "WT *', 'expr = "WT / 1000 *')
    text = text[: text.index("[[targets]]")] if "[[targets]]" in text else text
    said = found("average", PHENO, file(tmp_path / "grams.toml", text), "--case", NEONATE, "--draws", "200", "--metric", "AUC0-24")
    assert [m["weight"] for m in said["models"]] == pytest.approx([0.5, 0.5], abs=1e-9)


def test_models_are_not_weighed_by_different_samples() -> None:
    model = read_model(PHENO)
    case = read_case(NEONATE, model)
    fewer = replace(case, samples=case.samples[1:])
    for cases in ([case, fewer], [case]):
        with pytest.raises(EstimationError, match="same samples"):
            average_estimate([model, model], cases)


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("phenobarbital", "vancomycin"), "models"),
        (("phenobarbital", "--prior", "1"), "--prior"),
        (("phenobarbital", "--prior", "1,x"), "--prior"),
        (("nothing",), "model"),
        (("tacrolimus",), "drug"),
        (("phenobarbital", "--id", "3"), "--id"),
        (("phenobarbital", "--metric", "dose"), "metric"),
    ],
)
def test_average_refuses(words: tuple[str, ...], where: str) -> None:
    said = found("average", *words, "--case", NEONATE, "--draws", "100")
    assert (said["error"]["where"], said["error"]["exit_code"]) == (where, 2)
