"""The clock behind a result: its hours count from the first dose, people read a date and a time of day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from auctor.data.clock import Clock
from auctor.data.document import check_document
from auctor.data.plausible import MOVED

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # what `auctor.data.clock` counts instants from


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Time 0 of a result as an instant, on the ward's clock."""

    origin: datetime
    zone: tzinfo

    def at(self, hours: float) -> datetime:
        """The instant `hours` after time 0, to the second: a stored result has eight digits of the hours."""
        return (self.origin + timedelta(seconds=round(3600 * hours))).astimezone(self.zone)

    def hours(self, instant: datetime) -> float:
        """Hours from time 0 to an instant."""
        return (instant - self.origin).total_seconds() / 3600.0

    def midnights(self, start_h: float, end_h: float, *, most: int = 9) -> list[tuple[float, datetime]]:
        """Marks for a time axis: hours of the day up to three days, else midnights, at most about `most` of them."""
        span = max(end_h - start_h, 1e-6)
        step = next((s for s in (1, 2, 3, 4, 6, 12, 24) if span / s <= most), 24 * math.ceil(span / (24 * most)))
        first = self.at(start_h).replace(minute=0, second=0, microsecond=0)
        first -= timedelta(hours=first.hour % min(step, 24))
        marks = (first + timedelta(hours=step * k) for k in range(int(span / step) + 3))
        return [(h, m) for m in marks if start_h <= (h := self.hours(m)) <= end_h]


def axis_of(document: dict[str, Any], result: dict[str, Any], zone: tzinfo) -> Axis:
    """The clock of a result and the case document it was computed from."""
    case = check_document(document)
    origin = _EPOCH + timedelta(hours=Clock.of(case).origin)
    if any(notice["code"] == MOVED for notice in result["notices"]):
        first = min(case.doses, key=lambda dose: str(dose.at))
        origin -= timedelta(hours=float(str(first.every).split()[0]))
    return Axis(origin=origin, zone=zone)
