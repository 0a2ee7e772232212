"""A dosing history taken apart into single administrations, so that one of them can be missed or moved."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from auctor.case import Case, Dose, Regimen

SLACK_H = 1e-6
BACK = 2  # intervals by which a steady state is put back, so that its last doses stand on their own


class Given(NamedTuple):
    """One administration, and the place of its entry in the history."""

    dose: Dose
    entry: int


def administrations(case: Case) -> tuple[Given, ...]:
    """Every dose by itself in time order; a steady state at the beginning is put two intervals back, which changes no later level."""
    found: list[Given] = []
    for place, dose in enumerate(case.history.doses):
        steady = dose.steady_state and dose.every_h > 0
        single = replace(dose, additional=0, every_h=0.0, steady_state=False)
        if steady and place > 0:  # it resets what came before: not to be moved
            found.append(Given(replace(dose, additional=0), place))
        if steady and place == 0:
            found.append(Given(replace(dose, additional=0, time_h=dose.time_h - BACK * dose.every_h), place))
            found += [Given(replace(single, time_h=dose.time_h - k * dose.every_h), place) for k in range(BACK - 1, -1, -1)]
        first = 1 if steady else 0
        found += [Given(replace(single, time_h=dose.time_h + k * dose.every_h), place) for k in range(first, dose.additional + 1)]
    return tuple(sorted((*found, *_due(case)), key=lambda given: given.dose.time_h))


def _due(case: Case) -> tuple[Given, ...]:
    """The dose that was due next after the recorded ones, where no sample was drawn after it: nothing else depends on it."""
    if not case.history.doses:
        return ()
    place, last = max(enumerate(case.history.doses), key=lambda pair: pair[1].time_h + pair[1].additional * pair[1].every_h)
    going_on = case.current.doses[0] if case.current and case.current.doses else last
    every = last.every_h or going_on.every_h
    due = last.time_h + last.additional * last.every_h + every
    if every <= 0 or any(s.time_h > due + SLACK_H for s in case.samples):
        return ()
    return (Given(replace(last, time_h=due, additional=0, every_h=0.0, steady_state=False), place),)


def history_of(given: tuple[Given, ...]) -> Regimen:
    """The history they make, in time order."""
    return Regimen(doses=tuple(sorted((g.dose for g in given), key=lambda dose: dose.time_h)))


def without(given: tuple[Given, ...], k: int) -> Regimen:
    """The history with administration k missed."""
    return history_of((*given[:k], *given[k + 1 :]))


def moved(given: tuple[Given, ...], k: int, by_h: float) -> Regimen:
    """The history with administration k given `by_h` later (negative: earlier)."""
    one = given[k]
    return history_of((*given[:k], one._replace(dose=replace(one.dose, time_h=one.dose.time_h + by_h)), *given[k + 1 :]))


def previous(given: tuple[Given, ...], time_h: float) -> int | None:
    """The last administration that began before a sample; one at the same time was given after it."""
    return max((k for k, g in enumerate(given) if g.dose.time_h < time_h - SLACK_H), default=None)


def following(given: tuple[Given, ...], time_h: float) -> int | None:
    """The first administration at or after a sample's time."""
    return min((k for k, g in enumerate(given) if g.dose.time_h >= time_h - SLACK_H), default=None)
