"""Timing what-ifs of each sample: after the dose instead of before it and the reverse, two hours off, exchanged with another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from auctor.data.plausibility.administered import SLACK_H, Given, administrations, following, history_of, previous
from auctor.data.plausibility.evidence import Evidence
from auctor.data.plausibility.finding import Facts, Kind, Labelled
from auctor.data.plausibility.hypothesis import Hypothesis
from auctor.data.plausibility.likelihood import log_density, one

NEAR_H = 3.0  # a dose within this of a sample may have been given on its other side
SOON_H = 0.5  # after a swallowed dose, or the end of an infusion
OFF_H = 2.0
TROUGH_PART, PEAK_H = 0.75, 3.0  # a trough lies in the last quarter of its interval, a peak within 3 h of the dose's end


class _WhatIf(NamedTuple):
    kind: Kind
    sample: int
    facts: Facts

    @property
    def time_h(self) -> float:
        """When the blood would have been drawn, h."""
        assert self.facts.then_h is not None
        return self.facts.then_h


def mistimed(evidence: Evidence, labels: Mapping[int, str]) -> Iterator[Hypothesis]:
    """Every sample at each other time it may have been drawn at. `labels` say `trough` or `peak` of a sample by its place."""
    given = administrations(evidence.case)
    found = [what_if for k in range(len(evidence.case.samples)) for what_if in _times(evidence, given, k, labels.get(k, ""))]
    if not found:
        return
    levels = evidence.at(np.asarray([w.time_h for w in found]), regimen=history_of(given))
    for column, (kind, k, facts) in enumerate(found):
        density = log_density(evidence.model.residual, levels[:, column : column + 1], one(evidence.seen, k))[:, 0]
        yield Hypothesis(kind, f"samples[{k}]", facts, evidence.without(k) + density, evidence.recorded(k))


def exchanged(evidence: Evidence) -> Iterator[Hypothesis]:
    """Every pair of samples with their times exchanged."""
    residual, seen = evidence.model.residual, evidence.seen
    for a, b in combinations(np.flatnonzero(evidence.counted).tolist(), 2):
        if abs(evidence.case.samples[a].time_h - evidence.case.samples[b].time_h) <= SLACK_H:
            continue
        swapped = [log_density(residual, evidence.levels[:, [at]], one(seen, of))[:, 0] for at, of in ((a, b), (b, a))]
        rest = evidence.total - evidence.density[:, a] - evidence.density[:, b]
        rest = np.where(np.isfinite(rest), rest, -np.inf)
        facts = Facts(at_h=evidence.case.samples[b].time_h, then_h=evidence.case.samples[a].time_h, other=f"samples[{a}]")
        yield Hypothesis(Kind.SWAPPED_SAMPLES, f"samples[{b}]", facts, rest + swapped[0] + swapped[1], evidence.total)


def _times(evidence: Evidence, given: tuple[Given, ...], k: int, label: str) -> Iterator[_WhatIf]:
    at = evidence.case.samples[k].time_h
    before, after = previous(given, at), following(given, at)
    if after is not None and given[after].dose.time_h - at <= NEAR_H:
        dose = given[after].dose
        soon = Facts(at_h=at, then_h=_end(given[after]) + SOON_H, dose_h=dose.time_h, after_h=SOON_H, infusion=dose.duration_h > 0)
        yield _WhatIf(Kind.AFTER_DOSE, k, soon)
    if before is not None and at - given[before].dose.time_h <= NEAR_H and before > 0:
        start = given[before].dose.time_h
        yield _WhatIf(Kind.BEFORE_DOSE, k, Facts(at_h=at, then_h=start, dose_h=start))
    if before is not None and at - OFF_H > given[0].dose.time_h:
        yield _WhatIf(Kind.EARLIER, k, Facts(at_h=at, then_h=at - OFF_H))
    yield _WhatIf(Kind.LATER, k, Facts(at_h=at, then_h=at + OFF_H))
    yield from _labelled(given, k, at, label)


def _labelled(given: tuple[Given, ...], k: int, at: float, label: str) -> Iterator[_WhatIf]:
    """The time that a label claims, where the administrations contradict it."""
    before, after = previous(given, at), following(given, at)
    if before is None or after is None:
        return
    last, due = given[before], given[after].dose.time_h
    start = last.dose.time_h
    if label == Labelled.TROUGH and at < start + TROUGH_PART * (due - start):
        near = start if at - start <= NEAR_H else due
        yield _WhatIf(Kind.LABEL, k, Facts(at_h=at, then_h=near, dose_h=start, after_h=at - start, label=Labelled.TROUGH))
    if label == Labelled.PEAK and at > _end(last) + PEAK_H:
        near = _end(last) + SOON_H
        yield _WhatIf(Kind.LABEL, k, Facts(at_h=at, then_h=near, dose_h=start, after_h=at - start, label=Labelled.PEAK))


def _end(given: Given) -> float:
    return given.dose.time_h + given.dose.duration_h
