"""When a family of slips is flagged: its Bayes factor against "as recorded", at a value that keeps false alarms rare.

The Bayes factor averages the likelihood ratios of the family's members with their prior odds, so its mean over clean cases is 1 and
P(factor >= 1/a) <= a for every drug (Markov's inequality): that is the threshold without calibration. `thresholds.toml` holds
lower ones that simulation of clean cases found for a drug under a model (`python benchmarks/plausibility.py --calibrate`).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from auctor.data.plausibility.finding import Family, Kind
from auctor.data.plausibility.hypothesis import priors

Array = NDArray[np.float64]

# how many clean cases may be flagged for each family; 5 % in all
FALSE_ALARMS = {
    Family.TIMING: 0.035,
    Family.UNIT: 0.0025,
    Family.MOLAR: 0.0025,
    Family.HANDLING: 0.005,
    Family.IDENTITY: 0.0025,
    Family.COVARIATE: 0.0025,
}
LEAST = 0.0  # nothing is flagged that does not fit better than the record itself


def log_thresholds(model: str) -> tuple[Mapping[Family, float], bool]:
    """Natural log of the factor at which each family is flagged, and whether it was calibrated for this model of the drug."""
    found = _calibrated().get(model)
    return (_bounds(), False) if found is None else ({f: found.get(f.value, bound) for f, bound in _bounds().items()}, True)


def log_factors(ratios: Iterable[tuple[Kind, float]]) -> dict[Family, float]:
    """The log Bayes factor of each family from (kind, log likelihood ratio): averaged with the prior odds; labels left out."""
    found: dict[Family, list[tuple[float, float]]] = {}
    for kind, ratio in ratios:
        if kind is not Kind.LABEL:
            found.setdefault(kind.family, []).append((math.log(priors()[kind]), ratio))
    return {family: _log_average(np.asarray(found[family])) for family in Family if family in found}


def _log_average(members: Array) -> float:
    prior, ratio = members.T
    return float(np.logaddexp.reduce(prior + ratio) - np.logaddexp.reduce(prior))


@lru_cache(maxsize=1)
def _calibrated() -> Mapping[str, Mapping[str, float]]:
    content = tomllib.loads(resources.files(__package__).joinpath("thresholds.toml").read_text(encoding="utf-8"))
    models: Mapping[str, Mapping[str, float]] = content.get("models", {})
    return models


def _bounds() -> dict[Family, float]:
    return {family: -math.log(share) for family, share in FALSE_ALARMS.items()}
