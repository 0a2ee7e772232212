"""`auctor validate`: trapezoids against closed forms, every answer against the method asked by itself, refusals with their reasons."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from auctor.case import Case, Dose, Metric, Regimen, Route, Sample
from auctor.cli import app
from auctor.errors import CaseError, OutOfDomain, TableError
from auctor.estimate.averaging import average_estimate
from auctor.estimate.patient import a_priori, laplace_estimate, posterior_estimate
from auctor.learn.amortised.store import Amortised, amortised_for
from auctor.learn.scores import accuracy
from auctor.learn.store import learner_for, open_plan
from auctor.models.reader import read_model
from auctor.pk.exposure import exposures
from auctor.population.plan import Split
from auctor.population.virtual import Profiles, simulate
from auctor.predictor import Predictor
from auctor.validate.external import Asked, Contestants, External, Reference, evaluate
from auctor.validate.reference import profile, trapezoid

RUNNER = CliRunner()
MODEL, OTHER = "tacrolimus_woillard_2011", "tacrolimus_moes_2016"
AUC = Metric.parse("AUC0-12")
IN_COLUMN = Reference(column="AUC", unit="ng*h/mL")


# --- trapezoids ----------------------------------------------------------------------------------------------------------


def test_a_falling_exponential_and_a_rising_line_have_their_exact_areas() -> None:
    t = np.array([0.0, 0.3, 2.0, 5.0, 12.0])
    falling = 8 * np.exp(-0.21 * t)
    assert trapezoid(t, falling, 0, 12) == pytest.approx(8 / 0.21 * -np.expm1(-0.21 * 12), rel=1e-12)
    assert trapezoid(t, falling, 1, 7.5) == pytest.approx(8 / 0.21 * (np.exp(-0.21) - np.exp(-0.21 * 7.5)), rel=1e-12)
    assert trapezoid(t, 1 + 2 * t, 1, 7.5) == pytest.approx(6.5 + 7.5**2 - 1, rel=1e-12)
    assert trapezoid(t, np.array([0, 1, 4, 0, 0.0]), 0, 12) == pytest.approx(0.15 + 2.5 * 1.7 + 6, rel=1e-12)  # to 0 it falls in a line


def test_nothing_is_extrapolated() -> None:
    t = np.array([0.5, 4.0, 10.0])
    for start, stop in ((0, 10), (0.5, 12)):
        with pytest.raises(TableError, match=r"reach from 0.5 to 10 h"):
            trapezoid(t, np.ones(3), start, stop)


def _case(samples: list[tuple[float, float]], *, steady: bool = True, route: Route = Route.ORAL) -> Case:
    dose = Dose(time_h=0, amount_mg=5, route=route, every_h=12 if steady else 0, steady_state=steady)
    return Case(label="A", drug="tacrolimus", history=Regimen(doses=(dose,)), samples=tuple(Sample(time_h=t, value=v) for t, v in samples))


def test_the_trough_of_a_steady_state_closes_the_interval_at_either_end() -> None:
    whole = [(0.0, 4.0), (1.0, 12.0), (3.0, 9.0), (6.0, 6.0), (12.0, 4.0)]
    expected = profile(_case(whole), AUC)
    assert expected.levels == 5 and not expected.closed
    for part, word in ((whole[:-1], "at the end"), (whole[1:], "at the beginning")):
        found = profile(_case(part), AUC)
        assert found.value == expected.value and found.closed.endswith(word)
    late = [*whole[:-1], (11.9, 4.0)]
    assert profile(_case(late), AUC).value == expected.value, "six minutes before the end stands at the end"
    assert profile(_case(whole), Metric.parse("Cavg0-12")).value == pytest.approx(expected.value / 12)


def test_before_a_first_dose_that_is_swallowed_there_is_no_drug() -> None:
    later = [(1.0, 12.0), (3.0, 9.0), (6.0, 6.0), (12.0, 4.0)]
    found = profile(_case(later, steady=False), AUC)
    assert found.closed == "no drug before the first dose"
    assert found.value == pytest.approx(6 + trapezoid(*np.array(later).T, 1, 12))
    with pytest.raises(TableError, match="from 1 to 12 h"):
        profile(_case(later, steady=False, route=Route.IV), AUC)  # a bolus


def test_a_level_after_a_dose_is_no_trough() -> None:
    """Minutes after the dose that opens or follows the window: it stands where it is, or is none of the window's."""
    soon = [(0.2, 5.0), (1.0, 12.0), (3.0, 9.0), (6.0, 6.0), (12.0, 4.0)]
    first = profile(_case(soon, steady=False), AUC)
    assert first.closed == "no drug before the first dose"
    assert first.value == pytest.approx(0.5 * 0.2 * 5 + trapezoid(*np.array(soon).T, 0.2, 12))
    again = profile(_case(soon), AUC)
    assert again.closed.endswith("at the beginning")
    assert again.value == pytest.approx(0.5 * 0.2 * (4 + 5) + trapezoid(*np.array(soon).T, 0.2, 12))
    late = [*soon[:-1], (12.2, 4.0)]
    assert profile(_case(late), AUC).value == again.value, "no dose is known to lie between"
    twice = replace(
        _case(late, steady=False), history=Regimen(doses=(Dose(time_h=0, amount_mg=5, route=Route.ORAL, every_h=12, additional=1),))
    )
    with pytest.raises(TableError, match="to 6 h"):
        profile(twice, AUC)


@pytest.mark.parametrize(
    ("case", "metric", "words"),
    [
        (_case([(0, 4.0), (1, 9.0), (3, 8.0)]), AUC, "3 levels"),
        (_case([(0, 4.0), (1, 9.0), (1, 9.5), (3, 8.0)]), AUC, "two levels at one time"),
        (_case([(0, 4.0), (1, 9.0), (3, 8.0), (6, 6.0)]), Metric.parse("AUC0-24"), "the window from 0 to 24 h"),
        (_case([(0, 4.0), (1, 9.0), (3, 8.0), (6, 6.0)]), Metric.parse("Cmax0-12"), "no area"),
    ],
)
def test_what_has_no_area_is_refused(case: Case, metric: Metric, words: str) -> None:
    with pytest.raises(TableError, match=words):
        profile(case, metric)


# --- everybody on a table ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    """Levels before the dose, and 1 and 3 h after it, as the small learner has them."""
    return simulate(replace(open_plan("tacrolimus_quick"), split=Split(train=0, calibration=0, test=8)))


def table(
    profiles: Profiles, path: Path, *, n: int = 8, rich: bool = False, changed: Callable[[int, list[str]], list[str]] | None = None
) -> Path:
    """The first patients as a NONMEM table, the true AUC0-12 as a column of its own; `rich`: noise-free levels every half hour."""
    model, lines = profiles.plan.model, ["ID,TIME,AMT,SS,II,EVID,DV,HCT,CYP3A5,FORM,AUC"]
    for i in range(n):
        known = ",".join(f"{profiles.covariates[name][i]:.10g}" for name in ("HCT", "CYP3A5", "FORM"))
        auc = f"{profiles.target[i] * 1000:.10g}"
        rows = [f"{i + 1},0,{profiles.dose_mg[i]:g},1,12,1,.,{known},{auc}"]
        if rich:
            from auctor.pk.direct import readings
            from auctor.pk.timeline import build

            times = np.arange(0.5, 12.01, 0.5)
            line = build(model, profiles.steady(i), profiles.covariates_of(i), times)
            seen = list(zip(times, readings(model, line, profiles.eta[i : i + 1])[0][0], strict=True))
        else:
            seen = sorted((float(t), float(v)) for t, v in zip(profiles.sample_h[i], profiles.observed[i], strict=True))
        rows += [f"{i + 1},{t:.10g},0,0,0,0,{1000 * v:.10g},{known},." for t, v in seen]
        lines += changed(i, rows) if changed else rows
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def quick() -> Amortised:
    return amortised_for("tacrolimus_amortised_quick")


@pytest.fixture(scope="module")
def found(profiles: Profiles, quick: Amortised, tmp_path_factory: pytest.TempPathFactory) -> External:
    who = Contestants(
        models=(read_model(MODEL), read_model(OTHER)), amortised=(quick,), learners=(learner_for("tacrolimus_quick"),), draws=300, seed=4
    )
    return evaluate(table(profiles, tmp_path_factory.mktemp("table") / "t.csv"), who, Asked(metric=AUC), IN_COLUMN)


def test_every_answer_is_that_of_the_method_asked_by_itself(profiles: Profiles, quick: Amortised, found: External) -> None:
    assert [one.id for one in found.subjects] == [str(k + 1) for k in range(8)] and not found.left_out
    assert found.reference == pytest.approx(profiles.target[:8], rel=1e-8)
    one, two = read_model(MODEL), read_model(OTHER)
    learner = learner_for("tacrolimus_quick")
    for k, subject in enumerate(found.subjects):
        own, others = subject.cases[one.name], subject.cases[two.name]
        alone: dict[str, Callable[[], Predictor]] = {
            f"covariates only, {MODEL}": partial(a_priori, one, own, 300, 4),
            f"MAP, {MODEL}": partial(laplace_estimate, one, own, 300, 4),
            f"posterior, {MODEL}": partial(posterior_estimate, one, own, 300, 4),
            f"posterior, {OTHER}": partial(posterior_estimate, two, others, 300, 4),
            "average of the models": partial(average_estimate, [one, two], [own, others], 300, 4),
            "amortised, tacrolimus_amortised_quick": partial(quick.estimate, profiles.case(k), 300, 4),
            "machine learning, tacrolimus_quick": partial(learner.predictor, profiles.case(k), one),
        }
        for name, method in alone.items():
            said = found.answers[name]
            if said.reasons[k]:
                with pytest.raises(OutOfDomain) as refusal:
                    method()
                assert said.reasons[k] == f"{refusal.value.where}: {refusal.value.what}"
                continue
            drawn = method().exposure(own.history, AUC)
            assert said.point[k] == pytest.approx(drawn.point, rel=1e-6)
            assert (said.low[k], said.high[k]) == pytest.approx(drawn.interval(0.9), rel=1e-6)


def test_scores_are_those_of_the_answers(found: External) -> None:
    several = [name for name in found.scores if name.endswith(", least rRMSE")]
    assert len(several) == 2 and all(name.startswith(("average", "amortised")) for name in several)
    for name, scores in found.scores.items():
        said = found.answers[name.removesuffix(", least rRMSE")]
        kept = said.answered
        if name in several:
            assert np.all((said.low < said.least) & (said.least < said.point))
        expected = accuracy(
            (said.least if name in several else said.point)[kept], found.reference[kept], interval=(said.low[kept], said.high[kept]), seed=4
        )
        assert scores == expected and 0 < scores["rRMSE"].value < 1.5


def test_the_levels_shown_are_the_ones_asked_for(profiles: Profiles, tmp_path: Path) -> None:
    model, path = read_model(MODEL), table(profiles, tmp_path / "t.csv")
    who = Contestants(models=(model,), draws=100)
    found = evaluate(path, who, Asked(metric=AUC, levels_h=(3.0,)), IN_COLUMN)
    for subject in found.subjects:
        (sample,) = subject.cases[MODEL].samples
        assert abs(sample.time_h - 3.0) <= 0.25
    none = evaluate(path, who, Asked(metric=AUC, levels_h=()), IN_COLUMN)
    by_itself = [none.answers[f"{word}, {MODEL}"].point for word in ("covariates only", "MAP")]
    np.testing.assert_allclose(by_itself[0], by_itself[1], rtol=1e-4)  # without a level MAP is the typical patient
    with pytest.raises(CaseError, match=r"leaves nobody to judge on .*none within 0.25 h of 5 h"):
        evaluate(path, who, Asked(metric=AUC, levels_h=(5.0,)), IN_COLUMN)
    with pytest.raises(CaseError, match="nearest to two"):
        evaluate(path, who, Asked(metric=AUC, levels_h=(3.0, 3.1), within_h=0.5), IN_COLUMN)


def test_trapezoids_through_a_rich_profile_are_the_engines_area(profiles: Profiles, tmp_path: Path) -> None:
    path = table(profiles, tmp_path / "t.csv", rich=True)
    who = Contestants(models=(read_model(MODEL),), draws=100)
    found = evaluate(path, who, Asked(metric=AUC, levels_h=(1.0, 3.0)), Reference(column="trapezoid"))
    assert found.reference == pytest.approx(profiles.target[:8], rel=0.02)
    assert {one.note for one in found.subjects} == {"the trough at the end stands at the beginning"}
    with pytest.raises(CaseError, match="not of a steady state to come"):
        evaluate(path, who, Asked(metric=AUC, at="steady"), Reference(column="trapezoid"))


def test_hours_count_from_the_tables_first_dose_also_where_a_level_lies_before_it(profiles: Profiles, tmp_path: Path) -> None:
    """A trough six minutes before the steady-state dose puts the case back by an interval, and the window and the levels with it."""

    def early(i: int, rows: list[str]) -> list[str]:
        trough = rows[-1].split(",")
        trough[1] = "-0.1"
        return [",".join(trough), *rows]

    path = table(profiles, tmp_path / "t.csv", rich=True, changed=early)
    who = Contestants(models=(read_model(MODEL),), draws=100)
    moved = evaluate(path, who, Asked(metric=AUC, levels_h=(-0.1, 1.0, 3.0)), Reference(column="trapezoid"))
    assert moved.reference == pytest.approx(profiles.target[:8], rel=0.02)
    assert [s.time_h for s in moved.subjects[0].cases[MODEL].samples] == pytest.approx([11.9, 13, 15])
    assert (moved.subjects[0].metric.start_h, moved.subjects[0].metric.stop_h) == (12, 24)
    plain = evaluate(table(profiles, tmp_path / "p.csv", rich=True), who, Asked(metric=AUC, levels_h=(1.0, 3.0)), IN_COLUMN)
    name = f"covariates only, {MODEL}"
    np.testing.assert_allclose(moved.answers[name].point, plain.answers[name].point, rtol=1e-6)


def test_the_going_on_dose_at_steady_state_may_be_asked_about(profiles: Profiles, tmp_path: Path) -> None:
    model = read_model(MODEL)
    day = Metric.parse("AUC0-24")
    found = evaluate(
        table(profiles, tmp_path / "t.csv"), Contestants(models=(model,), draws=100), Asked(metric=day, at="steady"), IN_COLUMN
    )
    for k, subject in enumerate(found.subjects):
        typical = exposures(model, profiles.steady(k), day, subject.cases[MODEL].covariates, np.zeros((1, len(model.eta_names))))[0]
        assert found.answers[f"covariates only, {MODEL}"].point[k] == pytest.approx(typical, rel=1e-6)


def test_who_cannot_be_judged_is_left_out_of_all_with_the_reason(profiles: Profiles, quick: Amortised, tmp_path: Path) -> None:
    def changed(i: int, rows: list[str]) -> list[str]:
        first = rows[0].split(",")
        if i == 1:
            first[-1] = "."  # no reference
        if i == 2:
            return [rows[0], rows[1].rsplit(",", 1)[0] + ",7", *rows[2:]]  # two references
        if i == 3:
            first[2] = "40"  # a dose that no learner had
        return [",".join(first), *rows[1:]]

    who = Contestants(models=(read_model(MODEL),), amortised=(quick,), learners=(learner_for("tacrolimus_quick"),), draws=100)
    found = evaluate(table(profiles, tmp_path / "t.csv", changed=changed), who, Asked(metric=AUC), IN_COLUMN)
    assert set(found.left_out) == {"2", "3"}
    assert "no value" in found.left_out["2"] and "2 values" in found.left_out["3"]
    k = [one.id for one in found.subjects].index("4")
    for name in ("amortised, tacrolimus_amortised_quick", "machine learning, tacrolimus_quick"):
        assert "dose" in found.answers[name].reasons[k] and np.isnan(found.answers[name].point[k])
    assert found.answers[f"MAP, {MODEL}"].answered.all()


def test_a_covariate_that_the_table_lacks_is_nobodys_for_an_amortised_plan(profiles: Profiles, quick: Amortised, tmp_path: Path) -> None:
    path = table(profiles, tmp_path / "t.csv")
    path.write_text(path.read_text(encoding="utf-8").replace("HCT", "HEMATOCRIT"), encoding="utf-8")
    found = evaluate(path, Contestants(models=(read_model(MODEL),), amortised=(quick,), draws=100), Asked(metric=AUC), IN_COLUMN)
    said = found.answers["amortised, tacrolimus_amortised_quick"]
    assert not said.answered.any() and set(said.why()) == {"covariates.HCT: is not given"}
    assert "amortised, tacrolimus_amortised_quick" not in found.scores
    assert "default-used" in [n.code for n in found.notices], "the models took their reference, and it is said"


# --- the command ---------------------------------------------------------------------------------------------------------


def asked(path: Path, folder: Path, *more: str) -> Any:
    words = ["validate", MODEL, "--data", str(path), "--metric", "AUC0-12", "--draws", "200", "--out", str(folder), *more]
    return RUNNER.invoke(app, words)


def test_the_command_writes_every_answer_and_a_summary(profiles: Profiles, tmp_path: Path) -> None:
    path, folder = table(profiles, tmp_path / "t.csv"), tmp_path / "out"
    said = asked(path, folder, "--reference", "AUC", "--unit", "ng*h/mL", "--amortised", "tacrolimus_amortised_quick", "--json")
    assert said.exit_code == 0, said.output
    summary = json.loads(said.stdout)
    assert {k: v for k, v in summary.items() if k != "files"} == json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert (summary["subjects"], summary["unit"], summary["metric"]) == (8, "ng*h/mL", "AUC0-12")
    rows = list(csv.DictReader((folder / "subjects.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 8 * len(summary["methods"]) == 8 * 4
    for row in rows:
        assert float(row["REFERENCE"]) == pytest.approx(1000 * profiles.target[int(row["ID"]) - 1], rel=1e-6)
        assert float(row["LOW90"]) <= float(row["POINT"]) <= float(row["HIGH90"]) and not row["REASON"]
    plain = asked(path, folder, "--reference", "AUC", "--unit", "ng*h/mL")
    assert plain.exit_code == 0 and "posterior" in plain.stdout and "8 subjects" in plain.stdout


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (["--reference", "AUC"], "--unit"),
        (["--reference", "trapezoid", "--unit", "mg*h/L"], "--unit"),
        (["--reference", "AUCX", "--unit", "mg*h/L"], "t.csv, AUCX"),
        (["--reference", "AUC", "--unit", "mg/L"], "t.csv line 2, AUC"),
        (["--reference", "AUC", "--unit", "ng*h/mL", "--levels", "2,x"], "--levels"),
        (["--reference", "trapezoid"], "t.csv"),
    ],
)
def test_what_the_command_cannot_use_is_said(more: list[str], where: str, profiles: Profiles, tmp_path: Path) -> None:
    said = asked(table(profiles, tmp_path / "t.csv", n=2), tmp_path / "out", *more, "--json")
    assert said.exit_code == 2, said.output
    error = json.loads(said.stdout)["error"]
    assert error["where"] == where and error["remedy"]
    assert not (tmp_path / "out").exists()
