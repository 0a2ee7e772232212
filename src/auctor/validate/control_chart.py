"""Whether predictions that were made before the levels were known are still right: bias by an EWMA chart, coverage and calibration by
binomial limits.

The probability integral transform of a level (its percentile / 100) is uniform, and independent of the one before it, when each level is
predicted from all the earlier ones by the true model (Rosenblatt M, Ann Math Stat 1952;23:470; Dawid AP, J R Stat Soc A 1984;147:278;
Gneiting T, J R Stat Soc B 2007;69:243). Its normal score is then N(0, 1), whatever the drug: one chart serves all of them.

EWMA: Roberts SW, Technometrics 1959;1:239. Weight 0.1 with limits of 2.814 SD has an average run length of 500 levels without a change and
of 31 after a shift of half an SD (Lucas JM, Saccucci MS, Technometrics 1990;32:1, table 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
WEIGHT, LIMIT, RUN_LENGTH = 0.1, 2.814, 500
ALPHA = 0.01  # of a binomial check, both sides together
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Ewma:
    """The chart: a value after each level, in SDs of one score; it signals beyond +-`limit`. `first_signal` counts levels from 1."""

    values: tuple[float, ...]
    limit: float
    first_signal: int | None


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many of `n` levels fell where a share of `expected` should, and the limits within which that count is no surprise."""

    found: int
    n: int
    expected: float
    low: int
    high: int

    @property
    def within(self) -> bool:
        """Whether the count lies within its limits."""
        return self.low <= self.found <= self.high

    @property
    def share(self) -> float | None:
        """The share found, None of none."""
        return self.found / self.n if self.n else None


def scores(percentiles: Sequence[float]) -> Array:
    """Normal scores of percentiles (0-100)."""
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(np.asarray(percentiles, dtype=np.float64) / 100.0, 1e-6, 1 - 1e-6)))


def ewma(percentiles: Sequence[float]) -> Ewma:
    """The chart of levels in the order in which they became known: z_i = 0.1 x_i + 0.9 z_(i-1), z_0 = 0.

    >>> ewma([97.5] * 20).first_signal, ewma([60, 40] * 20).first_signal
    (4, None)
    """
    limit, value, values = LIMIT * float(np.sqrt(WEIGHT / (2.0 - WEIGHT))), 0.0, []
    for score in scores(percentiles):
        value = WEIGHT * float(score) + (1.0 - WEIGHT) * value
        values.append(value)
    signal = next((k for k, one in enumerate(values, 1) if abs(one) > limit), None)
    return Ewma(values=tuple(values), limit=limit, first_signal=signal)


def inside(percentiles: Sequence[float], level: float, *, alpha: float = ALPHA) -> Count:
    """Levels inside the central interval of that level, against binomial limits.

    >>> inside([50, 97, 3, 70], 0.9).found
    2
    """
    low, high = 50.0 * (1.0 - level), 50.0 * (1.0 + level)
    return counted(sum(low <= p <= high for p in percentiles), len(percentiles), level, alpha=alpha)


def counted(found: int, n: int, expected: float, *, alpha: float = ALPHA) -> Count:
    """A count with the limits outside of which Binomial(n, expected) falls with a probability of at most alpha, half on each side."""
    from scipy.stats import binom

    low, high = (int(binom.ppf(p, n, expected)) if n else 0 for p in (alpha / 2, 1 - alpha / 2))
    return Count(found=found, n=n, expected=expected, low=low, high=high)


def histogram(percentiles: Sequence[float], *, alpha: float = ALPHA) -> tuple[Count, ...]:
    """The PIT histogram in ten bins; the limits hold for all of them together (Bonferroni)."""
    found, _ = np.histogram(np.asarray(percentiles, dtype=np.float64), bins=BINS, range=(0.0, 100.0))
    return tuple(counted(int(k), len(percentiles), 1.0 / BINS, alpha=alpha / BINS) for k in found)
