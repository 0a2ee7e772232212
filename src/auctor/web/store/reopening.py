"""Late and corrected facts, and another model or target, re-open the signed results whose inputs they change."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select

from auctor.web.store.tables import Fact, Reopening, Result, Signature
from auctor.web.store.work import Work


def reopen(work: Work, fact: Fact, before: Fact | None) -> list[Reopening]:
    """Re-open the standing signed result of the course when it would have been computed from other inputs.

    A fact changes the inputs of a result when it, or the revision before it, lies within the time that the result looked at: up to its
    document's `now_at`, else up to when it was made. A fact without a clock time always does; a new order does from when it holds; a note
    never does.
    """
    if fact.kind == "note":
        return []
    return _opened(work, fact, [result for result in _standing(work, fact.course_id) if _touches(fact, before, result)])


def reopen_for_choice(work: Work, note: Fact) -> list[Reopening]:
    """Re-open the standing signed result of the course, whose model or target was changed as `note` says."""
    return _opened(work, note, _standing(work, note.course_id))


def _opened(work: Work, fact: Fact, results: list[Result]) -> list[Reopening]:
    found = [Reopening(result_id=one.id, fact_id=fact.id, fact_revision=fact.revision, reopened_at=work.at) for one in results]
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
