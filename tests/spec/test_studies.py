"""Study files: the strict reader, the worlds they make, the several-model comparators against closed forms, and the pages."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from auctor.case import Covariates, Dose, Regimen, Route
from auctor.cli import app
from auctor.errors import PlanError
from auctor.estimate.direct_map import direct_map
from auctor.estimate.observations import Observations
from auctor.learn.scores import Score
from auctor.models.reader import read_model
from auctor.pk.direct import readings
from auctor.pk.steady import steady_profile
from auctor.pk.timeline import build
from auctor.population.virtual import Profiles, parameters, simulate
from auctor.report.study_page import study_page, write_study
from auctor.report.study_svg import study_svg
from auctor.validate.comparators import averaged, drawn, fitted, model_weights, patients, posterior, steady_fit
from auctor.validate.metrics import COLUMNS
from auctor.validate.model_file import check_file
from auctor.validate.study import run_study, study_coverage
from auctor.validate.study_file import FOLDER, open_study, read_study, shipped_studies
from auctor.validate.study_learners import XGBOOST, trained
from auctor.validate.study_result import StudyResult, StudyTable
from auctor.validate.study_rows import AMORTISED, AVERAGED, KNOWN, KNOWN_LEAST, UNKNOWN
from auctor.validate.worlds import draw_covariates, features, intravenous, other_world, possible, training_plan
from spec.test_metrics import small

RUNNER = CliRunner()
STUDIES = tuple(shipped_studies())


# --- the file -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_where_its_numbers_come_from(name: str) -> None:
    study = open_study(name)
    assert study.name == name
    assert study.paper and study.missing and study.differs and study.decides
    assert all(figure.source and figure.flag for figure in study.published)
    assert any(design.quick for design in study.designs), "it has a quick form"
    assert sum(bool(figure.design) for figure in study.published) >= 2, "figures stand beside ours"


def test_a_misspelt_key_is_refused() -> None:
    path = FOLDER / "e4_daptomycin.toml"
    text = path.read_text(encoding="utf-8")
    for old, new, where in (
        ("seed = 1415", "seed = 1415\nsead = 3", "sead"),
        ('noise = ["none", "assay", "full"]', 'noise = ["some"]', "noise"),
        ('train = ["code"]', 'train = ["kode"]', "train"),
        ('world = "Xu 2017"', 'world = "Yu 2017"', "published"),
        ('xu = "daptomycin_xu_2017"', 'xu = "daptomycin_yu_2017"', "xu"),
        ('flag = "ABS"', 'flag = "READ"', "flag"),
        ("draws = 200", "draws = 0", "draws"),
    ):
        assert old in text
        with pytest.raises(PlanError) as caught:
            read_study(path, text=text.replace(old, new))
        assert where in caught.value.where
        assert "plan-file" not in str(caught.value)


def test_the_digest_is_of_the_content_not_of_the_comments() -> None:
    path = FOLDER / "e4_daptomycin.toml"
    text = path.read_text(encoding="utf-8")
    assert read_study(path, text="# another comment\n" + text).sha256 == open_study("E4").sha256
    assert read_study(path, text=text.replace("seed = 1415", "seed = 1416")).sha256 != open_study("E4").sha256


def test_the_simulator_that_is_no_library_model_passes_its_own_checks() -> None:
    (report,) = check_file(FOLDER / "models" / "valganciclovir_chen_2021.toml")
    assert report.usable
    assert report.passed == report.checks > 0


# --- the worlds ---------------------------------------------------------------------------------------------------------


def test_covariates_that_follow_from_others_are_worked_out() -> None:
    study = open_study("E3")
    found = draw_covariates(study, study.designs[0], 500, seed=1)
    girl = np.flatnonzero((found["SEX"] == 1) & (found["AGE"] > 12))[0]
    infant = np.flatnonzero(found["AGE"] == 1)[0]
    assert found["EGFR"][girl] == pytest.approx(53 * found["HT"][girl] / found["SCR"][girl])
    assert found["EGFR"][infant] == pytest.approx(40 * found["HT"][infant] / found["SCR"][infant])
    assert found["BSA"][girl] ** 2 * 3600 == pytest.approx(found["WT"][girl] * found["HT"][girl])
    assert np.all((found["WT"][found["AGE"] == 1] >= 8.3) & (found["WT"][found["AGE"] == 1] <= 13.3))


def test_a_band_of_clearance_has_its_own_regimen() -> None:
    study = open_study("E2")
    for design in study.designs:
        dose, every = design.name.split(",")[0].replace(" mg", "").replace(" h", "").split("/")
        profiles = simulate(training_plan(study, design, "none", study.quick))
        assert set(profiles.dose_mg) == {float(dose)} and set(profiles.every_h) == {float(every)}
        low, high = {"24": (40, 120), "48": (25, 39), "72": (10, 24)}[every]
        assert low <= profiles.covariates["CRCL"].min() and profiles.covariates["CRCL"].max() <= high
        assert np.array_equal(profiles.covariates["CRCL"], profiles.covariates["EGFR"])


def test_the_interval_of_the_target_is_the_longest_of_the_bands() -> None:
    """Once and twice daily together: F/CL does not depend on the interval, and each formulation has its own."""
    study = open_study("E1")
    both = next(d for d in study.designs if d.name.startswith("both"))
    profiles = simulate(training_plan(study, both, "none", study.quick))
    assert profiles.plan.metric.name == "AUC0-24"
    assert np.array_equal(profiles.every_h, np.where(profiles.covariates["FORM"] == 1, 12.0, 24.0))


@pytest.mark.parametrize("name", STUDIES)
def test_the_page_is_of_the_study_file_as_it_is(name: str) -> None:
    """Its hash covers content, models and plans: a change asks for another full run."""
    study = open_study(name)
    page = Path(__file__).resolve().parents[2] / "docs" / "studies" / f"{study.slug}.md"
    assert f"`{study.sha256[:16]}`" in page.read_text(encoding="utf-8")


def test_an_amortised_plan_beside_the_study_is_found_and_covered_by_the_hash(tmp_path: Path) -> None:
    path, study = FOLDER / "e1_tacrolimus.toml", open_study("E1")
    (amortised,) = {Path(design.amortised) for design in study.designs}
    own = tmp_path / "own" / amortised.relative_to(FOLDER)
    own.parent.mkdir(parents=True)
    own.write_text(amortised.read_text(encoding="utf-8").replace("seed = 2105", "seed = 2106"), encoding="utf-8")
    other = read_study(tmp_path / "own" / path.name, text=path.read_text(encoding="utf-8"))
    assert {design.amortised for design in other.designs} == {str(own)} and other.sha256 != study.sha256


def test_a_sample_told_at_another_time_keeps_the_level_of_its_own() -> None:
    study = open_study("E2")
    design = next(d for d in study.designs if d.name == "900 mg/24 h, C4 C12")
    plan = training_plan(study, design, "none", study.quick)
    late = next(o for o in study.others if o.name == "Caldes 2009, C12 drawn at 10 h")
    made = other_world(study, design, plan, late, 20)
    assert set(made.sample_h[:, 1]) == {12.0}
    model = made.plan.model
    params = parameters(model, made.covariates, made.eta[:, : len(model.eta_names)])
    assert made.true == pytest.approx(steady_profile(model, params, made.dose_mg, made.every_h, np.tile([4.0, 10.0], (20, 1))), rel=1e-9)


def test_by_vein_is_the_engines_own_infusion() -> None:
    model = read_model("ganciclovir_franck_2021")
    known, times = {"WT": 20.0, "EGFR": 100.0, "FORM": 0.0}, np.asarray([2.0, 6.0, 24.0])
    dose = Dose(time_h=0.0, amount_mg=100.0, route=Route.IV, duration_h=1.0, every_h=24.0, steady_state=True)
    line = build(model, Regimen(doses=(dose,)), Covariates.constant(known), times)
    engine = readings(model, line, np.zeros((1, len(model.eta_names))))[0][0]
    params = model.individual({name: np.asarray([value]) for name, value in known.items()}, np.zeros((1, len(model.eta_names))))
    bare = steady_profile(intravenous(model), params, 100.0, 24.0, times[None], duration_h=1.0)[0]
    assert bare == pytest.approx(engine, rel=1e-9)


def test_patients_whose_parameters_cross_zero_do_not_exist() -> None:
    study = open_study("E4")
    design = study.designs[0]
    profiles = simulate(training_plan(study, design, "none", study.quick))
    kept = possible(profiles)
    q = parameters(profiles.plan.model, profiles.covariates, profiles.eta)["Q"]
    assert 0.8 < kept.mean() < 1.0
    assert np.array_equal(kept, (q > 0) & (profiles.true > 0).all(axis=1))


def test_an_unknown_learner_is_refused() -> None:
    with pytest.raises(PlanError, match="is not a learner"):
        trained(("no_such",), None)  # type: ignore[arg-type]


# --- the comparators ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    """Patients of a one-compartment model with two etas, so that MAP compiles in seconds."""
    return simulate(small())


def test_the_marginal_likelihood_is_the_one_a_grid_integrates(profiles: Profiles) -> None:
    """Likelihood times prior summed over a grid of 121 x 121 standard normal points, without the constants of the samples."""
    from auctor.pk.exposure import curves

    model = profiles.plan.model
    who = patients(profiles, np.arange(64))
    found = drawn(who, fitted(who), draws=1000)
    axis = np.linspace(-6, 6, 121)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    prior = np.exp(-0.5 * np.sum(z**2, axis=1)) / (2 * np.pi) * (axis[1] - axis[0]) ** 2
    for i in range(2):
        times = profiles.sample_h[i]
        f = curves(model, profiles.regimen(i), times, profiles.covariates_of(i), z @ np.linalg.cholesky(model.omega).T)
        sd = model.residual.proportional * f
        misfit = np.sum(((profiles.observed[i] - f) / sd) ** 2 + 2 * np.log(sd), axis=1)
        assert found.log_marginal[i] == pytest.approx(np.log(np.sum(prior * np.exp(-0.5 * misfit))), abs=0.08)


def test_averaging_a_model_with_itself_changes_nothing_and_a_wrong_one_loses(profiles: Profiles) -> None:
    who = patients(profiles, np.arange(64))
    fit = fitted(who)
    own = drawn(who, fit, draws=300)
    twice, once = averaged([own, own]), posterior(who, fit, draws=300)
    assert twice.mean.point == pytest.approx(once.mean.point) and twice.least.point == pytest.approx(once.least.point)
    assert model_weights([own, own]) == pytest.approx(np.full((64, 2), 0.5))
    worse = replace(own, log_marginal=own.log_marginal - 30.0, value=own.value * 5)
    assert averaged([own, worse]).mean.point == pytest.approx(once.mean.point, rel=1e-9)


def test_the_closed_form_finds_what_the_search_over_the_timeline_finds() -> None:
    """Modes, objective and covariance of each patient against the one-patient MAP, which knows nothing of the steady-state formula."""
    study = open_study("E4")
    plan = training_plan(study, study.designs[0], "full", study.quick)
    made, model = simulate(plan), plan.model
    who = patients(made, np.arange(12))
    found = steady_fit(who)
    for i in range(12):
        line = build(model, made.regimen(i), made.covariates_of(i), made.sample_h[i])
        values = made.observed[i]
        seen = Observations(values, np.ones_like(values), np.zeros(len(values), dtype=np.int64), np.zeros_like(values))
        one = direct_map(model, line, seen, starts=1)
        assert found.eta[i] == pytest.approx(one.eta[0], abs=1e-6)
        assert found.ofv[i] == pytest.approx(one.ofv[0], rel=1e-9)
        assert found.sd[i] == pytest.approx(one.sd[0], rel=1e-4)
    assert found.converged.all()


# --- the result ---------------------------------------------------------------------------------------------------------


def scores(value: float) -> dict[str, Score]:
    return {name: Score(value=value, low=0.9 * value, high=1.1 * value) for name in COLUMNS}


@pytest.fixture
def result() -> StudyResult:
    """Tables by hand: two models, so that there are two limits, and one world of another simulator."""
    study = open_study("E2")
    names = ["covariates only, a", "MAP, a, published residual error", AVERAGED, KNOWN, UNKNOWN, XGBOOST]
    rows = {name: scores(0.30 - 0.05 * k) for k, name in enumerate(names)}
    one = StudyTable(
        design=study.designs[0].name, noise="none", world="same", truth=("a", "b"), train=("a", "b"), patients=40, rows=rows,
        learned=(XGBOOST,), limit=UNKNOWN, least=UNKNOWN, ratio=Score(value=1.02, low=0.98, high=1.07),
        ratio_least=Score(value=1.1, low=1.0, high=1.2), ess_p05=50.0, notes=("levels carry no noise",),
    )  # fmt: skip
    return StudyResult(study=study, quick=False, tables=(one, replace(one, world="Chen 2021", limit=KNOWN)))


def test_published_figures_stand_beside_the_right_table(result: StudyResult) -> None:
    found = {row["what"]: row for row in json.loads(json.dumps(result.as_dict(), allow_nan=False))["published"]}
    chen = found["Chen, C3 C4 C12"]
    assert chen["table"].endswith("truth: Chen 2021 (a, b)")
    assert chen["ours"]["value"] == pytest.approx(0.05), "the best learner's row"
    assert found["external simulators, all regimens, worst (range 10.7 to 19.7 % for Chen)"]["ours"] is None


def test_the_page_says_who_made_the_truth_and_what_is_missing(result: StudyResult, tmp_path: Path) -> None:
    page = study_page(result, date(2026, 1, 2))
    for text in ("2026-01-02", result.study.sha256[:16], "auctor reproduce E2 --write", "What public information lacks", "Chen 2021"):
        assert text in page
    lines = page.splitlines()
    heads = [k for k, line in enumerate(lines) if line.startswith("| --")]
    assert heads and all(lines[k - 1].count(" | ") == lines[k].count(" | ") == lines[k + 1].count(" | ") for k in heads)
    paths = write_study(result, tmp_path, date(2026, 1, 2))
    assert [path.suffix for path in paths] == [".md", ".svg"]
    assert f"({paths[1].name})" in paths[0].read_text(encoding="utf-8")


def test_an_amortised_row_has_a_point_in_the_figure_and_a_column_on_the_page(result: StudyResult) -> None:
    first, second = result.tables
    more = replace(first, rows={**first.rows, AMORTISED: scores(0.07)}, ratio_amortised=Score(value=1.4, low=1.3, high=1.5))
    both = replace(result, tables=(more, second))
    assert f"<title>{AMORTISED}: 7.0 %" in study_svg(both)
    page = study_page(both, date(2026, 1, 2))
    assert "| amortised / limit |" in page and "| 1.400 (1.300 to 1.500) |" in page
    assert "amortised" not in study_page(result, date(2026, 1, 2))


def test_the_figure_is_a_picture_with_a_name_and_every_method(result: StudyResult) -> None:
    text = study_svg(result)
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    titles = [node.text or "" for node in root.iter("{http://www.w3.org/2000/svg}title")]
    assert sum(title.startswith(XGBOOST) for title in titles) == 2
    assert any("Chen, C3 C4 C12: 10.7 %" in title for title in titles), "the printed figure"
    assert not any(title.startswith(AMORTISED) for title in titles), "no row, no point"
    circles = [float(node.attrib["cx"]) for node in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert all(0 <= x <= 860 for x in circles)


# --- a whole run --------------------------------------------------------------------------------------------------------


def test_a_quick_study_in_a_world_of_two_models() -> None:
    """The order that theory gives, with room for 40 patients: knowing the model is worth something, the limit beats covariates."""
    study = open_study("E2")
    small_form = replace(study, others=study.others[:1], designs=(replace(study.designs[0], noise=("full",), others=("Caldes 2009",)),))
    found = run_study(small_form, quick=True)
    same, other = found.tables
    assert {"same", "Caldes 2009"} == {same.world, other.world}
    errors = {row: same.rows[row]["rRMSE"].value for row in same.rows}
    assert errors[KNOWN_LEAST] < 1.2 * errors[UNKNOWN] < 1.2 * min(e for row, e in errors.items() if row.startswith("covariates only"))
    assert other.limit == KNOWN and other.truth == ("ganciclovir_caldes_2009",)
    assert same.train == other.train == ("valganciclovir_vezina_2014", "ganciclovir_lalagkas_2023")
    console = Console(width=220, record=True, file=io.StringIO())
    console.print(same.table())
    assert XGBOOST in console.export_text()


def test_the_quick_form_of_random_times_with_two_of_its_models() -> None:
    """E7, whose patients are few enough to be read in NumPy: what is known of the model is worth something, and no row is missing."""
    study = open_study("E7")
    (design,) = (d for d in study.designs if d.quick)
    (table,) = run_study(replace(study, designs=(replace(design, train=("goti", "revilla"), others=()),)), quick=True).tables
    assert table.patients == study.quick.test and table.truth == ("vancomycin_goti_2018", "vancomycin_revilla_2010")
    errors = {row: scores["rRMSE"].value for row, scores in table.rows.items()}
    assert errors[KNOWN_LEAST] < 1.1 * errors[UNKNOWN] and errors[KNOWN] < max(e for row, e in errors.items() if row.startswith("MAP"))
    assert errors[UNKNOWN] < max(e for row, e in errors.items() if row.startswith("covariates only"))
    assert table.best == XGBOOST and table.ess_p05 > 20


def test_a_few_patients_are_read_in_numpy_as_the_compiled_engine_reads_them(profiles: Profiles) -> None:
    rows = np.arange(6)
    few = patients(profiles, rows)
    assert few.lines
    many = replace(few, lines=())
    one, other = fitted(few), fitted(many)
    assert one.eta == pytest.approx(other.eta, abs=1e-6) and one.sd == pytest.approx(other.sd, rel=1e-4)
    ours, theirs = (drawn(who, one, draws=100) for who in (few, many))
    assert ours.value == pytest.approx(theirs.value, rel=1e-9)
    assert ours.log_weight == pytest.approx(theirs.log_weight, abs=1e-7)


@pytest.fixture(scope="module")
def e1() -> list[dict[str, Any]]:
    """The tables of E1, quick, as the command prints them: the same simulator, and Bergmann 2014."""
    done = RUNNER.invoke(app, ["reproduce", "E1", "--quick", "--json"])
    assert done.exit_code == 0
    (found,) = json.loads(done.stdout)["studies"]
    tables: list[dict[str, Any]] = found["tables"]
    return tables


def test_the_order_of_the_methods_is_the_one_theory_gives(e1: list[dict[str, Any]]) -> None:
    same, other = e1
    assert [same["world"], other["world"]] == ["same", "Bergmann 2014"] and same["patients"] == open_study("E1").quick.test
    errors = {row: scores["rRMSE"]["value"] for row, scores in same["methods"].items()}
    (typical,) = (row for row in errors if row.startswith("covariates only"))
    assert errors[typical] > errors[KNOWN] > errors[KNOWN_LEAST] / 1.1
    assert same["best"] == XGBOOST and set(same["methods"][XGBOOST]) == set(COLUMNS)
    ratio = same["ratio_to_limit"]
    # 300 training patients are far from the thousands of the full study
    assert 0.85 < ratio["value"] < 1.4 and ratio["low"] < ratio["value"] < ratio["high"]


def test_intervals_of_the_generating_model_cover(e1: list[dict[str, Any]]) -> None:
    same = e1[0]
    for row in (KNOWN, *(row for row in same["methods"] if row.startswith("covariates only"))):
        # 64 patients: a true 90 % falls below 76 % once in ten thousand times
        assert 0.76 < same["methods"][row]["coverage"]["value"] <= 1.0
    assert same["ess_p05"] > 20


@pytest.mark.parametrize("name", ["E3", "E4", "E9"])
def test_the_other_quick_studies_run(name: str) -> None:
    study = open_study(name)
    found = run_study(study, quick=True)
    assert {(t.design, t.noise, t.world) for t in found.tables} == {
        (d.name, noise, world) for d in study.designs if d.quick for noise in d.noise for world in ("same", *d.others)
    }
    for table in found.tables:
        assert all(np.isfinite(score.value) for scores in table.rows.values() for score in scores.values())
        assert table.rows[table.limit]["rRMSE"].value < min(
            s["rRMSE"].value for row, s in table.rows.items() if row.startswith("covariates only")
        )


def test_what_an_interval_covers_is_counted_by_subgroup() -> None:
    """The learner of a study with subgroups is calibrated within each; counts add up; `--coverage` says the same without comparators."""
    study = open_study("E4")
    assert study.quick.coverage
    small = replace(study, designs=(replace(study.designs[0], others=()),), learners=("elastic_net",))
    whole, alone = run_study(small, quick=True), study_coverage(small, quick=True)
    assert whole.coverage().rows() == alone.rows()
    (rows,) = whole.tables[0].held.values()
    bands = ["100 <= cov:CRCL", "60 <= cov:CRCL < 100", "cov:CRCL < 60"]
    assert [row["subgroup"] for row in alone.as_dict()["coverage"]] == ["all", *bands, "cov:SEX = 0", "cov:SEX = 1"]
    everyone, *banded, man, woman = rows
    assert everyone.patients == sum(row.patients for row in banded) == man.patients + woman.patients
    assert everyone.coverage == pytest.approx(sum(r.coverage * r.patients for r in banded) / everyone.patients, abs=1e-5)
    for row in rows:
        assert row.low < 0.9 < row.high or abs(row.coverage - 0.9) < 0.06


def test_the_command_lists_the_studies_and_writes_no_page_of_a_quick_run(tmp_path: Path) -> None:
    listed = RUNNER.invoke(app, ["reproduce", "--list", "--json"])
    assert [row["name"] for row in json.loads(listed.stdout)["studies"]] == [*STUDIES, "E5", "E8", "IWPC"]
    refused = RUNNER.invoke(app, ["reproduce", "E4", "--quick", "--write", str(tmp_path), "--json"])
    assert refused.exit_code == 2 and json.loads(refused.stdout)["error"]["kind"] == "PlanError"


def test_features_are_of_the_design_and_of_what_its_model_has() -> None:
    def named(study: str, design: str, label: str = "") -> set[str]:
        found = open_study(study)
        one = next(d for d in found.designs if d.name.startswith(design))
        return set(features(one, found.models[label or one.train[0]]))

    assert {"C1/dose", "C3/C0", "trapezoid/dose", "(C1-C0)/dose", "dt:C3", "dose_mg", "cov:FORM", "cov:CYP3A5"} <= named("E1", "both")
    assert {"slope_CL:L2", "slope_V:L2", "cov:CRCL"} <= named("E7", "two samples")
    assert "slope_V:L2" not in named("E7", "two samples", "llopis")
    assert "C12/C4" in named("E2", "900 mg/24 h, C4 C12")
