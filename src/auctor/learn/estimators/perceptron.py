"""Multilayer perceptron: networks of two hidden layers from different starts, averaged (scikit-learn's, Adam, early stopping)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from auctor.learn.estimators.prepared import prepared
from auctor.learn.estimators.registry import settings

DEFAULTS = {"hidden": 32, "alpha": 1e-3, "learning_rate": 3e-3, "members": 3, "epochs": 300}
PATIENCE = 15
Array = NDArray[np.float64]


class RegressionNetwork(MLPRegressor):  # type: ignore[misc]
    """scikit-learn's network of a number; that it stopped at the last epoch is the plan's choice, not a warning."""

    def fit(self, x: Array, y: Array) -> RegressionNetwork:
        """Train until the held-out tenth no longer improves, or to the last epoch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(x, y)
        return self


class ClassNetwork(MLPClassifier):  # type: ignore[misc]
    """scikit-learn's network of a class, likewise."""

    def fit(self, x: Array, y: Array) -> ClassNetwork:
        """Train until the held-out tenth no longer improves, or to the last epoch."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(x, y)
        return self


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`hidden` units a layer, L2 penalty `alpha`, `learning_rate`, number of `members`, most `epochs`.

    Early stopping watches a tenth of the patients the network is given.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import BaggingClassifier, BaggingRegressor
    from sklearn.preprocessing import StandardScaler

    found = settings("mlp", configuration, DEFAULTS)
    kind = RegressionNetwork if task == "regression" else ClassNetwork
    network = kind(
        hidden_layer_sizes=(found["hidden"], found["hidden"]),
        alpha=found["alpha"],
        learning_rate_init=found["learning_rate"],
        max_iter=found["epochs"],
        early_stopping=True,
        n_iter_no_change=PATIENCE,
    )
    if task == "classification":
        return prepared(BaggingClassifier(network, n_estimators=found["members"], bootstrap=False, random_state=seed))
    many = BaggingRegressor(network, n_estimators=found["members"], bootstrap=False, random_state=seed)
    return TransformedTargetRegressor(regressor=prepared(many), transformer=StandardScaler())
