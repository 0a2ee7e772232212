"""One question about the record: answer it with what was missing, confirm or correct what it doubts, or dismiss it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from auctor.errors import AuctorError, CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed, may
from auctor.web.pages import entries
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank, language_of, page
from auctor.web.pages.routes_facts import covariate_rows, model_of
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.finding import finding_rows
from auctor.web.pages.views.record import KINDS, question_row
from auctor.web.pages.visits import AtClinic, Sent, check_patient, typed
from auctor.web.service import asking
from auctor.web.service.courses import CourseFile, look
from auctor.web.store.tables import Question

router = APIRouter(prefix="/courses/{course_id}/questions/{question_id}")
Reader = Annotated[Actor, may(Verb.READ)]
Author = Annotated[Actor, may(Verb.ENTER)]
Corrector = Annotated[Actor, may(Verb.CORRECT)]


@router.get("")
def question(request: Request, clinic: AtClinic, actor: Reader, course_id: str, question_id: str, kind: str = "") -> Response:
    """What is asked, what is known, and the form of the answer."""
    file = look(clinic, actor, course_id)
    return _page(request, actor, file, _of(file, question_id), kind)


def _of(file: CourseFile, question_id: str) -> Question:
    found = next((one for one in file.opened if one.id == question_id), None)
    if found is None:
        raise CaseError(where="object", what=N_("not found, or settled meanwhile"), remedy=N_("go back to the course"))
    return found


def _page(
    request: Request,
    actor: Actor,
    file: CourseFile,
    asked: Question,
    kind: str,
    *,
    sent: Blank | None = None,
    error: AuctorError | None = None,
) -> Response:
    tongue, model = language_of(request), model_of(file)
    kinds = asking.kinds_of(asked)
    chosen = kind if kind in kinds else (kinds[0] if kinds else "")
    draft = {} if chosen in ("", "covariate") else entries.filled(chosen, asked.draft or {}, tongue, file.zone)
    rows = finding_rows(file.findings, file, tongue) if asked.finding else None
    shown: dict[str, Any] = {
        "banner": course_banner(file, tongue),
        "guard": guard_of(file),
        "asked": question_row(asked, file, tongue),
        "finding": None if rows is None else next(row for row in rows if row["id"] == asked.id),
        "alike": [] if rows is None else _alike(rows, asked),
        "kinds": [(name, tongue.say(KINDS[name])) for name in kinds],
        "kind": chosen,
        "form": sent or Blank(draft),
        "error": error,
        "units": entries.units_of(model),
        "covariates": covariate_rows(model, tongue),
        "may_answer": allowed(actor, Verb.ENTER) and file.course.closed_at is None,
        "may_close": allowed(actor, Verb.CORRECT),
    }
    return page(request, "question.html", title=N_("Question about the record"), section="patients", status=422 if error else 200, **shown)


def _alike(rows: list[dict[str, Any]], asked: Question) -> list[dict[str, Any]]:
    """The other open findings of its family: one answer of the ward may settle them all."""
    (family,) = (row["family"] for row in rows if row["id"] == asked.id)
    return [row for row in rows if row["open"] and row["family"] == family and row["id"] != asked.id]


@router.post("/answer")
def answer(request: Request, clinic: AtClinic, actor: Author, course_id: str, question_id: str, sent: Sent) -> Response:
    """Enter what was missing, with why it is known."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    asked = _of(file, question_id)
    try:
        form = typed(request, sent, file.zone)
        reason = form.required("reason", most=500)
        asking.answer(clinic, actor, asked.id, kind=sent["kind"], body=_read(request, file, sent), reason=reason)
    except AuctorError as error:
        return _page(request, actor, file, asked, sent["kind"], sent=sent, error=error)
    return RedirectResponse(f"/courses/{course_id}?said=answered", 303)


def _read(request: Request, file: CourseFile, sent: Blank) -> dict[str, Any]:
    """The one entry of the form."""
    form, kind, model = typed(request, sent, file.zone), sent["kind"], model_of(file)
    if kind != "covariate":
        if kind not in asking.KINDS:
            raise CaseError(where="object", what=N_("not found"), remedy=N_("go back to the course"))
        return entries.read_entry(kind, form)
    if model is None:
        raise CaseError(where="model", what=N_("not chosen"), remedy=N_("choose one: it says which covariates are needed"))
    found = entries.read_covariates(form, model)
    if len(found) > 1:
        raise CaseError(where="covariates", what=N_("several values"), remedy=N_("give the one that was asked for"))
    return found[0]


@router.post("/close")
def close(request: Request, clinic: AtClinic, actor: Corrector, course_id: str, question_id: str, sent: Sent) -> Response:
    """Confirm the entry that is doubted, or dismiss what was asked, with why."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    asked = _of(file, question_id)
    try:
        reason = typed(request, sent, file.zone).required("why", most=500)
        also = [name.removeprefix("also_") for name in sent if name.startswith("also_")]
        asking.close_question(clinic, actor, asked.id, reason=reason, also=also)
    except AuctorError as error:
        return _page(request, actor, file, asked, "", error=error)
    return RedirectResponse(f"/courses/{course_id}?said=settled", 303)
