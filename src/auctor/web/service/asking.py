"""Settle a question about the record: answer it with the entry that was missing, confirm what it doubts, or dismiss it; each with a reason.

An answer becomes a fact under the name that the source gave it, so that the record's next word on the same thing corrects it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.entering import not_in_the_future
from auctor.web.service.entry_check import check_entry
from auctor.web.store import StaleError, Work, facts, questions
from auctor.web.store.questions import ANSWERED
from auctor.web.store.tables import Course, Fact, Patient, Question

KINDS = ("dose", "sample", "covariate", "order")  # what an answer can be
CONFIRMED, DISMISSED = "confirmed", "dismissed"


def kinds_of(question: Question) -> tuple[str, ...]:
    """What an answer to the question may be: nothing where a fact that is kept is doubted; any kind where it is not known what it is."""
    if question.fact_id is not None:
        return ()
    return (question.kind,) if question.kind in KINDS else ("sample", "covariate")


def answer(clinic: Clinic, actor: Actor, question_id: str, *, kind: str, body: dict[str, Any], reason: str) -> str:
    """Enter what was missing, under the source's name of it, and settle the question; the course. CaseError as for any entry."""
    demand(actor, Verb.ENTER)
    with clinic.store.work(actor) as work:
        question, ward = _opened(work, question_id, actor, Verb.ENTER)
        if kind not in kinds_of(question):
            raise CaseError(where="kind", what="not an answer to this question", remedy="confirm it, dismiss it, or enter the right kind")
        check_entry(work.get(Course, question.course_id), kind, body)
        fact = _entered(work, question, kind, body, f"{question.code}: {_why(reason)}")
        not_in_the_future(fact)
        settled = questions.settle(work, question_id, verdict=ANSWERED, reason=reason, fact=fact)
        after = {"settlement": settled.as_data(), "fact": fact.as_data()}
        work.record("question.answer", "question", question_id, ward=ward, before=question.as_data(), after=after, reason=reason)
        return question.course_id


def close_question(clinic: Clinic, actor: Actor, question_id: str, *, reason: str, also: Sequence[str] = ()) -> str:
    """Confirm the fact that is doubted, or dismiss what was asked, with why; the course. `also` are further findings of the plausibility
    check about the course that the same answer of the ward settles.
    """
    demand(actor, Verb.CORRECT)
    with clinic.store.work(actor) as work:
        question, ward = _opened(work, question_id, actor, Verb.CORRECT)
        verdict = DISMISSED if question.fact_id is None else CONFIRMED
        settled = questions.settle(work, question_id, verdict=verdict, reason=_why(reason))
        more = [_confirmed(work, one, actor, question.course_id, reason) for one in dict.fromkeys(also)]
        after = settled.as_data() | ({"also": more} if more else {})
        action = "question.dismiss" if verdict == DISMISSED else "question.confirm"
        work.record(action, "question", question_id, ward=ward, before=question.as_data(), after=after, reason=reason)
        return question.course_id


def _confirmed(work: Work, question_id: str, actor: Actor, course_id: str, reason: str) -> str:
    question, _ = _opened(work, question_id, actor, Verb.CORRECT)
    if question.course_id != course_id or question.finding is None:
        raise CaseError(where="questions", what="not a finding about this course", remedy="settle it by itself")
    return questions.settle(work, question_id, verdict=CONFIRMED, reason=_why(reason)).question_id


def _opened(work: Work, question_id: str, actor: Actor, verb: Verb) -> tuple[Question, str]:
    question = work.get(Question, question_id)
    ward = work.get(Patient, work.get(Course, question.course_id, lock=True).patient_id).ward_id
    demand(actor, verb, ward=ward)
    if questions.settlement(work, question_id) is not None or not questions.is_open(work, question):
        raise StaleError(where="question", what="settled meanwhile", remedy="go back to the course")
    return question, ward


def _entered(work: Work, question: Question, kind: str, body: dict[str, Any], reason: str) -> Fact:
    """The fact of an answer: new, or the next revision of what the source had said before."""
    reference = named(question, kind, body)
    known = facts.referenced(work, question.course_id, question.source, reference)
    if known is None:
        return facts.add(work, question.course_id, kind=kind, body=body, source=question.source, reference=reference, reason=reason)
    return facts.correct(work, known.id, made_from=known.revision, body=body, reason=reason, source=question.source, reference=reference)


def named(question: Question, kind: str, body: dict[str, Any]) -> str:
    """What an import calls the fact that the question is about (`service.importing`)."""
    mark = {"covariate": f"#{body.get('name')}", "order": "#order"}.get(kind, "") if question.source == "fhir" else ""
    return f"{question.reference}{mark}"[:400]


def _why(reason: str) -> str:
    if not reason.strip():
        raise CaseError(where="reason", what="missing", remedy="say why")
    return reason.strip()
