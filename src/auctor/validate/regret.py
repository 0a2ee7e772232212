"""Regret of a chosen dose: the probability of the target that it gives away, patient by patient, under the model that makes the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from auctor.learn.probability import roc_auc, roc_score
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


__all__ = ["regret_scores", "roc_auc", "roc_score"]
