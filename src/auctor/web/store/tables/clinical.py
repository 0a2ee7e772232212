"""What is known about patients: courses, facts with their revisions, results, signatures, re-openings, silent predictions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKey, ForeignKeyConstraint, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from auctor.web.store.tables.columns import At, CourseId, Data, Digest, Id, Name, Ref, ResultId, Table, WardId, Word, Words, now

KINDS = ("dose", "sample", "covariate", "order", "note")
SOURCES = ("manual", "fhir", "hl7v2", "import", "api")


def _one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=column)


class Patient(Table):
    """One patient of one ward, known by an identifier of an assigning authority. `demo` patients are for training."""

    __tablename__ = "patient"
    __table_args__ = (UniqueConstraint("authority", "identifier"),)

    id: Mapped[Id]
    ward_id: Mapped[WardId] = mapped_column(index=True)
    identifier: Mapped[Name]
    authority: Mapped[Name]
    family: Mapped[Name]
    given: Mapped[Name]
    birth_date: Mapped[date | None] = mapped_column(Date)
    sex: Mapped[Word | None]
    demo: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[At] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy declares it so)


class Course(Table):
    """One drug, one model and one target of a patient. `time_zone` reads times written without an offset.

    `target` and `occasions` are the entries of a case file ({"metric": "AUC0-24", "low": 400, "high": 600, "unit": "mg*h/L"}).
    """

    __tablename__ = "course"

    id: Mapped[Id]
    patient_id: Mapped[str] = mapped_column(String(32), ForeignKey("patient.id"), index=True)
    drug: Mapped[Name]
    model: Mapped[Name | None]
    target: Mapped[Data | None]
    time_zone: Mapped[Word | None]
    occasions: Mapped[Data | None]
    opened_at: Mapped[At] = mapped_column(default=now)
    closed_at: Mapped[At | None]
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy declares it so)


class Fact(Table):
    """One revision of a dose, sample, covariate value, order or note. `body` is the entry of a case file; nothing is ever changed.

    `at` is the clinical moment (None: hours on the course's own clock, or a value without a time); `entered_at` is when it became known.
    """

    __tablename__ = "fact"
    __table_args__ = (_one_of("kind", KINDS), _one_of("source", SOURCES), CheckConstraint("revision >= 1", name="revision"))
    append_only = True

    id: Mapped[Ref] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[CourseId]
    kind: Mapped[Word]
    body: Mapped[Data]
    at: Mapped[At | None]
    source: Mapped[Word]
    reference: Mapped[str | None] = mapped_column(String(400), index=True)
    entered_by: Mapped[Name]
    entered_at: Mapped[At]
    reason: Mapped[Words] = mapped_column(default="")
    withdrawn: Mapped[bool] = mapped_column(default=False)


class Result(Table):
    """One analysis as it was made: the case document, what it was computed with, and the whole text of result.json.

    `facts` lists the revisions ([id, revision]) that were known; `settings` is what `analyse` was asked beyond the document.
    """

    __tablename__ = "result"
    __table_args__ = (Index(None, "course_id", "made_at"),)  # the last of a course is found without reading any
    append_only = True

    id: Mapped[Id]
    course_id: Mapped[str] = mapped_column(String(32), ForeignKey("course.id"))
    document: Mapped[Words]
    document_sha256: Mapped[Digest]
    facts: Mapped[Data]
    model: Mapped[Name]
    model_sha256: Mapped[Digest]
    engine: Mapped[Word]
    seed: Mapped[int]
    settings: Mapped[Data]
    result: Mapped[Words]
    result_sha256: Mapped[Digest]
    made_by: Mapped[Name]
    made_at: Mapped[At]


class Signature(Table):
    """A signer took responsibility for a result and the regimen chosen from it; `text` is what was on the page, with its SHA-256."""

    __tablename__ = "signature"
    append_only = True

    id: Mapped[Id]
    result_id: Mapped[ResultId] = mapped_column(unique=True)
    signer_id: Mapped[str] = mapped_column(String(32), ForeignKey("account.id"))
    signer: Mapped[Name]
    signed_at: Mapped[At]
    regimen: Mapped[Data]
    meaning: Mapped[Word]
    reason: Mapped[Words] = mapped_column(default="")
    text: Mapped[Words]
    text_sha256: Mapped[Digest]


class Reopening(Table):
    """A signed result that no longer stands, because of a fact that arrived later or was corrected, or of a question that came up."""

    __tablename__ = "reopening"
    __table_args__ = (
        ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"]),
        CheckConstraint("(fact_id IS NULL) <> (question_id IS NULL)", name="fact_or_question"),
    )
    append_only = True

    id: Mapped[Id]
    result_id: Mapped[ResultId]
    fact_id: Mapped[str | None] = mapped_column(String(32))
    fact_revision: Mapped[int | None]
    question_id: Mapped[str | None] = mapped_column(String(32), ForeignKey("question.id"))
    reopened_at: Mapped[At]


class Prediction(Table):
    """Silent mode: what a method predicted for a moment before the level was known. `quantiles` are {probability: mg/L}."""

    __tablename__ = "prediction"
    append_only = True

    id: Mapped[Id]
    course_id: Mapped[CourseId]
    result_id: Mapped[str | None] = mapped_column(String(32), ForeignKey("result.id"), index=True)
    method: Mapped[Word]
    model: Mapped[Name]
    for_at: Mapped[At]
    quantiles: Mapped[Data]
    inputs_sha256: Mapped[Digest]
    made_at: Mapped[At]


class Score(Table):
    """A silent prediction against the level that came: relative error (1) and the percentile (0-100) at which the level lies."""

    __tablename__ = "score"
    __table_args__ = (
        ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"]),
        UniqueConstraint("prediction_id", "fact_id", "fact_revision"),
        Index(None, "fact_id", "fact_revision"),
    )
    append_only = True

    id: Mapped[Id]
    prediction_id: Mapped[str] = mapped_column(String(32), ForeignKey("prediction.id"), index=True)
    fact_id: Mapped[Ref]
    fact_revision: Mapped[int]
    observed: Mapped[float]
    error: Mapped[float]
    percentile: Mapped[float]
    scored_at: Mapped[At]


_RESOLVED = (datetime, Any)  # names that SQLAlchemy looks up in this module when it reads the annotations
