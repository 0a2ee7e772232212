"""Comparing methods on the same patients: accuracy of each, and the paired ratio of their errors, with bootstrap intervals.

The measures themselves (rMPE, rRMSE, out20, out30, coverage) live in `auctor.learn.scores`, because a learner's card needs them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auctor.learn.scores import MEASURES, Score, accuracy, resamples, score

if TYPE_CHECKING:
    from rich.table import Table

Array = NDArray[np.float64]
COLUMNS = ("rMPE", "rRMSE", "out20", "out30", "coverage")


def error_ratio(predicted: Array, against: Array, reference: Array, *, seed: int = 0) -> Score:
    """rRMSE of `predicted` over rRMSE of `against`, both resampled with the same patients; all (n,).

    >>> truth = np.ones(4)
    >>> round(error_ratio(truth * 1.2, truth * 1.1, truth).value, 6)
    2.0
    """
    errors = [(p - reference) / reference for p in (predicted, against)]
    rows = resamples(len(reference), seed=seed)
    drawn = MEASURES["rRMSE"](errors[0][rows]) / MEASURES["rRMSE"](errors[1][rows])
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Score(value=float(MEASURES["rRMSE"](errors[0]) / MEASURES["rRMSE"](errors[1])), low=float(low), high=float(high))


def as_it_is(found: Score, digits: int = 3) -> str:
    """A measure that is no share of anything, with its interval.

    >>> as_it_is(Score(value=1.02, low=0.98, high=1.07))
    '1.020 (0.980 to 1.070)'
    """
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def least_relative(draws: Array) -> Array:
    """The point E[1/x] / E[1/x^2] of draws (.., d) that minimises the expected squared *relative* error, shape (..).

    The mean minimises the squared error; where draws spread, rRMSE asks for this lower point.

    >>> float(least_relative(np.array([1.0, 2.0])))
    1.2
    """
    return np.asarray(np.mean(1 / draws, axis=-1) / np.mean(1 / draws**2, axis=-1))


def explained(predicted: Array, reference: Array, *, seed: int = 0) -> Score:
    """R2 = 1 - sum (reference - predicted)^2 / sum (reference - mean)^2 with its bootstrap interval over patients; both (n,).

    >>> truth = np.arange(1.0, 9.0)
    >>> explained(truth, truth).value, round(explained(np.full(8, truth.mean()), truth).value, 9)
    (1.0, 0.0)
    """
    rows = resamples(len(reference), seed=seed)

    def share(chosen: NDArray[np.int64]) -> Array:
        own = reference[chosen]
        left, spread = np.mean((own - predicted[chosen]) ** 2, axis=-1), np.var(own, axis=-1)
        return np.asarray(1 - left / np.maximum(spread, 1e-300))

    low, high = np.quantile(share(rows), [0.025, 0.975])
    return Score(value=float(share(np.arange(len(reference)))), low=float(low), high=float(high))


def columns(rows: Mapping[str, Mapping[str, Score]]) -> dict[str, str]:
    """Measure -> heading of a table's columns: the usual ones, and R2 where it was measured."""
    found = {name: "90 % interval covers" if name == "coverage" else name for name in COLUMNS}
    return found | ({"R2": "R²"} if all("R2" in scores for scores in rows.values()) else {})


def score_table(rows: Mapping[str, Mapping[str, Score]], *, title: str, caption: str) -> Table:
    """Methods -> measure -> score for the terminal: percent with 95 % bootstrap intervals."""
    from rich.table import Table

    found = Table(title=title, caption=caption)
    found.add_column("method")
    names = columns(rows)
    for heading in names.values():
        found.add_column(heading, justify="right")
    for method, scores in rows.items():
        found.add_row(method, *(str(scores[name]) for name in names))
    return found


__all__ = [
    "COLUMNS",
    "MEASURES",
    "Score",
    "accuracy",
    "as_it_is",
    "columns",
    "error_ratio",
    "explained",
    "least_relative",
    "resamples",
    "score",
    "score_table",
]
