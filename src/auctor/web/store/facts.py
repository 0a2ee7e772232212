"""Facts: what is known of a course, in revisions that are added and never changed.

    with store.work(actor) as work:
        fact = facts.add(work, course_id, kind="sample", body={"value": "6.8 ng/mL", "at": "2026-03-01T08:00:00+01:00"})
        work.record("fact.add", "fact", fact.id, ward=ward_id, after=fact.as_data())

    with store.work(actor) as work:
        fact = facts.correct(work, fact.id, made_from=1, body={...}, reason="drawn before the dose")
        work.record("fact.correct", ...)

Each of them re-opens the signed results whose inputs it changes, and settles what the plausibility check found about the revision before,
in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select

from auctor.errors import CaseError
from auctor.web.store import questions
from auctor.web.store.entries import checked
from auctor.web.store.errors import NotFound, StaleError, StoreError
from auctor.web.store.reopening import reopen
from auctor.web.store.tables import Course, Fact, new_id, now
from auctor.web.store.work import Reading, Work

_TIMES = {"at", "time_h"}
_OWN_TIME = ("order", "note")  # kinds whose body has no time


def add(
    work: Work,
    course_id: str,
    *,
    kind: str,
    body: Mapping[str, Any],
    source: str = "manual",
    reference: str | None = None,
    reason: str = "",
    at: datetime | None = None,
) -> Fact:
    """A new fact of a course. `at` is for orders and notes, whose bodies have no time: from when they hold (default: now).

    `source` says where it comes from (manual, fhir, hl7v2, import, api) and `reference` what it is called there. Raises CaseError for a
    body that a case file would not take, for hours beside clock times, and for a second value of a covariate without a time.
    """
    course = _open_course(work, course_id)
    entry, moment = checked(kind, body, course)
    _fits(current(work, course_id), kind, entry)
    fact = Fact(id=new_id(), revision=1, course_id=course_id, kind=kind, body=entry, source=source, reference=reference, reason=reason)
    fact.at = (at or now()) if kind in _OWN_TIME else moment
    return _write(work, fact, None)


def correct(
    work: Work,
    fact_id: str,
    *,
    made_from: int,
    body: Mapping[str, Any],
    reason: str,
    source: str = "manual",
    reference: str | None = None,
    at: datetime | None = None,
) -> Fact:
    """The next revision of a fact. `made_from` is the revision that was seen: StaleError when there is a later one by now."""
    last, course = _latest(work, fact_id, made_from, reason)
    entry, moment = checked(last.kind, body, course)
    _fits([fact for fact in current(work, course.id) if fact.id != fact_id], last.kind, entry)
    fact = _next(last, body=entry, source=source, reference=reference or last.reference, reason=reason)
    fact.at = (at or last.at) if last.kind in _OWN_TIME else moment
    return _write(work, fact, last)


def withdraw(work: Work, fact_id: str, *, made_from: int, reason: str, source: str = "manual") -> Fact:
    """The last word on a fact that should not have been: entered for another patient, say. It stays readable; StaleError as above."""
    last, _ = _latest(work, fact_id, made_from, reason)
    if last.withdrawn:
        raise StoreError(where="fact", what="withdrawn already", remedy="nothing to do; correct it to bring it back")
    fact = _next(last, body=last.body, source=source, reference=last.reference, reason=reason)
    fact.at, fact.withdrawn = last.at, True
    return _write(work, fact, last)


def current(reading: Reading, course_id: str) -> list[Fact]:
    """The last revision of each fact, without what was withdrawn, in clinical order."""
    return as_of(reading, course_id, None)


def as_of(reading: Reading, course_id: str, moment: datetime | None) -> list[Fact]:
    """The same as it stood at a past moment: what had been entered by then."""
    # the revisions of one course are few: grouped in SQL, SQLite reads those of every course in the order of their names
    known = select(Fact).where(Fact.course_id == course_id).order_by(Fact.revision)
    if moment is not None:
        known = known.where(Fact.entered_at <= moment)
    last = {fact.id: fact for fact in reading.session.scalars(known)}
    return sorted((fact for fact in last.values() if not fact.withdrawn), key=_order)


def history(reading: Reading, fact_id: str) -> list[Fact]:
    """Every revision of a fact, oldest first."""
    return list(reading.session.scalars(select(Fact).where(Fact.id == fact_id).order_by(Fact.revision)))


def referenced(reading: Reading, course_id: str, source: str, reference: str) -> Fact | None:
    """The last revision of the fact that a source calls so, withdrawn or not: what a second import of it would repeat."""
    wanted = select(Fact).where(Fact.course_id == course_id, Fact.source == source, Fact.reference == reference)
    found = reading.session.scalars(wanted.order_by(Fact.entered_at.desc(), Fact.revision.desc()).limit(1)).first()
    return None if found is None else history(reading, found.id)[-1]


def _order(fact: Fact) -> tuple[int, float, str]:
    if fact.at is not None:
        return (1, fact.at.timestamp(), fact.id)
    hours = fact.body.get("time_h")
    return (0, 0.0, fact.id) if hours is None else (1, float(hours), fact.id)


def _open_course(work: Work, course_id: str) -> Course:
    """The course, locked: facts and signatures of one course are written one after the other."""
    course = work.get(Course, course_id, lock=True)
    if course.closed_at is not None:
        raise StoreError(where="course", what="closed", remedy="open a new course, or reopen this one")
    return course


def _latest(work: Work, fact_id: str, made_from: int, reason: str) -> tuple[Fact, Course]:
    revisions = history(work, fact_id)
    if not revisions:
        raise NotFound(where="fact", what="no such object among those you may see", remedy="go back to the list")
    course = _open_course(work, revisions[-1].course_id)
    last = history(work, fact_id)[-1]
    if last.revision != made_from:
        what = f"revision {made_from} is not the last: somebody wrote revision {last.revision} meanwhile"
        raise StaleError(where="fact", what=what, remedy="look at it, then decide again; nothing was written")
    if not reason.strip():
        raise StoreError(where="reason", what="missing", remedy="say why the fact is changed")
    return last, course


def _next(last: Fact, **fields: Any) -> Fact:
    return Fact(id=last.id, revision=last.revision + 1, course_id=last.course_id, kind=last.kind, **fields)


def _write(work: Work, fact: Fact, before: Fact | None) -> Fact:
    fact.entered_by, fact.entered_at = work.actor.login, now()
    fact.withdrawn = bool(fact.withdrawn)
    work.session.add(fact)
    work.session.flush()
    reopen(work, fact, before)
    if before is not None:
        questions.answer_findings(work, fact)
    return fact


def _fits(others: list[Fact], kind: str, entry: dict[str, Any]) -> None:
    """CaseError where the entry and the facts that are there could not stand in one case file."""
    own = _TIMES & set(entry)
    theirs = _TIMES & {key for other in others for key in other.body}
    if own and theirs and own != theirs:
        raise CaseError(where=kind, what="hours and clock times in one course", remedy="write the time as those before it")
    timeless = {other.body["name"] for other in others if other.kind == "covariate" and not _TIMES & set(other.body)}
    if kind == "covariate" and not own and entry["name"] in timeless:
        raise CaseError(
            where=f"covariates.{entry['name']}", what="a second value without a time", remedy="correct the first, or give times"
        )
