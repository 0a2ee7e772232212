"""What the three boosting libraries share: settings, seed, number of trees, class codes, and a learning curve on held-out rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

Array = NDArray[np.float64]
ROUNDS = 200
PATIENCE = 25


class Boosted(ABC, BaseEstimator):  # type: ignore[misc]
    """`rounds` trees with the library's own `settings`; one thread, fixed `seed`. NaN is a missing value, not an error."""

    def __init__(self, rounds: int = ROUNDS, settings: Mapping[str, float] | None = None, seed: int = 0) -> None:
        self.rounds, self.settings, self.seed = rounds, settings, seed

    @abstractmethod
    def _grow(self, x: Array, target: Array, classes: int, held: tuple[Array, Array] | None) -> tuple[Any, list[float]]:
        """The library's model (classes 0: regression), and its held-out error after every tree where rows are held."""

    @abstractmethod
    def _raw(self, x: Array, rounds: int) -> Array:
        """Predictions (n,), or probabilities (n, classes), by the first `rounds` trees."""

    def fit(self, x: Array, y: Array) -> Self:
        """Grow `rounds` trees."""
        x, target = self._checked(x, y)
        self.model_, _ = self._grow(x, target, self._classes(), None)
        self.rounds_ = self.rounds
        return self

    def watch(self, x: Array, y: Array, held_x: Array, held_y: Array) -> tuple[Array, Callable[[int], Array]]:
        """Grow until the held-out error has not fallen for 25 trees; the error after each tree, and predictions by the first few."""
        x, target = self._checked(x, y)
        held = validate_data(self, held_x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        self.model_, curve = self._grow(x, target, self._classes(), (held, self._coded(held_y)))
        self.rounds_ = len(curve)
        return np.asarray(curve), lambda rounds: self._raw(held, rounds)

    def stopped(self, rounds: int) -> Self:
        """The same with that many trees, to be fitted."""
        self.set_params(rounds=rounds)
        return self

    def _checked(self, x: Array, y: Array) -> tuple[Array, Array]:
        regression = isinstance(self, RegressorMixin)
        x, y = validate_data(self, x, y, y_numeric=regression, dtype=np.float64, ensure_all_finite="allow-nan")
        if not regression:
            check_classification_targets(y)
            self.classes_ = np.unique(y)
        return x, self._coded(y)

    def _coded(self, y: Array) -> Array:
        return np.searchsorted(self.classes_, y).astype(np.float64) if isinstance(self, ClassifierMixin) else np.asarray(y, np.float64)

    def _classes(self) -> int:
        if not isinstance(self, ClassifierMixin):
            return 0
        if len(self.classes_) < 2:
            raise ValueError(f"{type(self).__name__} needs two classes, there is 1 class")
        return len(self.classes_)

    def _outputs(self, x: Array) -> Array:
        check_is_fitted(self, "model_")
        x = validate_data(self, x, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        return self._raw(x, self.rounds_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


class BoostedRegressor(RegressorMixin, Boosted):  # type: ignore[misc]
    """Boosted trees of a number, by squared error."""

    def predict(self, x: Array) -> Array:
        """Predictions (n,)."""
        return self._outputs(x)


class BoostedClassifier(ClassifierMixin, Boosted):  # type: ignore[misc]
    """Boosted trees of a class, by logarithmic loss."""

    def predict_proba(self, x: Array) -> Array:
        """Probability of each class (n, classes), in the order of `classes_`."""
        return self._outputs(x)

    def predict(self, x: Array) -> Array:
        """The likeliest class (n,)."""
        found = self.predict_proba(x)
        return np.asarray(self.classes_[np.argmax(found, axis=1)])
