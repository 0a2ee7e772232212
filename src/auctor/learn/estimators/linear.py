"""Elastic net along its path of penalties, as glmnet does it: standardised columns, warm starts, the best place by cross-validation.

Minimises 1/(2n) |y - b0 - X b|^2 + lambda (l1_ratio |b|_1 + (1 - l1_ratio)/2 |b|^2) at lambda_k = lambda_max * ratio^(k / (steps - 1)),
lambda_max being the least penalty under which every b is zero (Friedman, Hastie, Tibshirani 2010, J Stat Softw 33:1).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, enet_path
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from auctor.learn.estimators.prepared import prepared
from auctor.learn.estimators.registry import settings

Array = NDArray[np.float64]


class ElasticNetPath(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The path of one l1_ratio; `rounds` is how many steps down the path predictions are read (None: the last one)."""

    def __init__(self, l1_ratio: float = 0.5, steps: int = 100, ratio: float = 1e-4, rounds: int | None = None) -> None:
        self.l1_ratio, self.steps, self.ratio, self.rounds = l1_ratio, steps, ratio, rounds

    def fit(self, x: Array, y: Array) -> ElasticNetPath:
        """Coefficients at every penalty of the path; `coef_path_` (n_features, steps), `penalties_` (steps,)."""
        x, y = validate_data(self, x, y, y_numeric=True, dtype=np.float64)
        self.center_, self.mean_ = x.mean(axis=0), float(y.mean())
        shifted, target = x - self.center_, y - self.mean_
        largest = max(float(np.max(np.abs(shifted.T @ target))) / (len(y) * self.l1_ratio), 1e-12)
        self.penalties_ = largest * self.ratio ** np.linspace(0, 1, self.steps)
        with warnings.catch_warnings():
            # at the far end of the path, where nothing is penalised, coordinates settle slowly: the place is not chosen then
            warnings.simplefilter("ignore", ConvergenceWarning)
            _, self.coef_path_, _ = enet_path(shifted, target, l1_ratio=self.l1_ratio, alphas=self.penalties_, tol=1e-5, max_iter=2000)
        return self

    def staged(self, x: Array) -> Array:
        """Predictions (steps, n) at every penalty."""
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return np.asarray(self.mean_ + ((x - self.center_) @ self.coef_path_).T)

    def predict(self, x: Array) -> Array:
        """Predictions (n,) at the chosen penalty."""
        found: Array = self.staged(x)[(self.rounds or self.steps) - 1]
        return found


class StagedPipeline(Pipeline):  # type: ignore[misc]
    """Preparation and an `ElasticNetPath`, whose place on the path cross-validation can choose without fitting again."""

    def watch(self, x: Array, y: Array, held_x: Array, held_y: Array) -> tuple[Array, Callable[[int], Array]]:
        """Fit; the RMSE on held-out rows at every step of the path, and their predictions at a step."""
        self.fit(x, y)
        found = self[-1].staged(self[:-1].transform(held_x))
        return np.sqrt(np.mean((found - held_y) ** 2, axis=1)), lambda rounds: np.asarray(found[rounds - 1])

    def stopped(self, rounds: int) -> StagedPipeline:
        """The same, to be read at that step."""
        self.set_params(model__rounds=rounds)
        return self


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`l1_ratio` between nearly ridge (0.05) and lasso (1); as a classifier also the `cost` of an error (1 / penalty)."""
    if task == "regression":
        found = settings("elastic_net", configuration, {"l1_ratio": 0.5})
        return StagedPipeline(prepared(ElasticNetPath(l1_ratio=found["l1_ratio"])).steps)
    found = settings("elastic_net", configuration, {"l1_ratio": 0.5, "cost": 1.0})
    logistic = LogisticRegression(l1_ratio=found["l1_ratio"], C=found["cost"], solver="saga", max_iter=2000, tol=1e-3, random_state=seed)
    pipeline: Pipeline = prepared(logistic)
    return pipeline
