"""Findings of the plausibility check as rows: words made from the kept facts in the reader's language, and where each stands."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from auctor.data.plausibility.finding import Kind
from auctor.report.finding_words import Telling
from auctor.report.shown import Shown
from auctor.web.pages.entries import entry_text
from auctor.web.pages.language import N_, Language
from auctor.web.pages.voice import PageVoice
from auctor.web.pages.words import field_name
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import document_sha256
from auctor.web.service.findings import finding_of
from auctor.web.store.questions import GONE, Kept
from auctor.web.store.tables import Fact, Question, Settlement

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Finding

MANY = 10_000.0
SETTLED = {
    "confirmed": N_("confirmed as recorded"),
    "corrected": N_("corrected"),
    "left out": N_("left out of the estimation"),
    "withdrawn": N_("withdrawn"),
    GONE: N_("no longer found"),
}


def weighed_row(finding: Finding, shown: Shown, told: Telling, language: Language) -> dict[str, str]:
    """One explanation as it is shown: what it says, how much better it fits, the AUC that it implies, and what to ask."""
    odds = finding.log_posterior_odds
    ratio = finding.likelihood_ratio
    one_to = math.exp(min(abs(odds), 600.0))
    shares = f"> {MANY:g}" if one_to > MANY else language.number(one_to, 2)
    return {
        "kind": finding.kind.value,
        "where": field_name(_place(finding), language),
        "what": told.what(finding),
        "ratio": f"> {MANY:g}" if ratio > MANY else language.number(ratio, 2),
        "odds": f"{shares} : 1" if odds >= 0 else f"1 : {shares}",
        "auc": "\u2013" if finding.auc_if is None else language.number(shown.value(finding.auc_if)),
        "unit": shown.pretty,
        "change": "" if finding.change is None else f"{round(100 * finding.change):+d} %",
        "question": told.question(finding),
    }


def _place(finding: Finding) -> str:
    """Its field; which of several values of a covariate is meant, the sentence says."""
    return finding.where.partition("[")[0] if finding.kind is Kind.COVARIATE_UNIT else finding.where


def finding_rows(several: Iterable[Kept], file: CourseFile, language: Language) -> list[dict[str, Any]]:
    """Findings that were kept."""
    return [finding_row(kept, file, language) for kept in several]


def open_findings(file: CourseFile, language: Language) -> list[dict[str, Any]]:
    """Those that nobody settled."""
    return finding_rows((kept for kept in file.findings if kept.settlement is None), file, language)


def finding_row(kept: Kept, file: CourseFile, language: Language) -> dict[str, Any]:
    """One of them: its words, the entry that it doubts, and how it was settled."""
    asked = kept.question
    finding, told = _told(asked, file, language)
    fact = next((one for one in file.facts if one.id == asked.fact_id), None)
    return weighed_row(finding, Shown(**(asked.finding or {})["exposure"]), told, language) | {
        "id": asked.id,
        "family": finding.family.value,
        "fact": "" if fact is None else fact.id,
        "known": "" if fact is None else entry_text(fact.kind, fact.body, language, file.zone),
        "raised": language.moment(asked.raised_at, file.zone),
        "open": kept.settlement is None,
        "gone": kept.settlement is not None and kept.settlement.verdict == GONE,
        "settled": "" if kept.settlement is None else _settled(kept.settlement, kept.answer, file, language),
    }


def _told(asked: Question, file: CourseFile, language: Language) -> tuple[Finding, Telling]:
    finding, start = finding_of(asked, file.facts)
    return finding, Telling(voice=PageVoice(language), start=None if start is None else start.astimezone(file.zone))


def finding_words(asked: Question, file: CourseFile, language: Language) -> tuple[str, str]:
    """What a kept finding says, and what to ask."""
    finding, told = _told(asked, file, language)
    return told.what(finding), told.question(finding)


def _settled(settled: Settlement, answer: Fact | None, file: CourseFile, language: Language) -> str:
    """How, by whom, when and why; what the check itself says by its own words."""
    say, when = language.say, language.moment(settled.settled_at, file.zone)
    if settled.verdict == GONE:
        return say("%(how)s since %(when)s: %(why)s", how=say(SETTLED[GONE]), when=when, why=say(settled.reason))
    how = say(SETTLED[_how(answer)])
    return say("%(how)s by %(who)s, %(when)s: %(why)s", how=how, who=settled.settled_by, when=when, why=settled.reason)


def _how(answer: Fact | None) -> str:
    if answer is None:
        return "confirmed"
    if answer.withdrawn:
        return "withdrawn"
    return "left out" if answer.body.get("used") is False else "corrected"


def check_row(file: CourseFile, language: Language) -> dict[str, Any]:
    """Whether the present data were checked: when, by whom, or why they could not be."""
    found = file.check
    present = found is not None and found.document_sha256 == document_sha256(file.document)
    return {
        "present": present,
        "waits": found is not None and present and found.checked_at is None,
        "when": "" if found is None or found.checked_at is None else language.moment(found.checked_at, file.zone),
        "who": "" if found is None else found.checked_by,
        "problem": found.problem if found is not None and present else None,
    }
