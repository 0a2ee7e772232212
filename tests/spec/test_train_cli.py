"""`auctor train --algorithms`: several algorithms side by side, refusals typed, the same document twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from auctor.cli import app

RUNNER = CliRunner()


def test_algorithms_are_compared_and_nothing_is_stored(tmp_path: Path) -> None:
    asked = ["train", "tacrolimus_quick", "--algorithms", "xgboost,elastic_net"]
    shown = RUNNER.invoke(app, asked, env={"COLUMNS": "160"})
    assert shown.exit_code == 0, shown.output
    assert "elastic_net" in shown.stdout and "tacrolimus_woillard_2011" in shown.stdout and "noise full" in shown.stdout
    found = json.loads(RUNNER.invoke(app, [*asked, "--json"]).stdout)
    assert found == json.loads(RUNNER.invoke(app, [*asked, "--json"]).stdout)
    first, second = found["algorithms"]
    assert found["training_patients"] == 300 and first["ratio_to_first"]["value"] == 1
    assert second["ratio_to_first"]["value"] == pytest.approx(second["cv_rmse"]["value"] / first["cv_rmse"]["value"], abs=1e-5)
    assert second["ratio_to_first"]["low"] < second["ratio_to_first"]["value"] < second["ratio_to_first"]["high"]


def test_an_unknown_algorithm_is_refused_before_anything_is_simulated() -> None:
    refused = RUNNER.invoke(app, ["train", "tacrolimus_quick", "--algorithms", "xgboost,tabpfn", "--json"])
    assert refused.exit_code == 2
    assert "elastic_net" in json.loads(refused.stdout)["error"]["remedy"]


def test_a_comparison_does_not_pretend_to_store(tmp_path: Path) -> None:
    refused = RUNNER.invoke(app, ["train", "tacrolimus_quick", "--algorithms", "xgboost", "--out", str(tmp_path)])
    assert refused.exit_code == 2 and not list(tmp_path.iterdir())
