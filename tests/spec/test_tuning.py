"""Tuning: on the rows it is given, whole patients to a fold, any algorithm, and the same again with the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from auctor.errors import PlanError
from auctor.learn.estimators.validation import split_by
from auctor.learn.store import PLANS
from auctor.learn.tuning import fit, tune
from auctor.population.learning import Learning
from auctor.population.plan import read_plan

Array = NDArray[np.float64]
LEARNING = Learning(features=("a",), folds=3, configurations=4, seed=5, grid={}, algorithm="elastic_net")


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(150, 4))
    return x, x @ np.array([1.0, 0.5, 0.0, -1.0]) + 0.2 * rng.normal(size=150)


def test_a_patient_is_never_on_both_sides_of_a_fold() -> None:
    groups = np.repeat(np.arange(20.0), 5)
    labels = np.tile([0.0, 1.0], 50)
    for given in (None, labels):
        for inside, outside in split_by(100, 4, 1, groups=groups, labels=given):
            assert set(groups[inside]).isdisjoint(groups[outside])
    assert any(set(groups[a]) & set(groups[b]) for a, b in split_by(100, 4, 1)), "which without groups they are"


def test_profiles_of_the_same_patient_in_two_folds_would_flatter() -> None:
    """Each patient has a feature of its own and a value nobody can know: only a leak between folds predicts it."""
    rng = np.random.default_rng(9)
    groups = np.repeat(np.arange(30.0), 6)
    x, y = np.repeat(rng.normal(size=30), 6)[:, None], np.repeat(rng.normal(size=30), 6)
    learning = replace(LEARNING, algorithm="xgboost", configurations=1, grid={"rounds": (60.0,), "min_child_weight": (1.0,)})
    blind, leaking = tune(x, y, learning, groups=groups), tune(x, y, learning)
    assert leaking.table[0]["cv_rmse"] < 0.5 * np.std(y) < 0.8 * np.std(y) < blind.table[0]["cv_rmse"]


@pytest.mark.parametrize("tuner", ["random", "optuna"])
def test_a_search_repeats_and_draws_from_the_algorithms_own_space(tuner: str, data: tuple[Array, Array]) -> None:
    learning = replace(LEARNING, tuner=tuner)
    first, again = tune(*data, learning), tune(*data, learning)
    assert first.table == again.table and len(first.table) == 4
    assert {row["l1_ratio"] for row in first.table} <= {0.05, 0.25, 0.5, 0.75, 1.0}
    best = min(first.table, key=lambda row: row["cv_rmse"])
    assert {**first.configuration, "step": first.rounds, "cv_rmse": best["cv_rmse"]} == best
    assert np.sqrt(np.mean((first.out_of_fold - data[1]) ** 2)) == pytest.approx(best["cv_rmse"], rel=1e-3)
    if tuner == "random":
        assert len({row["l1_ratio"] for row in first.table}) == 4, "each point once"


def test_a_class_is_tuned_by_the_log_loss_of_its_probability(data: tuple[Array, Array]) -> None:
    x, y = data
    doses = np.digitize(y, [-0.5, 0.5]) * 250.0
    found = tune(x, doses, replace(LEARNING, algorithm="xgboost", configurations=1, grid={"rounds": (40.0,)}), task="classification")
    assert found.out_of_fold.shape == (150, 3)
    given = found.out_of_fold[np.arange(150), np.searchsorted([0.0, 250.0, 500.0], doses)]
    assert -np.mean(np.log(given)) == pytest.approx(found.table[0]["cv_log_loss"], rel=2e-2)
    model = fit(x, doses, found, 1)
    assert set(model.predict(x)) <= {0.0, 250.0, 500.0} and model.rounds_ == found.rounds


def test_the_plan_names_the_algorithm_and_the_tuner() -> None:
    text = (PLANS / "tacrolimus_quick.toml").read_text()
    assert read_plan("p.toml", text=text).learning.algorithm == "xgboost"
    head = text[: text.index("[learner.grid]")].replace("[learner]\n", '[learner]\nalgorithm = "svm"\ntuner = "optuna"\n')
    plan = read_plan("p.toml", text=head)
    assert (plan.learning.algorithm, plan.learning.tuner, dict(plan.learning.grid)) == ("svm", "optuna", {})
    with pytest.raises(PlanError, match=r"learner\.tuner"):
        read_plan("p.toml", text=head.replace('"optuna"', '"grid"'))
    with pytest.raises(PlanError, match="is not an algorithm"):
        tune(np.zeros((9, 1)), np.zeros(9), replace(LEARNING, algorithm="perceptron"))
    for wrong in ('method = "bootstrap"', 'groups = ["HCT"]', 'groups = [{ by = "cov:HCT", cuts = [40, 35] }]', "levels = 3"):
        with pytest.raises(PlanError, match="interval"):
            read_plan("p.toml", text=f"{head}\n[interval]\n{wrong}\n")
    with pytest.raises(PlanError, match=r"domain\.density"):
        read_plan("p.toml", text=f"{head}\n[domain]\ndensity = 0.2\n")
