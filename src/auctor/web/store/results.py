"""Results and signatures: kept as they were made, signed once, re-opened by late facts, superseded by the next signed one.

with store.work(author) as work:
    result = results.keep(work, course_id, taken=taken, computed=computed)   # taken = documents.document(...)
    work.record("result.keep", "result", result.id, ward=ward_id, after={"inputs": result.document_sha256})

with store.work(signer) as work:
    signature = results.sign(work, result.id, regimen={...}, text="what the page said", meaning="approved", reason="")
    work.record("result.sign", "result", result.id, ward=ward_id, after=signature.as_data())
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import Select, select

from auctor.web.store import facts, questions
from auctor.web.store.documents import CourseDocument
from auctor.web.store.errors import SignatureError, StaleError
from auctor.web.store.reopening import horizon
from auctor.web.store.tables import Course, Fact, Reopening, Result, Signature, canonical, now
from auctor.web.store.work import Reading, Work


class Status(StrEnum):
    """Where a result stands."""

    DRAFT = "draft"
    SIGNED = "signed"
    REOPENED = "reopened"
    SUPERSEDED = "superseded"


class Computed(Protocol):
    """An analysis as its engine hands it over: the text of result.json and what it was computed with."""

    @property
    def result(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def model_sha256(self) -> str: ...  # noqa: D102
    @property
    def engine(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def settings(self) -> Mapping[str, Any]: ...  # noqa: D102


def keep(work: Work, course_id: str, *, taken: CourseDocument, computed: Computed) -> Result:
    """Keep an analysis of the document that was taken from the course. What it was computed from and with goes into the same row."""
    work.get(Course, course_id)
    text = canonical(taken.document)
    result = Result(
        course_id=course_id,
        document=text,
        document_sha256=sha256(text),
        facts=[list(pair) for pair in taken.facts],
        model=computed.model,
        model_sha256=computed.model_sha256,
        engine=computed.engine,
        seed=computed.seed,
        settings=dict(computed.settings),
        result=computed.result,
        result_sha256=sha256(computed.result),
        made_by=work.actor.login,
        made_at=now(),
    )
    work.session.add(result)
    work.session.flush()
    return result


def sign(work: Work, result_id: str, *, regimen: Mapping[str, Any], text: str, meaning: str = "approved", reason: str = "") -> Signature:
    """Sign a draft for the regimen that was chosen from it; `text` is what was on the page.

    Raises SignatureError when the actor is not a person, the result is signed or older than a signed one, or blocks signing and no reason
    is given, or a question of the course is open; StaleError when facts that it should have known have come or changed since it was made.
    """
    result = work.get(Result, result_id)
    work.get(Course, result.course_id, lock=True)
    signer = work.actor.account_id
    if signer is None:
        raise SignatureError(where="signature", what="no person", remedy="sign in")
    standing = status(work, result_id)
    if standing is not Status.DRAFT:
        raise SignatureError(where="result", what=f"{standing} already", remedy="analyse again and sign that result")
    if changed_since(work, result) or asked_otherwise(work, result):
        what = "facts, the model or the target changed since it was made"
        raise StaleError(where="result", what=what, remedy="analyse again; nothing was signed")
    if any(question.blocks_signing for question in questions.opened(work, [result.course_id])):
        raise SignatureError(where="questions", what="an open question blocks signing", remedy="answer it, or dismiss it with a reason")
    if json.loads(result.result).get("signing_blocked") and not reason.strip():
        raise SignatureError(where="reason", what="missing, and warnings block signing", remedy="resolve them, or say why you sign anyway")
    signature = Signature(
        result_id=result_id,
        signer_id=signer,
        signer=work.actor.login,
        signed_at=now(),
        regimen=dict(regimen),
        meaning=meaning,
        reason=reason,
        text=text,
        text_sha256=sha256(text),
    )
    work.session.add(signature)
    work.session.flush()
    return signature


def status(reading: Reading, result_id: str) -> Status:
    """Draft, signed, re-opened, or superseded by a later result of the course that was signed."""
    return statuses(reading, reading.get(Result, result_id).course_id)[result_id]


def statuses(reading: Reading, course_id: str) -> dict[str, Status]:
    """The status of every result of a course, newest first; the results themselves, which are long, are not read."""
    ids = reading.session.scalars(_newest_first(select(Result.id), course_id)).all()
    signed = set(reading.session.scalars(select(Signature.result_id).where(Signature.result_id.in_(ids))))
    opened = set(reading.session.scalars(select(Reopening.result_id).where(Reopening.result_id.in_(ids))))
    found: dict[str, Status] = {}
    for result in ids:
        if any(later in signed for later in found):
            found[result] = Status.SUPERSEDED
        elif result in signed:
            found[result] = Status.REOPENED if result in opened else Status.SIGNED
        else:
            found[result] = Status.DRAFT
    return found


def of_course(reading: Reading, course_id: str) -> list[Result]:
    """Every result of a course, newest first."""
    return list(reading.session.scalars(_newest_first(select(Result), course_id)))


def _newest_first(wanted: Select[Any], course_id: str) -> Select[Any]:
    return wanted.where(Result.course_id == course_id).order_by(Result.made_at.desc(), Result.id)


def signature(reading: Reading, result_id: str) -> Signature | None:
    """The signature of a result, if it has one."""
    return reading.session.scalars(select(Signature).where(Signature.result_id == result_id)).first()


def reopened_by(reading: Reading, fact: Fact) -> list[str]:
    """The results that this revision of a fact re-opened."""
    wanted = select(Reopening.result_id).where(Reopening.fact_id == fact.id, Reopening.fact_revision == fact.revision)
    return list(reading.session.scalars(wanted))


def changed_since(reading: Reading, result: Result) -> list[Fact]:
    """The revisions that stand now and that the result should have known: corrected, withdrawn, or new within the time it looked at."""
    known: dict[str, int] = dict(result.facts)
    standing = {fact.id: fact for fact in facts.current(reading, result.course_id) if fact.kind != "note"}
    new = [fact for fact in standing.values() if fact.id not in known and (fact.at is None or fact.at <= horizon(result))]
    changed = [fact for fact in standing.values() if known.get(fact.id, fact.revision) != fact.revision]
    gone = [facts.history(reading, fact_id)[-1] for fact_id in known if fact_id not in standing]
    return [*new, *changed, *(fact for fact in gone if fact.kind != "note")]


def asked_otherwise(reading: Reading, result: Result) -> bool:
    """Whether the course has another model or target by now than the result was computed for."""
    course, asked = reading.get(Course, result.course_id), json.loads(result.document)
    return any(asked.get(name) != getattr(course, name) for name in ("model", "target"))


def sha256(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
