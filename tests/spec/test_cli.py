"""What the command line promises: help at once, errors as where / what / remedy, exit codes, JSON alone on stdout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from auctor import __version__
from auctor.cli import app
from auctor.cli.analyse import shortfall
from auctor.cli.command import AsJson, Command, Group
from auctor.cli.question import Question, answer, choose_model
from auctor.errors import AuctorError, CaseError, EstimationError, ModelError, OutOfDomain, PlanError, TableError, UnitError
from spec.bad_inputs import BAD, IV, ORAL, TABLE, Bad

RUNNER = CliRunner()
ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
TACROLIMUS = str(EXAMPLES / "tacrolimus_kidney.toml")
COMMANDS = [
    [],
    ["analyse"],
    ["first-dose"],
    ["estimate"],
    ["average"],
    ["npag"],
    ["refit"],
    ["validate"],
    ["simulate"],
    ["train"],
    ["amortise"],
    ["explain"],
    ["learning-curve"],
    ["reproduce"],
    ["demo"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "import"],
    ["models", "export"],
    ["models", "compare"],
    ["models", "pages"],
    ["population", "fit"],
    ["fhir", "import"],
    ["fhir", "export"],
    ["fhir", "codes"],
]


def run(*words: str) -> Any:
    return RUNNER.invoke(app, list(words))


def shell(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auctor", *words],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )


def document(*words: str) -> Any:
    """Run with --json; stdout must be one JSON document."""
    result = run(*words, "--json")
    return json.loads(result.stdout), result


def case_file(folder: Path, text: str, name: str = "case.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- help and version ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "auctor")
def test_help_names_every_option_and_leaves_with_0(words: list[str]) -> None:
    result = run(*words, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert words[-1:] in ([], ["models"]) or "--json" in result.stdout


HEAVY = ("jax", "numpy", "scipy", "sklearn", "xgboost", "pandas", "pydantic", "pint", "jinja2", "rich")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "auctor")
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    # Time depends on how busy the machine is; what is loaded does not.
    code = f"""
import sys
sys.argv = ["auctor", *{words!r}, "--help"]
from auctor.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_the_fastest_of_five_helps_takes_under_0_3_s() -> None:
    def seconds() -> float:
        start = time.perf_counter()
        shell("analyse", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.3


def test_version() -> None:
    assert run("--version").stdout == f"auctor {__version__}\n"
    assert shell("--version").stdout == f"auctor {__version__}\n"


# --- errors -------------------------------------------------------------------------------------------------------------

WORDS = {"where": "samples[0].unit", "what": "no unit", "remedy": "write for example 'ng/mL'"}


def failing(error: Exception) -> typer.Typer:
    """An application with the real Command class and one subcommand that raises."""
    application = typer.Typer(cls=Group, rich_markup_mode=None, pretty_exceptions_enable=False)

    @application.command(cls=Command)
    def fail(*, as_json: AsJson = False) -> None:
        raise error

    @application.command(cls=Command)
    def other() -> None:
        """A second one, so that the first keeps its name."""

    return application


TYPED = [(CaseError, 2), (TableError, 2), (UnitError, 2), (ModelError, 2), (PlanError, 2), (EstimationError, 3), (OutOfDomain, 4)]


@pytest.mark.parametrize(("kind", "code"), TYPED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_typed_error_is_where_what_remedy_and_its_exit_code(kind: type[AuctorError], code: int) -> None:
    result = RUNNER.invoke(failing(kind(**WORDS)), ["fail"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert all(line in result.stderr for line in WORDS.values())
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("kind", "code"), TYPED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_under_json_a_typed_error_is_one_document_on_stdout(kind: type[AuctorError], code: int) -> None:
    result = RUNNER.invoke(failing(kind(**WORDS)), ["fail", "--json"])
    assert json.loads(result.stdout) == {"error": {"kind": kind.__name__, **WORDS, "exit_code": code}}
    assert result.exit_code == code


def test_an_unforeseen_error_is_called_a_bug_and_its_message_is_not_printed() -> None:
    result = RUNNER.invoke(failing(ValueError("creatinine 812 of patient 7")), ["fail", "--json"])
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["kind"] == "Bug"
    assert "812" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_bad_input() -> None:
    result = RUNNER.invoke(failing(FileNotFoundError(2, "No such file or directory", "case.toml")), ["fail", "--json"])
    assert json.loads(result.stdout)["error"] | {"remedy": ""} == {
        "kind": "FileError",
        "where": "case.toml",
        "what": "no such file or directory",
        "remedy": "",
        "exit_code": 2,
    }


@pytest.mark.parametrize(
    "words", [["nonsense"], ["analyse"], ["analyse", "x", "--draws", "many"], ["reproduce", "E99"], ["models", "draw"]]
)
def test_a_wrong_command_line_leaves_with_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage:" in result.stderr


def test_a_refusal_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = case_file(tmp_path, ORAL.replace('"3 mg", route', "3, route"))
    done = shell("analyse", path, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["where"] == "doses[0].amount"
    assert "remedy" in done.stderr
    assert "Traceback" not in done.stderr


# --- models -------------------------------------------------------------------------------------------------------------


def test_models_list_names_every_model_of_the_library() -> None:
    listed, result = document("models", "list")
    names = [row["name"] for row in listed["models"]]
    assert result.exit_code == 0
    assert names == sorted(path.stem for path in (ROOT / "src/auctor/models/library").glob("*.toml"))
    assert all(row["source"] and row["status"] in ("draft", "reviewed", "validated") for row in listed["models"])
    shown = run("models", "list").stdout
    assert all(name in shown for name in names)


def test_models_show_prints_parameters_and_sources() -> None:
    shown, _ = document("models", "show", "tacrolimus_woillard_2011")
    assert shown["parameters"][1] | {"value": 21.2} == shown["parameters"][1]
    text = run("models", "show", "tacrolimus_woillard_2011").stdout
    assert "21.2" in text
    assert "Table 4" in text
    assert "\\" in run("models", "show", "tacrolimus_woillard_2011", "--latex").stdout


def test_models_show_of_a_misspelt_name_suggests_one() -> None:
    refused, result = document("models", "show", "tacrolimus_woilard2011")
    assert result.exit_code == 2
    assert refused["error"]["kind"] == "ModelError"
    assert "tacrolimus_woillard_2011" in refused["error"]["remedy"]


# --- simulate -----------------------------------------------------------------------------------------------------------

VANCOMYCIN = ("simulate", "vancomycin_goti_2018", "--dose", "1000 mg", "--every", "12h", "--duration", "1h", "--steady-state", "--n", "20")


def test_simulate_prints_percentiles_in_the_model_s_unit() -> None:
    found, result = document(*VANCOMYCIN, "--times", "0,1,12", "--covariate", "WT=70kg")
    assert result.exit_code == 0
    assert found["time_h"] == [0.0, 1.0, 12.0]
    low, middle, high = (found["percentiles"][name] for name in ("p5", "p50", "p95"))
    assert all(a < b < c for a, b, c in zip(low, middle, high, strict=True))
    # at steady state the trough before a dose is the trough at its end
    assert middle[0] == pytest.approx(middle[2], rel=1e-9)


def test_simulate_writes_one_row_a_patient_and_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for path in (first, second):
        assert run(*VANCOMYCIN, "--times", "0:2:1", "--residual", "--seed", "3", "--out", str(path)).exit_code == 0
    lines = first.read_text().splitlines()
    assert lines[0].startswith("ID,TIME,CONC,DV,")
    assert len(lines) == 1 + 20 * 3
    assert first.read_bytes() == second.read_bytes()


def test_simulate_by_weight_multiplies_the_dose() -> None:
    one = ("simulate", "vancomycin_goti_2018", "--n", "5", "--times", "1,2", "--covariate", "WT=70 kg")
    by_weight, _ = document(*one, "--dose", "10 mg/kg")
    absolute, _ = document(*one, "--dose", "0.7 g")
    assert by_weight["percentiles"]["p50"] == pytest.approx(absolute["percentiles"]["p50"], rel=1e-12)


def test_simulate_outside_the_source_population_warns_on_stderr() -> None:
    found, result = document(*VANCOMYCIN, "--times", "0,1", "--covariate", "WT=3kg")
    assert [notice["code"] for notice in found["notices"]] == ["outside-domain"]
    assert "warning" in result.stderr


SIMULATE = ("simulate", "vancomycin_goti_2018")


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (SIMULATE, "--dose"),
        ((*SIMULATE, "--dose", "1000"), "--dose"),
        ((*SIMULATE, "--dose", "0 mg"), "--dose"),
        ((*SIMULATE, "--dose", "1 g", "--every", "12"), "--every"),
        ((*SIMULATE, "--dose", "1 g", "--steady-state"), "--steady-state"),
        ((*SIMULATE, "--dose", "1 g", "--times", "soon"), "--times"),
        ((*SIMULATE, "--dose", "1 g", "--times", "5:1:1"), "--times"),
        ((*SIMULATE, "--dose", "1 g", "--covariate", "WT"), "--covariate WT"),
        ((*SIMULATE, "--dose", "1 g", "--covariate", "WT=70"), "--covariate WT"),
        ((*SIMULATE, "--dose", "1 g", "--covariate", "HEIGHT=170cm"), "--covariate HEIGHT"),
        ((*SIMULATE, "--dose", "1 g", "--covariate", "DIAL=sometimes"), "covariates.DIAL"),
        ((*SIMULATE, "--dose", "1 g", "--route", "oral"), "doses.route"),
        (("simulate", "tacrolimus_woillard_2011", "--dose", "1 mg/kg"), "--dose"),
        (("simulate", "tacrolimus_quick"), "--out"),
        (("simulate", "tacrolimus_quick", "--dose", "1 mg"), "--dose"),
        (("simulate", "nowhere.toml", "--dose", "1 mg"), "nowhere.toml"),
    ],
)
def test_simulate_refuses(words: tuple[str, ...], where: str) -> None:
    refused, result = document(*words)
    assert result.exit_code == 2
    assert refused["error"]["where"] == where
    assert refused["error"]["remedy"]


def test_simulate_a_plan_writes_its_profiles(tmp_path: Path) -> None:
    found, _ = document("simulate", "tacrolimus_quick", "--out", str(tmp_path / "p.csv"))
    assert found["patients"] == 600
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + 600 * 3


# --- estimate -----------------------------------------------------------------------------------------------------------

ESTIMATE = ("estimate", "phenobarbital_grasela_1985")


@pytest.mark.parametrize("method", ["map", "laplace", "sir"])
def test_estimate_writes_four_files(method: str, tmp_path: Path) -> None:
    table = case_file(tmp_path, TABLE, "table.csv")
    found, result = document(*ESTIMATE, table, "--method", method, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0
    assert found["method"] == method
    assert (found["subjects"], found["observations"]) == (2, 3)
    assert [Path(path).name for path in found["files"]] == ["etas.csv", "parameters.csv", "predictions.csv", "summary.json"]
    heads = {path.name: path.read_text().splitlines()[0] for path in (tmp_path / "out").glob("*.csv")}
    assert heads == {
        "etas.csv": "ID,ETA_CL,ETA_V,SD_CL,SD_V,OFV",
        "parameters.csv": "ID,CL,V",
        "predictions.csv": "ID,TIME,DV,PRED,IPRED,RES,WRES,IWRES,CMT",
    }


def test_estimate_is_the_same_twice_and_reads_back_to_the_same_double(tmp_path: Path) -> None:
    table = case_file(tmp_path, TABLE, "table.csv")
    for name in ("a", "b"):
        assert run(*ESTIMATE, table, "--method", "sir", "--out", str(tmp_path / name)).exit_code == 0
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 4
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in files)
    rows = [line.split(",") for line in (tmp_path / "a" / "predictions.csv").read_text().splitlines()[1:]]
    assert all(float(dv) - float(pred) == float(res) for _, _, dv, pred, _, res, *_ in rows)


@pytest.mark.parametrize(
    ("model", "table", "kind"),
    [
        ("phenobarbital_grasela_1985", "ID,TIME\n", "TableError"),
        ("phenobarbital_grasela_1985", TABLE.replace("17.3", "-17.3"), "TableError"),
        ("nobody2020", TABLE, "ModelError"),
    ],
)
def test_estimate_refuses(model: str, table: str, kind: str, tmp_path: Path) -> None:
    refused, result = document("estimate", model, case_file(tmp_path, table, "table.csv"), "--out", str(tmp_path / "out"))
    assert (result.exit_code, refused["error"]["kind"]) == (2, kind)
    assert not (tmp_path / "out").exists()


# --- train and reproduce ------------------------------------------------------------------------------------------------


def test_train_prints_the_card_and_stores_the_artefact(tmp_path: Path) -> None:
    found, result = document("train", "tacrolimus_quick", "--out", str(tmp_path / "learner"))
    assert result.exit_code == 0
    assert found["card"]["data"]["patients"] == {"train": 300, "calibration": 150, "test": 150}
    assert json.loads((tmp_path / "learner" / "card.json").read_text()) == found["card"]
    assert not list((tmp_path / "learner").glob("*.pkl"))


def test_train_keeps_a_learner_in_the_cache() -> None:
    first, _ = document("train", "tacrolimus_quick")
    second, _ = document("train", "tacrolimus_quick")
    assert first == second
    assert "coverage" in run("train", "tacrolimus_quick").stdout


def test_train_refuses_a_plan_that_is_none(tmp_path: Path) -> None:
    for plan in ("no_such_plan", case_file(tmp_path, "schema = 1\n", "plan.toml"), str(tmp_path / "absent.toml")):
        refused, result = document("train", plan)
        assert (result.exit_code, refused["error"]["kind"]) == (2, "PlanError")


# --- analyse ------------------------------------------------------------------------------------------------------------


def test_analyse_prints_a_short_table_and_writes_what_is_asked(tmp_path: Path) -> None:
    result = run("analyse", TACROLIMUS, "--no-ml", "--out", str(tmp_path / "new" / "folder"), "--report", str(tmp_path / "own.html"))
    assert result.exit_code == 0
    assert "AUC0-12" in result.stdout
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == ["report.html", "result.json"]
    assert (tmp_path / "own.html").read_text() == (tmp_path / "new" / "folder" / "report.html").read_text()
    assert "tacrolimus_woillard_2011" in result.stderr


def test_analyse_json_is_result_json(tmp_path: Path) -> None:
    found, result = document("analyse", TACROLIMUS, "--no-ml", "--out", str(tmp_path))
    assert result.stdout == (tmp_path / "result.json").read_text()
    assert found["model"]["name"] == "tacrolimus_woillard_2011"
    assert set(found["methods"]) == {"a_priori", "map", "posterior", "ml"}
    assert "NaN" not in result.stdout


def test_analyse_one_subject_of_a_table() -> None:
    table = str(EXAMPLES / "phenobarbital_neonate.csv")
    found, result = document("analyse", table, "--id", "25", "--model", "phenobarbital_grasela_1985", "--no-ml")
    assert result.exit_code == 0
    assert len(found["samples"]) == 6


def test_analyse_takes_a_target_with_its_unit() -> None:
    found, _ = document("analyse", TACROLIMUS, "--no-ml", "--target", "AUC0-12:100-150 ng*h/mL")
    assert (found["target"]["low"], found["target"]["high"]) == (100.0, 150.0)
    assert found["target"]["metric"] == "AUC0-12"


def test_analyse_takes_the_only_model_of_a_drug_and_says_so() -> None:
    model, why = choose_model(Question(case=Path("table.csv"), drug="iohexol"))
    assert (model.name, why) == ("iohexol_asberg_2020", "the only one for iohexol in the library")


def test_analyse_asks_when_there_are_several_models_of_a_drug(tmp_path: Path) -> None:
    table = case_file(tmp_path, TABLE, "table.csv")
    refused, result = document("analyse", table, "--id", "1", "--drug", "phenobarbital")
    assert (result.exit_code, refused["error"]["where"]) == (2, "--model")
    assert "phenobarbital_grasela_1985" in refused["error"]["remedy"]


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("absent.toml",), "absent.toml"),
        (("case.yaml",), "case.yaml"),
        ((TACROLIMUS, "--drug", "vancomycin"), "--drug"),
        ((TACROLIMUS, "--model", "vancomycin_goti_2018"), "--drug"),
        ((TACROLIMUS, "--model", "nothing"), "model"),
        ((TACROLIMUS, "--id", "1"), "--id"),
        ((TACROLIMUS, "--target", "AUC0-12"), "--target"),
        ((TACROLIMUS, "--target", "AUC0-12:100-150"), "--target"),
        ((TACROLIMUS, "--target", "AUC0-12:150-100 ng*h/mL"), "--target"),
        ((TACROLIMUS, "--target", "AUC0-12:100-150 mg"), "--target"),
        ((TACROLIMUS, "--target", "dose:1-2 mg"), "metric"),
        ((str(EXAMPLES / "phenobarbital_neonate.csv"),), "--drug"),
        ((str(EXAMPLES / "phenobarbital_neonate.csv"), "--model", "phenobarbital_grasela_1985"), "--id"),
        ((str(EXAMPLES / "phenobarbital_neonate.csv"), "--model", "phenobarbital_grasela_1985", "--id", "99"), "--id"),
        ((str(EXAMPLES / "phenobarbital_neonate.csv"), "--drug", "aspirin", "--id", "25"), "drug"),
    ],
)
def test_analyse_refuses(words: tuple[str, ...], where: str) -> None:
    refused, result = document("analyse", *words)
    assert (result.exit_code, refused["error"]["where"]) == (2, where)


def test_insisting_on_a_learner_that_abstains_leaves_with_4(tmp_path: Path) -> None:
    path = case_file(tmp_path, ORAL.replace('"3 mg"', '"40 mg"'))  # the learner saw 0.5 to 10 mg
    result = run("analyse", path, "--ml", "--out", str(tmp_path / "out"))
    assert result.exit_code == 4
    assert "OutOfDomain" in result.stderr
    assert "outside the training range" in result.stderr
    assert json.loads((tmp_path / "out" / "result.json").read_text())["methods"]["posterior"]["abstained"] == ""


def test_what_counts_as_no_answer() -> None:
    question = Question(case=Path(TACROLIMUS), ml=False, draws=100)
    found = answer(question, tell=lambda text: None, progress=lambda stage, share: None)
    silent = {m.key: replace(m, recommendation=None, abstained="why") for m in found.methods}
    only_prior = replace(found, methods=tuple(m if m.key == "a_priori" else silent[m.key] for m in found.methods))
    assert shortfall(found, insist_on_ml=False) is None
    assert isinstance(shortfall(only_prior, insist_on_ml=False), EstimationError)
    assert shortfall(replace(only_prior, case=replace(found.case, samples=())), insist_on_ml=False) is None
    assert isinstance(shortfall(replace(found, methods=tuple(silent.values())), insist_on_ml=False), OutOfDomain)
    assert isinstance(shortfall(found, insist_on_ml=True), OutOfDomain)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.suffix[1:]}: {bad.name}")
def test_a_bad_input_is_refused_or_carried_and_never_a_traceback(bad: Bad, tmp_path: Path) -> None:
    table = ("--id", "1") if bad.suffix == ".csv" else ()
    found, result = document("analyse", str(bad.write(tmp_path)), "--model", bad.model, "--no-ml", "--draws", "100", *table)
    assert "Traceback" not in result.stderr
    assert result.exit_code == (0 if bad.error is None else 2), result.stderr
    if bad.error is None:
        assert bad.code in [notice["code"] for notice in found["notices"]]
    else:
        assert found["error"]["kind"] == bad.error.__name__
        assert found["error"]["remedy"]


# --- same input, same bytes ---------------------------------------------------------------------------------------------


def test_result_json_is_the_same_over_20_repeats_and_in_a_fresh_process(tmp_path: Path) -> None:
    words = ("analyse", case_file(tmp_path, IV), "--no-ml", "--json")
    texts = {run(*words).stdout for _ in range(20)}
    assert len(texts) == 1
    assert shell(*words).stdout in texts


def test_result_json_with_the_learner_is_the_same_in_two_processes(tmp_path: Path) -> None:
    words = ("analyse", TACROLIMUS, "--ml", "--json")
    first, again = run(*words), run(*words)
    assert first.exit_code == 0
    assert json.loads(first.stdout)["learner"]["plan"] == "tacrolimus_auc12"
    assert first.stdout == again.stdout == shell(*words).stdout


# --- demo ---------------------------------------------------------------------------------------------------------------


def test_demo_writes_three_reports_and_names_them(tmp_path: Path) -> None:
    done = shell("demo", "--examples", str(EXAMPLES), "--out", str(tmp_path))
    assert done.returncode == 0
    written = sorted(str(path) for path in tmp_path.rglob("*") if path.is_file() and path.parent.name != "clinic")
    assert len(written) == 6
    password = tmp_path / "clinic" / "demo-password.txt"
    assert password.stat().st_mode & 0o077 == 0 and password.read_text().split()[1] in done.stdout
    assert (tmp_path / "clinic" / "auctor.sqlite").exists()
    assert all(path in done.stdout.replace("\n", "") for path in written)
    assert re.search(r"Three patients in \d+\.\d s", done.stdout)


def test_demo_without_examples_says_where_they_are(tmp_path: Path) -> None:
    refused, result = document("demo", "--examples", str(tmp_path))
    assert (result.exit_code, refused["error"]["where"]) == (2, "--examples")
