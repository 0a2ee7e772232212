"""Is a level overdue? A rule over what is known of a treatment's times and the intervals that somebody declared; nothing is estimated.

Three intervals may be declared of a drug (`auctor.models.drug_file.Monitoring`): a first level after the start, a level after a change of
the regimen, and the longest time between two. Each gives a time by which a level was due; the earliest that has passed counts, where the
treatment is known to have gone on: an order stands, or a dose was recorded at that time or later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from auctor.models.drug_file import Monitoring


class Since(StrEnum):
    """From when the time to the next level is counted."""

    START = "start"  # the first dose; no level has come
    CHANGE = "change"  # the last change of the regimen; no level was drawn after it
    LEVEL = "level"  # the last level
    KNOWN = "known"  # the first dose that is known of an older treatment; no level has come


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What is known of a treatment, hours on one clock. `older` says that it began before its first known dose, nobody knows when.

    `changes_h` are the times from which another amount or interval was given or ordered; `last_dose_h` is the last dose before now.
    """

    first_dose_h: float
    last_dose_h: float
    older: bool = False
    ordered: bool = False
    changes_h: tuple[float, ...] = ()
    levels_h: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Overdue:
    """A level that was due at `due_h`, `within_h` after `from_h`, and did not come."""

    since: Since
    from_h: float
    within_h: float

    @property
    def due_h(self) -> float:
        """When it was due."""
        return self.from_h + self.within_h


def overdue(known: Followed, rule: Monitoring, now_h: float) -> Overdue | None:
    """The level that has been overdue longest; None where none is, where no interval applies, or where the treatment may have ended.

    >>> from auctor.models.drug_file import read_drug
    >>> rule = read_drug("lithium").monitoring
    >>> overdue(Followed(first_dose_h=0.0, last_dose_h=192.0), rule, 200.0)
    Overdue(since=<Since.START: 'start'>, from_h=0.0, within_h=168.0)
    """
    passed = [one for one in _due(known, rule) if one.due_h < now_h and (known.ordered or known.last_dose_h >= one.due_h)]
    return min(passed, key=lambda one: one.due_h, default=None)


def _due(known: Followed, rule: Monitoring) -> Iterator[Overdue]:
    """The times by which a level is due, by each interval that applies."""
    last = max(known.levels_h, default=None)
    change = max(known.changes_h, default=None)
    if last is None and not known.older and rule.first_within_h is not None:
        yield Overdue(since=Since.START, from_h=known.first_dose_h, within_h=rule.first_within_h)
    if change is not None and (last is None or last <= change) and rule.after_change_within_h is not None:
        yield Overdue(since=Since.CHANGE, from_h=change, within_h=rule.after_change_within_h)
    if rule.at_least_every_h is not None:
        since = Since.LEVEL if last is not None else Since.KNOWN if known.older else Since.START
        yield Overdue(since=since, from_h=known.first_dose_h if last is None else last, within_h=rule.at_least_every_h)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A regimen as it was given or ordered from a time on."""

    from_h: float
    dose_mg: float
    every_h: float

    def differs(self, other: Stated) -> bool:
        """Whether amount or interval are others, beyond rounding."""
        return any(abs(a - b) > 1e-6 * max(a, b) for a, b in ((self.dose_mg, other.dose_mg), (self.every_h, other.every_h)))


def changes(stated: list[Stated]) -> tuple[float, ...]:
    """The times at which a regimen followed that differs from the one before.

    >>> changes([Stated(from_h=0, dose_mg=500, every_h=12), Stated(from_h=48, dose_mg=500, every_h=12)])
    ()
    """
    order = sorted(stated, key=lambda one: one.from_h)
    return tuple(after.from_h for before, after in pairwise(order) if after.differs(before))
