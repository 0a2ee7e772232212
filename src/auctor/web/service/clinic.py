"""What every verb works on: the store, the engine, and the file of a course as it stands."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from auctor.errors import CaseError
from auctor.web.service.engine import Engine
from auctor.web.store import Store


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """One installation's store and engine. `zone` is the clock on which a ward's times are read where a course does not say.

    `destination` says where a signed result of a ward goes by itself, "" for nowhere.
    """

    store: Store
    engine: Engine = field(default_factory=Engine)
    zone: str = field(default_factory=lambda: machine_zone())
    destination: Callable[[str], str] = field(default=lambda ward: "")


def machine_zone() -> str:
    """The machine's IANA time zone: TZ, else what /etc/localtime points to, else UTC."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if named in available_timezones():
        return named
    parts = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    return parts if parts in available_timezones() else "UTC"


def zone_of(name: str | None, clinic: Clinic) -> ZoneInfo:
    """The clock of a course."""
    return ZoneInfo(name or clinic.zone)


def checked_zone(name: str) -> str:
    """A time zone's name; CaseError for one that there is not.

    >>> checked_zone("Europe/Paris")
    'Europe/Paris'
    """
    if name not in available_timezones():
        raise CaseError(where="time_zone", what="no such time zone", remedy="write an IANA name such as Europe/Paris")
    return name
