"""Facts: enter, correct, withdraw, use or leave out, each one unit of work. The store re-opens what was signed on what changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.entry_check import check_entry
from auctor.web.store import Work, facts
from auctor.web.store.tables import Course, Fact, Patient

FUTURE = timedelta(minutes=10)  # how far clocks may differ before a time counts as being in the future


@dataclass(frozen=True, kw_only=True)
class Entered:
    """What came in: the kind and the body as of a case file, where it comes from and what it is called there."""

    kind: str
    body: dict[str, Any]
    source: str = "manual"
    reference: str | None = None
    reason: str = ""
    at: datetime | None = None


def enter(clinic: Clinic, actor: Actor, course_id: str, entries: Sequence[Entered]) -> tuple[str, ...]:
    """Add facts to a course, all or none; their identifiers. CaseError for what a case file would not take, or lies in the future."""
    demand(actor, Verb.ENTER)
    with clinic.store.work(actor) as work:
        ward = _ward(work, course_id, actor, Verb.ENTER)
        added = [_add(work, course_id, entry) for entry in entries]
        what, first = added[0].kind, added[0].id
        after = [fact.as_data() for fact in added]
        work.record(f"{what}.add", "fact", first if len(added) == 1 else course_id, ward=ward, after={"course": course_id, "facts": after})
        return tuple(fact.id for fact in added)


def _add(work: Work, course_id: str, entry: Entered) -> Fact:
    check_entry(work.get(Course, course_id), entry.kind, entry.body)
    fact = facts.add(
        work,
        course_id,
        kind=entry.kind,
        body=entry.body,
        source=entry.source,
        reference=entry.reference,
        reason=entry.reason,
        at=entry.at,
    )
    not_in_the_future(fact)
    return fact


def correct(clinic: Clinic, actor: Actor, fact_id: str, *, made_from: int, body: dict[str, Any], reason: str) -> str:
    """The next revision of a fact, with why; the course it belongs to. StaleError when another one came meanwhile."""
    with clinic.store.work(actor) as work:
        before, ward = _before(work, fact_id, actor)
        check_entry(work.get(Course, before.course_id), before.kind, body)
        fact = facts.correct(work, fact_id, made_from=made_from, body=body, reason=_why(reason))
        not_in_the_future(fact)
        work.record(f"{fact.kind}.correct", "fact", fact_id, ward=ward, before=before.as_data(), after=fact.as_data(), reason=reason)
        return fact.course_id


def withdraw(clinic: Clinic, actor: Actor, fact_id: str, *, made_from: int, reason: str) -> str:
    """Take a fact out as entered in error; it stays readable. The course it belongs to."""
    with clinic.store.work(actor) as work:
        before, ward = _before(work, fact_id, actor)
        fact = facts.withdraw(work, fact_id, made_from=made_from, reason=_why(reason))
        work.record(f"{fact.kind}.withdraw", "fact", fact_id, ward=ward, before=before.as_data(), after=fact.as_data(), reason=reason)
        return fact.course_id


def use(clinic: Clinic, actor: Actor, fact_id: str, *, made_from: int, used: bool, reason: str) -> str:
    """Leave a sample out of the estimation, or take it in again, with why. The course it belongs to."""
    with clinic.store.work(actor) as work:
        before, ward = _before(work, fact_id, actor)
        if before.kind != "sample":
            raise CaseError(where="sample", what="not a sample", remedy="correct or withdraw the entry instead")
        kept = {key: value for key, value in before.body.items() if key not in ("used", "reason")}
        body = kept if used else {**kept, "used": False, "reason": _why(reason)}
        fact = facts.correct(work, fact_id, made_from=made_from, body=body, reason=_why(reason))
        action = "sample.use" if used else "sample.leave-out"
        work.record(action, "fact", fact_id, ward=ward, before=before.as_data(), after=fact.as_data(), reason=reason)
        return fact.course_id


def fact_history(clinic: Clinic, actor: Actor, fact_id: str) -> list[Fact]:
    """Every revision of a fact, the first one first; empty where there is none in reach."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        return facts.history(reading, fact_id)


def _before(work: Work, fact_id: str, actor: Actor) -> tuple[Fact, str]:
    demand(actor, Verb.CORRECT)
    revisions = facts.history(work, fact_id)
    if not revisions:
        raise CaseError(where="object", what="not found", remedy="go back to the list")
    return revisions[-1], _ward(work, revisions[-1].course_id, actor, Verb.CORRECT)


def _ward(work: Work, course_id: str, actor: Actor, verb: Verb) -> str:
    patient = work.get(Patient, work.get(Course, course_id).patient_id)
    demand(actor, verb, ward=patient.ward_id)
    return patient.ward_id


def _why(reason: str) -> str:
    if not reason.strip():
        raise CaseError(where="reason", what="missing", remedy="say why")
    return reason.strip()


def not_in_the_future(fact: Fact) -> None:
    """CaseError for a dose or a sample later than clocks may differ."""
    if fact.kind in ("dose", "sample") and fact.at is not None and fact.at > datetime.now(UTC) + FUTURE:
        remedy = "check day and time; what is still to be given belongs into the order"
        raise CaseError(where="at", what="in the future", remedy=remedy)
