"""A hypothesis about a record: its likelihood at every draw beside that of the record as it stands, and its weighing."""

from __future__ import annotations

import math
import tomllib
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import LARGEST, Facts, Finding, Kind

Array = NDArray[np.float64]


class Hypothesis(NamedTuple):
    """`log_likelihood` (n,) of the levels under it, `against` (n,) of the same levels as recorded; `offset` is free of eta."""

    kind: Kind
    where: str
    facts: Facts
    log_likelihood: Array
    against: Array
    offset: float = 0.0


@lru_cache(maxsize=1)
def priors() -> dict[Kind, float]:
    """The prior odds of each kind of slip (`priors.toml`)."""
    content = tomllib.loads(resources.files(__package__).joinpath("priors.toml").read_text(encoding="utf-8"))
    return {Kind(name): row["probability"] / (1 - row["probability"]) for name, row in content["kinds"].items()}


def weighed(evidence: Evidence, hypothesis: Hypothesis, *, auc_recorded: float | None = None) -> Finding:
    """The finding: marginal likelihood ratio against "as recorded", and the AUC that each implies."""
    ratio = evidence.log_mean(hypothesis.log_likelihood) + hypothesis.offset - evidence.log_mean(hypothesis.against)
    ratio = 0.0 if math.isnan(ratio) else min(max(ratio, -LARGEST), LARGEST)
    return Finding(
        kind=hypothesis.kind,
        where=hypothesis.where,
        facts=hypothesis.facts,
        log_likelihood_ratio=ratio,
        prior_odds=priors()[hypothesis.kind],
        auc_recorded=auc_recorded,
        auc_if=None if auc_recorded is None else evidence.auc(hypothesis.log_likelihood),
    )
