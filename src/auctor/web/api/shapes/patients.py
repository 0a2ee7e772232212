"""Patients, the work list and the audit trail."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import Field

from auctor.web.api.shapes.base import TEXT, Identifier, Line, Sex, Shape, Shown

WardName = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\s,*]+$", description="the ward's identifier")]


class NewPatient(Shape):
    """What is asked of a new patient."""

    ward: WardName
    identifier: Line = Field(description="the number that the authority gave")
    authority: Line = Field("manual", description="who gave the identifier")
    family: Line
    given: Line
    birth_date: date
    sex: Sex
    demo: bool = Field(False, description="for training")


class Sought(Shape):
    """Whom to look for."""

    text: Annotated[str, Field(max_length=100, pattern=TEXT, description="words of the name or the identifier")]


class Patient(Shown):
    """A patient of one of the caller's wards."""

    id: Identifier
    ward: str
    identifier: str
    authority: str
    family: str
    given: str
    birth_date: date | None
    sex: str | None
    demo: bool


class CourseLine(Shown):
    """A course in a list."""

    id: Identifier
    drug: str
    model: str | None
    opened_at: datetime
    closed_at: datetime | None


class PatientFile(Patient):
    """A patient with the courses, the newest first."""

    courses: list[CourseLine]


class Waiting(Shown):
    """A course that waits for somebody."""

    course: Identifier
    patient: Identifier
    ward: str
    drug: str
    why: list[str] = Field(
        description="asked: an open question; pending: a level no result knows; changed: changed after signing; unsigned"
    )
    since: datetime


class AuditEntry(Shown):
    """One entry of the audit trail; `hash` is over the entry and the hash before it."""

    sequence: int
    at: str
    login: str
    channel: str
    action: str
    kind: str
    object_id: str
    reason: str
    before: Any
    after: Any
    hash: str
