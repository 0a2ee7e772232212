"""What the routes share: the clinic, the reader's form, and the guard that keeps one patient's page from acting on another."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Request
from starlette.datastructures import FormData

from auctor.errors import AuctorError, CaseError
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank, language_of
from auctor.web.pages.typed import Form
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile

PATIENT, COURSE, REVISION = "patient", "course", "revision"


class WrongPatient(AuctorError):
    """What was sent belongs to another patient's page, or to one that is out of date: nothing was done and nothing is shown."""

    status = 409

    def __init__(self, what: str) -> None:
        super().__init__(where="page", what=what, remedy=N_("load the page again, and look whose it is before you go on"))


def clinic_of(request: Request) -> Clinic:
    """The clinic of the application."""
    return clinic_at(request.app)


def clinic_at(app: FastAPI) -> Clinic:
    """The clinic of an application, made over its store on first use."""
    found: Clinic = app.state.open_clinic()
    return found


async def form_of(request: Request) -> Blank:
    """The fields of a form as texts. CaseError for a file where a text belongs."""
    return _texts(await request.form())


def _texts(form: FormData) -> Blank:
    found = Blank()
    for name, value in form.multi_items():
        if not isinstance(value, str):
            raise CaseError(where=name, what=N_("a file where a text belongs"), remedy=N_("type it"))
        found[name] = value
    return found


AtClinic = Annotated[Clinic, Depends(clinic_of)]
Sent = Annotated[Blank, Depends(form_of)]


def typed(request: Request, sent: Blank, zone: ZoneInfo) -> Form:
    """A form ready to be read strictly."""
    return Form(fields=sent, language=language_of(request), zone=zone)


def check_patient(sent: Any, patient: str, course: str = "") -> None:
    """Refuse what was sent from the page of another patient or course."""
    if sent.get(PATIENT) != patient or (course and sent.get(COURSE) != course):
        raise WrongPatient(N_("this was sent from the page of another patient"))


def check_fresh(sent: Any, file: CourseFile) -> None:
    """The same, and refuse a page that is older than the course's last change."""
    check_patient(sent, file.patient.id, file.course.id)
    if sent.get(REVISION) != file.revision:
        raise WrongPatient(N_("the data changed since this page was loaded"))


def check_fragment(request: Request, file: CourseFile) -> None:
    """A fragment or data request says in its headers and parameters whose page asks; all of them must agree with what is asked for."""
    headers = request.headers
    claimed = {"patient": headers.get("x-auctor-patient", ""), "course": headers.get("x-auctor-course", "")}
    check_patient(claimed, file.patient.id, file.course.id)
    if request.query_params.get(REVISION) != file.revision:
        raise WrongPatient(N_("the data changed since this page was loaded"))
