"""Entry forms: add a dose, sample, covariates, order or note; one fact with its revisions, its correction and withdrawal."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from auctor.errors import AuctorError, CaseError
from auctor.models.domain import domain_text
from auctor.models.model import DrugModel
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed, may
from auctor.web.pages import entries
from auctor.web.pages.language import N_, Language
from auctor.web.pages.rendering import Blank, language_of, page
from auctor.web.pages.typed import Form
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.finding import finding_row
from auctor.web.pages.visits import AtClinic, Sent, check_patient, typed
from auctor.web.pages.words import KINDS, SOURCES
from auctor.web.service import entering
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.engine import read
from auctor.web.service.entering import Entered
from auctor.web.service.findings import finding_of
from auctor.web.service.proposing import proposed
from auctor.web.store.questions import Kept
from auctor.web.store.tables import Fact

router = APIRouter(prefix="/courses/{course_id}")
Reader = Annotated[Actor, may(Verb.READ)]
Author = Annotated[Actor, may(Verb.ENTER)]
Corrector = Annotated[Actor, may(Verb.CORRECT)]
ADD = {
    "dose": N_("Add a dose"),
    "sample": N_("Add a sample"),
    "covariate": N_("Add covariates"),
    "order": N_("Enter the order"),
    "note": N_("Add a note"),
}


@router.get("/add/{kind}")
def add_form(request: Request, clinic: AtClinic, actor: Author, course_id: str, kind: str) -> Response:
    """The empty form of a kind; a dose or order starts as the one before it."""
    _check_kind(kind)
    file = look(clinic, actor, course_id)
    return _entry_page(request, file, kind, _start(file, kind, language_of(request)))


def _check_kind(kind: str) -> None:
    if kind not in ADD:
        raise CaseError(where="object", what=N_("not found"), remedy=N_("go back to the course"))


def _start(file: CourseFile, kind: str, language: Language) -> Blank:
    """What is very likely the same as last time: units, route, matrix, assay; never a number that was measured or a time."""
    known = file.of_kind(kind)
    model = model_of(file)
    if known and kind in ("dose", "sample"):
        last = entries.filled(kind, known[-1].body, language, file.zone)
        same = ("amount_unit", "route", "value_unit", "matrix", "assay", "lloq")
        return Blank({name: last[name] for name in same if last[name]})
    route = "" if model is None or model.dosing is None else model.dosing.route
    matrix = "" if model is None else {"blood": "whole blood"}.get(model.matrix, model.matrix)
    return Blank(route=route, amount_unit="mg", matrix=matrix, value_unit="")


def model_of(file: CourseFile) -> DrugModel | None:
    """The course's model, None while none is chosen."""
    return read(file.course.model) if file.course.model else None


def _entry_page(request: Request, file: CourseFile, kind: str, form: Blank, error: AuctorError | None = None) -> Response:
    tongue, model = language_of(request), model_of(file)
    shown: dict[str, Any] = {
        "banner": course_banner(file, tongue),
        "guard": guard_of(file),
        "kind": kind,
        "form": form,
        "error": error,
        "heading": tongue.say(ADD[kind]),
        "action": f"/courses/{file.course.id}/add/{kind}",
        "correcting": False,
        "units": entries.units_of(model),
        "covariates": covariate_rows(model, tongue),
    }
    return page(request, "entry.html", title=ADD[kind], section="patients", status=422 if error else 200, **shown)


def covariate_rows(model: DrugModel | None, language: Language) -> list[dict[str, Any]]:
    """What the form of covariates asks for."""
    return [
        {
            "field": f"c_{c.name}",
            "name": c.name,
            "label": c.label,
            "levels": list(c.levels or ()),
            "units": entries.covariate_units(c),
            "range": language.local(domain_text(c)),
            "note": c.note,
        }
        for c in (model.covariates.values() if model else ())
    ]


@router.post("/add/{kind}")
def add(request: Request, clinic: AtClinic, actor: Author, course_id: str, kind: str, sent: Sent) -> Response:
    """Keep what was typed, or show the form again with what is wrong in it."""
    _check_kind(kind)
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    try:
        entering.enter(clinic, actor, course_id, _read(request, file, kind, sent))
    except AuctorError as error:
        return _entry_page(request, file, kind, sent, error)
    there = f"/courses/{course_id}/add/{kind}" if sent["again"] else f"/courses/{course_id}?said=saved"
    return RedirectResponse(there, 303)


def _read(request: Request, file: CourseFile, kind: str, sent: Blank) -> list[Entered]:
    form, model = typed(request, sent, file.zone), model_of(file)
    if kind != "covariate":
        return [Entered(kind=kind, body=entries.read_entry(kind, form))]
    if model is None:
        raise CaseError(where="model", what=N_("not chosen"), remedy=N_("choose one: it says which covariates are needed"))
    return [Entered(kind=kind, body=body) for body in entries.read_covariates(form, model)]


@router.get("/facts/{fact_id}")
def fact(request: Request, clinic: AtClinic, actor: Reader, course_id: str, fact_id: str, finding: str = "") -> Response:
    """One fact with every revision of it; with an open finding about it, what that proposes stands in the form of the correction."""
    file = look(clinic, actor, course_id)
    return _fact_page(request, clinic, actor, file, fact_id, finding=finding)


def _fact_page(
    request: Request,
    clinic: Clinic,
    actor: Actor,
    file: CourseFile,
    fact_id: str,
    *,
    sent: Blank | None = None,
    error: AuctorError | None = None,
    finding: str = "",
) -> Response:
    tongue, revisions = language_of(request), _revisions(clinic, actor, file, fact_id)
    last = revisions[-1]
    doubt = next((one for one in file.opened if one.id == finding and one.finding and one.fact_id == fact_id), None)
    offered = None if doubt is None else proposed(*finding_of(doubt, file.facts), last)
    covariate = _covariate_of(file, last)
    shown: dict[str, Any] = {
        "banner": course_banner(file, tongue),
        "guard": guard_of(file).__class__(patient=file.patient.id, course=file.course.id, revision=str(last.revision)),
        "heading": tongue.say(KINDS[last.kind]),
        "revisions": [_revision(one, file, tongue) for one in revisions],
        "kind": last.kind,
        "fact_id": fact_id,
        "used": last.body.get("used", True),
        "gone": last.withdrawn,
        "form": sent or entries.filled(last.kind, offered or last.body, tongue, file.zone),
        "doubt": None if doubt is None else finding_row(Kept(question=doubt, settlement=None, answer=None), file, tongue),
        "offered": offered is not None,
        "units": entries.units_of(model_of(file)),
        "covariate": covariate,
        "error": error,
        "may_correct": allowed(actor, Verb.CORRECT)
        and file.course.closed_at is None
        and (last.kind != "covariate" or covariate is not None),
    }
    return page(request, "fact.html", title=KINDS[last.kind], section="patients", status=422 if error else 200, **shown)


def _revisions(clinic: Clinic, actor: Actor, file: CourseFile, fact_id: str) -> list[Fact]:
    found = entering.fact_history(clinic, actor, fact_id)
    if not found or found[-1].course_id != file.course.id:
        raise CaseError(where="object", what=N_("not found"), remedy=N_("go back to the course"))
    return found


def _covariate_of(file: CourseFile, fact: Fact) -> dict[str, Any] | None:
    model = model_of(file)
    covariate = model.covariates.get(str(fact.body.get("name"))) if model and fact.kind == "covariate" else None
    if covariate is None:
        return None
    named = {"name": covariate.name, "label": covariate.label, "levels": list(covariate.levels or ())}
    return named | {"units": entries.covariate_units(covariate)}


def _revision(fact: Fact, file: CourseFile, language: Language) -> dict[str, Any]:
    time = f", {language.moment(fact.at, file.zone)}" if fact.at and fact.kind != "note" else ""
    return {
        "number": fact.revision,
        "text": entries.entry_text(fact.kind, fact.body, language, file.zone) + time,
        "source": language.say(SOURCES[fact.source]),
        "by": fact.entered_by,
        "at": language.moment(fact.entered_at, file.zone),
        "reason": fact.reason,
        "withdrawn": fact.withdrawn,
        "used": fact.body.get("used", True),
    }


@router.post("/facts/{fact_id}/{deed}")
def change(*, request: Request, clinic: AtClinic, actor: Corrector, course_id: str, fact_id: str, deed: str, sent: Sent) -> Response:
    """Correct, withdraw, or leave a sample out (`correct`, `withdraw`, `use`)."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    last = _revisions(clinic, actor, file, fact_id)[-1]
    try:
        _do(clinic, actor, file, last, deed, typed(request, sent, file.zone))
    except AuctorError as error:
        return _fact_page(request, clinic, actor, file, fact_id, sent=sent if deed == "correct" else None, error=error)
    return RedirectResponse(f"/courses/{course_id}?said={'withdrawn' if deed == 'withdraw' else 'saved'}", 303)


def _do(clinic: Clinic, actor: Actor, file: CourseFile, last: Fact, deed: str, form: Form) -> None:
    reason, carried = form.required("reason", most=500), form.text("revision")
    seen = int(carried) if carried.isdecimal() else 0
    if deed == "withdraw":
        entering.withdraw(clinic, actor, last.id, made_from=seen, reason=reason)
    elif deed == "use":
        entering.use(clinic, actor, last.id, made_from=seen, used=form.text("used") == "yes", reason=reason)
    elif deed == "correct":
        entering.correct(clinic, actor, last.id, made_from=seen, body=_corrected(file, last, form), reason=reason)
    else:
        raise CaseError(where="object", what=N_("not found"), remedy=N_("go back to the course"))


def _corrected(file: CourseFile, last: Fact, form: Form) -> dict[str, Any]:
    """The new body; what the form does not show stays: whether a sample is used, and why."""
    model = model_of(file)
    if last.kind == "covariate":
        assert model is not None
        return entries.read_covariate(form, model.covariates[str(last.body["name"])])
    body = entries.read_entry(last.kind, form)
    kept = {key: last.body[key] for key in ("used", "reason", "weight", "uloq", "above_uloq") if key in last.body}
    return body | kept
