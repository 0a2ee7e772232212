"""Stacking: members of the registry combined with the non-negative weights that fit their out-of-fold predictions best.

Breiman 1996, Mach Learn 24:49: least squares with weights >= 0 over predictions no member was fitted to; here they also add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from auctor.learn.estimators.registry import algorithm, settings
from auctor.learn.estimators.validation import fitted, outputs, split_by, validated

Array = NDArray[np.float64]
MEMBERS = ("elastic_net", "mars", "svm", "mlp", "xgboost")
SUM = 1e3  # weight of the equation "they add up to 1" beside those of the rows


def convex_weights(columns: Array, target: Array) -> Array:
    """Weights >= 0 that add up to 1 and minimise |columns w - target|; columns (n, m), target (n,).

    >>> convex_weights(np.array([[1.0, 0.0], [2.0, 0.0], [4.0, 1.0]]), np.array([1.0, 2.0, 4.0])).round(6).tolist()
    [1.0, 0.0]
    """
    from scipy.optimize import nnls

    scale = SUM * np.sqrt(np.mean(columns**2) * len(columns)) + 1e-300
    found, _ = nnls(np.vstack([columns, np.full((1, columns.shape[1]), scale)]), np.append(target, scale))
    return np.asarray(found / found.sum())


class _Stack(BaseEstimator):  # type: ignore[misc]
    """`members` of the registry at their defaults, `folds` of the inner cross-validation, `seed`."""

    task = ""
    grouped = True

    def __init__(self, members: Sequence[str] = MEMBERS, folds: int = 4, seed: int = 0) -> None:
        self.members, self.folds, self.seed = members, folds, seed

    def _combine(self, x: Array, y: Array, groups: Array | None) -> None:
        labels = y if self.task == "classification" else None
        splits = split_by(len(y), self.folds, self.seed, groups=groups, labels=labels)
        columns, self.members_ = [], []
        for name in self.members:
            found = validated(partial(self._new, name), x, y, splits, groups=groups)
            columns.append(found.out_of_fold.ravel())
            one = self._new(name)
            self.members_.append(fitted(one.stopped(found.rounds) if found.rounds else one, x, y, groups))
        target = y if labels is None else (y[:, None] == self.classes_).astype(np.float64).ravel()
        self.weights_ = convex_weights(np.stack(columns, axis=1), np.asarray(target, dtype=np.float64))

    def _new(self, name: str) -> Any:
        chosen = algorithm(name)
        rounds = {"rounds": chosen.space["rounds"][0]} if "rounds" in chosen.space else {}
        return chosen.make(self.task, rounds, self.seed)

    def _mixed(self, x: Array) -> Array:
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        return np.asarray(sum(w * outputs(one, x) for w, one in zip(self.weights_, self.members_, strict=True) if w > 0))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class StackRegressor(RegressorMixin, _Stack):  # type: ignore[misc]
    """A stack for a number."""

    task = "regression"

    def fit(self, x: Array, y: Array, groups: Array | None = None) -> StackRegressor:
        """Cross-validate every member, find the weights, fit the members on all rows; `weights_` in the order of `members`."""
        x, y = validate_data(self, x, y, y_numeric=True, dtype=np.float64, ensure_all_finite="allow-nan")
        self._combine(x, y, groups)
        return self

    def predict(self, x: Array) -> Array:
        """Predictions (n,)."""
        return self._mixed(x)


class StackClassifier(ClassifierMixin, _Stack):  # type: ignore[misc]
    """A stack for a class: the weights minimise the Brier score of the mixed probabilities."""

    task = "classification"

    def fit(self, x: Array, y: Array, groups: Array | None = None) -> StackClassifier:
        """Cross-validate every member, find the weights, fit the members on all rows."""
        x, y = validate_data(self, x, y, dtype=np.float64, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        self._combine(x, y, groups)
        return self

    def predict_proba(self, x: Array) -> Array:
        """Probability of each class (n, classes)."""
        return self._mixed(x)

    def predict(self, x: Array) -> Array:
        """The likeliest class (n,)."""
        found = self.predict_proba(x)
        return np.asarray(self.classes_[np.argmax(found, axis=1)])


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`folds` of the inner cross-validation; the members are at their defaults, with as many trees as that says."""
    found = settings("stacking", configuration, {"folds": 4})
    return (StackRegressor if task == "regression" else StackClassifier)(folds=found["folds"], seed=seed)
