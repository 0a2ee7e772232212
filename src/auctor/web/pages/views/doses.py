"""Prescribed against given: doses that overlap, come late, or are on the order and not on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from auctor.web.pages.language import Language
from auctor.web.service.courses import CourseFile
from auctor.web.store.tables import Fact

LATE = 0.25  # of an interval: ours, as is the next
MISSED = 1.5


@dataclass(frozen=True)
class Given:
    """One administration on record."""

    start: datetime
    stop: datetime
    fact: Fact


def administrations(file: CourseFile) -> list[Given]:
    """Every single administration, a series written out, in time order; at most 500 of them."""
    found = [given for fact in file.of_kind("dose") if fact.at is not None for given in _written_out(fact)]
    return sorted(found, key=lambda given: given.start)[-500:]


def _written_out(fact: Fact) -> Iterator[Given]:
    body, start = fact.body, fact.at
    assert start is not None
    length = _hours(body.get("duration"))
    if body.get("stop_at"):
        length = datetime.fromisoformat(str(body["stop_at"])) - start
    every = _hours(body.get("every"))
    more = int(body.get("additional") or 0)
    if every and body.get("until_at"):
        more = int((datetime.fromisoformat(str(body["until_at"])) - start) / every)
    for k in range(min(more, 500) + 1):
        yield Given(start + k * every, start + k * every + length, fact)


def _hours(text: Any) -> timedelta:
    number, _, unit = str(text or "0 h").partition(" ")
    hours = {"h": 1.0, "min": 1 / 60, "d": 24.0}.get(unit, 1.0)
    return timedelta(hours=float(number) * hours)


def dose_flags(file: CourseFile, language: Language, now: datetime) -> list[str]:
    """What a pharmacist should look at before trusting the history, in sentences."""
    given, say = administrations(file), language.say
    flags = [
        say("Two infusions overlap at %(time)s.", time=language.moment(later.start, file.zone))
        for one, later in pairwise(given)
        if one.stop > later.start
    ]
    order = file.order
    every = _hours(order.body["every"]) if order else timedelta()
    if not order or not every or not given:
        return flags
    for one, later in pairwise(given):
        flags += _gap(one, later, every, language, file)
    if now - given[-1].start > MISSED * every and not given[-1].fact.body.get("steady_state"):
        flags.append(say("Prescribed, but no administration on record since %(time)s.", time=language.moment(given[-1].start, file.zone)))
    return flags[-6:]


def _gap(one: Given, later: Given, every: timedelta, language: Language, file: CourseFile) -> list[str]:
    between, say = later.start - one.start, language.say
    hours = language.number(between / timedelta(hours=1))
    time = language.moment(later.start, file.zone)
    if between > MISSED * every:
        return [say("%(hours)s h without a dose before %(time)s: was one missed?", hours=hours, time=time)]
    if between > (1 + LATE) * every:
        return [say("The dose at %(time)s came late: %(hours)s h after the one before.", time=time, hours=hours)]
    return []
