"""Trough and peak are words of the laboratory's code. They move nothing; where they contradict the doses, that is said."""

from __future__ import annotations

from dataclasses import replace

from auctor.errors import Notice
from auctor.fhir.found import Fact
from auctor.fhir.when import When, read_when

EARLY_H = (
    4.0  # a trough within this of the last dose's start, or a peak later than this, contradicts its name; wide, as intervals are not known
)


def with_label_notices(facts: list[Fact]) -> list[Fact]:
    """The facts, with a `label-contradicts-times` notice on each labelled sample that the doses speak against."""
    starts = sorted((_at(fact) for fact in facts if fact.kind == "dose"), key=lambda when: when.moment)
    return [_checked(fact, starts) if fact.kind == "sample" and fact.label else fact for fact in facts]


def _checked(sample: Fact, starts: list[When]) -> Fact:
    since = _since(_at(sample), starts)
    early = since is not None and 0 < since < EARLY_H
    if since is None or (sample.label == "trough") != early:
        return sample
    what = f"called a {sample.label}, and the doses say otherwise; the times count, the name does not"
    remedy = "check the collection time and the times of the doses"
    notice = Notice(code="label-contradicts-times", where=sample.sources[0].reference, what=what, remedy=remedy, blocks_signing=True)
    return replace(sample, notices=(*sample.notices, notice))


def _since(sample: When, starts: list[When]) -> float | None:
    """Hours since the last dose began; None before the first one."""
    before = [start for start in starts if start.moment < sample.moment]
    return sample.hours_after(before[-1]) if before else None


def _at(fact: Fact) -> When:
    return read_when(str(fact.body["at"]), "", where=fact.sources[0].reference)
