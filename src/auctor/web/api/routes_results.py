"""One result: its content, what-if, its signature, its report."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse

from auctor.errors import CaseError
from auctor.units import convert, parse
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.api import shown
from auctor.web.api.answers import refusals
from auctor.web.api.once import AtOnce
from auctor.web.api.shapes.base import ID, Made
from auctor.web.api.shapes.results import Regimen, Result, Signing, Tried
from auctor.web.pages.confirming import confirmation
from auctor.web.pages.rendering import Blank, language_of
from auctor.web.pages.reporting import pdf_of, report_of
from auctor.web.pages.visits import AtClinic
from auctor.web.service import signing
from auctor.web.service.clinic import Clinic
from auctor.web.service.signing import Wish, result_file
from auctor.web.service.trying import Typed
from auctor.web.service.trying import try_regimen as tried

router = APIRouter(prefix="/results/{result_id}")
Reader = Annotated[Actor, may(Verb.READ)]
Trier = Annotated[Actor, may(Verb.TRY)]
Exporter = Annotated[Actor, may(Verb.EXPORT)]
Signer = Annotated[Actor, may(Verb.SIGN)]
ResultId = Annotated[str, Path(pattern=ID)]
HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
PDF: dict[int | str, dict[str, Any]] = {200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}}


@router.get("", responses=refusals(404), response_model_by_alias=True)
def get_result(clinic: AtClinic, actor: Reader, result_id: ResultId) -> Result:
    """A result as it was made. The view is audited."""
    return shown.result(*result_file(clinic, actor, result_id, audited=True))


@router.post("/what-if", responses=refusals(404, 422))
def try_regimen(clinic: AtClinic, actor: Trier, result_id: ResultId, regimen: Regimen) -> Tried:
    """A typed regimen judged by every method that answered, never above a cap. Nothing is kept."""
    file, result = result_file(clinic, actor, result_id)
    return Tried.model_validate({"methods": tried(clinic, actor, file, result, _typed(regimen))})


def _typed(regimen: Regimen) -> Typed:
    over = 0.0 if regimen.duration is None else _read(regimen.duration, "h", "duration")
    return Typed(dose_mg=_read(regimen.dose, "mg", "dose"), every_h=_read(regimen.every, "h", "every"), duration_h=over)


def _read(text: str, unit: str, where: str) -> float:
    found = parse(text, where=where)
    value = convert(found.value, found.unit, unit, where=where)
    if found.below or found.above or value < 0:
        raise CaseError(where=where, what="not a quantity from 0 up", remedy="write a number with its unit")
    return value


@router.post("/signature", responses=refusals(404, 409, 422, 429))
def sign_result(request: Request, clinic: AtClinic, actor: Signer, once: AtOnce, result_id: ResultId, wish: Signing) -> Made:
    """Sign a result. A person does, in a session, with the password again: no key may."""
    chosen = _wish(clinic, actor, result_id, wish)
    confirm = confirmation(request, actor, Blank(password=wish.password))

    def sign(clinic: Clinic) -> str:
        signing.sign(clinic, actor, result_id, chosen, confirm=confirm)
        return result_id

    once.do(sign)
    return Made(id=result_id, href=f"{shown.START}/results/{result_id}")


def _wish(clinic: Clinic, actor: Actor, result_id: str, wish: Signing) -> Wish:
    if (wish.candidate is None) == (wish.regimen is None):
        raise CaseError(where="regimen", what="not one of the two", remedy="give either a candidate's label or a regimen")
    file, result = result_file(clinic, actor, result_id)
    typed = None if wish.regimen is None else _typed(wish.regimen)
    choice = signing.choose(clinic, actor, file, result, label=wish.candidate or "", typed=typed)
    return Wish(choice=choice, meaning=wish.meaning, reasons=wish.reasons)


@router.get("/report", response_class=HTMLResponse, responses=refusals(404) | HTML)
def get_report(request: Request, clinic: AtClinic, actor: Reader, result_id: ResultId) -> HTMLResponse:
    """The report as a page, in the language of Accept-Language; an unsigned one carries a watermark. The view is audited."""
    return HTMLResponse(report_of(clinic, actor, result_id, language_of(request))[1])


@router.get("/report.pdf", response_class=Response, responses=refusals(404) | PDF)
def get_report_pdf(request: Request, clinic: AtClinic, actor: Exporter, result_id: ResultId) -> Response:
    """The same as a PDF."""
    _, made = pdf_of(clinic, actor, result_id, language_of(request))
    return Response(made, media_type="application/pdf")
