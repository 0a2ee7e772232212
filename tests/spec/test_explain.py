"""Explanations add up to the prediction, agree with a second implementation, and read as a sentence."""

from __future__ import annotations

import json
import sys
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence
from typer.testing import CliRunner

from auctor.cli import app
from auctor.errors import ModelError
from auctor.learn.drivers import drivers
from auctor.learn.explain import boosted, dependence, explain, explain_learner, interactions, percent, surrogate
from auctor.learn.learner import Learner
from auctor.learn.store import learner_for, open_plan
from auctor.learn.train import Material, prepare
from auctor.learn.tuning import evaluate
from auctor.population.plan import read_plan
from auctor.report.explain_svg import beeswarm_svg, dependence_svg, pairs_svg, waterfall_svg

Array = np.ndarray[Any, Any]
SLOPES = np.asarray([3.0, -2.0, 0.0, 0.5])


@pytest.fixture(scope="module")
def learner() -> Learner:
    return learner_for("tacrolimus_quick")


@pytest.fixture(scope="module")
def made() -> Material:
    return prepare(open_plan("tacrolimus_quick"))


@pytest.fixture(scope="module")
def held(made: Material) -> Array:
    return made.x[made.parts["test"]]


def linear(x: Array) -> Array:
    return np.asarray(1.5 + x @ SLOPES)


@pytest.fixture(scope="module")
def cloud() -> Array:
    return np.random.default_rng(1).normal(size=(80, 4)) * [1, 2, 1, 4] + [0, 1, 5, -2]


# Shapley values


def test_contributions_of_the_shipped_learner_add_up_to_its_prediction(learner: Learner, held: Array) -> None:
    found = explain(learner.booster, held, learner.plan.learning.features)
    np.testing.assert_allclose(found.base + found.contributions.sum(axis=1), evaluate(learner.booster, held), atol=2e-5)
    assert found.gap < 2e-5


def test_contributions_are_those_of_a_second_implementation(learner: Learner, held: Array) -> None:
    """shap 's own walk through the same trees."""
    shap = pytest.importorskip("shap")
    second = shap.TreeExplainer(learner.booster).shap_values(held[:20])
    found = explain(learner.booster, held[:20], learner.plan.learning.features)
    np.testing.assert_allclose(found.contributions, second, atol=2e-5)


def shapley(predict: Any, at: Array, background: Array) -> Array:
    """The definition (Shapley 1953), every coalition, absent features taken from the background."""
    p = len(at)

    def worth(members: tuple[int, ...]) -> float:
        x = background.copy()
        x[:, list(members)] = at[list(members)]
        return float(predict(x).mean())

    found = np.zeros(p)
    for j in range(p):
        others = [k for k in range(p) if k != j]
        for size in range(p):
            weight = factorial(size) * factorial(p - size - 1) / factorial(p)
            found[j] += weight * sum(worth((*m, j)) - worth(m) for m in combinations(others, size))
    return found


def test_any_function_is_explained_by_the_definition(cloud: Array) -> None:
    pytest.importorskip("shap")

    def bent(x: Array) -> Array:
        return np.asarray(linear(x) + x[:, 0] * x[:, 1])

    found = explain(bent, cloud[:3], ("a", "b", "c", "d"), background=cloud)
    for k in range(3):
        np.testing.assert_allclose(found.contributions[k], shapley(bent, cloud[k], cloud), atol=1e-9)
    assert found.gap < 1e-9
    flat = explain(linear, cloud, ("a", "b", "c", "d"))
    np.testing.assert_allclose(flat.contributions, (cloud - cloud.mean(axis=0)) * SLOPES, atol=1e-9)


def test_other_trees_and_many_features_add_up(cloud: Array) -> None:
    pytest.importorskip("shap")
    forest = RandomForestRegressor(5, random_state=0).fit(cloud, linear(cloud))
    assert explain(forest, cloud[:10], tuple("abcd")).gap < 1e-9
    wide = np.hstack([cloud, cloud, cloud])
    assert explain(lambda x: linear(x[:, 4:8]), wide[:4], tuple("abcdefghijkl"), background=wide[:20]).gap < 1e-9


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, cloud: Array) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ModelError, match=r'pip install "auctor\[learn\]"'):
        explain(linear, cloud, tuple("abcd"))


def test_interactions_are_zero_for_a_sum_and_found_for_a_product() -> None:
    import xgboost as xgb

    x = np.random.default_rng(0).uniform(-1, 1, size=(400, 3))
    settings = {"max_depth": 3, "nthread": 1, "learning_rate": 0.3}
    booster = xgb.train(settings, xgb.DMatrix(x, x[:, 0] * x[:, 1] + x[:, 2], nthread=1), num_boost_round=40)
    strength = interactions(booster, x)
    assert np.array_equal(strength, strength.T) and not np.diag(strength).any()
    assert strength[0, 1] > 3 * max(strength[0, 2], strength[1, 2])
    with pytest.raises(ModelError, match="XGBoost alone"):
        interactions(linear, x)


# dependence and the local surrogate


def test_partial_dependence_is_scikit_learns(cloud: Array) -> None:
    forest = RandomForestRegressor(5, random_state=0).fit(cloud, linear(cloud))
    found = dependence(forest.predict, cloud, "b", 1, points=7)
    second = partial_dependence(forest, cloud, [1], custom_values={1: found.grid}, kind="both", method="brute")
    np.testing.assert_allclose(found.mean, second["average"][0], rtol=1e-12)
    np.testing.assert_allclose(found.each, second["individual"][0], rtol=1e-12)


def test_the_local_surrogate_of_a_linear_function_is_that_function(cloud: Array) -> None:
    near = surrogate(linear, cloud[5], cloud)
    np.testing.assert_allclose(near.slopes / near.scales, SLOPES, atol=1e-9)
    assert near.intercept == pytest.approx(linear(cloud[5:6])[0]) and near.r2 == pytest.approx(1.0)


def test_the_local_surrogate_follows_the_slope_at_the_patient() -> None:
    background = np.random.default_rng(2).normal(size=(200, 1)) * 0.05
    near = surrogate(lambda x: np.sin(x[:, 0]), np.asarray([1.0]), background)
    assert near.slopes[0] / near.scales[0] == pytest.approx(np.cos(1.0), rel=0.01) and near.r2 > 0.99
    bent = surrogate(lambda x: (x[:, 0] > 0).astype(float), np.asarray([0.0]), background)
    assert bent.r2 < 0.9, "a step is not a line, and it says so"


def test_a_level_that_was_not_taken_has_no_slope(cloud: Array) -> None:
    at = cloud[0].copy()
    at[1] = np.nan
    near = surrogate(lambda x: np.nan_to_num(x) @ SLOPES, at, cloud)
    assert near.slopes[1] == 0 and near.slopes[0] / near.scales[0] == pytest.approx(3.0)


# one patient


def test_the_drivers_of_a_patient_multiply_to_his_estimate(learner: Learner, made: Material) -> None:
    for i in made.parts["test"][:20]:
        seen = made.observed.rows(np.asarray([i]))
        found = drivers(learner, seen)
        assert found.predicted == pytest.approx(float(learner.estimate(seen)[0][0]), abs=2e-5)
        factors = np.prod([1 + d.percent / 100 for d in found.each])
        assert np.exp(found.base) * factors == pytest.approx(np.exp(found.predicted))
        assert {"C0", "C1", "C3", "Haematocrit"} <= {d.name for d in found.each}
        assert [abs(d.contribution) for d in found.each] == sorted((abs(d.contribution) for d in found.each), reverse=True)


def test_the_sentence_says_what_the_numbers_say(learner: Learner, made: Material) -> None:
    for i in made.parts["test"][:20]:
        found = drivers(learner, made.observed.rows(np.asarray([i])))
        text, first = found.sentence(), found.each[0]
        direction = "raises" if first.contribution > 0 else "lowers"
        assert f"of {first.value} {direction} it by {abs(first.percent):.0f} %" in text
        assert text.startswith("Against the average training patient, per mg of dose") and "multiply" in text
        total = percent(found.predicted - found.base)
        assert (f"in all {total:+.0f} %".replace("-", "−") if abs(total) >= 0.5 else "in all no change") in text
        level = made.observed.value[i, 1] * 1000
        assert f"{float(f'{level:.3g}'):g} ng/mL" in [d.value for d in found.each]


def test_a_learner_of_several_estimators_is_explained_by_their_mean(learner: Learner, held: Array) -> None:
    from types import SimpleNamespace

    pairs = tuple(SimpleNamespace(model=model) for model in (learner.booster, learner.spread))
    both = SimpleNamespace(plan=learner.plan, booster=learner.booster, pairs=pairs)
    found = explain_learner(both, held)
    assert found.gap < 2e-5 and boosted(both)
    np.testing.assert_allclose(found.predicted, (evaluate(learner.booster, held) + evaluate(learner.spread, held)) / 2, atol=1e-6)
    assert not boosted(SimpleNamespace(booster=linear))


def test_a_plan_on_the_typical_scale_compares_with_the_typical_patient(made: Material, learner: Learner) -> None:
    from dataclasses import replace

    plan = read_plan("typical.toml", text=learner.plan.text.replace('scale = "dose_rate"', 'scale = "typical"'))
    seen = made.observed.rows(made.parts["test"][:1])
    found = drivers(replace(learner, plan=plan), seen)
    assert "typical patient with the same covariates" in found.sentence()
    assert found.predicted == pytest.approx(float(replace(learner, plan=plan).estimate(seen)[0][0]), abs=2e-5)


# pictures and the command


def test_pictures_are_whole_and_the_same_every_time(learner: Learner, made: Material, held: Array) -> None:
    names = learner.plan.learning.features
    found = explain(learner.booster, held, names)
    curve = dependence(lambda x: evaluate(learner.booster, x), held, names[9], 9)
    own = drivers(learner, made.observed.rows(made.parts["test"][:1]))
    draw = {
        "bees": lambda: beeswarm_svg(found, "a <b> & c"),
        "patient": lambda: waterfall_svg(own, "a <b> & c"),
        "pairs": lambda: pairs_svg(interactions(learner.booster, held[:20]), names, "a <b> & c"),
        "dependence": lambda: dependence_svg(curve, "a <b> & c"),
    }
    for key, make in draw.items():
        text = make()
        assert text == make()
        root = ElementTree.fromstring(text)
        assert root[0].get("id") == f"{key}-title" and root[0].text == "a <b> & c"
        assert "href" not in text and "nan" not in text.lower().replace("dominant", "")


def test_the_command_explains_a_plan_and_a_patient(root: Path, tmp_path: Path) -> None:
    case = str(root / "examples" / "tacrolimus_kidney.toml")
    done = CliRunner().invoke(app, ["explain", "tacrolimus_quick", "--case", case, "--out", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["additivity_gap"] < 2e-5 and found["patients"] == 150
    own = found["patient"]
    assert found["base"] + sum(own["contributions"].values()) == pytest.approx(own["log_prediction"], abs=2e-5)
    assert sum(d["contribution"] for d in own["drivers"]) == pytest.approx(sum(own["contributions"].values()))
    assert {p.name for p in tmp_path.iterdir()} == {"features.svg", "interactions.svg", "dependence.svg", "patient.svg"}
    shown = CliRunner().invoke(app, ["explain", "tacrolimus_quick", "--case", case, "--feature", "C0/dose"])
    assert shown.exit_code == 0 and "The factors multiply" in " ".join(shown.stdout.split())
    assert CliRunner().invoke(app, ["explain", "tacrolimus_quick", "--feature", "CL"]).exit_code == 2
