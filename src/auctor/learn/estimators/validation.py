"""k-fold cross-validation of one estimator: out-of-fold predictions, their error, and for staged ones where to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Splits = Sequence[tuple[Rows, Rows]]
TINY = 1e-15


@dataclass(frozen=True, kw_only=True, eq=False)
class Validated:
    """Out-of-fold predictions (n,) or probabilities (n, classes), RMSE or mean log loss, and the number of stages (0: it has none)."""

    out_of_fold: Array
    error: float
    rounds: int


def split_by(n: int, folds: int, seed: int, *, groups: Array | None = None, labels: Array | None = None) -> list[tuple[Rows, Rows]]:
    """(inside, outside) rows of each fold. Whoever shares a number of `groups` (n,) is on one side; classes `labels` are spread evenly."""
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

    kind = {(0, 0): KFold, (1, 0): GroupKFold, (0, 1): StratifiedKFold, (1, 1): StratifiedGroupKFold}[
        groups is not None, labels is not None
    ]
    return list(kind(folds, shuffle=True, random_state=seed).split(np.empty((n, 0)), labels, groups))


def validated(new: Callable[[], Any], x: Array, y: Array, splits: Splits, *, groups: Array | None = None) -> Validated:
    """Cross-validate what `new` makes; a staged estimator stops where the fold-averaged learning curve is least.

    The error is the root of the folds' mean squared error, or the mean log loss of an estimator with `predict_proba`.
    """
    if hasattr(new(), "watch"):
        return _staged(new, x, y, splits)
    seen = [fitted(new(), x[inside], y[inside], None if groups is None else groups[inside]) for inside, _ in splits]
    pieces = [outputs(one, x[outside]) for one, (_, outside) in zip(seen, splits, strict=True)]
    errors = [_error(piece, y[outside], one) for piece, one, (_, outside) in zip(pieces, seen, splits, strict=True)]
    joined = _joined(pieces, splits, len(y), np.unique(y), seen)
    classes = hasattr(seen[0], "predict_proba")
    return Validated(out_of_fold=joined, error=float(np.mean(errors) if classes else np.sqrt(np.mean(errors))), rounds=0)


def _staged(new: Callable[[], Any], x: Array, y: Array, splits: Splits) -> Validated:
    seen = [new() for _ in splits]
    watched = [one.watch(x[inside], y[inside], x[outside], y[outside]) for one, (inside, outside) in zip(seen, splits, strict=True)]
    longest = min(len(curve) for curve, _ in watched)
    classes = hasattr(seen[0], "predict_proba")
    curves = [curve[:longest] for curve, _ in watched]
    mean = np.mean(curves, axis=0) if classes else np.sqrt(np.mean(np.square(curves), axis=0))
    rounds = int(np.argmin(mean)) + 1
    joined = _joined([at(rounds) for _, at in watched], splits, len(y), np.unique(y), seen)
    return Validated(out_of_fold=joined, error=float(mean[rounds - 1]), rounds=rounds)


def _joined(pieces: Sequence[Array], splits: Splits, n: int, labels: Array, seen: Sequence[Any]) -> Array:
    if pieces[0].ndim == 1:
        found = np.empty(n)
        for piece, (_, outside) in zip(pieces, splits, strict=True):
            found[outside] = piece
        return found
    found = np.zeros((n, len(labels)))
    for piece, one, (_, outside) in zip(pieces, seen, splits, strict=True):
        found[np.ix_(outside, np.searchsorted(labels, one.classes_))] = piece
    return found


def fitted(estimator: Any, x: Array, y: Array, groups: Array | None = None) -> Any:
    """The estimator after `fit`, told the groups where it cross-validates inside."""
    return estimator.fit(x, y, groups=groups) if getattr(estimator, "grouped", False) and groups is not None else estimator.fit(x, y)


def outputs(estimator: Any, x: Array) -> Array:
    """Probabilities (n, classes) of a classifier, predictions (n,) of a regressor."""
    found = estimator.predict_proba(x) if hasattr(estimator, "predict_proba") else estimator.predict(x)
    return np.asarray(found, dtype=np.float64)


def _error(found: Array, truth: Array, estimator: Any) -> float:
    if found.ndim == 1:
        return float(np.mean((found - truth) ** 2))
    return log_loss(found, truth, estimator.classes_)


def log_loss(probability: Array, truth: Array, labels: Array) -> float:
    """Mean of -log of the probability given to the true class; a class never seen counts as probability 1e-15.

    >>> round(log_loss(np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([0, 1]), np.array([0, 1])), 4)
    0.4581
    """
    place = np.minimum(np.searchsorted(labels, truth), len(labels) - 1)
    given = np.where(labels[place] == truth, probability[np.arange(len(truth)), place], 0.0)
    return float(-np.mean(np.log(np.maximum(given, TINY))))
