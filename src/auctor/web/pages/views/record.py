"""The hospital's record beside a course: how fresh it is, what it leaves open, what of the results was sent to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from auctor.web.pages.engine_words import engine
from auctor.web.pages.entries import entry_text
from auctor.web.pages.language import N_, Language
from auctor.web.service.courses import CourseFile
from auctor.web.store.tables import Outbox, Question

KINDS = {"dose": N_("Dose"), "sample": N_("Sample"), "covariate": N_("Covariate"), "order": N_("Order")}
STATES = {
    "pending": ("", N_("… waits to be sent")),
    "sent": ("good", N_("✔ sent")),
    "failed": ("bad", N_("✖ not sent")),
}


def freshness(file: CourseFile, language: Language) -> dict[str, Any] | None:
    """When the record was last read, and what came of the last attempt; None where it never was tried."""
    found = file.record
    if found is None:
        return None
    return {
        "read": language.moment(found.read_at, file.zone) if found.read_at else "",
        "tried": language.moment(found.tried_at, file.zone),
        "problem": found.problem,
    }


def question_rows(file: CourseFile, language: Language) -> list[dict[str, Any]]:
    """The open questions of a course."""
    return [question_row(question, file, language) for question in file.questions]


def question_row(question: Question, file: CourseFile, language: Language) -> dict[str, Any]:
    """One question of a feed as it is shown: its sentences, kept in English, in the reader's language."""
    fact = next((one for one in file.facts if one.id == question.fact_id), None)
    known = draft_text(question.draft or {}, file, language)
    if fact is not None:
        known = entry_text(fact.kind, fact.body, language, file.zone)
    return {
        "id": question.id,
        "kind": language.say(KINDS[question.kind]) if question.kind in KINDS else language.say("Entry"),
        "place": question.place,
        "what": engine(question.what, language),
        "remedy": engine(question.remedy, language),
        "known": known,
        "fact": question.fact_id if fact is not None else "",
        "raised": language.moment(question.raised_at, file.zone),
    }


def draft_text(draft: dict[str, Any], file: CourseFile, language: Language) -> str:
    """What is known of an entry, in one line."""
    times = [language.moment(datetime.fromisoformat(str(draft["at"])), file.zone)] if draft.get("at") else []
    routes = {"iv": language.say("iv"), "oral": language.say("by mouth")}
    return ", ".join([*times, *(language.local(str(draft[k])) for k in ("amount", "value") if draft.get(k)), *_route(draft, routes)])


def _route(draft: dict[str, Any], routes: dict[str, str]) -> list[str]:
    return [routes.get(str(draft["route"]), str(draft["route"]))] if draft.get("route") else []


def sending_row(row: Outbox, file: CourseFile, language: Language) -> dict[str, Any]:
    """What became of one result on its way to the record."""
    tone, words = STATES[row.state]
    when = row.sent_at or row.created_at
    return {
        "tone": tone,
        "words": language.say(words),
        "when": language.moment(when, file.zone),
        "problem": row.problem or "",
        "state": row.state,
    }
