"""From what the service gives to the shapes of the API."""

from __future__ import annotations

import json
from typing import Any

from auctor.errors import AuctorError
from auctor.web.api.problems import TITLES
from auctor.web.api.shapes import courses, patients, results
from auctor.web.api.shapes.base import Problem
from auctor.web.pages.language import language
from auctor.web.pages.views.finding import finding_words
from auctor.web.service.analyses import not_ready
from auctor.web.service.courses import CourseFile
from auctor.web.store import tables
from auctor.web.store.questions import Kept

START = "/api/v1"


def patient_fields(row: tables.Patient) -> dict[str, Any]:
    """A patient's columns as the API names them."""
    names = ("id", "identifier", "authority", "family", "given", "birth_date", "sex", "demo")
    return {name: getattr(row, name) for name in names} | {"ward": row.ward_id}


def course_line(row: tables.Course) -> patients.CourseLine:
    """A course in a list."""
    return patients.CourseLine(id=row.id, drug=row.drug, model=row.model, opened_at=row.opened_at, closed_at=row.closed_at)


def course(file: CourseFile) -> courses.Course:
    """A course as it stands."""
    row = file.course
    refused = not_ready(file)
    return courses.Course(
        id=row.id,
        patient=file.patient.id,
        drug=row.drug,
        model=row.model,
        target=row.target,
        time_zone=str(file.zone),
        opened_at=row.opened_at,
        closed_at=row.closed_at,
        revision=file.revision,
        results=[courses.ResultLine(**result_line(file, one)) for one in file.results],
        not_ready=None if refused is None else as_problem(refused, 422),
    )


def as_problem(error: AuctorError, status: int) -> Problem:
    """A refusal as data."""
    kind = f"urn:auctor:problem:{type(error).__name__}"
    said = {"where": error.where, "what": error.what, "remedy": error.remedy}
    return Problem(type=kind, title=TITLES[status], status=status, detail=str(error), **said)


def question(file: CourseFile, kept: Kept) -> courses.Question:
    """A question with how it was settled; the words of a finding in English, with the times of the ward's clock."""
    row, settled = kept.question, kept.settlement
    names = ("id", "source", "reference", "kind", "code", "place", "fact_revision", "finding", "blocks_signing", "raised_by", "raised_at")
    what, remedy = (row.what, row.remedy) if row.finding is None else finding_words(row, file, language("en"))
    return courses.Question(
        **{name: getattr(row, name) for name in names},
        fact=row.fact_id,
        what=what,
        remedy=remedy,
        open=row in file.opened,
        settlement=None if settled is None else _settlement(settled),
    )


def _settlement(row: tables.Settlement) -> courses.Settlement:
    names = ("verdict", "reason", "fact_revision", "settled_by", "settled_at")
    return courses.Settlement(**{name: getattr(row, name) for name in names}, fact=row.fact_id)


def fact(row: tables.Fact) -> courses.Fact:
    """One revision of a fact."""
    return courses.Fact(**{name: getattr(row, name) for name in courses.Fact.model_fields if name != "course"}, course=row.course_id)


def result_line(file: CourseFile, row: tables.Result) -> dict[str, Any]:
    """What a list says of a result."""
    names = ("id", "made_at", "made_by", "model")
    known = {name: getattr(row, name) for name in names}
    return known | {"status": file.statuses[row.id].value, "stale": file.stale(row)}


def result(file: CourseFile, row: tables.Result) -> results.Result:
    """A result with its content."""
    names = ("document_sha256", "model_sha256", "result_sha256", "engine", "seed")
    signed = file.signatures.get(row.id)
    return results.Result(
        **result_line(file, row),
        **{name: getattr(row, name) for name in names},
        course=row.course_id,
        patient=file.patient.id,
        document=json.loads(row.document),
        content=json.loads(row.result),
        signature=None if signed is None else signature(signed),
    )


def signature(row: tables.Signature) -> results.Signature:
    """A signature; of the regimen its label."""
    names = ("id", "signer", "signed_at", "meaning", "reason", "text", "text_sha256")
    return results.Signature(**{name: getattr(row, name) for name in names}, regimen=str(row.regimen.get("label", "")))
