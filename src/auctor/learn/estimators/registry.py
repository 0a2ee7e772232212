"""The one registry of estimators: a name, what it is, where it comes from, how it takes a missing sample, its default search space.

Every entry makes a regressor of the modelled (log) target and a classifier with `predict_proba`, both cloneable and with
`get_params`. Heavy packages are imported when an estimator is made, not when it is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from auctor.errors import PlanError

TASKS = ("regression", "classification")
MODULES = "auctor.learn.estimators"


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """One algorithm. `module` holds `make(task, configuration, seed)`; `packages` are the distributions it needs, from `extra`.

    `missing` says what it does with a sample that was not taken; `reads` is `features` or `history` (events in time order).
    `space` holds the choices that tuning draws from where a plan gives no grid of its own.
    """

    name: str
    title: str
    module: str
    missing: str
    space: Mapping[str, tuple[float, ...]]
    packages: tuple[str, ...] = ()
    extra: str = "learn"
    reads: str = "features"

    def make(self, task: str, configuration: Mapping[str, float], seed: int) -> Any:
        """An unfitted estimator. Raises PlanError for a package that is not installed or a setting it does not have."""
        self.require()
        return import_module(f"{MODULES}.{self.module}").make(task, dict(configuration), seed)

    def require(self) -> None:
        """Raise PlanError, saying what to install, when a package is not there."""
        for name in (*self.packages, *(() if self.name == "xgboost" else ("skops",))):
            try:
                version(name)
            except PackageNotFoundError:
                raise PlanError(
                    where="learner.algorithm", what=f"{self.name} needs the package {name}", remedy=f'pip install "auctor[{self.extra}]"'
                ) from None

    def versions(self) -> dict[str, str]:
        """Versions of the packages beyond scikit-learn and XGBoost that a stored learner of this algorithm rests on."""
        names = () if self.name == "xgboost" else (*self.packages, "skops")
        return {name: version(name) for name in names}


IMPUTED = "the training median, and a column that says so"
NATIVE = "a direction of its own at every split"
_TREES = {"rounds": (600.0,), "learning_rate": (0.03, 0.05, 0.08)}

_ALL = (
    Algorithm(
        name="elastic_net",
        title="elastic net: a linear model with both penalties, along the whole path of penalties",
        module="linear",
        missing=IMPUTED,
        space={"l1_ratio": (0.05, 0.25, 0.5, 0.75, 1.0)},
    ),
    Algorithm(
        name="mars",
        title="MARS: sums and products of hinges (Friedman 1991)",
        module="mars",
        missing=IMPUTED,
        packages=("py-earth2",),
        space={"max_degree": (1, 2), "max_terms": (20, 40), "penalty": (2, 3)},
    ),
    Algorithm(
        name="random_forest",
        title="random forest",
        module="forest",
        missing=NATIVE,
        space={"trees": (200,), "min_leaf": (2, 5, 10), "share": (0.3, 0.6, 1.0)},
    ),
    Algorithm(
        name="svm",
        title="support vector machine with a radial kernel",
        module="svm",
        missing=IMPUTED,
        space={"cost": (0.3, 1.0, 3.0, 10.0), "width": (0.003, 0.01, 0.03), "tube": (0.03, 0.1, 0.3)},
    ),
    Algorithm(
        name="xgboost",
        title="XGBoost: boosted trees",
        module="xgboosted",
        missing=NATIVE,
        space=_TREES
        | {
            "max_depth": (3, 4, 5),
            "min_child_weight": (5, 15, 40),
            "subsample": (0.6, 0.8),
            "colsample_bytree": (0.6, 0.9),
            "lambda": (1, 5),
        },
    ),
    Algorithm(
        name="lightgbm",
        title="LightGBM: boosted trees grown by leaf",
        module="lightgbmed",
        missing=NATIVE,
        packages=("lightgbm",),
        space=_TREES | {"num_leaves": (8, 15, 31), "min_data_in_leaf": (10, 20, 40), "feature_fraction": (0.6, 0.9), "lambda_l2": (0, 5)},
    ),
    Algorithm(
        name="catboost",
        title="CatBoost: boosted symmetric trees",
        module="catboosted",
        missing="lower than every value",
        packages=("catboost",),
        extra="catboost",
        space=_TREES | {"depth": (4, 5, 6), "l2_leaf_reg": (1, 3, 10)},
    ),
    Algorithm(
        name="mlp",
        title="multilayer perceptron: three networks of two hidden layers, averaged",
        module="perceptron",
        missing=IMPUTED,
        space={"hidden": (16, 32, 64), "alpha": (1e-4, 1e-3, 1e-2, 0.1), "learning_rate": (1e-3, 3e-3)},
    ),
    Algorithm(
        name="recurrent",
        title="recurrent network (GRU) over the events of an irregular history",
        module="recurrent",
        missing="an event that did not happen is passed over",
        reads="history",
        space={"hidden": (16, 32), "learning_rate": (3e-3, 1e-2), "weight_decay": (1e-4, 1e-3), "updates": (500, 1500)},
    ),
    Algorithm(
        name="stacking",
        title="stack: non-negative least squares over the out-of-fold predictions of elastic net, MARS, SVM, MLP and XGBoost",
        module="stacking",
        missing="as its members do",
        packages=("py-earth2",),
        space={"folds": (4,)},
    ),
)
ALGORITHMS: Mapping[str, Algorithm] = {each.name: each for each in _ALL}


def algorithm(name: str) -> Algorithm:
    """The entry of that name. Raises PlanError with the list of names.

    >>> algorithm("xgboost").missing
    'a direction of its own at every split'
    """
    if name not in ALGORITHMS:
        raise PlanError(where="learner.algorithm", what=f"{name!r} is not an algorithm", remedy=f"write one of {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]


def settings(name: str, given: Mapping[str, float], defaults: Mapping[str, float]) -> dict[str, Any]:
    """The defaults with what is given in place of them, whole numbers as integers. Raises PlanError for a setting it does not have."""
    for key in given:
        if key not in defaults:
            raise PlanError(where=f"learner.grid.{key}", what=f"is not a setting of {name}", remedy=f"write one of {', '.join(defaults)}")
    return {k: type(default)(given.get(k, default)) for k, default in defaults.items()}
