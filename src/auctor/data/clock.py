"""Clock: the times of a case, all as hours or all as dates with a zone, turned into hours from the first dose."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from auctor.data.limits import MAX_HISTORY_H
from auctor.errors import CaseError

if TYPE_CHECKING:
    from auctor.data.schema import CaseFile

_DIGITS = 9  # hours are rounded to 3.6 microseconds, so that 12.3 - 0.3 falls on the dose at 12
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FORMAT = "write it as 2026-03-01T08:00:00+01:00, or without the offset when the case has a time_zone"


class Moment(NamedTuple):
    """A time as written, with its place in the file: hours or a clock time, exactly one of them."""

    where: str
    hours: float | None
    clock: datetime | str | date | None


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Turns the case's times into hours from `origin`, the first dose."""

    zone: tzinfo | None
    origin: float

    @classmethod
    def of(cls, case: CaseFile) -> Clock:
        """The clock of a case: its zone, its kind (hours or dates, never both), its first dose as time 0.

        Raises CaseError for an unknown zone, mixed kinds, a dose without a time, or a time that `instant` refuses.
        """
        zone = _zone(case.time_zone)
        moments = [m for m in _moments(case) if m.hours is not None or m.clock is not None]
        kinds = {m.hours is None for m in moments}
        if len(kinds) > 1:
            odd = next(m for m in moments if (m.hours is None) != (moments[0].hours is None))
            remedy = "write every time as hours, or every time as a date with its zone"
            raise CaseError(where=odd.where, what="hours and clock times in one case", remedy=remedy)
        starts = [moment(dose, f"doses[{k}]") for k, dose in enumerate(case.doses)]
        return cls(zone=zone, origin=min(instant(start, zone) for start in starts))

    def hours(self, time: Moment) -> float:
        """Hours from the first dose, rounded to 1e-9 h; CaseError beyond 20 years. Clock times count as instants, DST included."""
        since = round(instant(time, self.zone) - self.origin, _DIGITS)
        if not abs(since) <= MAX_HISTORY_H:
            raise CaseError(where=time.where, what="more than 20 years from the first dose", remedy="check the dates, or the hours")
        return since

    def between(self, start: Moment, stop: Moment) -> float:
        """Hours from one time to another, rounded to 1e-9 h."""
        return round(instant(stop, self.zone) - instant(start, self.zone), _DIGITS)


def moment(entry: Any, where: str, prefix: str = "") -> Moment:
    """The time of an entry: `at` or `time_h`; with a prefix `stop_at` or `stop_h`. CaseError unless exactly one is given."""
    found = maybe_moment(entry, where, prefix)
    if found is None:
        names = _names(prefix)
        raise CaseError(where=where, what="no time", remedy=f"give {names[0]} (hours) or {names[1]} (date and time with zone)")
    return found


def maybe_moment(entry: Any, where: str, prefix: str = "") -> Moment | None:
    """The same, or None when the entry gives no such time."""
    name_h, name_at = _names(prefix)
    hours, clock = getattr(entry, name_h), getattr(entry, name_at)
    if hours is not None and clock is not None:
        raise CaseError(where=f"{where}.{name_at}", what="given twice, as hours and as a clock time", remedy=f"keep {name_h} or {name_at}")
    if hours is None and clock is None:
        return None
    return Moment(f"{where}.{name_h if clock is None else name_at}".removeprefix("."), hours, clock)


def _names(prefix: str) -> tuple[str, str]:
    return (f"{prefix}_h", f"{prefix}_at") if prefix else ("time_h", "at")


def _moments(case: CaseFile) -> Iterator[Moment]:
    points = {name: series for name, series in case.covariates.items() if isinstance(series, list)}
    entries: list[tuple[Any, str, tuple[str, ...]]] = [(case, "", ("now",))]
    entries += [(dose, f"doses[{k}]", ("", "stop", "until")) for k, dose in enumerate(case.doses)]
    entries += [(sample, f"samples[{k}]", ("",)) for k, sample in enumerate(case.samples)]
    entries += [(point, f"covariates.{name}[{k}]", ("",)) for name, series in points.items() for k, point in enumerate(series)]
    for entry, where, prefixes in entries:
        yield from (m for prefix in prefixes if (m := maybe_moment(entry, where, prefix)) is not None)
    yield from occasion_starts(case)


def occasion_starts(case: CaseFile) -> tuple[Moment, ...]:
    """When each occasion starts, as written."""
    found = case.occasions
    if found is None:
        return ()
    hours = [Moment(f"occasions.starts_h[{k}]", t, None) for k, t in enumerate(found.starts_h or ())]
    return (*hours, *(Moment(f"occasions.starts_at[{k}]", None, t) for k, t in enumerate(found.starts_at or ())))


def _zone(name: str | None) -> tzinfo | None:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        near = difflib.get_close_matches(name, available_timezones(), n=1, cutoff=0.6)
        remedy = f"did you mean '{near[0]}'?" if near else "write an IANA name such as Europe/Paris"
        raise CaseError(where="time_zone", what="no such time zone", remedy=remedy) from problem


def instant(time: Moment, zone: tzinfo | None) -> float:
    """Hours as written, or hours between the instant and 2000-01-01T00:00Z.

    A clock time needs an offset or the case's zone; one that the zone skips or has twice (DST) is refused without an offset.

    >>> instant(Moment("doses[0].at", None, "2000-01-02T08:30:00+01:00"), None)
    31.5
    """
    if time.hours is not None:
        return time.hours
    return (_zoned(time, zone) - _EPOCH).total_seconds() / 3600.0


def _zoned(time: Moment, zone: tzinfo | None) -> datetime:
    local = _datetime(time)
    if local.tzinfo is not None:
        return local
    if zone is None:
        remedy = "add the offset (2026-03-01T08:00:00+01:00), or time_zone to the case"
        raise CaseError(where=time.where, what="a clock time without a zone", remedy=remedy)
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        skipped = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local
        what = "a time that the clocks skip" if skipped else "a time that comes twice, the clocks being put back"
        raise CaseError(where=time.where, what=what, remedy="write it with its offset")
    return first


def start_of(case: CaseFile) -> datetime | None:
    """The first dose as an instant on the case's clock: its zone, else the offset as written; None where its times are hours."""
    starts, zone = [moment(dose, f"doses[{k}]") for k, dose in enumerate(case.doses)], _zone(case.time_zone)
    if any(start.clock is None for start in starts):
        return None
    first = min((_zoned(start, zone) for start in starts), default=None)
    return first if first is None or zone is None else first.astimezone(zone)


def _datetime(time: Moment) -> datetime:
    if isinstance(time.clock, datetime):
        return time.clock
    text = time.clock if isinstance(time.clock, str) else ""
    if not any(mark in text for mark in ("T", " ", "t")):
        raise CaseError(where=time.where, what="not a date and time", remedy=_FORMAT)
    try:
        return datetime.fromisoformat(text)
    except ValueError as problem:
        raise CaseError(where=time.where, what="not a date and time", remedy=_FORMAT) from problem
