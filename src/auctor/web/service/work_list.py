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


@dataclass(frozen=True)
class _Level:
    """The last revision of a level that stands."""

    revision: tuple[str, int]
    entered_at: datetime


# what the queries begin with: closed courses grow for years, and nothing is read of them
OPEN = select(Course.id).where(Course.closed_at.is_(None))


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
        last, levels, opened = _last_results(reading), _levels(reading), questions.opened(reading, OPEN)
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


def _reasons(last: _Last | None, levels: list[_Level]) -> Iterable[tuple[Why, datetime]]:
    if last is not None and last.reopened is not None:
        yield Why.CHANGED, last.reopened
    fresh = [level for level in levels if last is None or level.revision not in last.known]
    if fresh:
        yield Why.PENDING, min(level.entered_at for level in fresh)
    if last is not None and not last.signed:
        yield Why.UNSIGNED, last.made_at


def _last_results(reading: Reading) -> dict[str, _Last]:
    newest = select(Result.course_id, func.max(Result.made_at).label("at")).where(Result.course_id.in_(OPEN)).group_by(Result.course_id)
    at = newest.subquery()
    query = (
        select(Result.course_id, Result.facts, at.c.at, Signature.id, Reopening.reopened_at)
        .join(at, (Result.course_id == at.c.course_id) & (Result.made_at == at.c.at))
        .outerjoin(Signature, Signature.result_id == Result.id)
        .outerjoin(Reopening, Reopening.result_id == Result.id)
    )
    return {
        course: _Last(frozenset((str(f), int(r)) for f, r in known), made, signature is not None, reopened)
        for course, known, made, signature, reopened in reading.session.execute(query)
    }


def _levels(reading: Reading) -> dict[str, list[_Level]]:
    """The samples that stand, by course."""
    query = select(Fact.course_id, Fact.id, Fact.revision, Fact.entered_at, Fact.withdrawn)
    query = query.where(Fact.kind == "sample", Fact.course_id.in_(OPEN)).order_by(Fact.revision)
    last = {row.id: row for row in reading.session.execute(query)}
    found: dict[str, list[_Level]] = {}
    for row in last.values():
        if not row.withdrawn:
            found.setdefault(row.course_id, []).append(_Level((row.id, row.revision), row.entered_at))
    return found
