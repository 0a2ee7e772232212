"""Doses and samples against each other: what cannot be is refused, what is doubtful is carried as a notice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from auctor.case import Covariates, Dose, Regimen, Sample
from auctor.errors import CaseError, Notice

_LONG_GAP_H = 7 * 24.0
MOVED = "before-steady-state-dose"
_SLACK_H = 1e-6


def given(regimen: Regimen) -> list[tuple[float, float, Dose]]:
    """Every administration as (start, end, the entry it belongs to), in time order."""
    every = [(d.time_h + k * d.every_h, d) for d in regimen.doses for k in range(d.additional + 1)]
    return sorted(((start, start + d.duration_h, d) for start, d in every), key=lambda row: row[:2])


def steady_before(doses: tuple[Dose, ...], samples: tuple[Sample, ...]) -> tuple[float, tuple[Notice, ...]]:
    """Hours by which to put the first dose back so that every sample follows a dose, with the notice of it; usually 0.

    A steady-state dose implies the same dose one interval before it, so a sample in that interval belongs to the implied one.
    Raises CaseError for a sample before the first dose that no steady state explains.
    """
    first = next(dose for dose in doses if dose.time_h == 0)
    for k, sample in enumerate(samples):
        too_early = sample.time_h < -first.every_h - _SLACK_H if first.steady_state else sample.time_h <= _SLACK_H
        if too_early:
            remedy = "add the doses given before it, or correct its time; with steady_state = true it may lie up to one interval before"
            raise CaseError(where=f"samples[{k}]", what="drawn before the first dose", remedy=remedy)
    early = [k for k, sample in enumerate(samples) if sample.time_h < -_SLACK_H]
    if not early:
        return 0.0, ()
    what = "drawn in the interval before the steady-state dose: time 0 is put one interval earlier, at the dose that steady state implies"
    where = f"samples[{early[0]}]"
    return first.every_h, (Notice(code=MOVED, where=where, what=what, remedy="check the time of the sample"),)


def put_back(doses: tuple[Dose, ...], by: float) -> tuple[Dose, ...]:
    """The same doses with the first, steady-state one starting `by` (its interval) earlier and everything counted from there."""
    if by == 0:
        return doses
    first = next(k for k, dose in enumerate(doses) if dose.time_h == 0)
    later = tuple(replace(dose, time_h=dose.time_h + by) for dose in doses)
    head = replace(doses[first], time_h=0.0, additional=doses[first].additional + 1)
    return (*later[:first], head, *later[first + 1 :])


def shifted(covariates: Covariates, by: float) -> Covariates:
    """The same covariates counted from `by` earlier."""
    return Covariates(series={name: tuple((t + by, v) for t, v in points) for name, points in covariates.series.items()})


def check_history(regimen: Regimen, samples: tuple[Sample, ...]) -> tuple[Notice, ...]:
    """Notices on overlapping or doubled doses and on samples against them; CaseError for the same sample twice."""
    doses = given(regimen)
    return (*_dose_pairs(regimen, doses), *_twins(samples), *_during(samples, doses), *_gaps(samples, doses))


def _dose_pairs(regimen: Regimen, doses: list[tuple[float, float, Dose]]) -> Iterator[Notice]:
    place = {id(dose): k for k, dose in enumerate(regimen.doses)}
    for (start, end, one), (following, _, other) in pairwise(doses):
        where = f"doses[{max(place[id(one)], place[id(other)])}]"
        if following - start < _SLACK_H:
            remedy = "remove one if it was entered twice"
            yield Notice(code="doses-at-one-time", where=where, what="two doses at one time", remedy=remedy, blocks_signing=True)
            return
        if following < end - _SLACK_H:
            yield Notice(
                code="overlapping-infusions", where=where, what="starts before the infusion before it ended", remedy="check the times"
            )
            return


def _twins(samples: tuple[Sample, ...]) -> Iterator[Notice]:
    for k, sample in enumerate(samples):
        for other in samples[:k]:
            if abs(other.time_h - sample.time_h) > _SLACK_H:
                continue
            if (other.value, other.below_lloq, other.above_uloq) == (sample.value, sample.below_lloq, sample.above_uloq):
                raise CaseError(where=f"samples[{k}]", what="the same level at the same time twice", remedy="remove one")
            remedy = "check both times; leave one out with used = false and a reason"
            yield Notice(
                code="samples-at-one-time", where=f"samples[{k}]", what="two levels at one time", remedy=remedy, blocks_signing=True
            )


def _during(samples: tuple[Sample, ...], doses: list[tuple[float, float, Dose]]) -> Iterator[Notice]:
    for k, sample in enumerate(samples):
        if any(start + _SLACK_H < sample.time_h < end - _SLACK_H for start, end, _ in doses):
            remedy = "check both times, and that it was not drawn from the line of the infusion"
            yield Notice(
                code="during-infusion", where=f"samples[{k}]", what="drawn while an infusion ran", remedy=remedy, blocks_signing=True
            )


def _gaps(samples: tuple[Sample, ...], doses: list[tuple[float, float, Dose]]) -> Iterator[Notice]:
    for k, sample in enumerate(samples):
        start, _, dose = max((row for row in doses if row[0] <= sample.time_h + _SLACK_H), key=lambda row: row[0])
        since = sample.time_h - start
        if since > (1.5 * dose.every_h if dose.every_h > 0 else _LONG_GAP_H):
            what = "no dose on record for more than one and a half intervals (a week, without an interval) before it"
            yield Notice(code="gap-before-sample", where=f"samples[{k}]", what=what, remedy="add the doses given since, if any")
