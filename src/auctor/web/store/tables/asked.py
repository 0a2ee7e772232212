"""Questions about a course: what a feed could not say by itself, what does not add up; how each was settled, and when the record was last
read and checked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from auctor.web.store.tables.columns import At, CourseId, Data, Digest, Id, Name, Ref, Table, Word, Words

VERDICTS = ("answered", "confirmed", "dismissed", "gone")
PLAUSIBILITY = "plausibility"  # the source of what the check of the record found


class Question(Table):
    """Something that somebody has to say before the course can be relied on: an infusion without its length, doses that were assumed.

    `kind` is what it would become (dose, sample, covariate, order, or another word where that is not known), `draft` what is known of the
    entry. One about a fact that is there names its revision, and is open as long as that revision is the last. `digest` is the same for the
    same question: one that was settled by a person is not asked again.

    A finding of the plausibility check has the kind of slip as its `code`, no words, and in `finding` the facts that whoever shows it makes
    the words from.
    """

    __tablename__ = "question"
    __table_args__ = (ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"]),)
    append_only = True

    id: Mapped[Id]
    course_id: Mapped[CourseId]
    source: Mapped[Word]
    reference: Mapped[str] = mapped_column(String(400))
    kind: Mapped[Word]
    code: Mapped[Word]
    place: Mapped[Name]
    what: Mapped[Words]
    remedy: Mapped[Words]
    draft: Mapped[Data | None]
    fact_id: Mapped[str | None] = mapped_column(String(32))
    fact_revision: Mapped[int | None]
    finding: Mapped[Data | None]
    digest: Mapped[Digest] = mapped_column(index=True)
    raised_by: Mapped[Name]
    raised_at: Mapped[At]

    @property
    def blocks_signing(self) -> bool:
        """Whether nobody signs while it is open: what a feed left open does, a finding of the check is a warning."""
        return self.source != PLAUSIBILITY


class Settlement(Table):
    """How a question was settled, and why: answered by a fact, confirmed as it stands, dismissed, or gone with what it was about."""

    __tablename__ = "settlement"
    __table_args__ = (
        ForeignKeyConstraint(["fact_id", "fact_revision"], ["fact.id", "fact.revision"]),
        CheckConstraint(f"verdict IN ({', '.join(repr(word) for word in VERDICTS)})", name="verdict"),
    )
    append_only = True

    id: Mapped[Id]
    question_id: Mapped[Ref] = mapped_column(ForeignKey("question.id"), unique=True)
    verdict: Mapped[Word]
    reason: Mapped[Words]
    fact_id: Mapped[str | None] = mapped_column(String(32))
    fact_revision: Mapped[int | None]
    settled_by: Mapped[Name]
    settled_at: Mapped[At]


class RecordRead(Table):
    """How fresh a course is: when its patient's record was last read as a whole, and what came of the last attempt ("" is well)."""

    __tablename__ = "record_read"

    course_id: Mapped[str] = mapped_column(String(32), ForeignKey("course.id"), primary_key=True)
    server: Mapped[str] = mapped_column(String(400))
    read_at: Mapped[At | None]
    tried_at: Mapped[At]
    problem: Mapped[Words]


class RecordCheck(Table):
    """The last check of whether a course's record adds up: of which document (SHA-256), under which model and engine, and what came of it.

    `checked_at` is None while it waits for a worker; `problem` says where, what and the remedy where it could not be done.
    """

    __tablename__ = "record_check"

    course_id: Mapped[str] = mapped_column(String(32), ForeignKey("course.id"), primary_key=True)
    document_sha256: Mapped[Digest]
    model: Mapped[Name]
    model_sha256: Mapped[Digest]
    engine: Mapped[Word]
    checked_by: Mapped[Name]
    checked_at: Mapped[At | None]
    problem: Mapped[Data | None]


_RESOLVED = (datetime, Any)  # names that SQLAlchemy looks up in this module when it reads the annotations
