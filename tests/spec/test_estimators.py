"""Every algorithm of the registry: one interface, missing samples, storage without pickle; and each of our own against its theory."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from auctor.errors import ModelError, PlanError
from auctor.learn.estimators import catboosted, lightgbmed, linear, mars, recurrent, stacking, xgboosted
from auctor.learn.estimators.registry import ALGORITHMS, TASKS, algorithm
from auctor.learn.estimators.storage import dump, load
from auctor.learn.estimators.validation import outputs, split_by, validated
from auctor.learn.tuning import evaluate

Array = NDArray[np.float64]
SMALL: dict[str, dict[str, float]] = {
    "xgboost": {"rounds": 20},
    "lightgbm": {"rounds": 20},
    "catboost": {"rounds": 20},
    "random_forest": {"trees": 10},
    "mlp": {"epochs": 40, "members": 2},
    "recurrent": {"updates": 700, "hidden": 8, "steps": 3, "batch": 30, "learning_rate": 0.02},
}


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array, Array]:
    """180 patients, 6 features of which some are missing, a number and a class of three."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(180, 6))
    y = np.maximum(x[:, 0], 0) * x[:, 1] + x[:, 2] + 0.1 * rng.normal(size=180)
    x[rng.random(x.shape) < 0.05] = np.nan
    return x, y, np.digitize(y, [-0.5, 0.5]).astype(float)


def _new(name: str, task: str) -> Any:
    if name == "stacking":
        kind = stacking.StackRegressor if task == "regression" else stacking.StackClassifier
        return kind(members=("elastic_net", "mars", "svm"), folds=2)
    return ALGORITHMS[name].make(task, SMALL.get(name, {}), 1)


@pytest.fixture(scope="module")
def fitted(data: tuple[Array, Array, Array]) -> Callable[[str, str], Any]:
    x, y, classes = data
    kept: dict[tuple[str, str], Any] = {}

    def get(name: str, task: str) -> Any:
        if (name, task) not in kept:
            kept[name, task] = clone(_new(name, task)).fit(x, y if task == "regression" else classes)
        return kept[name, task]

    return get


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_learns_takes_missing_samples_and_comes_back_the_same(
    name: str, task: str, fitted: Callable[[str, str], Any], data: tuple[Array, Array, Array]
) -> None:
    x, y, classes = data
    model = fitted(name, task)
    found = outputs(model, x)
    assert np.isfinite(found).all(), "NaN in the features is not NaN in the answer"
    if task == "regression":
        assert np.std(found - y) < 0.75 * np.std(y)
    else:
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        assert np.mean(model.predict(x) == classes) > 0.6
    kind, raw = dump(model)
    assert b"pickle" not in raw
    back = load(kind, raw)
    again = evaluate(back, x) if task == "regression" else back.predict_proba(x)
    assert np.array_equal(again, found), "a stored learner answers with the same bits"


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("stacking", "recurrent")])
def test_the_same_fit_gives_the_same_bytes(name: str, fitted: Callable[[str, str], Any], data: tuple[Array, Array, Array]) -> None:
    x, y, _ = data
    assert dump(_new(name, "regression").fit(x, y)) == dump(fitted(name, "regression"))


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in ("xgboost", "lightgbm", "catboost")])
def test_a_setting_that_is_not_there_is_refused(name: str) -> None:
    """Of the boosting libraries every setting is passed on: they have hundreds."""
    with pytest.raises(PlanError, match="is not a setting"):
        ALGORITHMS[name].make("regression", {"depht": 3}, 1)


def test_an_algorithm_that_is_not_there_is_refused() -> None:
    with pytest.raises(PlanError, match="elastic_net"):
        algorithm("tabpfn")


def test_a_package_that_is_not_there_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("auctor.learn.estimators.registry.version", missing)
    with pytest.raises(PlanError, match=r'pip install "auctor\[learn\]"'):
        algorithm("lightgbm").make("regression", {}, 1)
    with pytest.raises(PlanError, match=r"auctor\[catboost\]"):
        algorithm("catboost").make("regression", {}, 1)
    algorithm("xgboost").make("regression", {}, 1)


def test_a_stored_file_with_another_type_is_not_loaded() -> None:
    import skops.io
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import FunctionTransformer

    out = io.BytesIO()
    skops.io.dump([HashingVectorizer(), FunctionTransformer(np.exp), print], out)
    with pytest.raises(ModelError, match="holds the type"):
        load("skops", out.getvalue())


# scikit-learn's own checks, on the classes that are ours

OURS = [
    linear.ElasticNetPath(steps=20),
    mars.MarsRegressor(max_terms=10),
    mars.MarsClassifier(max_terms=10),
    xgboosted.XGBoostRegressor(rounds=10),
    xgboosted.XGBoostClassifier(rounds=10),
    lightgbmed.LightGBMRegressor(rounds=10),
    lightgbmed.LightGBMClassifier(rounds=10),
    catboosted.CatBoostRegressor(rounds=10),
    catboosted.CatBoostClassifier(rounds=10),
    stacking.StackRegressor(members=("xgboost",), folds=2),
    stacking.StackClassifier(members=("xgboost",), folds=2),
]


def _failed(estimator: Any) -> set[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks feed nonsense on purpose
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    return {r["check_name"] for r in results if r["status"] == "failed"}


@pytest.mark.parametrize("estimator", OURS, ids=lambda e: type(e).__name__)
def test_our_classes_pass_the_checks_of_scikit_learn(estimator: Any) -> None:
    assert _failed(estimator) == set()


@pytest.mark.parametrize("kind", [recurrent.RecurrentRegressor, recurrent.RecurrentClassifier])
def test_the_recurrent_network_passes_them_but_for_the_one_on_accuracy(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check compiles a network of another shape, so the weights are left at their start here, and accuracy cannot be asked."""
    start = recurrent._start
    monkeypatch.setattr(recurrent, "_trained", lambda s, z, happened, target, outputs: start(s, z.shape[2], outputs))
    assert _failed(kind(hidden=4)) <= {"check_regressors_train", "check_classifiers_train"}


# each of our own against its theory


def test_the_elastic_net_solves_its_equations() -> None:
    """Karush-Kuhn-Tucker: the gradient of every column is lambda l1_ratio sign(b) + lambda (1 - l1_ratio) b, or smaller where b is 0."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 5))
    y = x @ np.array([2.0, -1.0, 0.0, 0.0, 0.5]) + rng.normal(size=80)
    found = linear.ElasticNetPath(l1_ratio=0.4, steps=30).fit(x, y)
    assert np.all(found.coef_path_[:, 0] == 0), "nothing enters at the largest penalty"
    assert np.all(np.any(found.coef_path_[:, 1:] != 0, axis=0)), "something does at the next"
    for k in (5, 15, 29):
        b, penalty = found.coef_path_[:, k], found.penalties_[k]
        gradient = (x - x.mean(0)).T @ (y - y.mean() - (x - x.mean(0)) @ b) / 80 - penalty * 0.6 * b
        np.testing.assert_allclose(gradient[b != 0], 0.4 * penalty * np.sign(b[b != 0]), atol=5e-4)
        assert np.all(np.abs(gradient[b == 0]) <= 0.4 * penalty + 5e-4)


def test_mars_is_what_py_earth_computes_and_finds_a_hinge() -> None:
    from pyearth import Earth

    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, size=(200, 3))
    y = 3 * np.maximum(x[:, 0] - 0.2, 0) * x[:, 1] - x[:, 2]
    found = mars.MarsRegressor(max_terms=20).fit(x, y)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        earth = Earth(max_degree=2, max_terms=20, penalty=3.0).fit(x.copy(), y.copy())
        expected = earth.predict(x)
    np.testing.assert_allclose(found.predict(x), expected, atol=1e-10)
    assert np.sqrt(np.mean((found.predict(x) - y) ** 2)) < 0.05


def test_the_network_computes_the_equations_of_a_gated_unit_and_passes_over_what_did_not_happen() -> None:
    rng = np.random.default_rng(4)
    w = {"W": rng.normal(size=(2, 9)), "U": rng.normal(size=(3, 9)), "b": rng.normal(size=9), "V": rng.normal(size=(3, 1)), "c": np.ones(1)}
    z, happened = rng.normal(size=(1, 4, 2)), np.array([[True, False, True, True]])

    def sigmoid(v: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-v)))

    h = np.zeros(3)
    for t in (0, 2, 3):
        a, b = z[0, t] @ w["W"] + w["b"], h @ w["U"]
        u, r = sigmoid(a[:3] + b[:3]), sigmoid(a[3:6] + b[3:6])
        h = (1 - u) * np.tanh(a[6:] + r * b[6:]) + u * h
    np.testing.assert_allclose(recurrent.forward(w, z, happened, np)[0], h @ w["V"] + 1, rtol=1e-12)


def test_the_network_learns_what_a_history_adds_up_to() -> None:
    """Sum of the levels of one to six events: no fixed column holds it."""
    rng = np.random.default_rng(5)
    events = rng.normal(size=(400, 6, 1))
    events[np.arange(6)[None, :] < rng.integers(0, 6, size=400)[:, None]] = np.nan
    y = np.nansum(events[:, :, 0], axis=1)
    found = recurrent.RecurrentRegressor(steps=6, hidden=8, updates=200, seed=1).fit(events[:300].reshape(300, -1), y[:300])
    assert np.std(found.predict(events[300:].reshape(100, -1)) - y[300:]) < 0.25 * np.std(y)


def test_stacking_weights_solve_their_problem_and_no_member_is_better_out_of_fold() -> None:
    rng = np.random.default_rng(6)
    truth = rng.normal(size=300)
    columns = np.stack([truth + rng.normal(scale=s, size=300) for s in (0.3, 0.5, 2.0)] + [rng.normal(size=300)], axis=1)
    w = stacking.convex_weights(columns, truth)
    assert np.all(w >= 0) and w.sum() == pytest.approx(1, abs=1e-6)
    gradient = columns.T @ (columns @ w - truth)
    inside = w > 1e-9
    assert np.ptp(gradient[inside]) < 1e-2 * np.abs(gradient).max(), "equal where the weight is positive"
    assert np.all(gradient[~inside] >= gradient[inside].min() - 1e-2 * np.abs(gradient).max()), "larger where it is zero"
    errors = np.mean((columns - truth[:, None]) ** 2, axis=0)
    assert np.mean((columns @ w - truth) ** 2) < errors.min()


def test_the_stage_of_a_fold_is_the_stage_of_the_learning_curve() -> None:
    """A staged estimator read at the chosen stage is the estimator that would have been fitted with as many stages."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(150, 3))
    y = x[:, 0] ** 2 + 0.3 * rng.normal(size=150)
    splits = split_by(150, 3, 1)

    def new() -> Any:
        return xgboosted.XGBoostRegressor(rounds=100, settings={"max_depth": 2, "learning_rate": 0.2}, seed=1)

    found = validated(new, x, y, splits)
    assert 1 < found.rounds < 100
    inside, outside = splits[0]
    np.testing.assert_allclose(new().stopped(found.rounds).fit(x[inside], y[inside]).predict(x[outside]), found.out_of_fold[outside])
    assert found.error == pytest.approx(np.sqrt(np.mean((found.out_of_fold - y) ** 2)), rel=1e-6)
