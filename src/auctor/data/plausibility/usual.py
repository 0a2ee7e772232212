"""How usual a positive number is: lognormal with a share of broad outsiders, so that nothing is impossible."""

from __future__ import annotations

import math

import numpy as np

BROAD, BROAD_SHARE = 1.0, 0.05  # log-SD of those unlike the rest, beside the spread of the rest, and their share: assumed


def log_lognormal(value: float, centre: float, spread: float) -> float:
    """Log density at a value, lognormal with median `centre` and log-SD `spread`.

    >>> round(log_lognormal(1.0, 1.0, 1.0), 4)
    -0.9189
    """
    return -0.5 * (math.log(value / centre) / spread) ** 2 - math.log(value * spread * math.sqrt(2 * math.pi))


def log_usual(value: float, centre: float, spread: float) -> float:
    """The same with the outsiders."""
    inside, outside = (log_lognormal(value, centre, sd) for sd in (spread, math.hypot(spread, BROAD)))
    return float(np.logaddexp(inside + math.log(1 - BROAD_SHARE), outside + math.log(BROAD_SHARE)))
