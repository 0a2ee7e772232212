"""Facts of HL7 messages into the courses they belong to: added, corrected or withdrawn under the name their sender gave them.

A patient that the store does not know, and a drug without an open course, are of no concern: most messages of a hospital are about others.
Delivering the same fact again changes nothing. What of theirs could not be read, and what a message itself calls doubtful, is kept with the
course as a question.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select

from auctor.errors import CaseError, UnitError
from auctor.fhir.v2.facts import Fact, Kind, PatientFacts, Problem, Reading, Status, Unread
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import read
from auctor.web.service.entry_check import check_entry
from auctor.web.service.importing import doubt
from auctor.web.store import Work, facts, questions
from auctor.web.store.questions import GONE, Asked
from auctor.web.store.tables import Course, Patient
from auctor.web.store.tables import Fact as Kept

SOURCE, LONGEST = "hl7v2", 400
INTERFACE = Actor(account_id=None, login="hl7v2", roles=frozenset({Role.AUTHOR}), wards=frozenset({EVERY_WARD}), channel=SOURCE)


def take(clinic: Clinic, actor: Actor, reading: Reading) -> tuple[Problem, ...]:
    """Enter the facts of a message; what could not be entered. Each course is one unit of work with one audit entry."""
    demand(actor, Verb.IMPORT)
    problems: list[Problem] = []
    for patient in reading.patients:
        for course, mine, unread in _of_courses(clinic, actor, patient):
            problems += _enter(clinic, actor, course, mine, unread)
    return tuple(problems)


def _of_courses(clinic: Clinic, actor: Actor, patient: PatientFacts) -> Iterator[tuple[str, list[Fact], list[Unread]]]:
    """The open courses of a patient with the facts that each of them wants, and what it would have wanted."""
    known = (Patient.authority == patient.identity.authority, Patient.identifier == patient.identity.number)
    query = select(Course).join(Patient, Patient.id == Course.patient_id).where(Course.closed_at.is_(None), *known)
    with clinic.store.read(actor) as reading:
        courses = list(reading.session.scalars(query))
    for course in courses:
        mine = [fact for fact in patient.facts if _wanted(fact, course)]
        unread = [one for one in patient.unread if _wanted(one, course)]
        if mine or unread:
            yield course.id, mine, unread


def _wanted(fact: Fact | Unread, course: Course) -> bool:
    """A dose or level of the course's drug, a covariate of its model (of any, while none is chosen)."""
    if fact.kind is not Kind.COVARIATE:
        return fact.about.casefold() == course.drug.casefold()
    return course.model is None or fact.about in read(course.model).covariates


def _enter(clinic: Clinic, actor: Actor, course_id: str, mine: Sequence[Fact], unread: Sequence[Unread]) -> list[Problem]:
    problems: list[Problem] = []
    done: list[dict[str, Any]] = []
    asked: list[str] = []
    with clinic.store.work(actor) as work:
        ward = work.get(Patient, work.get(Course, course_id).patient_id).ward_id
        for fact in mine:
            try:
                row = _apply(work, course_id, fact)
            except (CaseError, UnitError) as refused:
                problems.append(Problem(code="102", where=fact.kind.value, what=f"{refused.where}: {refused.what}", remedy=refused.remedy))
                continue
            done += [row.as_data()] if row is not None else []
            asked += _doubts(work, course_id, fact)
        asked += [question.id for one in unread if (question := questions.ask(work, course_id, _open(one))) is not None]
        if done or asked:
            work.record("message.take", "course", course_id, ward=ward, after={"facts": done, "questions": asked})
    return problems


def _open(unread: Unread) -> Asked:
    """What could not be read, as a question."""
    problem = unread.problem
    said = {"place": problem.where, "what": problem.what, "remedy": problem.remedy}
    return Asked(source=SOURCE, reference=reference(unread.key), kind=unread.kind.value, code="unread", **said)


def _doubts(work: Work, course_id: str, fact: Fact) -> list[str]:
    """Ask about what a fact's notices doubt, settle what they doubted before and do not any more; what changed."""
    name = reference(fact.key)
    row = facts.referenced(work, course_id, SOURCE, name)
    kept = row is not None and not row.withdrawn and row.source == SOURCE
    asked = [doubt(row, notice, name) for notice in fact.notices if notice.blocks_signing] if kept and row is not None else []
    digests = {one.digest(course_id) for one in asked}
    over = [q for q in questions.opened(work, [course_id]) if q.source == SOURCE and q.reference == name and q.digest not in digests]
    for question in over:
        questions.settle(work, question.id, verdict=GONE, reason="a later message does not leave it open")
    new = [question.id for one in asked if (question := questions.ask(work, course_id, one)) is not None]
    return [*(question.id for question in over), *new]


def _apply(work: Work, course_id: str, fact: Fact) -> Kept | None:
    """One fact as an addition, a correction or a withdrawal; None where it says what is known already."""
    name = reference(fact.key)
    known = facts.referenced(work, course_id, SOURCE, name)
    why = f"{fact.status.name.lower()} in an HL7 message; {'; '.join(map(str, fact.notices))}".rstrip("; ")
    if fact.status is Status.WITHDRAWN:
        if known is None or known.withdrawn:
            return None
        return facts.withdraw(work, known.id, made_from=known.revision, reason=why, source=SOURCE)
    body = _body(fact)
    check_entry(work.get(Course, course_id), fact.kind.value, body)
    if known is None:
        return facts.add(work, course_id, kind=fact.kind.value, body=body, source=SOURCE, reference=name, reason=why)
    if known.body == body and not known.withdrawn:
        return None
    return facts.correct(work, known.id, made_from=known.revision, body=body, reason=why, source=SOURCE, reference=name)


def _body(fact: Fact) -> dict[str, Any]:
    body = dict(fact.body)
    return {"name": fact.about, **body} if fact.kind is Kind.COVARIATE else body


def reference(key: str) -> str:
    """A fact's key as the store keeps it; a very long one by its SHA-256.

    >>> reference("result|LAB|1"), len(reference("x" * 1000))
    ('result|LAB|1', 64)
    """
    return key if len(key) <= LONGEST else hashlib.sha256(key.encode()).hexdigest()
