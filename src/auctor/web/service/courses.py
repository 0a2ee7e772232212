"""Courses: open, choose the model and target, look, close. A course's file is everything a page shows of it, read at one moment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic, checked_zone, zone_of
from auctor.web.service.engine import read
from auctor.web.service.models import offers
from auctor.web.service.targets import entry_text, read_target
from auctor.web.store import Reading, Work, facts, questions, results
from auctor.web.store.documents import assembled
from auctor.web.store.questions import Kept
from auctor.web.store.reopening import reopen_for_choice
from auctor.web.store.results import Status
from auctor.web.store.tables import (
    PLAUSIBILITY,
    Course,
    Fact,
    Patient,
    Question,
    RecordCheck,
    RecordRead,
    Reopening,
    Result,
    Signature,
    Ward,
    canonical,
)


@dataclass(frozen=True, kw_only=True)
class CourseFile:
    """A course as it stood when it was read. `document` is the case that its facts make; `results` are the newest first.

    `revision` changes with every fact, choice, result and question: a page that carries another one is out of date. `asked` is all that was
    ever asked about it; `record` says how fresh the course is against the hospital's record, None where it was never read, and `check`
    what came of the last check of whether it adds up.
    """

    patient: Patient
    ward: str
    course: Course
    facts: tuple[Fact, ...]
    document: dict[str, Any]
    results: tuple[Result, ...]
    statuses: dict[str, Status]
    signatures: dict[str, Signature]
    reopenings: dict[str, Reopening]
    zone: ZoneInfo
    revision: str
    asked: tuple[Kept, ...] = ()
    record: RecordRead | None = None
    check: RecordCheck | None = None

    @property
    def opened(self) -> list[Question]:
        """What is asked and not settled; of a fact, as long as it has no other revision."""
        standing = {(fact.id, fact.revision) for fact in self.facts}
        still = [kept.question for kept in self.asked if kept.settlement is None]
        return [one for one in still if one.fact_id is None or (one.fact_id, one.fact_revision) in standing]

    @property
    def questions(self) -> list[Question]:
        """The open ones that block signing."""
        return [one for one in self.opened if one.blocks_signing]

    @property
    def findings(self) -> list[Kept]:
        """What the plausibility check ever flagged: the oldest first, of those found together the most probable."""
        found = [kept for kept in self.asked if kept.question.source == PLAUSIBILITY]
        return sorted(found, key=lambda kept: (kept.question.raised_at, -log_odds(kept.question)))

    @property
    def latest(self) -> Result | None:
        """The newest result."""
        return self.results[0] if self.results else None

    @property
    def signed(self) -> Result | None:
        """The newest signed result, standing or re-opened."""
        return next((result for result in self.results if result.id in self.signatures), None)

    def of_kind(self, kind: str) -> list[Fact]:
        """The facts of a kind, in clinical order."""
        return [fact for fact in self.facts if fact.kind == kind]

    @property
    def order(self) -> Fact | None:
        """The order that holds now."""
        orders = [fact for fact in self.of_kind("order") if fact.at is not None]
        return max(orders, key=lambda fact: (fact.at, fact.entered_at), default=None)

    def stands(self, result: Result) -> bool:
        """Whether nothing re-opened it since it was signed."""
        return self.statuses[result.id] is not Status.REOPENED

    def stale(self, result: Result) -> bool:
        """Whether the present facts would make another document than the result was computed from."""
        return results.sha256(canonical(self.document)) != result.document_sha256


def log_odds(question: Question) -> float:
    """Natural logarithm of a finding's posterior odds."""
    found: Mapping[str, float] = question.finding or {}
    return found["log_likelihood_ratio"] + math.log(found["prior_odds"])


def look(clinic: Clinic, actor: Actor, course_id: str, *, audited: bool = False) -> CourseFile:
    """A course's file; with `audited` the view leaves its entry. NotFound where there is none in reach."""
    demand(actor, Verb.READ)
    if not audited:
        with clinic.store.read(actor) as reading:
            return _file(clinic, reading, course_id)
    with clinic.store.work(actor) as work:
        found = _file(clinic, work, course_id)
        demand(actor, Verb.READ, ward=found.patient.ward_id)
        work.record("course.view", "course", course_id, ward=found.patient.ward_id, after={"patient": found.patient.id})
        return found


def _file(clinic: Clinic, reading: Reading, course_id: str) -> CourseFile:
    course = reading.get(Course, course_id)
    patient = reading.get(Patient, course.patient_id)
    ward = reading.session.scalar(select(Ward.name).where(Ward.id == patient.ward_id)) or patient.ward_id
    known, every = facts.current(reading, course_id), results.of_course(reading, course_id)
    ids = [result.id for result in every]
    signed = reading.session.scalars(select(Signature).where(Signature.result_id.in_(ids))).all()
    opened = reading.session.scalars(select(Reopening).where(Reopening.result_id.in_(ids)).order_by(Reopening.reopened_at)).all()
    asked = questions.every(reading, course_id)
    parts = [
        *(f"{kept.question.id}/{kept.settlement is None}" for kept in asked),
        course.version,
        *sorted(f"{fact.id}/{fact.revision}" for fact in known),
        *ids[:1],
        len(signed),
        len(opened),
    ]
    return CourseFile(
        patient=patient,
        ward=ward,
        course=course,
        facts=tuple(known),
        document=assembled(course, known),
        results=tuple(every),
        statuses=results.statuses(reading, course_id),
        signatures={one.result_id: one for one in signed},
        reopenings={one.result_id: one for one in reversed(opened)},
        zone=zone_of(course.time_zone, clinic),
        revision=hashlib.sha256(repr(parts).encode()).hexdigest()[:16],
        asked=tuple(asked),
        record=reading.session.get(RecordRead, course_id),
        check=reading.session.get(RecordCheck, course_id),
    )


def open_course(clinic: Clinic, actor: Actor, patient_id: str, *, drug: str, time_zone: str) -> str:
    """A new course of a drug of the library; its identifier. The model is chosen where the drug has only one."""
    demand(actor, Verb.REGISTER)
    offered, zone = offers(drug), checked_zone(time_zone)
    with clinic.store.work(actor) as work:
        patient = work.get(Patient, patient_id)
        demand(actor, Verb.REGISTER, ward=patient.ward_id)
        model = offered[0].model.name if len(offered) == 1 else None
        course = Course(patient_id=patient.id, drug=offered[0].model.drug, model=model, time_zone=zone)
        work.session.add(course)
        work.session.flush()
        work.record("course.open", "course", course.id, ward=patient.ward_id, after=course.as_data())
        return course.id


def choose(clinic: Clinic, actor: Actor, course_id: str, *, model: str, target: str, reason: str) -> None:
    """Set the model and the target ("" for the model's own) of a course. CaseError for what does not belong to its drug."""
    demand(actor, Verb.CORRECT)
    with clinic.store.work(actor) as work:
        course = work.get(Course, course_id)
        patient = work.get(Patient, course.patient_id)
        demand(actor, Verb.CORRECT, ward=patient.ward_id)
        _check_open(course)
        if model not in [offer.model.name for offer in offers(course.drug)]:
            raise CaseError(where="model", what="not a model of this drug", remedy="choose one of the list")
        wanted = read_target(target, read(model)) if target else None
        changed = bool(course.model) and (course.model, course.target) != (model, wanted)
        if changed and not reason.strip():
            raise CaseError(where="reason", what="missing", remedy="say why the model or the target is changed")
        before = course.as_data()
        course.model, course.target = model, wanted
        work.session.flush()
        if changed:
            reopen_for_choice(work, facts.add(work, course_id, kind="note", body={"text": _changed(before, course, reason)}))
        work.record("course.choose", "course", course.id, ward=patient.ward_id, before=before, after=course.as_data(), reason=reason)


def close_course(clinic: Clinic, actor: Actor, course_id: str, *, reason: str) -> None:
    """Close a course: it stays readable and takes no more facts."""
    demand(actor, Verb.REGISTER)
    with clinic.store.work(actor) as work:
        course = work.get(Course, course_id)
        patient = work.get(Patient, course.patient_id)
        demand(actor, Verb.REGISTER, ward=patient.ward_id)
        _check_open(course)
        _set_closed(work, course, patient.ward_id, "course.close", at=work.at, reason=reason)


def reopen_course(clinic: Clinic, actor: Actor, course_id: str, *, reason: str) -> None:
    """Open a closed course again: it takes facts as before. CaseError where it is open, or no reason is given."""
    demand(actor, Verb.REGISTER)
    with clinic.store.work(actor) as work:
        course = work.get(Course, course_id)
        patient = work.get(Patient, course.patient_id)
        demand(actor, Verb.REGISTER, ward=patient.ward_id)
        if course.closed_at is None:
            raise CaseError(where="course", what="not closed", remedy="nothing to do")
        _set_closed(work, course, patient.ward_id, "course.reopen", at=None, reason=reason)


def _set_closed(work: Work, course: Course, ward: str, action: str, *, at: datetime | None, reason: str) -> None:
    if not reason.strip():
        raise CaseError(where="reason", what="missing", remedy="say why")
    before, course.closed_at = course.as_data(), at
    work.session.flush()
    work.record(action, "course", course.id, ward=ward, before=before, after=course.as_data(), reason=reason)


def _changed(before: Mapping[str, Any], course: Course, reason: str) -> str:
    """The note that another model or target leaves: it stands in the time line and on the report."""
    model = (
        f"Model {before['model']} replaced by {course.model}" if before["model"] != course.model else f"Target of {course.model} changed"
    )
    goal = f"; target: {entry_text(course.target) if course.target else 'the model’s own'}"
    return f"{model}{goal}. {reason.strip()}"


def _check_open(course: Course) -> None:
    if course.closed_at is not None:
        raise CaseError(where="course", what="closed", remedy="open a new course")
