"""Work list, patients, new patient, one patient's courses, and the audit of a patient."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from auctor.errors import AuctorError, CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed, may
from auctor.web.pages.language import N_, Language
from auctor.web.pages.rendering import Blank, language_of, page
from auctor.web.pages.views.banner import Guard, patient_banner
from auctor.web.pages.visits import AtClinic, Sent, check_patient, typed
from auctor.web.service import courses, patients, trail
from auctor.web.service.clinic import Clinic, zone_of
from auctor.web.service.models import drugs
from auctor.web.service.patients import NewPatient, PatientFile
from auctor.web.service.targets import entry_text
from auctor.web.service.work_list import Waiting, Why, waiting

router = APIRouter()
Reader = Annotated[Actor, may(Verb.READ)]
Registrar = Annotated[Actor, may(Verb.REGISTER)]
Auditor = Annotated[Actor, may(Verb.READ_AUDIT)]
WORDS = {
    Why.ASKED: ("bad", N_("? question about the record")),
    Why.PENDING: ("warn", N_("● level not interpreted")),
    Why.CHANGED: ("bad", N_("▲ changed since signed")),
    Why.UNSIGNED: ("", N_("✎ not signed")),
    Why.DOUBTED: ("warn", N_("▲ does the record add up?")),
}


@router.get("/work")
def work_list(request: Request, clinic: AtClinic, actor: Reader) -> Response:
    """What waits for somebody."""
    tongue = language_of(request)
    rows = [_waiting(one, tongue, clinic) for one in waiting(clinic, actor)]
    interface = request.app.state.interface
    letters = interface.waiting(actor) if interface is not None and allowed(actor, Verb.OPERATE) else 0
    return page(request, "work.html", title=N_("Work list"), section="work", rows=rows, letters=letters)


def _waiting(one: Waiting, tongue: Language, clinic: Clinic) -> dict[str, Any]:
    return {
        "course": one.course.id,
        "family": one.patient.family,
        "given": one.patient.given,
        "identifier": one.patient.identifier,
        "demo": one.patient.demo,
        "drug": one.course.drug,
        "ward": one.ward,
        "why": [{"tone": WORDS[why][0], "words": WORDS[why][1]} for why in one.why],
        "since": tongue.moment(one.since, zone_of(one.course.time_zone, clinic)),
    }


@router.get("/patients")
@router.get("/patients/find")
@router.post("/patients/find")
def patient_list(request: Request, clinic: AtClinic, actor: Reader, sent: Sent) -> Response:
    """Patients of one's wards; by name or number where it was sent, in the body: an address stands in logs and histories."""
    tongue, q = language_of(request), str(sent.q)[:100]
    rows = [patient_banner(patient, ward, tongue) for patient, ward in patients.find(clinic, actor, q)]
    shown: dict[str, Any] = {"rows": rows, "q": q, "may_enter": allowed(actor, Verb.REGISTER)}
    return page(request, "patients.html", title=N_("Patients"), section="patients", **shown)


@router.get("/patients/new")
def new_patient(request: Request, clinic: AtClinic, actor: Registrar) -> Response:
    """The form of a new patient."""
    return _new_form(request, clinic, actor, Blank())


def _new_form(request: Request, clinic: Clinic, actor: Actor, form: Blank, error: AuctorError | None = None) -> Response:
    wards = patients.wards(clinic, actor)
    shown: dict[str, Any] = {"form": form, "wards": wards, "error": error}
    return page(request, "new_patient.html", title=N_("New patient"), section="patients", status=422 if error else 200, **shown)


@router.post("/patients")
def register(request: Request, clinic: AtClinic, actor: Registrar, sent: Sent) -> Response:
    """Register, then open the patient; the form again with what is wrong."""
    form = typed(request, sent, zone_of(None, clinic))
    try:
        new = NewPatient(
            ward=form.required("ward"),
            identifier=form.required("identifier"),
            family=form.required("family"),
            given=form.required("given"),
            birth_date=_birth_date(form.required("birth_date")),
            sex=form.required("sex"),
            demo=form.on("demo"),
        )
        return RedirectResponse(f"/patients/{patients.register(clinic, actor, new)}", 303)
    except CaseError as error:
        return _new_form(request, clinic, actor, sent, error)


def _birth_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        remedy = N_("write year-month-day, for example 1961-07-23")
        raise CaseError(where="birth_date", what=N_("not a date"), remedy=remedy) from None


@router.get("/patients/{patient_id}")
def patient(request: Request, clinic: AtClinic, actor: Reader, patient_id: str) -> Response:
    """One patient and the courses."""
    return patient_page(request, clinic, actor, patients.open_patient(clinic, actor, patient_id))


def patient_page(
    request: Request, clinic: Clinic, actor: Actor, found: PatientFile, form: Blank | None = None, error: AuctorError | None = None
) -> Response:
    """The page of one patient: the open courses, and the closed ones apart."""
    tongue = language_of(request)
    rows = [
        {
            "id": course.id,
            "drug": course.drug,
            "model": course.model,
            "target": entry_text(course.target) if course.target else "",
            "opened": tongue.moment(course.opened_at, zone_of(course.time_zone, clinic)),
            "closed": tongue.moment(course.closed_at, zone_of(course.time_zone, clinic)) if course.closed_at else "",
            "asked": found.asked.get(course.id, 0),
        }
        for course in found.courses
    ]
    shown: dict[str, Any] = {
        "banner": patient_banner(found.patient, found.ward, tongue),
        "guard": Guard(patient=found.patient.id),
        "courses": [row for row in rows if not row["closed"]],
        "closed_courses": [row for row in rows if row["closed"]],
        "drugs": [("", "–"), *((drug, drug) for drug in drugs())],
        "form": form or Blank(time_zone=clinic.zone),
        "error": error,
        "may_enter": allowed(actor, Verb.REGISTER),
        "may_audit": allowed(actor, Verb.READ_AUDIT),
    }
    return page(request, "patient.html", title=N_("Patient"), section="patients", status=422 if error else 200, **shown)


@router.post("/patients/{patient_id}/courses")
def open_course(request: Request, clinic: AtClinic, actor: Registrar, patient_id: str, sent: Sent) -> Response:
    """Open a course, then choose its model."""
    check_patient(sent, patient_id)
    form = typed(request, sent, zone_of(None, clinic))
    try:
        course = courses.open_course(clinic, actor, patient_id, drug=form.required("drug"), time_zone=form.required("time_zone"))
    except CaseError as error:
        return patient_page(request, clinic, actor, patients.open_patient(clinic, actor, patient_id), sent, error)
    return RedirectResponse(f"/courses/{course}/model", 303)


@router.get("/patients/{patient_id}/audit")
def audit(request: Request, clinic: AtClinic, actor: Auditor, patient_id: str) -> Response:
    """Who did what with this patient's data."""
    entries, tongue = trail.patient_trail(clinic, actor, patient_id), language_of(request)
    found = trail.patient_of(clinic, actor, patient_id)
    rows = [
        {
            "when": entry.at.replace("T", " ")[:19] + " UTC",
            "login": entry.login,
            "channel": entry.channel,
            "action": entry.action,
            "reason": entry.reason,
            "changes": "" if entry.before is None and entry.after is None else _changes(entry.before, entry.after),
        }
        for entry in entries
    ]
    banner = patient_banner(*found, tongue)
    return page(request, "audit.html", title=N_("Audit"), banner=banner, guard=Guard(patient=patient_id), entries=rows)


def _changes(before: Any, after: Any) -> str:
    return json.dumps({"before": before, "after": after}, indent=1, ensure_ascii=False)


@router.get("/patients/{patient_id}/audit.{kind}")
def audit_file(clinic: AtClinic, actor: Auditor, patient_id: str, kind: str) -> Response:
    """The same as a file, CSV or JSON."""
    if kind not in ("csv", "json"):
        raise CaseError(where="object", what=N_("no such file"), remedy=N_("take csv or json"))
    entries = trail.patient_trail(clinic, actor, patient_id)
    text, media = (trail.as_csv(entries), "text/csv") if kind == "csv" else (trail.as_json(entries), "application/json")
    headers = {"content-disposition": f'attachment; filename="audit.{kind}"', "X-Auctor-Patient": patient_id}
    return Response(text, media_type=f"{media}; charset=utf-8", headers=headers)
