"""The open courses of a patient as the hospital record names them: what a CDS service needs to answer, read at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, or_, select

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.store.tables import Course, Patient

MOST_NAMES = 20


@dataclass(frozen=True, kw_only=True)
class OpenCourse:
    """One open course: its drug, what it waits for (`pending`, `changed`, `asked`, `unsigned`), and its file as it was when read."""

    course: str
    patient: str
    drug: str
    waiting: tuple[str, ...]
    file: CourseFile

    @property
    def document(self) -> dict[str, Any]:
        """The case document of its facts."""
        return self.file.document

    @property
    def ready(self) -> bool:
        """Whether there is enough to ask the engine: a model and a dose."""
        return bool(self.document.get("model")) and bool(self.document.get("doses"))


def open_courses(clinic: Clinic, actor: Actor, names: Sequence[tuple[str, str]]) -> tuple[OpenCourse, ...]:
    """The open courses of the patients of these (authority, identifier) within reach; empty where nobody is known by them."""
    demand(actor, Verb.READ)
    if not names:
        return ()
    named = or_(*(and_(Patient.authority == authority, Patient.identifier == number) for authority, number in names[:MOST_NAMES]))
    query = select(Course.id).join(Patient, Patient.id == Course.patient_id).where(Course.closed_at.is_(None), named)
    with clinic.store.read(actor) as reading:
        found = reading.session.scalars(query.order_by(Course.opened_at)).all()
    return tuple(_open(look(clinic, actor, course)) for course in found)


def _open(file: CourseFile) -> OpenCourse:
    return OpenCourse(
        course=file.course.id,
        patient=file.patient.id,
        drug=file.course.drug,
        waiting=tuple(_waiting(file)),
        file=file,
    )


def _waiting(file: CourseFile) -> Iterable[str]:
    last = file.latest
    known = {(str(fact), int(revision)) for fact, revision in last.facts} if last is not None else set()
    if any((fact.id, fact.revision) not in known for fact in file.of_kind("sample")):
        yield "pending"
    if last is not None and last.id in file.reopenings:
        yield "changed" if file.reopenings[last.id].question_id is None else "asked"
    if last is not None and last.id not in file.signatures:
        yield "unsigned"
