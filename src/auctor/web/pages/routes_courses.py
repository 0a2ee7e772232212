"""The page of a course: inputs, curve, methods, risk, candidates, what blocks signing; analysis, what-if, the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from auctor.errors import AuctorError, CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed, may
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank, language_of, page
from auctor.web.pages.routes_patients import patient_page
from auctor.web.pages.typed import Form
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.course import chart_of, course_view, tried_view
from auctor.web.pages.views.model import comparison_view, model_page
from auctor.web.pages.views.record import sending_row
from auctor.web.pages.views.suspicion import suspicion_view
from auctor.web.pages.visits import AtClinic, Sent, check_fragment, check_fresh, check_patient, typed
from auctor.web.service import analyses, comparing, courses, findings, patients
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.sending import sendings
from auctor.web.service.trying import Typed, try_regimen
from auctor.web.store.tables import Result

router = APIRouter(prefix="/courses")
Reader = Annotated[Actor, may(Verb.READ)]
Trier = Annotated[Actor, may(Verb.TRY)]
Analyst = Annotated[Actor, may(Verb.ANALYSE)]
Corrector = Annotated[Actor, may(Verb.CORRECT)]
Registrar = Annotated[Actor, may(Verb.REGISTER)]
REGIMEN = ("dose", "every", "duration")


@router.get("/{course_id}")
def course(request: Request, clinic: AtClinic, actor: Reader, course_id: str) -> Response:
    """The page of a course; the view is audited."""
    return _course_page(request, clinic, actor, look(clinic, actor, course_id, audited=True))


def _course_page(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    file: CourseFile,
    *,
    error: AuctorError | None = None,
    what_if: dict[str, object] | None = None,
    regimen: Blank | None = None,
) -> Response:
    tongue = language_of(request)
    shown = course_view(file, actor, tongue) | _record(request, clinic, actor, file)
    if regimen is not None:
        shown["typed"] = regimen
    extra: dict[str, Any] = {"error": error, "what_if": what_if, "said": tongue.say(_said(request.query_params.get("said", "")))}
    status = 200 if error is None else getattr(error, "status", 422)
    return page(request, "course.html", title=file.course.drug, section="patients", status=status, **shown, **extra)


def _record(request: Request, clinic: Clinic, actor: Actor, file: CourseFile) -> dict[str, Any]:
    """The hospital's record beside the course: the ward's server, and what became of the signed result on its way there."""
    server, tongue = request.app.state.records.partners.record_of(file.patient.ward_id), language_of(request)
    rows = sendings(clinic, actor, [file.signed.id]) if file.signed else []
    sent = [sending_row(row, file, tongue) for row in rows if server is not None and row.destination == server.base]
    may_send = server is not None and file.signed is not None and allowed(actor, Verb.EXPORT)
    return {"server": "" if server is None else server.name, "sending": sent[0] if sent else None, "may_send": may_send}


SAID = {
    "saved": N_("Saved."),
    "analysed": N_("Analysed."),
    "signed": N_("Signed. The report is final."),
    "withdrawn": N_("Withdrawn."),
    "answered": N_("Answered. The answer is part of the course."),
    "settled": N_("Settled."),
    "sent": N_("Sent to the hospital's record."),
}


def _said(key: str) -> str:
    return SAID.get(key, "")


@router.post("/{course_id}/analyse")
def analyse(request: Request, clinic: AtClinic, actor: Analyst, course_id: str, sent: Sent) -> Response:
    """Analyse the course as it stands."""
    file = look(clinic, actor, course_id)
    check_fresh(sent, file)
    try:
        analyses.analyse(clinic, actor, course_id)
    except AuctorError as error:
        return _course_page(request, clinic, actor, look(clinic, actor, course_id), error=error)
    return RedirectResponse(f"/courses/{course_id}?said=analysed", 303)


@router.post("/{course_id}/close")
def close(request: Request, clinic: AtClinic, actor: Registrar, course_id: str, sent: Sent) -> Response:
    """Close the course."""
    return _ended(request, clinic, actor, course_id, sent, courses.close_course)


@router.post("/{course_id}/reopen")
def reopen(request: Request, clinic: AtClinic, actor: Registrar, course_id: str, sent: Sent) -> Response:
    """Open a closed course again."""
    return _ended(request, clinic, actor, course_id, sent, courses.reopen_course)


def _ended(request: Request, clinic: Clinic, actor: Actor, course_id: str, sent: Blank, verb: Callable[..., None]) -> Response:
    """Back to the patient, or the patient's page again with what is missing."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    try:
        verb(clinic, actor, course_id, reason=typed(request, sent, file.zone).text("reason"))
    except CaseError as error:
        return patient_page(request, clinic, actor, patients.open_patient(clinic, actor, file.patient.id), error=error)
    return RedirectResponse(f"/patients/{file.patient.id}", 303)


@router.get("/{course_id}/curve.json")
def curve(request: Request, clinic: AtClinic, actor: Reader, course_id: str, result: str) -> Response:
    """The data of the interactive curve, for the page that shows this very result."""
    file = look(clinic, actor, course_id)
    check_fragment(request, file)
    chart = chart_of(file, _result_of(file, result), language_of(request))
    headers = {"X-Auctor-Patient": file.patient.id, "X-Auctor-Course": course_id}
    return JSONResponse(chart.data(), headers=headers)


def _result_of(file: CourseFile, result_id: str) -> Result:
    found = next((result for result in file.results if result.id == result_id), None)
    if found is None:
        raise CaseError(where="object", what=N_("not found"), remedy=N_("load the page again"))
    return found


@router.get("/{course_id}/what-if")
def what_if(request: Request, clinic: AtClinic, actor: Trier, course_id: str) -> Response:
    """A typed regimen without JavaScript: the whole page again with the answer."""
    file = look(clinic, actor, course_id)
    check_fresh(request.query_params, file)
    sent = Blank(request.query_params)
    return _course_page(request, clinic, actor, file, what_if=_tried(request, clinic, actor, file, sent), regimen=sent)


@router.get("/{course_id}/what-if/part")
def what_if_part(request: Request, clinic: AtClinic, actor: Trier, course_id: str) -> Response:
    """The same as a fragment."""
    file = look(clinic, actor, course_id)
    check_fragment(request, file)
    check_fresh(request.query_params, file)
    answer = _tried(request, clinic, actor, file, Blank(request.query_params))
    may_sign = allowed(actor, Verb.SIGN)
    return page(request, "what_if_part.html", title="", guard=guard_of(file), what_if=answer, may_sign=may_sign)


def _tried(request: Request, clinic: Clinic, actor: Actor, file: CourseFile, sent: Blank) -> dict[str, object]:
    tongue = language_of(request)
    try:
        result = _result_of(file, sent["result"])
        regimen = read_regimen(typed(request, sent, file.zone))
        tried = try_regimen(clinic, actor, file, result, regimen)
    except AuctorError as error:
        return {"error": error}
    query = urlencode({name: sent[name] for name in REGIMEN if sent[name]})
    return tried_view(file, result, tried, tongue) | {"error": None, "result": result.id, "query": query, "read": _read_as(sent, regimen)}


def read_regimen(form: Form) -> Typed:
    """The typed regimen in mg and h."""
    over = form.number("duration") if form.text("duration") else "0"
    return Typed(dose_mg=float(form.number("dose")), every_h=float(form.number("every")), duration_h=float(over))


def _read_as(sent: Blank, regimen: Typed) -> str:
    """What was read, where a comma was typed."""
    if not any("," in sent[name] for name in REGIMEN):
        return ""
    return " / ".join(f"{value:.10g}" for value in (regimen.dose_mg, regimen.every_h, regimen.duration_h) if value)


@router.get("/{course_id}/suspicion")
def suspicion_page(request: Request, clinic: AtClinic, actor: Trier, course_id: str) -> Response:
    """Whether the record adds up: what else would explain the levels, and what to ask. What is new is kept where one may analyse."""
    file, tongue = look(clinic, actor, course_id), language_of(request)
    shown: dict[str, Any] = {"error": analyses.not_ready(file), "may_close": allowed(actor, Verb.CORRECT)}
    if shown["error"] is None:
        try:
            checked = findings.review(clinic, actor, file)
            file = look(clinic, actor, course_id)
            shown |= suspicion_view(checked, file, tongue)
        except AuctorError as refused:
            shown["error"] = refused
    shown |= {"banner": course_banner(file, tongue), "guard": guard_of(file)}
    status = 422 if shown["error"] else 200
    return page(request, "suspicion.html", title=N_("Does the record add up?"), section="patients", status=status, **shown)


@router.get("/{course_id}/model")
def model(request: Request, clinic: AtClinic, actor: Reader, course_id: str, compare: str = "") -> Response:
    """The model: why, whom it was built in, its limits; the others of the drug; on request every model's answer."""
    file = look(clinic, actor, course_id)
    compared, error = None, None
    if compare:
        try:
            compared = comparison_view(comparing.compare(clinic, actor, file), language_of(request))
        except AuctorError as refused:
            error = refused
    return _model_page(request, actor, file, Blank(), compared=compared, error=error)


def _model_page(
    request: Request,
    actor: Actor,
    file: CourseFile,
    form: Blank,
    *,
    compared: dict[str, object] | None = None,
    error: AuctorError | None = None,
) -> Response:
    tongue = language_of(request)
    shown = model_page(file, actor, tongue) | {"comparison": compared, "error": error}
    if form:
        shown["form"] = form
    shown |= {"banner": course_banner(file, tongue), "guard": guard_of(file)}
    return page(request, "model.html", title=N_("Model and target"), section="patients", status=422 if error else 200, **shown)


@router.post("/{course_id}/model")
def choose_model(request: Request, clinic: AtClinic, actor: Corrector, course_id: str, sent: Sent) -> Response:
    """Take a model and a target for the course."""
    file = look(clinic, actor, course_id)
    check_fresh(sent, file)
    form = typed(request, sent, file.zone)
    try:
        chosen, target = form.required("model"), form.text("target")
        courses.choose(clinic, actor, course_id, model=chosen, target=target, reason=form.text("reason"))
    except AuctorError as error:
        return _model_page(request, actor, file, sent, error=error)
    return RedirectResponse(f"/courses/{course_id}?said=saved", 303)
