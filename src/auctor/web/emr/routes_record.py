"""The hospital's record of a course: read it now, import a file of it after a look, send a result to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import UploadFile

from auctor.errors import AuctorError, CaseError
from auctor.fhir.filtration import FORMULAS
from auctor.fhir.found import Imported
from auctor.fhir.node import parse_resource
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, allowed, may
from auctor.web.emr.records import Records
from auctor.web.emr.uploads import Upload, Uploads
from auctor.web.pages.entries import entry_text
from auctor.web.pages.language import Language
from auctor.web.pages.rendering import Blank, language_of, page
from auctor.web.pages.views.banner import course_banner, guard_of
from auctor.web.pages.views.record import KINDS, draft_text, freshness, sending_row
from auctor.web.pages.visits import AtClinic, Sent, check_patient
from auctor.web.service import sending
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.importing import Answers, Arrived, import_bundle, preview_bundle

router = APIRouter(prefix="/courses/{course_id}/record")
Reader = Annotated[Actor, may(Verb.READ)]
Importer = Annotated[Actor, may(Verb.IMPORT)]
Exporter = Annotated[Actor, may(Verb.EXPORT)]
TITLE = "Hospital record"
ENDING = ".json"  # of the one kind of file that is taken; its content is read as strictly as that of a request


def records_of(request: Request) -> Records:
    """The hospital's records of the application."""
    found: Records = request.app.state.records
    return found


async def uploaded_of(request: Request) -> Blank:
    """The fields of a form with a file, read to its end; its bytes are under `file`, the ending of its name under `file ending`."""
    found = Blank()
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                found[f"{name} ending"] = PurePath(value.filename or "").suffix.lower()
            found[name] = await value.read() if isinstance(value, UploadFile) else value
    return found


def _uploads(request: Request) -> Uploads:
    state = request.app.state
    if not hasattr(state, "uploads"):
        state.uploads = Uploads()
    found: Uploads = state.uploads
    return found


@router.get("")
def record(request: Request, clinic: AtClinic, actor: Reader, course_id: str) -> Response:
    """How fresh the course is, and what can be done with the record."""
    return _page(request, clinic, actor, look(clinic, actor, course_id))


def _page(request: Request, clinic: Clinic, actor: Actor, file: CourseFile, *, error: AuctorError | None = None, **more: Any) -> Response:
    tongue = language_of(request)
    hospital = records_of(request).partners.record_of(file.patient.ward_id)
    rows = sending.sendings(clinic, actor, [result.id for result in file.results])
    when = {result.id: tongue.moment(result.made_at, file.zone) for result in file.results}
    shown: dict[str, Any] = {
        "banner": course_banner(file, tongue),
        "guard": guard_of(file),
        "server": "" if hospital is None else hospital.name,
        "fresh": freshness(file, tongue),
        "sendings": [sending_row(row, file, tongue) | {"made": when[row.result_id], "result": row.result_id} for row in rows],
        "formulas": [("", "–"), *((name, name) for name in FORMULAS)],
        "formula": "" if hospital is None else hospital.formula,
        "may_import": allowed(actor, Verb.IMPORT) and file.course.closed_at is None,
        "may_send": allowed(actor, Verb.EXPORT),
        "error": error,
        "preview": None,
        "arrived": None,
    }
    status = 200 if error is None else getattr(error, "status", 422)
    return page(request, "record.html", title=TITLE, section="patients", status=status, **(shown | more))


@router.post("/read")
def read(request: Request, clinic: AtClinic, actor: Importer, course_id: str, sent: Sent) -> Response:
    """Read the record of this patient now, and import it."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    try:
        found = records_of(request).read(actor, course_id)
    except AuctorError as error:
        return _page(request, clinic, actor, look(clinic, actor, course_id), error=error)
    return _arrived(request, clinic, actor, course_id, found.arrived)


def _arrived(request: Request, clinic: Clinic, actor: Actor, course_id: str, arrived: Arrived) -> Response:
    file = look(clinic, actor, course_id)
    counts = {
        "added": len(arrived.added), "corrected": len(arrived.corrected), "withdrawn": len(arrived.withdrawn),
        "unchanged": len(arrived.unchanged), "by_hand": list(arrived.kept_by_hand), "asked": len(file.questions),
        "left": [{"source": left.source, "what": left.what} for left in arrived.found.left],
    }  # fmt: skip
    return _page(request, clinic, actor, file, arrived=counts)


Uploaded = Annotated[Blank, Depends(uploaded_of)]


@router.post("/preview")
def preview(request: Request, clinic: AtClinic, actor: Importer, course_id: str, sent: Uploaded) -> Response:
    """A file with a Bundle: what of it would be taken, left out and asked. Nothing is kept."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    try:
        bundle, formula = _bundle(sent), sent["formula"] if sent["formula"] in FORMULAS else ""
        found = preview_bundle(clinic, actor, course_id, bundle, _answers(request, file, formula))
    except AuctorError as error:
        return _page(request, clinic, actor, file, error=error)
    name = _uploads(request).put(Upload(account=_who(actor), course=course_id, bundle=bundle, formula=formula))
    return _page(request, clinic, actor, file, preview=_previewed(found, file, language_of(request)) | {"upload": name})


def _bundle(sent: Blank) -> dict[str, Any]:
    if not isinstance(sent["file"], bytes) or not sent["file"]:
        raise CaseError(where="file", what="missing", remedy="choose the file of a FHIR Bundle")
    if sent["file ending"] != ENDING:
        raise CaseError(where="file", what="not a .json file", remedy="choose the file of a FHIR Bundle")
    return parse_resource(sent["file"], "file")


def _who(actor: Actor) -> str:
    return actor.account_id or actor.login


def _answers(request: Request, file: CourseFile, formula: str) -> Answers:
    """How the ward's record is read; a file is no live reading, so the server that it may be from is not named."""
    hospital = records_of(request).of_ward(file.patient.ward_id)
    answers = Answers(authorities=records_of(request).partners.systems) if hospital is None else hospital.answers
    return replace(answers, formula=formula, server="")


def _previewed(found: Imported, file: CourseFile, tongue: Language) -> dict[str, Any]:
    kinds = {"current": "order"}
    taken = [
        {
            "kind": tongue.say(KINDS[kinds.get(fact.kind, fact.kind)]),
            "text": _text(kinds.get(fact.kind, fact.kind), dict(fact.body), file, tongue),
            "source": ", ".join(source.reference for source in fact.sources),
            "notices": [notice.what for notice in fact.notices if notice.blocks_signing],
        }
        for fact in found.facts
    ]
    asked = [
        {"where": one.notice.where, "what": one.notice.what, "known": draft_text(dict(one.draft), file, tongue)} for one in found.questions
    ]
    return {"taken": taken, "asked": asked, "left": [{"source": left.source, "what": left.what} for left in found.left]}


def _text(kind: str, body: dict[str, Any], file: CourseFile, tongue: Language) -> str:
    from datetime import datetime

    when = f"{tongue.moment(datetime.fromisoformat(str(body['at'])), file.zone)}: " if body.get("at") else ""
    return when + entry_text(kind, body, tongue, file.zone)


@router.post("/import")
def confirm(request: Request, clinic: AtClinic, actor: Importer, course_id: str, sent: Sent) -> Response:
    """Take what was looked at."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    upload = _uploads(request).take(sent["upload"], account=_who(actor), course=course_id)
    try:
        if upload is None:
            raise CaseError(where="file", what="not kept any longer", remedy="choose it again")
        arrived = import_bundle(clinic, actor, course_id, upload.bundle, _answers(request, file, upload.formula))
    except AuctorError as error:
        return _page(request, clinic, actor, file, error=error)
    return _arrived(request, clinic, actor, course_id, arrived)


@router.post("/send")
def send(request: Request, clinic: AtClinic, actor: Exporter, course_id: str, sent: Sent) -> Response:
    """A result to the record; sending it again is safe."""
    file = look(clinic, actor, course_id)
    check_patient(sent, file.patient.id, course_id)
    try:
        if sent["result"] not in file.signatures:
            raise CaseError(where="result", what="not signed", remedy="sign it first: what nobody signed does not leave by hand")
        error = records_of(request).send(actor, sent["result"])
    except AuctorError as refused:
        error = refused
    if error is not None:
        return _page(request, clinic, actor, look(clinic, actor, course_id), error=error)
    return RedirectResponse(f"/courses/{course_id}?said=sent", 303)
