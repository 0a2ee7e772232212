"""Probabilities of an event that mean what they say: a logistic recalibration on patients of its own, and how they are scored.

The estimator's logit is moved to a + b logit(p), fitted to the calibration part with a weak prior at a = 0, b = 1, which leave it as it is
(Cox, Biometrika 1958;45:562-565; Platt 1999). Scores: Brier (Mon Weather Rev 1950;78:1-3), log loss, and the area under the ROC curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.learn.scores import Score, brier, resamples, score

Array = NDArray[np.float64]
LEAST = 1e-6  # a probability is never nearer to 0 or 1
BINS = 5
TIMES = 500
PRIOR = np.diag([1.0, 2.0])  # precision of a and b: a patient or two, against hundreds that calibrate


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """logit of the probability -> a + b logit.

    >>> one = Recalibration(a=0.0, b=1.0)
    >>> one(np.array([0.2, 0.5])).round(6).tolist()
    [0.2, 0.5]
    """

    a: float
    b: float

    @classmethod
    def fit(cls, probability: Array, happened: Array) -> Recalibration:
        """The mode under a ~ N(0, 1), b ~ N(1, 1/2), by Newton's method; (n,) each. A few patients leave it near what was said."""
        columns, at = np.stack([np.ones_like(probability), logit(probability)]), np.array([0.0, 1.0])
        for _ in range(50):
            p = 1 / (1 + np.exp(-at @ columns))
            slope = columns @ (happened - p) - PRIOR @ (at - [0.0, 1.0])
            step = np.linalg.solve((columns * (p * (1 - p))) @ columns.T + PRIOR, slope)
            at = at + np.clip(step, -2.0, 2.0)
            if np.abs(step).max() < 1e-10:
                break
        return cls(a=float(at[0]), b=float(at[1]))

    def __call__(self, probability: Array) -> Array:
        """Recalibrated probabilities, same shape."""
        return np.asarray(1 / (1 + np.exp(-(self.a + self.b * logit(probability)))), dtype=np.float64)

    def as_dict(self) -> dict[str, float]:
        """For a card."""
        return {"intercept": self.a, "slope": self.b}


def logit(probability: Array) -> Array:
    """log(p / (1 - p)), p kept off 0 and 1."""
    inside = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)


def event_scores(probability: Array, happened: Array, prevalence: float, *, seed: int = 0) -> dict[str, Score]:
    """Brier score, that of the training part's `prevalence` for everybody, log loss and ROC area, with bootstrap intervals; (n,) each."""
    rows = resamples(len(happened), seed=seed)
    loss = -np.log(np.clip(np.where(happened > 0.5, probability, 1 - probability), LEAST, 1.0))
    return {
        "Brier": brier(probability, happened, seed=seed),
        "Brier of the prevalence": brier(np.full_like(probability, prevalence), happened, seed=seed),
        "log loss": score(lambda v: np.asarray(np.mean(v, axis=-1)), loss, rows=rows),
        "ROC-AUC": roc_score(happened, probability, seed=seed),
    }


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


def roc_score(event: Array, predicted: Array, *, seed: int = 0, times: int = TIMES) -> Score:
    """The area with its bootstrap 95 % interval over patients."""
    drawn = [roc_auc(event[rows], predicted[rows]) for rows in resamples(len(event), times=times, seed=seed)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Score(value=roc_auc(event, predicted), low=float(low), high=float(high))


def reliability(probability: Array, happened: Array) -> list[dict[str, Any]]:
    """In fifths of the patients by their probability: the mean that was said, and the share to whom it happened."""
    order = np.argsort(probability, kind="stable")
    parts = [rows for rows in np.array_split(order, BINS) if len(rows)]
    return [
        {"said": round(float(probability[rows].mean()), 6), "happened": round(float(happened[rows].mean()), 6), "patients": len(rows)}
        for rows in parts
    ]
