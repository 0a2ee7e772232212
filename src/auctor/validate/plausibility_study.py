"""How well the plausibility check tells clean cases from corrupted ones: scores, thresholds, sensitivity, ROC curves."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from auctor.data.plausibility.check import check
from auctor.data.plausibility.finding import Family, Kind
from auctor.data.plausibility.hypothesis import priors
from auctor.data.plausibility.thresholds import FALSE_ALARMS, LEAST, log_factors
from auctor.validate.injected import KINDS, Design, clean, corrupted, possible

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]
CLEAN = ""
NEVER = -1e3  # the score of a family that had nothing to weigh
MAIN, MAIN_SHARE = "30 min after the dose", 0.2
AIM = 0.045  # of clean cases flagged in calibration, so that the 5 % hold for others


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One case: what was put in ("" for nothing), kind and log likelihood ratio of all that was weighed, leave-one-out percentiles.

    That of a level under its limit is drawn from those it may have (Dunn PK, Smyth GK, J Comput Graph Stat 1996;5:236): without these
    levels the others would be a selection, and not uniform.
    """

    injected: str
    ratios: tuple[tuple[Kind, float], ...]
    percentiles: tuple[float, ...]

    @cached_property
    def families(self) -> Mapping[Family, float]:
        """The log Bayes factor of each family."""
        return log_factors(self.ratios)

    @cached_property
    def kinds(self) -> Mapping[Kind, float]:
        """The log of the mean likelihood ratio of each kind's members, one for each sample it may have happened to.

        By Neyman and Pearson no test has more power against a slip of that kind at a sample drawn by lot.
        """
        found: dict[Kind, list[float]] = {}
        for kind, ratio in self.ratios:
            found.setdefault(kind, []).append(ratio)
        return {kind: float(np.logaddexp.reduce(values) - np.log(len(values))) for kind, values in found.items()}

    @property
    def leading(self) -> Kind:
        """The kind with the highest posterior odds."""
        return max(self.ratios, key=lambda pair: pair[1] + math.log(priors()[pair[0]]))[0]


class Roc(NamedTuple):
    """False-alarm rate and sensitivity at every threshold, from (0, 0) to (1, 1), and the area under the curve."""

    false_alarms: Array
    sensitivity: Array
    area: float


def plan(design: Design, *, n_clean: int, n_corrupted: int) -> tuple[str, ...]:
    """What is injected into each case: nothing, the post-dose trough a fifth of the corrupted ones, the other kinds evenly."""
    kinds = possible(design, design.read())
    main = round(MAIN_SHARE * n_corrupted)
    others = [k for k in kinds if k != MAIN]
    return (CLEAN,) * n_clean + (MAIN,) * main + tuple(others[i % len(others)] for i in range(n_corrupted - main))


def scores(design: Design, injected: Sequence[str], *, seed: int, progress: Progress | None = None) -> list[Scored]:
    """Simulate and check one case for each entry; the same seed gives the same cases whatever comes before them."""
    model, found = design.read(), []
    for i, kind in enumerate(injected):
        rng = np.random.default_rng([seed, zlib.crc32(design.name.encode()), zlib.crc32(kind.encode()), i])
        case = corrupted(design, model, kind, rng) if kind else clean(design, model, rng)
        result = check(case, model, seed=i)
        found.append(
            Scored(
                injected=kind,
                ratios=tuple((f.kind, f.log_likelihood_ratio) for f in result.alternatives),
                percentiles=tuple(float(rng.uniform(*p.leave_one_out)) for p in result.places),
            )
        )
        if progress and i % 50 == 0:
            progress(design.name, i / len(injected))
    return found


def calibrated(cases: Sequence[Scored], total: float = AIM) -> dict[Family, float]:
    """Log factors that clean cases pass in the shares of `FALSE_ALARMS`, all stretched so that `total` of the cases pass any of them.

    Families overlap, so the shares may be stretched; never below `LEAST`.
    """
    low, high = 0.2, 1.0 / max(FALSE_ALARMS.values())
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if flagged(cases, _at(cases, middle)).mean() <= total else (low, middle)
    return _at(cases, low)


def _at(cases: Sequence[Scored], stretch: float) -> dict[Family, float]:
    found = {}
    for family, share in FALSE_ALARMS.items():
        values = family_scores(cases, family)
        if np.any(values > NEVER):
            found[family] = max(float(np.quantile(values, max(1 - stretch * share, 0.0), method="higher")), LEAST)
    return found


def family_scores(cases: Sequence[Scored], family: Family) -> Array:
    """Log factors of one family, (cases,)."""
    return np.asarray([case.families.get(family, NEVER) for case in cases])


def kind_scores(cases: Sequence[Scored], injected: str) -> Array:
    """The best test for that slip: log factors of its kinds averaged, (cases,)."""
    rows = [[case.kinds.get(kind, NEVER) for kind in KINDS[injected]] for case in cases]
    return np.asarray(np.logaddexp.reduce(np.asarray(rows), axis=1))


def flagged(cases: Sequence[Scored], thresholds: Mapping[Family, float], families: Sequence[Family] = tuple(Family)) -> NDArray[np.bool_]:
    """Whether any of those families is flagged, (cases,)."""
    hits = [family_scores(cases, f) >= thresholds[f] for f in families if f in thresholds]
    return np.asarray(np.any(np.asarray(hits).reshape(len(hits), len(cases)), axis=0))


def margin(cases: Sequence[Scored], thresholds: Mapping[Family, float]) -> Array:
    """How far the case lies above its nearest threshold, (cases,): the score whose zero is the flag as it is shipped."""
    return np.asarray(np.max([family_scores(cases, f) - limit for f, limit in thresholds.items()], axis=0))


def roc(clean_scores: Array, corrupted_scores: Array) -> Roc:
    """The curve of "flag where the score is at least t" over all t; ties count half in the area (Mann and Whitney).

    >>> float(roc(np.array([0.0, 1.0]), np.array([1.0, 2.0])).area)
    0.875
    """
    cuts = np.unique(np.concatenate([clean_scores, corrupted_scores]))[::-1]
    false_alarms, hits = (1 - np.searchsorted(np.sort(s), cuts, side="left") / len(s) for s in (clean_scores, corrupted_scores))
    false_alarms, hits = np.concatenate([[0.0], false_alarms]), np.concatenate([[0.0], hits])
    area = float(np.sum(np.diff(false_alarms) * (hits[1:] + hits[:-1]) / 2))
    return Roc(false_alarms, hits, area)


def sensitivity_at(curve: Roc, false_alarms: float) -> float:
    """The largest sensitivity at no more than that false-alarm rate."""
    return float(np.max(curve.sensitivity[curve.false_alarms <= false_alarms + 1e-12]))


def interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of n. Reference: Wilson EB, J Am Stat Assoc 1927;22:209."""
    z = 1.959963984540054
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return float((centre - half) / (1 + z**2 / n)), float((centre + half) / (1 + z**2 / n))
