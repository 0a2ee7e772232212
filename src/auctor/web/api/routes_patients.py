"""Wards, patients, the work list, the audit trail of a patient."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api import shown
from auctor.web.api.answers import leads_to, refusals
from auctor.web.api.once import AtOnce
from auctor.web.api.paging import Paged, Paging
from auctor.web.api.shapes.base import ID, Made, Page, Ward
from auctor.web.api.shapes.courses import NewCourse
from auctor.web.api.shapes.patients import AuditEntry, NewPatient, Patient, PatientFile, Sought, Waiting
from auctor.web.pages.visits import AtClinic
from auctor.web.service import courses, patients, trail
from auctor.web.service.clinic import Clinic
from auctor.web.service.work_list import waiting

router = APIRouter()
Reader = Annotated[Actor, may(Verb.READ)]
Registrar = Annotated[Actor, may(Verb.REGISTER)]
Auditor = Annotated[Actor, may(Verb.READ_AUDIT)]
PatientId = Annotated[str, Path(pattern=ID)]


@router.get("/wards", responses=refusals())
def list_wards(clinic: AtClinic, actor: Reader, paging: Paged) -> Page[Ward]:
    """Wards that the caller sees, by name."""
    return paging.page([Ward(id=ward, name=name) for ward, name in patients.wards(clinic, actor)])


@router.get("/work-list", responses=refusals())
def list_work(clinic: AtClinic, actor: Reader, paging: Paged) -> Page[Waiting]:
    """Open courses that wait for somebody, the one that waits longest first."""
    found = [
        Waiting(
            course=one.course.id,
            patient=one.patient.id,
            ward=one.patient.ward_id,
            drug=one.course.drug,
            why=[why.value for why in one.why],
            since=one.since,
        )
        for one in waiting(clinic, actor)
    ]
    return paging.page(found)


@router.get("/patients", responses=refusals())
def list_patients(clinic: AtClinic, actor: Reader, paging: Paged) -> Page[Patient]:
    """Patients of the caller's wards, by name."""
    return _found(clinic, actor, paging, "")


@router.post("/find/patients", responses=refusals(422))
def find_patients(clinic: AtClinic, actor: Reader, paging: Paged, sought: Sought) -> Page[Patient]:
    """Those whose name or identifier holds the words. They are sent in the body: an address stands in logs. Nothing is changed."""
    return _found(clinic, actor, paging, sought.text)


def _found(clinic: Clinic, actor: Actor, paging: Paging, text: str) -> Page[Patient]:
    rows = patients.find(clinic, actor, text, most=paging.limit + 1, skip=paging.offset)
    return paging.page([Patient(**shown.patient_fields(row)) for row, _ in rows], skipped=paging.offset)


@router.post(
    "/patients", status_code=201, responses=refusals(404, 409, 422) | {201: leads_to(get_patient="patient_id", open_course="patient_id")}
)
def register_patient(response: Response, actor: Registrar, once: AtOnce, new: NewPatient) -> Made:
    """Register a patient."""
    asked = patients.NewPatient(**new.model_dump())
    (made,) = once.do(lambda clinic: patients.register(clinic, actor, asked))
    return _made(response, f"{shown.START}/patients/{made}", made)


def _made(response: Response, href: str, made: str) -> Made:
    response.headers["location"] = href
    return Made(id=made, href=href)


@router.get("/patients/{patient_id}", responses=refusals(404))
def get_patient(clinic: AtClinic, actor: Reader, patient_id: PatientId) -> PatientFile:
    """A patient with the courses. The view is audited."""
    file = patients.open_patient(clinic, actor, patient_id)
    return PatientFile(**shown.patient_fields(file.patient), courses=[shown.course_line(row) for row in file.courses])


@router.post(
    "/patients/{patient_id}/courses",
    status_code=201,
    responses=refusals(404, 409, 422)
    | {201: leads_to(get_course="course_id", add_facts="course_id", choose_model="course_id", list_facts="course_id", analyse="course_id")},
)
def open_course(response: Response, actor: Registrar, once: AtOnce, patient_id: PatientId, new: NewCourse) -> Made:
    """Open a course of a drug of the library."""
    (made,) = once.do(lambda clinic: courses.open_course(clinic, actor, patient_id, drug=new.drug, time_zone=new.time_zone))
    return _made(response, f"{shown.START}/courses/{made}", made)


@router.get("/patients/{patient_id}/audit", responses=refusals(404))
def get_audit(clinic: AtClinic, actor: Auditor, paging: Paged, patient_id: PatientId) -> Page[AuditEntry]:
    """The audit trail of a patient, newest first. Reading it leaves an entry too."""
    found = trail.patient_trail(clinic, actor, patient_id)
    names = AuditEntry.model_fields
    return paging.page([AuditEntry(**{name: getattr(entry, name) for name in names}) for entry in found])
