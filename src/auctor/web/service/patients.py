"""Patients: register, find, open. Opening one is a verb of its own and leaves its entry: who looked at whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import func, or_, select

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store import questions
from auctor.web.store.tables import Course, Patient, Ward

AUTHORITY = "manual"
SEXES = ("female", "male", "other", "unknown")
MOST_FOUND = 200


@dataclass(frozen=True, kw_only=True)
class NewPatient:
    """What is asked of a new patient; `authority` says who gave the identifier."""

    ward: str
    identifier: str
    family: str
    given: str
    birth_date: date
    sex: str
    authority: str = AUTHORITY
    demo: bool = False


@dataclass(frozen=True, kw_only=True)
class PatientFile:
    """A patient, the name of its ward, its courses, the newest first, and how many open questions each of them has."""

    patient: Patient
    ward: str
    courses: tuple[Course, ...]
    asked: Mapping[str, int] = field(default_factory=dict)


def wards(clinic: Clinic, actor: Actor) -> list[tuple[str, str]]:
    """(id, name) of the wards that the actor sees."""
    with clinic.store.read(actor) as reading:
        every = reading.session.scalars(select(Ward).where(Ward.active).order_by(Ward.name)).all()
        return [(ward.id, ward.name) for ward in every if actor.sees(ward.id)]


def register(clinic: Clinic, actor: Actor, new: NewPatient) -> str:
    """A new patient's identifier in the store. CaseError for an impossible birth date, or an identifier that is taken."""
    demand(actor, Verb.REGISTER, ward=new.ward)
    _check(new)
    with clinic.store.work(actor) as work:
        if work.session.scalar(select(Patient.id).where(Patient.authority == new.authority, Patient.identifier == new.identifier)):
            raise CaseError(where="identifier", what="there is a patient with this number", remedy="find the patient in the list")
        patient = Patient(
            ward_id=new.ward,
            identifier=new.identifier,
            authority=new.authority,
            family=new.family,
            given=new.given,
            birth_date=new.birth_date,
            sex=new.sex,
            demo=new.demo,
        )
        work.session.add(patient)
        work.session.flush()
        work.record("patient.register", "patient", patient.id, ward=patient.ward_id, after=patient.as_data())
        return patient.id


def _check(new: NewPatient) -> None:
    today = date.today()
    if not date(today.year - 130, 1, 1) <= new.birth_date <= today:
        raise CaseError(where="birth_date", what="not the birth date of a living person", remedy="check the year, month and day")
    if new.sex not in SEXES:
        raise CaseError(where="sex", what="not one of the choices", remedy="choose one of the list")


def find(clinic: Clinic, actor: Actor, query: str = "", *, most: int = MOST_FOUND, skip: int = 0) -> list[tuple[Patient, str]]:
    """Patients of the actor's wards whose name or identifier holds `query`, with their wards' names; at most `most`, by name."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        found = select(Patient, Ward.name).join(Ward, Ward.id == Patient.ward_id).order_by(Patient.family, Patient.given, Patient.id)
        for word in query.split():
            like = f"%{word.replace('%', '').replace('_', '').casefold()}%"
            columns = (Patient.family, Patient.given, Patient.identifier)
            found = found.where(or_(*(func.lower(column).like(like) for column in columns)))
        return [(patient, ward) for patient, ward in reading.session.execute(found.limit(most).offset(skip)).all()]


def open_patient(clinic: Clinic, actor: Actor, patient_id: str) -> PatientFile:
    """A patient with its courses; the view is audited. NotFound where there is none in reach."""
    demand(actor, Verb.READ)
    with clinic.store.work(actor) as work:
        patient = work.get(Patient, patient_id)
        demand(actor, Verb.READ, ward=patient.ward_id)
        ward = work.session.scalar(select(Ward.name).where(Ward.id == patient.ward_id)) or patient.ward_id
        courses = work.session.scalars(select(Course).where(Course.patient_id == patient.id).order_by(Course.opened_at.desc())).all()
        work.record("patient.view", "patient", patient.id, ward=patient.ward_id)
        asked = Counter(question.course_id for question in questions.opened(work, [course.id for course in courses]))
        return PatientFile(patient=patient, ward=ward, courses=tuple(courses), asked=asked)
