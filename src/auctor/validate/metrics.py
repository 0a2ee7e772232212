"""Comparing methods on the same patients: accuracy of each, and the paired ratio of their errors, with bootstrap intervals.

The measures themselves (rMPE, rRMSE, out20, out30, coverage) live in `auctor.learn.scores`, because a learner's card needs them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auctor.learn.scores import MEASURES, Score, accuracy, resamples

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


def score_table(rows: Mapping[str, Mapping[str, Score]], *, title: str, caption: str) -> Table:
    """Methods -> measure -> score for the terminal: percent with 95 % bootstrap intervals."""
    from rich.table import Table

    found = Table(title=title, caption=caption)
    found.add_column("method")
    for name in COLUMNS:
        found.add_column("90 % interval covers" if name == "coverage" else name, justify="right")
    for method, scores in rows.items():
        found.add_row(method, *(str(scores[name]) for name in COLUMNS))
    return found


__all__ = ["COLUMNS", "MEASURES", "Score", "accuracy", "error_ratio", "resamples", "score_table"]
