"""Regret of a chosen dose: the probability of the target that it gives away, patient by patient, under the model that makes the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from auctor.learn.scores import Score, resamples, score

Array = NDArray[np.float64]


def regret_scores(attained: Array, best: Array, *, seed: int = 0) -> Mapping[str, Score]:
    """Mean P(target) of the chosen doses and mean regret (best possible minus attained), with bootstrap 95 % intervals over patients.

    `attained`, `best` (n,): probabilities that integrate the generating model over eta, so that no single draw decides. `best` is the
    maximum over the doses of the same table: it leans upwards by the Monte-Carlo error of the table, and the regret with it.

    >>> found = regret_scores(np.array([0.5, 0.7]), np.array([0.6, 0.7]))
    >>> round(found["P(target)"].value, 6), round(found["regret"].value, 6)
    (0.6, 0.05)
    """
    rows = resamples(len(attained), seed=seed)
    return {"P(target)": score(_mean, attained, rows=rows), "regret": score(_mean, best - attained, rows=rows)}


def _mean(values: Array) -> Array:
    return np.asarray(np.mean(values, axis=-1), dtype=np.float64)


def roc_auc(event: Array, predicted: Array) -> float:
    """Area under the ROC curve of a score (n,) for events (n,) of 0 or 1: P(score of an event > score of none), ties a half.

    Reference: Hanley & McNeil, Radiology 1982;143:29-36.

    >>> roc_auc(np.array([0.0, 1.0, 1.0]), np.array([0.2, 0.2, 0.9]))
    0.75
    """
    from scipy.stats import rankdata

    positive = event > 0.5
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if min(n1, n0) == 0:
        return float("nan")
    ranks = rankdata(predicted)
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))


def roc_score(event: Array, predicted: Array, *, seed: int = 0, times: int = 500) -> Score:
    """The area with its bootstrap 95 % interval over patients."""
    drawn = [roc_auc(event[rows], predicted[rows]) for rows in resamples(len(event), times=times, seed=seed)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Score(value=roc_auc(event, predicted), low=float(low), high=float(high))
