"""The work list: open courses that wait for somebody, from a handful of queries however many courses there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func, select

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store import Reading, questions
from auctor.web.store.tables import Course, Fact, Patient, Question, Reopening, Result, Signature, Ward


class Why(StrEnum):
    """What a course waits for."""

    ASKED = "asked"  # something that the hospital's record leaves open
    PENDING = "pending"  # a level that no result knows
    CHANGED = "changed"  # data changed after signing
    UNSIGNED = "unsigned"  # a result that nobody signed
    DOUBTED = "doubted"  # something that does not add up, which nobody looked at


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One course that waits, why, and since when."""

    patient: Patient
    ward: str
    course: Course
    why: tuple[Why, ...]
    since: datetime


@dataclass(frozen=True)
class _Last:
    """The newest result of a course: which revisions it knew, and whether it is signed or re-opened."""

    known: frozenset[tuple[str, int]]
    made_at: datetime
    signed: bool
    reopened: datetime | None


def waiting(clinic: Clinic, actor: Actor) -> list[Waiting]:
    """Open courses of the actor's wards that wait, the one that waits longest first."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        query = (
            select(Course, Patient, Ward.name)
            .join(Patient, Patient.id == Course.patient_id)
            .join(Ward, Ward.id == Patient.ward_id)
            .where(Course.closed_at.is_(None))
        )
        rows = reading.session.execute(query).all()
        last, levels, opened = _last_results(reading), _levels(reading), questions.opened(reading)
        asked, doubted = _since(one for one in opened if one.blocks_signing), _since(one for one in opened if not one.blocks_signing)
    found = []
    for course, patient, ward in rows:
        reasons = dict(_reasons(last.get(course.id), levels.get(course.id, [])))
        reasons |= {why: known[course.id] for why, known in ((Why.ASKED, asked), (Why.DOUBTED, doubted)) if course.id in known}
        if reasons:
            entry = Waiting(patient=patient, ward=ward, course=course, why=tuple(reasons), since=min(reasons.values()))
            found.append(entry)
    return sorted(found, key=lambda one: one.since)


def _since(opened: Iterable[Question]) -> dict[str, datetime]:
    """Since when each course has one of these."""
    found: dict[str, datetime] = {}
    for question in opened:
        found.setdefault(question.course_id, question.raised_at)
    return found


def _reasons(last: _Last | None, levels: list[Fact]) -> Iterable[tuple[Why, datetime]]:
    if last is not None and last.reopened is not None:
        yield Why.CHANGED, last.reopened
    fresh = [fact for fact in levels if last is None or (fact.id, fact.revision) not in last.known]
    if fresh:
        yield Why.PENDING, min(fact.entered_at for fact in fresh)
    if last is not None and not last.signed:
        yield Why.UNSIGNED, last.made_at


def _last_results(reading: Reading) -> dict[str, _Last]:
    newest = select(Result.course_id, func.max(Result.made_at).label("at")).group_by(Result.course_id).subquery()
    query = select(Result.id, Result.course_id, Result.facts, Result.made_at).join(
        newest, (Result.course_id == newest.c.course_id) & (Result.made_at == newest.c.at)
    )
    signed = set(reading.session.scalars(select(Signature.result_id)))
    opened = {one.result_id: one.reopened_at for one in reading.session.scalars(select(Reopening))}
    return {
        course: _Last(frozenset((str(f), int(r)) for f, r in known), made, result in signed, opened.get(result))
        for result, course, known, made in reading.session.execute(query)
    }


def _levels(reading: Reading) -> dict[str, list[Fact]]:
    """The samples that stand, by course."""
    last = select(Fact.id, func.max(Fact.revision).label("revision")).where(Fact.kind == "sample").group_by(Fact.id).subquery()
    query = select(Fact).join(last, (Fact.id == last.c.id) & (Fact.revision == last.c.revision)).where(~Fact.withdrawn)
    found: dict[str, list[Fact]] = {}
    for fact in reading.session.scalars(query):
        found.setdefault(fact.course_id, []).append(fact)
    return found
