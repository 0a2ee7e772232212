"""Whether Markov chains have mixed: rank-normalised split R-hat and bulk effective sample size, in NumPy.

Reference: Vehtari A et al., Bayesian Analysis 2021;16:667-718; the sum of autocorrelations stops as in Geyer CJ, Stat Sci 1992;7:473-483.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RHAT_LIMIT = 1.01  # above it chains have not mixed


def rank_rhat(draws: Array) -> Array:
    """R-hat (p,) of draws (chains, n, p): the larger of that of the ranks and that of the ranks of the distance from the median.

    >>> alike = np.random.default_rng(0).standard_normal((2, 1000, 1))
    >>> bool(rank_rhat(alike)[0] < 1.01), bool(rank_rhat(alike + np.array([0.0, 2.0])[:, None, None])[0] > 1.5)
    (True, True)
    """
    split = _halves(draws)
    folded = np.abs(split - np.median(split, axis=(0, 1)))
    return np.maximum(_rhat(_rank_normal(split)), _rhat(_rank_normal(folded)))


def bulk_ess(draws: Array) -> Array:
    """Bulk effective sample size (p,) of draws (chains, n, p); 0 where nothing moved.

    >>> float(bulk_ess(np.zeros((2, 100, 1)))[0])
    0.0
    """
    z = _rank_normal(_halves(draws))
    return np.asarray([_ess(z[:, :, k]) for k in range(z.shape[2])])


def _halves(draws: Array) -> Array:
    """Each chain as two, so that a drift within a chain counts as a difference between chains."""
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _rank_normal(values: Array) -> Array:
    """Normal scores of the ranks over all chains, ties sharing their mean rank (Blom's plotting positions)."""
    from scipy.special import ndtri

    flat = values.reshape(-1, values.shape[-1])
    ranks = np.stack([_mean_rank(column) for column in flat.T], axis=-1)
    return np.asarray(ndtri((ranks - 0.375) / (len(flat) + 0.25))).reshape(values.shape)


def _mean_rank(column: Array) -> Array:
    _, inverse, count = np.unique(column, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return np.asarray((last - (count - 1) / 2)[inverse], dtype=np.float64)


def _rhat(values: Array) -> Array:
    """sqrt of (total / within-chain variance), 1 where nothing moved."""
    n = values.shape[1]
    within = values.var(axis=1, ddof=1).mean(axis=0)
    between = values.mean(axis=1).var(axis=0, ddof=1)
    still = within <= 0
    ratio = (n - 1) / n + between / np.where(still, 1.0, within)
    return np.asarray(np.sqrt(np.where(still, np.where(between > 0, np.inf, 1.0), ratio)))


def _ess(values: Array) -> float:
    """Effective sample size of one quantity, (chains, n)."""
    chains, n = values.shape
    covariance = _autocovariance(values).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + values.mean(axis=1).var(ddof=1)
    if within <= 0:
        return 0.0
    correlation = 1 - (within - covariance) / total
    correlation[0] = 1.0
    tau = _geyer(correlation)
    return float(chains * n / max(tau, 1 / math.log10(chains * n)))


def _autocovariance(values: Array) -> Array:
    """Autocovariance at lags 0 to n - 1 of each chain, (chains, n)."""
    n = values.shape[1]
    transformed = np.fft.rfft(values - values.mean(axis=1, keepdims=True), n=2 * n, axis=1)
    return np.asarray(np.fft.irfft(np.abs(transformed) ** 2, n=2 * n, axis=1)[:, :n] / n)


def _geyer(correlation: Array) -> float:
    """The integrated autocorrelation time: sums of neighbouring lags, as long as they are positive, made decreasing."""
    even = len(correlation) // 2 * 2
    pairs = correlation[:even].reshape(-1, 2).sum(axis=1)
    stop = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    falling = np.minimum.accumulate(pairs[:stop])
    # one more even lag, when it is positive, lessens the bias; it too may not rise above the pair before it
    rest = max(correlation[2 * stop], 0.0) if 2 * stop < even else 0.0
    rest = 1.5 * falling[-1] if stop and rest > falling[-1] else rest
    return float(-1 + 2 * falling.sum() + rest)
