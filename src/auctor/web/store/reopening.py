"""Late and corrected facts, another model or target, and questions that come up re-open the signed results that they touch."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select

from auctor.web.store.tables import Fact, Question, Reopening, Result, Signature
from auctor.web.store.work import Work


def reopen(work: Work, fact: Fact, before: Fact | None) -> list[Reopening]:
    """Re-open the standing signed result of the course when it would have been computed from other inputs.

    A fact changes the inputs of a result when it, or the revision before it, lies within the time that the result looked at: up to its
    document's `now_at`, else up to when it was made. A fact without a clock time always does; a new order does from when it holds; a note
    never does.
    """
    if fact.kind == "note":
        return []
    touched = [result for result in _standing(work, fact.course_id) if _touches(fact, before, result)]
    return _opened(work, touched, fact_id=fact.id, fact_revision=fact.revision)


def reopen_for_choice(work: Work, note: Fact) -> list[Reopening]:
    """Re-open the standing signed result of the course, whose model or target was changed as `note` says."""
    return _opened(work, _standing(work, note.course_id), fact_id=note.id, fact_revision=note.revision)


def reopen_for_question(work: Work, question: Question, doubted: Fact | None) -> list[Reopening]:
    """Re-open the standing signed result of the course that a question puts in doubt: one about what lies within the time that it looked
    at, and one about something whose time is not known. Its answer may change nothing; that is for somebody to sign again.
    """
    moment = doubted.at if doubted is not None else _moment(question.draft)
    touched = [result for result in _standing(work, question.course_id) if moment is None or moment <= horizon(result)]
    return _opened(work, touched, question_id=question.id)


def _moment(draft: Any) -> datetime | None:
    """When what is asked about happened, as far as the draft of its entry says it as an instant."""
    said = draft.get("at") if isinstance(draft, dict) else None
    try:
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _opened(work: Work, results: list[Result], **why: Any) -> list[Reopening]:
    found = [Reopening(result_id=one.id, reopened_at=work.at, **why) for one in results]
    work.session.add_all(found)
    work.session.flush()
    return found


def _standing(work: Work, course_id: str) -> list[Result]:
    """The last result that was signed, unless something re-opened it: those before it are superseded."""
    signed = select(Result).join(Signature, Signature.result_id == Result.id).where(Result.course_id == course_id)
    last = work.session.scalars(signed.order_by(Result.made_at.desc(), Result.id).limit(1)).first()
    opened = last is not None and work.session.scalars(select(Reopening.id).where(Reopening.result_id == last.id)).first()
    return [] if last is None or opened else [last]


def _touches(fact: Fact, before: Fact | None, result: Result) -> bool:
    if before is not None and [before.id, before.revision] in result.facts:
        return True
    return any(_within(one, result) for one in (fact, before) if one is not None and not one.withdrawn)


def _within(fact: Fact, result: Result) -> bool:
    return fact.at is None or fact.at <= horizon(result)


def horizon(result: Result) -> datetime:
    """The moment up to which a result looked: its document's `now_at`, else when it was made."""
    said: Any = json.loads(result.document).get("now_at")
    moment = datetime.fromisoformat(said) if isinstance(said, str) else result.made_at
    return moment if moment.tzinfo is not None else result.made_at
