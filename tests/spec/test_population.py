"""Plans are read strictly, and the same plan simulates the same patients, with the variability and noise it declares."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auctor.case import Metric
from auctor.errors import PlanError
from auctor.learn.store import PLANS, open_plan, shipped_plans
from auctor.learn.train import split
from auctor.models.model import Residual
from auctor.population.distributions import Distribution
from auctor.population.plan import Plan, read_plan
from auctor.population.virtual import Profiles, residual_sd, simulate, stream, with_residual, write_profiles

QUICK = (PLANS / "tacrolimus_quick.toml").read_text()
VANCOMYCIN = (PLANS / "vancomycin_auc24.toml").read_text()
SMALL = {
    "profiles = 6000": "profiles = 300",
    "train = 3600": "train = 100",
    "calibration = 1200": "calibration = 100",
    "test = 1200": "test = 100",
}


def edited(text: str, changes: dict[str, str]) -> Plan:
    for old, new in changes.items():
        assert old in text, f"the shipped plan no longer has {old!r}"
        text = text.replace(old, new)
    return read_plan("edited.toml", text=text)


@pytest.fixture(scope="module")
def tacrolimus() -> Profiles:
    return simulate(edited(QUICK, {}))


@pytest.fixture(scope="module")
def vancomycin() -> Profiles:
    return simulate(edited(VANCOMYCIN, SMALL))


@pytest.mark.parametrize("name", shipped_plans())
def test_every_shipped_plan_reads_and_says_where_it_comes_from(name: str) -> None:
    plan = open_plan(name)
    assert plan.name == name
    assert plan.sources
    assert len(plan.sha256) == 64
    assert plan.text == (PLANS / f"{name}.toml").read_text()


def test_the_plan_of_study_44_has_9000_profiles_split_by_patient() -> None:
    plan = open_plan("tacrolimus_auc12")
    assert (plan.split.train, plan.split.calibration, plan.split.test) == (5250, 1750, 2000)
    parts = split(plan)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(9000))


BROKEN = [
    ("schema", "schema = 1", "schema = 2"),
    ("not TOML", "schema = 1", "schema = "),
    ("models", '"tacrolimus_woillard_2011"', '"tacrolimus_nobody1999"'),
    ("models", '["tacrolimus_woillard_2011"]', '["tacrolimus_woillard_2011", "vancomycin_goti_2018"]'),
    ("seed", "seed = 20210167", "seed = -1"),
    ("noise", 'noise = "full"', 'noise = "loud"'),
    ("metric", '"AUC0-12"', '"Cmin0-12"'),
    ("metric", '"AUC0-12"', '"AUC0-9"'),
    ("metric", '"AUC0-12"', '"area"'),
    ("scale", 'scale = "dose_rate"', 'scale = "raw"'),
    ("FORM", '"immediate"', '"chewable"'),
    ("HAIR", "[covariates]", "[covariates]\nHAIR = { kind = 'constant', value = 1 }"),
    ("kind", '"grid"', '"gamma"'),
    ("to", "to = 10", "to = 0.1"),
    ("history", 'history = "steady"', 'history = "start"'),
    ("every_h", "values = [12]", "values = [0]"),
    ("weights", "values = [12]", "values = [12], weights = [1, 2]"),
    ("late_min", "at_h = 0\nearly_min = 30\nlate_min = 0", "at_h = 0\nearly_min = 30\nlate_min = 5"),
    ("at_h", "at_h = 3", "at_h = 30"),
    ("imprecision", "at_h = 3", "at_h = 3\nimprecision = 'cauchy'"),
    ("sd_min", "at_h = 3", "at_h = 3\nimprecision = 'normal'"),
    ("train", "train = 300", "train = 301"),
    ("profiles", "profiles = 600", "profiles = 6"),
    ("folds", "folds = 3", "folds = 1"),
    ("features", '"cov:HCT"', '"cov:HCT", "cov:HCT"'),
    ("rounds", "rounds = [200]", "rounds = []"),
    ("margin", "margin = 0.02", "margin = 2"),
    ("not a key", "noise =", "nose ="),
]


@pytest.mark.parametrize(("says", "old", "new"), BROKEN, ids=[f"{k}-{case[0]}" for k, case in enumerate(BROKEN)])
def test_a_broken_plan_is_refused_with_where_and_remedy(says: str, old: str, new: str) -> None:
    with pytest.raises(PlanError) as caught:
        edited(QUICK, {old: new})
    if says not in ("not TOML", "not a key", "history", "at_h"):
        assert says in caught.value.where
    assert caught.value.remedy
    assert "Traceback" not in str(caught.value)


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "absent.toml")
    with pytest.raises(PlanError, match="not a plan that auctor ships"):
        open_plan("tacrolimus_auc99")


def test_the_hash_follows_the_content_and_not_the_comments() -> None:
    plan = edited(QUICK, {})
    assert edited(QUICK, {"schema = 1": "schema = 1 # the first"}).sha256 == plan.sha256
    assert edited(QUICK, {"seed = 20210167": "seed = 20210168"}).sha256 != plan.sha256


def test_shares_are_an_alternative_to_counts() -> None:
    plan = edited(QUICK, {"train = 300": "train = 0.5", "calibration = 150": "calibration = 0.25", "test = 150": "test = 0.25"})
    assert (plan.split.train, plan.split.calibration, plan.split.test) == (300, 150, 150)


def test_the_same_plan_gives_the_same_bytes(tacrolimus: Profiles) -> None:
    again = simulate(tacrolimus.plan)
    for name in ("dose_mg", "sample_h", "true", "observed", "eta", "exposure"):
        assert getattr(again, name).tobytes() == getattr(tacrolimus, name).tobytes()


def test_a_new_quantity_does_not_move_the_others(tacrolimus: Profiles) -> None:
    other = simulate(edited(QUICK, {"[covariates]": "[covariates]\nHCT = { kind = 'constant', value = 35 }"}))
    assert np.array_equal(other.eta, tacrolimus.eta)
    assert np.array_equal(other.dose_mg, tacrolimus.dose_mg)
    assert np.all(other.covariates["HCT"] == 35)


def test_covariates_are_those_of_the_source_population_or_of_the_plan(tacrolimus: Profiles) -> None:
    hct = tacrolimus.covariates["HCT"]
    assert hct.min() >= 20.9 and hct.max() <= 46.6
    assert hct.mean() == pytest.approx(35, abs=1.0)
    assert np.all(tacrolimus.covariates["FORM"] == 1)
    assert 0.03 < tacrolimus.covariates["CYP3A5"].mean() < 0.14


def test_eta_has_the_covariance_of_the_model(tacrolimus: Profiles) -> None:
    found = np.diag(np.cov(tacrolimus.eta.T)) / np.diag(tacrolimus.plan.model.omega)
    # 600 draws: the ratio of a variance has a standard error of sqrt(2/600) = 0.058
    assert np.all(np.abs(found - 1) < 0.23)


def test_samples_are_drawn_within_their_windows(tacrolimus: Profiles) -> None:
    trough, one, three = tacrolimus.sample_h.T
    assert trough.min() >= 11.5 and trough.max() <= 12
    assert one.min() >= 1 - 1 / 6 and one.max() <= 1 + 1 / 6
    assert three.std() == pytest.approx((1 / 3) / np.sqrt(12), rel=0.1)


def test_normal_imprecision_is_truncated_to_the_window() -> None:
    plan = edited(QUICK, {"at_h = 3": "at_h = 3\nimprecision = 'normal'\nsd_min = 4"})
    three = simulate(plan).sample_h[:, 2]
    assert np.all(np.abs(three - 3) <= 1 / 6)
    assert three.std() * 60 == pytest.approx(3.8, rel=0.1)


def test_steady_state_levels_are_those_of_the_timeline_engine(tacrolimus: Profiles) -> None:
    from auctor.pk.course import concentrations
    from auctor.pk.timeline import build, stack

    few = range(20)
    model = tacrolimus.plan.model
    batch = stack([build(model, tacrolimus.regimen(i), tacrolimus.covariates_of(i), tacrolimus.sample_h[i]) for i in few])
    found = concentrations(model, batch, tacrolimus.eta[:20])[:, :3]
    np.testing.assert_allclose(found, tacrolimus.true[:20], rtol=1e-8)


def test_the_exposure_is_the_area_the_engine_integrates(tacrolimus: Profiles) -> None:
    from auctor.pk.exposure import exposures

    for i in range(3):
        case = tacrolimus.case(i)
        assert case.current is not None
        area = exposures(tacrolimus.plan.model, case.current, Metric.parse("AUC0-12"), case.covariates, tacrolimus.eta[i : i + 1])
        assert area[0] == pytest.approx(tacrolimus.exposure[i] * tacrolimus.dose_mg[i], rel=1e-7)


def test_noise_has_the_declared_size_and_never_gives_a_level_of_zero() -> None:
    residual = Residual(proportional=0.1, additive=0.5)
    true = np.full(40_000, 10.0)
    noisy = with_residual(residual, true, rng=stream(1, "test"))
    assert noisy.std() == pytest.approx(np.sqrt(1.25), rel=0.02)
    assert residual_sd(replace(residual, kind="combined1"), true)[0] == pytest.approx(1.5)
    assert np.all(with_residual(residual, np.full(2000, 0.2), rng=stream(1, "low")) > 0)
    logs = np.log(with_residual(replace(residual, kind="log"), true, rng=stream(1, "log")) / true)
    assert logs.std() == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize(("noise", "spread"), [("none", 0.0), ("assay", 0.05)])
def test_noise_regimes(noise: str, spread: float) -> None:
    profiles = simulate(edited(QUICK, {'noise = "full"': f'noise = "{noise}"'}))
    relative = profiles.observed / profiles.true - 1
    assert relative.std() == pytest.approx(spread, rel=0.06)


def test_irregular_histories_keep_to_the_plan(vancomycin: Profiles) -> None:
    plan = vancomycin.plan
    assert plan.irregular is not None
    assert np.all(np.isfinite(vancomycin.sample_h))
    assert np.all(vancomycin.sample_h[:, 0] >= vancomycin.sample_h[:, 1]), "the latest level comes first"
    assert vancomycin.sample_h.max() <= 96
    assert np.all(vancomycin.dose_mg % 250 == 0)
    assert vancomycin.loading_mg.max() <= 3000
    assert np.all(vancomycin.infusion_h == vancomycin.dose_mg / 1000)
    first, later = vancomycin.regimen(0).doses
    assert later.time_h == vancomycin.every_h[0]
    assert first.amount_mg == (vancomycin.loading_mg[0] or vancomycin.dose_mg[0])


def test_patients_with_fewer_samples_have_nothing_beyond_them() -> None:
    plan = edited(VANCOMYCIN, SMALL | {"count = [2]": "count = [1, 2]"})
    profiles = simulate(plan)
    fewer = np.isnan(profiles.sample_h[:, 1])
    assert 0.3 < fewer.mean() < 0.7
    assert np.array_equal(np.isnan(profiles.observed), np.isnan(profiles.sample_h))
    assert len(profiles.case(int(np.flatnonzero(fewer)[0])).samples) == 1


def test_several_models_share_the_patients_evenly() -> None:
    text = (PLANS / "phenobarbital_cavg.toml").read_text()
    small = {
        "profiles = 5000": "profiles = 60",
        "train = 3000": "train = 40",
        "calibration = 1000": "calibration = 10",
        "test = 1000": "test = 10",
    }
    plan = edited(text, small | {'["phenobarbital_grasela_1985"]': '["phenobarbital_grasela_1985", "phenobarbital_pheno_nonmem"]'})
    profiles = simulate(plan)
    assert np.bincount(profiles.model_index).tolist() == [30, 30]
    assert np.all(profiles.exposure > 0)


def test_profiles_are_written_as_one_line_a_sample(tacrolimus: Profiles, tmp_path: Path) -> None:
    write_profiles(tacrolimus, tmp_path / "profiles.csv")
    with (tmp_path / "profiles.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1800
    assert float(rows[1]["observed"]) == pytest.approx(tacrolimus.observed[0, 1] * 1000, rel=1e-9), "in the model's unit"
    assert [row["sample"] for row in rows[:3]] == ["C0", "C1", "C3"]


@pytest.mark.parametrize(
    ("table", "mean", "low", "high"),
    [
        ({"kind": "normal", "mean": 5.0, "sd": 1.0}, 5.0, -np.inf, np.inf),
        ({"kind": "lognormal", "median": 2.0, "cv": 0.3, "low": 1.0, "high": 4.0}, 2.06, 1.0, 4.0),
        ({"kind": "uniform", "low": 1.0, "high": 3.0}, 2.0, 1.0, 3.0),
        ({"kind": "bernoulli", "p": 0.25}, 0.25, 0.0, 1.0),
        ({"kind": "choice", "values": [1, 3], "weights": [3, 1]}, 1.5, 1.0, 3.0),
        ({"kind": "grid", "from": 1, "to": 2, "step": 0.5}, 1.5, 1.0, 2.0),
        ({"kind": "constant", "value": 7}, 7.0, 7.0, 7.0),
    ],
)
def test_distributions_have_their_mean_and_bounds(table: dict[str, object], mean: float, low: float, high: float) -> None:
    drawn = Distribution.read(table).draw(stream(3, "test"), 20_000)
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.min() >= low and drawn.max() <= high
