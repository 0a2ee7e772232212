"""What a message says, free of HL7: whose, which facts in the words of a case file, how sure, and what a person has to look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from auctor.errors import Notice


class Kind(StrEnum):
    """What a fact is about."""

    DOSE = "dose"
    SAMPLE = "sample"
    COVARIATE = "covariate"


class Status(IntEnum):
    """How far a fact is settled; of two with the same time, the later one here holds."""

    PRELIMINARY = 0
    FINAL = 1
    CORRECTED = 2
    WITHDRAWN = 3


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who, as the hospital knows them: the number and who assigned it; the rest is for a person to compare."""

    authority: str
    number: str
    family: str = ""
    given: str = ""
    birth_date: str = ""
    sex: str = ""


Version = tuple[datetime, int, int, str]  # time of the message, status, then its control id by length and text


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One dose, level or covariate; `key` is the same for all that is ever said about it, `version` says which of it is the last.

    `body` is the entry of a case file (`DoseEntry`, `SampleEntry`, or a `Point` of the covariate `name`), empty when withdrawn.
    `about` is the drug of a dose or a level, or the covariate. `notices` are what a person must look at.
    """

    kind: Kind
    key: str
    version: Version
    status: Status
    about: str
    body: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a part of a message could not be read: `code` of HL7 table 0357, `where` such as `OBX[2]-5`. No patient value."""

    code: str
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Unread:
    """A dose, level or covariate that could not be read: of which drug or covariate, and why. `key` names it in its message."""

    kind: Kind
    about: str
    key: str
    problem: Problem


@dataclass(frozen=True, kw_only=True)
class PatientFacts:
    """The facts of one patient in a message, and what of theirs could not be read."""

    identity: Identity
    facts: tuple[Fact, ...]
    unread: tuple[Unread, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A message that was read: its patients with their facts, what could not be read, and how many results are of no concern here."""

    event: str
    sent: datetime
    patients: tuple[PatientFacts, ...]
    problems: tuple[Problem, ...] = ()
    passed_over: int = 0


def latest(facts: Iterable[Fact]) -> dict[str, Fact]:
    """Of each key the fact with the highest version: the same in whatever order, and however often, the facts come."""
    found: dict[str, Fact] = {}
    for fact in facts:
        known = found.get(fact.key)
        if known is None or fact.version > known.version:
            found[fact.key] = fact
    return found
