"""How unlike the training patients a patient is, all features taken together: each may be in its range and the combination unseen.

Features are turned into normal scores of the training distribution, their correlation is kept, and the distance is Mahalanobis' in those
scores (the density of a Gaussian copula). No training patient is kept, only quantiles and one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import PlanError

Array = NDArray[np.float64]
KNOTS = 200
RIDGE = 0.02  # added to the correlation matrix: features that are functions of each other make it singular
TAIL = 4.0  # normal scores end here: what lies beyond the ranges is refused by the ranges


@dataclass(frozen=True, kw_only=True, eq=False)
class Density:
    """Quantiles of each feature (`knots`) with their normal scores, `root` (p, p) of the inverse correlation, and the `threshold`."""

    knots: tuple[Array, ...]
    scores: tuple[Array, ...]
    root: Array
    threshold: float = np.inf

    @classmethod
    def of(cls, x: Array, held: Array, share: float) -> Density:
        """From training features `x` (n, p); the threshold lets `share` of patients like the held-out ones (m, p) pass.

        It is the order statistic (m + 1) share of their distances, so it holds for any distribution of exchangeable patients.
        Raises PlanError where m is too small for that.
        """
        marks = [_marks(column[np.isfinite(column)]) for column in x.T]
        knots, scores = tuple(m[0] for m in marks), tuple(m[1] for m in marks)
        z = _normal(x, knots, scores)
        correlation = z.T @ z / len(z) + RIDGE * np.eye(z.shape[1])
        root = np.linalg.inv(np.linalg.cholesky(correlation)).T
        found = cls(knots=knots, scores=scores, root=root)
        rank = int(np.ceil((len(held) + 1) * share - 1e-9))
        if rank > len(held):
            what = f"is {share:g}, which the distances of {len(held)} held-out patients cannot tell"
            raise PlanError(where="domain.density", what=what, remedy="write a smaller share, or simulate more patients for calibration")
        return cls(knots=knots, scores=scores, root=root, threshold=float(np.sort(found.distance(held))[rank - 1]))

    def distance(self, x: Array) -> Array:
        """Distance (n,) from the centre of the training patients; a feature that is missing (NaN) adds nothing."""
        return np.asarray(np.sqrt(np.sum((_normal(x, self.knots, self.scores) @ self.root) ** 2, axis=1)))

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """Who is further away than the threshold, (n,)."""
        return self.distance(x) > self.threshold

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "knots": [k.tolist() for k in self.knots],
            "scores": [s.tolist() for s in self.scores],
            "root": self.root.tolist(),
            "threshold": self.threshold,
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Density:
        """What `document` wrote."""
        knots, scores = (tuple(np.asarray(row) for row in document[name]) for name in ("knots", "scores"))
        return cls(knots=knots, scores=scores, root=np.asarray(document["root"]), threshold=document["threshold"])


def _marks(values: Array) -> tuple[Array, Array]:
    """Up to 200 different values of a feature and the normal score of the middle of the ranks each has."""
    from scipy.special import ndtri

    if not len(values):
        return np.zeros(1), np.zeros(1)
    ordered = np.sort(values)
    knots = np.unique(np.quantile(ordered, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
    low, high = np.searchsorted(ordered, knots, side="left"), np.searchsorted(ordered, knots, side="right")
    return knots, np.clip(ndtri((low + high) / 2 / len(ordered)), -TAIL, TAIL)


def _normal(x: Array, knots: tuple[Array, ...], scores: tuple[Array, ...]) -> Array:
    columns = [np.interp(column, k, s) for column, k, s in zip(x.T, knots, scores, strict=True)]
    return np.asarray(np.nan_to_num(np.stack(columns, axis=1), nan=0.0))
