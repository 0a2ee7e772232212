"""`auctor fhir`: import with its questions and answers, export, codes; JSON alone on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.data.casefile import read_case
from auctor.models.reader import read_model
from emr.results import CHOSEN
from emr.validators import VALIDATORS

MODEL = ("--drug", "vancomycin", "--model", "vancomycin_goti_2018")
FORMULA, LENGTH = ("--formula", "cockcroft-gault"), ("--infusion", "MedicationAdministration/a4=60 min")


@pytest.fixture(scope="module")
def record(root: Path) -> str:
    return str(root / "examples" / "vancomycin_fhir.json")


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["fhir", *words])


def test_questions_leave_with_2_and_write_nothing(record: str, tmp_path: Path) -> None:
    case = tmp_path / "case.toml"
    done = run("import", record, *MODEL, "--out", str(case), "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 2 and found["case"] is None and not case.exists()
    assert {q["code"] for q in found["questions"]} == {"no-duration", "formula"}
    assert found["questions"][0]["draft"]["amount"] == "1000 mg"


@pytest.mark.parametrize("name", ["case.toml", "case.json"])
def test_answered_it_is_a_case_file(record: str, tmp_path: Path, name: str) -> None:
    done = run("import", record, *MODEL, *FORMULA, *LENGTH, "--label", "bed 12", "--out", str(tmp_path / name))
    assert done.exit_code == 0 and "left out  Observation/na" in done.stdout
    case = read_case(tmp_path / name, read_model("vancomycin_goti_2018"))
    assert (case.label, len(case.history.doses), len(case.samples)) == ("bed 12", 4, 2)


def test_a_resource_can_be_left_out_by_hand(record: str) -> None:
    done = run("import", record, *MODEL, *FORMULA, "--leave", "MedicationAdministration/a4", "--json")
    assert done.exit_code == 0 and len(json.loads(done.stdout)["case"]["doses"]) == 3


@pytest.mark.parametrize("words", [("--drug", "examplin"), (*MODEL, "--formula", "mdrd"), (*MODEL, "--time-zone", "Mars/Base")])
def test_what_cannot_be_asked_is_refused_as_json(record: str, words: tuple[str, ...]) -> None:
    done = run("import", record, *words, "--json")
    assert done.exit_code == 2 and json.loads(done.stdout)["error"]["where"]


def test_export_prints_a_transaction(result: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(result))
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7")
    at = ("--patient", "Patient/7", "--at", "2026-03-03T08:00:00+01:00")
    first = json.loads(run("export", str(tmp_path), *at).stdout)
    assert first["type"] == "transaction" and first == json.loads(run("export", str(tmp_path / "result.json"), *at, "--json").stdout)
    signed = ("--signed-by", "Dr X", "--regimen", CHOSEN, "--replaces", "r0", "--pdf", str(tmp_path / "report.pdf"))
    done = run("export", str(tmp_path), *at, *signed, "--error", "--out", str(tmp_path / "b.json"))
    sent = json.loads((tmp_path / "b.json").read_text())
    assert done.exit_code == 0 and sent["entry"][1]["resource"]["status"] == "corrected"
    assert VALIDATORS["fhirkit-rs"](sent) == []
    assert run("export", str(tmp_path), *at, "--regimen", CHOSEN).exit_code == 2


def test_codes_say_what_is_verified_and_what_is_written() -> None:
    found = json.loads(run("codes", "vancomycin", "--json").stdout)
    assert found["emitted"] == {"vancomycin": "20578-1"}
    assert {(c["code"], c["verified"]) for c in found["codes"]} >= {("4092-3", True), ("J01XA01", False)}
    assert "NOT VERIFIED" in run("codes").stdout
