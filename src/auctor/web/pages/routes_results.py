"""Sign a result, and its report as a page and as a PDF."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.middleware.forgery import csrf_token
from auctor.web.pages.confirming import confirmation, ways
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank, language_of, page, refused
from auctor.web.pages.reporting import pdf_of, report_of
from auctor.web.pages.routes_courses import read_regimen
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.course import shown_result
from auctor.web.pages.views.finding import open_findings
from auctor.web.pages.visits import AtClinic, Sent, check_fresh, typed
from auctor.web.service import signing
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.signing import Choice, Wish, result_file
from auctor.web.store.tables import Result

router = APIRouter(prefix="/results")
Reader = Annotated[Actor, may(Verb.READ)]
Exporter = Annotated[Actor, may(Verb.EXPORT)]
Signer = Annotated[Actor, may(Verb.SIGN)]
TYPED = "typed"
CHOSEN = ("regimen", "dose", "every", "duration")


@router.get("/{result_id}/sign")
def sign_form(request: Request, clinic: AtClinic, actor: Signer, result_id: str) -> Response:
    """What is signed, what still blocks it, and the signer's password again."""
    file, result = result_file(clinic, actor, result_id)
    sent = Blank(request.query_params)
    try:
        choice = _choice(request, clinic, actor, file, result, sent)
    except AuctorError as error:
        return refused(request, error, status=422, back=f"/courses/{file.course.id}")
    return _sign_page(request, actor, (file, result), sent, choice)


def _choice(request: Request, clinic: Clinic, actor: Actor, file: CourseFile, result: Result, sent: Blank) -> Choice:
    regimen = read_regimen(typed(request, sent, file.zone)) if sent["regimen"] == TYPED else None
    return signing.choose(clinic, actor, file, result, label=sent["regimen"], typed=regimen)


def _sign_page(
    request: Request, actor: Actor, at: tuple[CourseFile, Result], sent: Blank, choice: Choice, error: AuctorError | None = None
) -> Response:
    tongue, (file, result) = language_of(request), at
    shown = shown_result(file, result, tongue)
    forecast = dict(choice.forecast)
    chosen = {"regimen": shown.regimen(forecast["option"]), "confirm": choice.confirm}
    chosen["shown"] = shown.forecast(forecast) if "exposure" in forecast else None
    context: dict[str, Any] = {
        "banner": course_banner(file, tongue),
        "guard": guard_of(file),
        "shown": shown,
        "result_id": result.id,
        "findings": open_findings(file, tongue),
        "chosen": chosen,
        "form": sent,
        "error": error,
        "ways": ways(request, actor),
        "csrf_token": csrf_token(request),
        "again": f"/results/{result.id}/sign?{urlencode({name: sent[name] for name in CHOSEN if sent[name]}, quote_via=quote)}",
    }
    status = 200 if error is None else getattr(error, "status", 422)
    return page(request, "sign.html", title=N_("Sign"), section="patients", status=status, **context)


@router.post("/{result_id}/sign")
def sign(request: Request, clinic: AtClinic, actor: Signer, result_id: str, sent: Sent) -> Response:
    """Sign, or show the form again with what is missing."""
    file, result = result_file(clinic, actor, result_id)
    check_fresh(sent, file)
    choice = _choice(request, clinic, actor, file, result, sent)
    reasons = {key: sent[f"reason{k}"] for k, key in enumerate(signing.blocking(result))} | {signing.CHANGE: sent["reason_change"]}
    try:
        wish = Wish(choice=choice, meaning=sent["meaning"], reasons=reasons)
        signing.sign(clinic, actor, result_id, wish, confirm=confirmation(request, actor, sent))
    except AuctorError as error:
        kept = Blank({name: value for name, value in sent.items() if name not in ("password", "code", "passkey")})
        return _sign_page(request, actor, (file, result), kept, choice, error)
    return RedirectResponse(f"/courses/{file.course.id}?said=signed", 303)


@router.get("/{result_id}/report")
def report(request: Request, clinic: AtClinic, actor: Reader, result_id: str) -> Response:
    """The report as a page; unsigned ones carry a watermark."""
    file, written = report_of(clinic, actor, result_id, language_of(request))
    return HTMLResponse(written, headers={"X-Auctor-Patient": file.patient.id})


@router.get("/{result_id}/report.pdf")
def report_pdf(request: Request, clinic: AtClinic, actor: Exporter, result_id: str) -> Response:
    """The same as a PDF, made in a worker thread."""
    file, made = pdf_of(clinic, actor, result_id, language_of(request))
    name = f"auctor-{file.course.drug}-{result_id[:8]}.pdf"
    headers = {"content-disposition": f'inline; filename="{name}"', "X-Auctor-Patient": file.patient.id}
    return Response(made, media_type="application/pdf", headers=headers)
