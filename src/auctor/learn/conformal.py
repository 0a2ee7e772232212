"""Conformal predictive distributions: what a prediction's errors on exchangeable patients say about the next patient's.

All methods here share one design: an error is divided by an expected size that may differ from patient to patient (and, for `cqr`, between
the two sides), and the order statistics (n + 1) p of the divided errors are multiplied back. MAPIE and crepes do not do this on our scale:
MAPIE's CV+ takes absolute errors of one size for all, crepes' normalised distributions have one side and no CV+. Where they overlap with
this file the tests compare. With subgroups only errors of the patient's own subgroup count (Mondrian; Vovk 2003).

split: Papadopoulos 2002. cv+: Barber 2021, Ann Stat 49:486, with signed errors, the same number of them cut off on each side; jackknife+ is
cv+ with as many folds as patients. cqr: Romano 2019 in the scaled form of Kivaranovic 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from auctor.errors import OutOfDomain, PlanError

Array = NDArray[np.float64]
Labels = NDArray[np.str_]
EVERYONE = ""
LEAST = 39  # the fewest errors whose 5 % and 95 % order statistics are not the extreme ones
SLIM = 1e-3  # least half-width on the modelled (log) scale where quantile curves meet or cross
CHUNK = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast:
    """What one or several models say of n patients: `center`, `below` and `above` (expected size of errors to each side), (k, n)."""

    center: Array
    below: Array
    above: Array

    @classmethod
    def even(cls, center: Array, size: Array) -> Forecast:
        """One model (n,) whose errors have the same size on both sides."""
        return cls(center=center[None], below=size[None], above=size[None])

    @classmethod
    def between(cls, center: Array, quantiles: Array) -> Forecast:
        """One model (n,) and three quantiles (n, 3) of its error: the middle one moves the centre, the others are the sizes."""
        low, middle, high = np.sort(quantiles, axis=1).T
        return cls(center=(center + middle)[None], below=np.maximum(middle - low, SLIM)[None], above=np.maximum(high - middle, SLIM)[None])

    @classmethod
    def joined(cls, several: list[Forecast]) -> Forecast:
        """The models of several forecasts of the same patients."""
        return cls(**{name: np.concatenate([getattr(f, name) for f in several]) for name in ("center", "below", "above")})

    def scaled(self, truth: Array) -> Array:
        """Errors of the only model divided by their expected size, (n,)."""
        error = truth - self.center[0]
        return np.asarray(error / np.where(error < 0, self.below[0], self.above[0]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """Divided errors `scores` (m,), sorted within model and subgroup; `model` (m,) which model made each, `cells` (m,) its subgroup."""

    scores: Array
    model: NDArray[np.int64]
    cells: Labels

    @classmethod
    def of(cls, scores: Array, *, model: NDArray[np.int64] | None = None, cells: Labels | None = None) -> Calibration:
        """In a fixed order. Raises PlanError for a subgroup too small to cut 5 % off each side of it."""
        which = np.zeros(len(scores), dtype=np.int64) if model is None else model
        labels = np.full(len(scores), EVERYONE) if cells is None else cells
        for cell, count in zip(*np.unique(labels, return_counts=True), strict=True):
            if cell != EVERYONE and count < LEAST:
                what = f"leave {count} patients to calibrate {cell}, and {LEAST} are the fewest that can be"
                raise PlanError(where="interval.groups", what=what, remedy="cut less finely, or simulate more patients")
        order = np.lexsort((scores, which, labels))
        return cls(scores=scores[order], model=which[order], cells=labels[order])

    def quantiles(self, forecast: Forecast, levels: Array, cells: Labels | None = None) -> Array:
        """Quantiles (n, n_levels) of n patients' truth; raises OutOfDomain for a subgroup without calibration."""
        n = forecast.center.shape[1]
        labels = np.full(n, EVERYONE) if cells is None else cells
        found = np.empty((n, len(levels)))
        for cell in np.unique(labels):
            mine, kept = np.flatnonzero(labels == cell), self.cells == cell
            if not kept.any():
                raise OutOfDomain(where="covariates", what="no calibration patient is in this subgroup", remedy="use another method")
            for start in range(0, len(mine), CHUNK):
                rows = mine[start : start + CHUNK]
                found[rows] = _quantiles(self.scores[kept], self.model[kept], _cut(forecast, rows), levels)
        return found

    def document(self) -> Any:
        """For JSON: a list of numbers where that says it all, otherwise lists by subgroup and model."""
        if not self.model.any() and np.all(self.cells == EVERYONE):
            return [float(s) for s in self.scores]
        keys = sorted(set(zip(self.cells.tolist(), self.model.tolist(), strict=True)))
        return [{"cell": c, "model": k, "scores": self.scores[(self.cells == c) & (self.model == k)].tolist()} for c, k in keys]

    @classmethod
    def read(cls, document: Any) -> Calibration:
        """What `document` wrote."""
        if document and not isinstance(document[0], Mapping):
            return cls.of(np.asarray(document, dtype=np.float64))
        parts = [(np.asarray(d["scores"], dtype=np.float64), d["model"], d["cell"]) for d in document]
        return cls.of(
            np.concatenate([s for s, _, _ in parts]),
            model=np.concatenate([np.full(len(s), k, dtype=np.int64) for s, k, _ in parts]),
            cells=np.concatenate([np.full(len(s), cell) for s, _, cell in parts]),
        )


def _cut(forecast: Forecast, rows: NDArray[np.int64]) -> Forecast:
    return Forecast(center=forecast.center[:, rows], below=forecast.below[:, rows], above=forecast.above[:, rows])


def _quantiles(scores: Array, model: NDArray[np.int64], forecast: Forecast, levels: Array) -> Array:
    """Order statistics (n + 1) p of what every error would make of the patient's own forecast; (n, n_levels)."""
    if len(forecast.center) == 1:
        kept = np.quantile(scores, levels, method="weibull")
        return np.asarray(forecast.center[0][:, None] + np.where(kept < 0, forecast.below[0][:, None], forecast.above[0][:, None]) * kept)
    size = np.where(scores[:, None] < 0, forecast.below[model], forecast.above[model])
    return np.asarray(np.quantile(forecast.center[model] + size * scores[:, None], levels, axis=0, method="weibull").T)
