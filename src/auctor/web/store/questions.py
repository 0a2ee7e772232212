"""Questions: what a feed could not say by itself, kept with the course until somebody settles it. A course with an open one is not signed,
and one that comes up after the signature re-opens what was signed. Findings of the plausibility check are questions about a fact too: they
re-open what was signed, and are a warning where it is signed.

    with store.work(actor) as work:
        questions.ask(work, course_id, Asked(source="fhir", reference="MedicationAdministration/a4", kind="dose", code="no-duration", ...))
        questions.settle(work, question_id, verdict="dismissed", reason="given to another patient")

The same question is asked once: while it is open, and after a person settled it. A finding is the same as long as the facts that it is
about have no other revision, whatever else of the course has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from auctor.web.store.errors import StaleError, StoreError
from auctor.web.store.reopening import reopen_for_question
from auctor.web.store.tables import PLAUSIBILITY, Course, Fact, Question, RecordCheck, RecordRead, Settlement
from auctor.web.store.tables.columns import content_sha256
from auctor.web.store.work import Reading, Work

ANSWERED, GONE = "answered", "gone"
LONGEST = {"reference": 400, "code": 64, "place": 200}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question as it comes in; `fact` is the fact that is doubted, where it is about one that is kept.

    `finding` is what the plausibility check says of it, `beside` the other facts that it is about.
    """

    source: str
    reference: str
    kind: str
    code: str
    place: str
    what: str = ""
    remedy: str = ""
    draft: Mapping[str, Any] | None = None
    fact: Fact | None = None
    finding: Mapping[str, Any] | None = None
    beside: tuple[Fact, ...] = ()

    def texts(self) -> dict[str, str]:
        """Its texts as the store holds them."""
        names = ("source", "reference", "kind", "code", "place", "what", "remedy")
        return {name: str(getattr(self, name))[: LONGEST.get(name)] for name in names}

    def digest(self, course_id: str) -> str:
        """The same for the same question about the same course."""
        if self.finding is not None:
            about = [[fact.id, fact.revision] for fact in (self.fact, *self.beside) if fact is not None]
            return content_sha256({"course": course_id, "source": self.source, "code": self.code, "about": about})
        body = None if self.fact is None else self.fact.body
        return content_sha256({**self.texts(), "course": course_id, "draft": dict(self.draft or {}), "fact": body})


def ask(work: Work, course_id: str, asked: Asked) -> Question | None:
    """Keep a question, which re-opens the signed result that it touches; None where it is open already or a person settled it before."""
    work.get(Course, course_id, lock=True)  # nobody signs meanwhile
    digest = asked.digest(course_id)
    for known in work.session.scalars(select(Question).where(Question.course_id == course_id, Question.digest == digest)):
        settled = settlement(work, known.id)
        if (settled is None and is_open(work, known)) or (settled is not None and settled.verdict != GONE):
            return None
    fact = asked.fact
    question = Question(
        course_id=course_id, **asked.texts(), draft=dict(asked.draft) if asked.draft else None, digest=digest,
        finding=None if asked.finding is None else dict(asked.finding),
        fact_id=None if fact is None else fact.id, fact_revision=None if fact is None else fact.revision,
        raised_by=work.actor.login, raised_at=work.at,
    )  # fmt: skip
    work.session.add(question)
    work.session.flush()
    reopen_for_question(work, question, fact)
    return question


def settle(work: Work, question_id: str, *, verdict: str, reason: str, fact: Fact | None = None) -> Settlement:
    """Settle a question. StaleError when somebody else did meanwhile; StoreError without a reason."""
    question = work.get(Question, question_id)
    work.get(Course, question.course_id, lock=True)
    if not reason.strip():
        raise StoreError(where="reason", what="missing", remedy="say why")
    if settlement(work, question_id) is not None:
        raise StaleError(where="question", what="settled by somebody else meanwhile", remedy="look at it; nothing was written")
    found = Settlement(
        question_id=question_id, verdict=verdict, reason=reason.strip(), fact_id=None if fact is None else fact.id,
        fact_revision=None if fact is None else fact.revision, settled_by=work.actor.login, settled_at=work.at,
    )  # fmt: skip
    work.session.add(found)
    work.session.flush()
    return found


def answer_findings(work: Work, fact: Fact) -> list[Settlement]:
    """Settle what the plausibility check found about the revision before this one: it was corrected, left out or withdrawn."""
    earlier = (Question.fact_id == fact.id, Question.fact_revision < fact.revision, Question.source == PLAUSIBILITY)
    query = select(Question.id).outerjoin(Settlement, Settlement.question_id == Question.id).where(Settlement.id.is_(None), *earlier)
    asked = work.session.scalars(query).all()
    return [settle(work, one, verdict=ANSWERED, reason=fact.reason, fact=fact) for one in asked]


def settlement(reading: Reading, question_id: str) -> Settlement | None:
    """How a question was settled, None while it was not."""
    return reading.session.scalars(select(Settlement).where(Settlement.question_id == question_id)).first()


def is_open(reading: Reading, question: Question) -> bool:
    """Whether a question that was not settled still asks: one about a fact does until the fact has another revision."""
    if question.fact_id is None:
        return True
    last = reading.session.scalar(select(func.max(Fact.revision)).where(Fact.id == question.fact_id))
    return bool(last == question.fact_revision)


def opened(reading: Reading, courses: Iterable[str] | Select[str]) -> list[Question]:
    """The open questions of these courses, given by name or by what selects them, the oldest first."""
    last = select(func.max(Fact.revision)).where(Fact.id == Question.fact_id).correlate(Question).scalar_subquery()
    query = select(Question).outerjoin(Settlement, Settlement.question_id == Question.id)
    query = query.where(Settlement.id.is_(None), Question.fact_id.is_(None) | (last == Question.fact_revision))
    query = query.where(Question.course_id.in_(courses if isinstance(courses, Select) else list(courses)))
    return list(reading.session.scalars(query.order_by(Question.raised_at, Question.id)))


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A question that was asked, how it was settled, and the fact that settled it."""

    question: Question
    settlement: Settlement | None
    answer: Fact | None


def every(reading: Reading, course_id: str) -> list[Kept]:
    """All that was ever asked about a course, the oldest first."""
    answered = (Fact.id == Settlement.fact_id) & (Fact.revision == Settlement.fact_revision)
    query = select(Question, Settlement, Fact).outerjoin(Settlement, Settlement.question_id == Question.id).outerjoin(Fact, answered)
    query = query.where(Question.course_id == course_id).order_by(Question.raised_at, Question.id)
    rows = reading.session.execute(query).all()
    return [Kept(question=question, settlement=settled, answer=answer) for question, settled, answer in rows]


def note_read(work: Work, course_id: str, *, server: str, problem: str = "", fresh: bool) -> RecordRead:
    """Note that the record was read (`fresh`), or that it could not be (`problem`); the last whole reading stays known."""
    row = work.session.get(RecordRead, course_id)
    if row is None:
        row = RecordRead(course_id=course_id, server=server, tried_at=work.at, problem=problem)
        work.session.add(row)
    row.server, row.tried_at, row.problem = server, work.at, problem
    row.read_at = work.at if fresh else row.read_at
    work.session.flush()
    return row


def note_check(work: Work, course_id: str, *, done: bool, **found: Any) -> RecordCheck | None:
    """Note that the record was checked, or waits to be: of which document, under which model and engine, and what came of it. None where
    that is known already.
    """
    row = work.session.get(RecordCheck, course_id)
    if row is not None and row.checked_at is not None and all(getattr(row, name) == value for name, value in found.items()):
        return None
    if row is None:
        row = RecordCheck(course_id=course_id)
        work.session.add(row)
    for name, value in found.items():
        setattr(row, name, value)
    row.checked_by, row.checked_at = work.actor.login, work.at if done else None
    work.session.flush()
    return row
