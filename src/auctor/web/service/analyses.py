"""Analyse: the facts of a course to a kept result. The same document under the same versions is not kept twice,
but for a signed result that a question re-opened: what is signed again is a result of its own."""

from __future__ import annotations

import json
from typing import Any

from auctor.errors import AuctorError, CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service import findings
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.engine import check
from auctor.web.store import StaleError, results
from auctor.web.store.documents import document
from auctor.web.store.tables import Patient


def not_ready(file: CourseFile) -> AuctorError | None:
    """Why the present facts cannot be analysed, None when they can."""
    if file.course.model is None:
        return CaseError(where="model", what="not chosen", remedy="choose one")
    if not file.of_kind("dose"):
        return CaseError(where="doses", what="none entered", remedy="enter the doses that were given")
    try:
        check(file.document)
    except AuctorError as refused:
        return refused
    return None


def analyse(clinic: Clinic, actor: Actor, course_id: str) -> str:
    """Analyse the course as it stands and keep the result, with what the check of the record flags; its identifier.

    The computing happens outside any transaction. StaleError when a fact came meanwhile: nothing is kept of numbers that are old already.
    """
    file = look(clinic, actor, course_id)
    demand(actor, Verb.ANALYSE, ward=file.patient.ward_id)
    refused = not_ready(file)
    if refused is not None:
        raise refused
    checking = findings.start(clinic, file.document)
    computed = clinic.engine.compute(file.document)
    known = file.latest
    if known is not None and not file.stale(known) and file.stands(known) and known.result == computed.result:
        return known.id
    checked = checking()
    with clinic.store.work(actor) as work:
        taken = document(work, course_id)
        if taken.document != file.document:
            raise StaleError(where="course", what="a fact came while it was analysed", remedy="analyse again; nothing was kept")
        result = results.keep(work, course_id, taken=taken, computed=computed)
        ward = work.get(Patient, file.patient.id).ward_id
        after: dict[str, Any] = {
            "course": course_id,
            "inputs": result.document_sha256,
            "model": result.model,
            "result": result.result_sha256,
        }
        after["plausibility"] = findings.take(work, file.document, checked)
        work.record("result.keep", "result", result.id, ward=ward, after=after)
        return result.id


def content(text: str) -> dict[str, object]:
    """The data of a stored JSON text."""
    found = json.loads(text)
    assert isinstance(found, dict)
    return found
