"""Multivariate adaptive regression splines: sums of products of hinges (Friedman 1991, Ann Stat 19:1), grown by py-earth2.

Only the terms it found are kept, as arrays: predictions are this file's own arithmetic, so a stored model needs no py-earth2.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from auctor.learn.estimators.prepared import prepared
from auctor.learn.estimators.registry import settings

Array = NDArray[np.float64]
DEFAULTS = {"max_degree": 2, "max_terms": 40, "penalty": 3.0}
LINEAR = 0.0


class _Mars(BaseEstimator):  # type: ignore[misc]
    """`max_degree` hinges a term, `max_terms` before pruning, `penalty` a knot in generalised cross-validation."""

    def __init__(self, max_degree: int = 2, max_terms: int = 40, penalty: float = 3.0) -> None:
        self.max_degree, self.max_terms, self.penalty = max_degree, max_terms, penalty

    def _terms(self, x: Array, y: Array) -> tuple[Array, Array]:
        """(factors (m, 4): term, column, sign (0: linear), knot; coefficients (terms,)) of one response."""
        from pyearth import Earth

        earth = Earth(max_degree=self.max_degree, max_terms=self.max_terms, penalty=self.penalty)
        # before its first term py-earth2 multiplies memory it has not written yet; it computes the product again afterwards
        with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
            # py-earth2 asks NumPy for a least-squares solution in the words of an older version
            warnings.filterwarnings("ignore", category=FutureWarning)
            earth.fit(np.array(x), np.array(y))  # it writes where it reads, so it is given copies
        kept = [term for term in earth.basis_ if not term.is_pruned()]
        factors = [(k, *factor) for k, term in enumerate(kept) for factor in _factors(term)]
        return np.asarray(factors, dtype=np.float64).reshape(-1, 4), np.asarray(earth.coef_, dtype=np.float64).ravel()


def _factors(term: Any) -> list[tuple[float, float, float]]:
    """(column, sign, knot) of each factor of a term, from py-earth2's chain of parents."""
    found = []
    while type(term).__name__ != "ConstantBasisFunction":
        if type(term).__name__ == "LinearBasisFunction":
            found.append((float(term.get_variable()), LINEAR, 0.0))
        else:
            found.append((float(term.get_variable()), -1.0 if term.get_reverse() else 1.0, float(term.get_knot())))
        term = term.get_parent()
    return found


def _basis(x: Array, factors: Array, terms: int) -> Array:
    """Values (n, terms) of the terms: products of x, max(0, x - knot) or max(0, knot - x)."""
    found = np.ones((len(x), terms))
    for term, column, sign, knot in factors:
        value = x[:, int(column)]
        found[:, int(term)] *= value if sign == LINEAR else np.maximum(sign * (value - knot), 0.0)
    return found


class MarsRegressor(RegressorMixin, _Mars):  # type: ignore[misc]
    """MARS of a number."""

    def fit(self, x: Array, y: Array) -> MarsRegressor:
        """Grow and prune the terms; `factors_`, `coef_`."""
        x, y = validate_data(self, x, y, y_numeric=True, dtype=np.float64)
        self.factors_, self.coef_ = self._terms(x, y)
        return self

    def predict(self, x: Array) -> Array:
        """Predictions (n,)."""
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return np.asarray(_basis(x, self.factors_, len(self.coef_)) @ self.coef_)


class MarsClassifier(ClassifierMixin, _Mars):  # type: ignore[misc]
    """MARS of each class against the others, then a logistic regression on all their terms."""

    def fit(self, x: Array, y: Array) -> MarsClassifier:
        """Terms of every class but the first, and the weights of the logistic regression."""
        x, y = validate_data(self, x, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("MarsClassifier needs two classes, there is 1 class")
        self.terms_ = [self._terms(x, (y == label).astype(np.float64)) for label in self.classes_[1:]]
        self.logistic_ = LogisticRegression(max_iter=5000, C=100.0).fit(self._bases(x), y)
        return self

    def _bases(self, x: Array) -> Array:
        return np.concatenate([_basis(x, factors, len(coef)) for factors, coef in self.terms_], axis=1)

    def predict_proba(self, x: Array) -> Array:
        """Probability of each class (n, classes)."""
        check_is_fitted(self)
        x = validate_data(self, x, reset=False, dtype=np.float64)
        return np.asarray(self.logistic_.predict_proba(self._bases(x)))

    def predict(self, x: Array) -> Array:
        """The likeliest class (n,)."""
        found = self.predict_proba(x)
        return np.asarray(self.classes_[np.argmax(found, axis=1)])


def make(task: str, configuration: dict[str, float], seed: int) -> Any:
    """`max_degree`, `max_terms`, `penalty`; nothing is random, so `seed` has no say."""
    kind = MarsRegressor if task == "regression" else MarsClassifier
    return prepared(kind(**settings("mars", configuration, DEFAULTS)))
