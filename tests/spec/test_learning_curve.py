"""The learning curve: nested training parts, the same held-out patients, and a floor that no learner is far below."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.cli import app
from auctor.errors import LeakageError, PlanError
from auctor.learn import curve
from auctor.learn.curve import Step, check_sizes, default_sizes, learning_curve
from auctor.learn.store import learner_for, open_plan
from auctor.learn.train import Material, prepare
from auctor.report.learning_curve_svg import learning_curve_svg
from auctor.validate.learning_curve import LearningCurve


@pytest.fixture(scope="module")
def made() -> Material:
    return prepare(open_plan("tacrolimus_quick"))


@pytest.fixture(scope="module")
def steps(made: Material) -> tuple[Step, ...]:
    return learning_curve(made, (300, 40, 120))


def test_error_falls_with_more_patients(steps: Sequence[Step]) -> None:
    assert [s.size for s in steps] == [40, 120, 300]
    errors = [s.scores["rRMSE"].value for s in steps]
    assert errors[0] > 1.5 * errors[2] and errors == sorted(errors, reverse=True)
    assert all(s.scores[name].low <= s.scores[name].value <= s.scores[name].high for s in steps for name in s.scores)


def test_the_whole_training_part_gives_the_plans_own_learner(steps: Sequence[Step]) -> None:
    card = learner_for("tacrolimus_quick").card["metrics"]["test"]
    assert {name: score.as_dict() for name, score in steps[-1].scores.items()} == {name: card[name] for name in steps[-1].scores}


def test_training_parts_are_nested_and_held_out_patients_the_same(made: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def caught(part: Material, *_: object) -> Any:
        seen.append({name: set(rows.tolist()) for name, rows in part.parts.items()})
        raise StopIteration

    monkeypatch.setattr(curve, "fitted", caught)
    for size in (40, 80, 200):
        with pytest.raises(StopIteration):
            learning_curve(made, (size,))
    assert seen[0]["train"] < seen[1]["train"] < seen[2]["train"] <= set(made.parts["train"].tolist())
    assert [len(s["train"]) for s in seen] == [40, 80, 200]
    for part in ("calibration", "test"):
        assert all(s[part] == set(made.parts[part].tolist()) for s in seen)


def test_a_leak_stops_the_curve_too(made: Material) -> None:
    overlapping = replace(made, parts={**made.parts, "test": made.parts["train"][:50]})
    with pytest.raises(LeakageError, match="shares patients"):
        learning_curve(overlapping, (40,))


def test_sizes_that_the_plan_does_not_hold_are_refused(made: Material) -> None:
    assert check_sizes(made, (300, 40, 40)) == (40, 300)
    assert default_sizes(300) == (150, 300)
    for sizes in ((29,), (40, 301)):
        with pytest.raises(PlanError, match="training patients"):
            check_sizes(made, sizes)
    for words in ("40,many", "5000"):
        assert CliRunner().invoke(app, ["learning-curve", "tacrolimus_quick", "--sizes", words]).exit_code == 2


def test_the_command_draws_the_curve_above_its_floor(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "curve.svg"
    done = CliRunner().invoke(app, ["learning-curve", "tacrolimus_quick", "--sizes", "60,300", "--out", str(picture), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["simulator"] == "tacrolimus_woillard_2011" and found["patients"] == 150
    small, large = (step["rRMSE"]["value"] for step in found["sizes"])
    assert small > large > 0.95 * found["floor"]["rRMSE"]["value"]
    assert ElementTree.fromstring(picture.read_text())[0].text == "tacrolimus_quick: learning curve"


def test_the_picture_shows_every_size_and_says_what_is_circular(steps: tuple[Step, ...]) -> None:
    found = LearningCurve(
        plan="p<1>", simulator="m", metric="AUC0-12", noise="none", circular=True, patients=150, steps=steps, floor=dict(steps[-1].scores)
    )
    text = learning_curve_svg(found)
    assert text == learning_curve_svg(found) and "href" not in text
    root = ElementTree.fromstring(text)
    assert root[0].text == "p<1> (circular label): learning curve"
    assert str(found.table().title).startswith("p<1> (circular label): ")
    assert text.count("<circle") == 3 * len(steps) and text.count('fill-opacity="0.14"') == 3
    alone = replace(found, floor=None)
    assert 'fill-opacity="0.14"' not in learning_curve_svg(alone)
    assert alone.as_dict()["floor"] is None and "no single posterior" in str(alone.table().caption)
    assert np.isfinite([s.scores["rRMSE"].value for s in steps]).all()
