"""FHIR's dates and times: an offset is kept as written, a time without one is refused unless the site's zone is given, and then flagged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from auctor.data.clock import Moment, instant
from auctor.errors import CaseError, RecordError

_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(:\d{2})?(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})?")
_PARTIAL = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


@dataclass(frozen=True, kw_only=True)
class When:
    """One moment: `text` as a case file takes it, always with an offset; `assumed` where that of the site's zone was put there."""

    text: str
    moment: datetime
    assumed: bool = False

    def hours_after(self, other: When) -> float:
        """Hours from another moment to this one, rounded as a case's clock rounds."""
        return round((self.moment - other.moment).total_seconds() / 3600.0, 9)


def read_when(text: str, zone: str, *, where: str) -> When:
    """A FHIR dateTime or instant with a time of day; RecordError for a bare date, a wrong one, or one without an offset and no `zone`.

    >>> read_when("2026-03-01T08:00:00", "Europe/Paris", where="Observation/1.effectiveDateTime").text
    '2026-03-01T08:00:00+01:00'
    """
    found = _TIME.fullmatch(text)
    if found is None:
        short = _PARTIAL.fullmatch(text) is not None
        what = "a date without a time of day" if short else "not a FHIR date and time"
        raise RecordError(where=where, what=what, remedy="find out the time, write it as 2026-03-01T08:00:00+01:00")
    if found[5] is not None:
        return When(text=text, moment=_parsed(text, where))
    if not zone:
        remedy = "have the hospital's system send offsets, or give the site's time zone"
        raise RecordError(where=where, what="a time without an offset", remedy=remedy)
    return _in_zone(text, ZoneInfo(zone), where)


def _in_zone(text: str, zone: ZoneInfo, where: str) -> When:
    try:
        instant(Moment(where, None, text), zone)  # refuses what the clocks skip or have twice
    except (CaseError, OverflowError) as problem:
        what, remedy = (problem.what, problem.remedy) if isinstance(problem, CaseError) else ("not a possible date", "correct it")
        raise RecordError(where=where, what=what, remedy=remedy) from problem
    local = _parsed(text, where).replace(tzinfo=zone)
    return When(text=local.isoformat(), moment=local, assumed=True)


def _parsed(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is not None:
            found.astimezone(UTC)
    except (ValueError, OverflowError) as problem:
        raise RecordError(where=where, what="not a possible date and time", remedy="correct it at its source") from problem
    return found


def day_of(when: When, zone: str) -> date:
    """The calendar day at the site, in UTC where its zone is not known: the same however the moment was written.

    >>> day_of(read_when("2026-03-01T23:30:00-02:00", "", where="x"), "Europe/Paris")
    datetime.date(2026, 3, 2)
    """
    return when.moment.astimezone(ZoneInfo(zone) if zone else UTC).date()


def read_date(text: str, *, where: str) -> date:
    """A whole date, as a date of birth is; RecordError for a year or a month alone."""
    try:
        return date.fromisoformat(text)
    except ValueError as problem:
        raise RecordError(where=where, what="not a whole date", remedy="give year, month and day") from problem
