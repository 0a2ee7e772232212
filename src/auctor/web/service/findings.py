"""What the plausibility check flags is kept: each finding is a question about the fact that it doubts, until a person confirms, corrects or
leaves out that fact, or the check does not find it any more.

The check runs with every analysis, and when its page is opened by somebody who may analyse. A model without a closed form takes seconds:
there an analysis asks for the check, and the server does it afterwards (`follow`), as does whoever opens the page before.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from auctor import __version__
from auctor.errors import AuctorError
from auctor.report.voice import N_
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.accounts.permissions import Verb, allowed, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.engine import document_sha256, read
from auctor.web.service.suspicion import Suspicion, answered, begin, is_quick
from auctor.web.store import Work, facts, questions
from auctor.web.store.documents import document
from auctor.web.store.questions import GONE, Asked, Kept
from auctor.web.store.tables import PLAUSIBILITY, Course, Fact, Question, RecordCheck, iso

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Facts, Finding

CHECKER = Actor(
    account_id=None, login=f"system:{PLAUSIBILITY}", roles=frozenset({Role.AUTHOR}), wards=frozenset({EVERY_WARD}), channel="system"
)
NO_LONGER = N_("the check does not find it any more: the data, the model or the check itself changed")
Checked = Suspicion | AuctorError | None  # None: it waits for a worker
NUMBERS = ("log_likelihood_ratio", "prior_odds", "auc_recorded", "auc_if")
_PLACES = {"samples": "sample", "doses": "dose"}
_NEAR = timedelta(minutes=1)


def start(clinic: Clinic, document: dict[str, Any]) -> Callable[[], Checked]:
    """Begin the check beside an analysis; what comes of it."""
    if not is_quick(str(document["model"])):
        return lambda: None
    running = begin(clinic, document)
    return lambda: answered(running)


def review(clinic: Clinic, actor: Actor, file: CourseFile) -> Suspicion:
    """The check of the course as it stands; what it flags is kept where the actor may analyse. The errors of reading and estimating."""
    demand(actor, Verb.TRY, ward=file.patient.ward_id)
    checked = answered(begin(clinic, file.document))
    if allowed(actor, Verb.ANALYSE):
        _keep(clinic, actor, file, checked)
    if isinstance(checked, AuctorError):
        raise checked
    return checked


def _keep(clinic: Clinic, actor: Actor, file: CourseFile, checked: Checked) -> None:
    """Nothing is kept of a course that changed meanwhile: who looks again sees what came."""
    with clinic.store.work(actor) as work:
        work.get(Course, file.course.id, lock=True)
        if document(work, file.course.id).document == file.document and (done := take(work, file.document, checked)):
            work.record("plausibility.check", "course", file.course.id, ward=file.patient.ward_id, after=done)


def take(work: Work, checked_document: dict[str, Any], checked: Checked) -> dict[str, Any]:
    """Ask what was found and not asked before, close what is not found any more, note the check: what was done, for the audit entry of the
    unit of work ({}: nothing new, or a closed course). The course stands as its document says.
    """
    course, model = str(checked_document["label"]), read(str(checked_document["model"]))
    if work.get(Course, course).closed_at is not None:
        return {}
    asked, over = _compared(work, course, checked) if isinstance(checked, Suspicion) else ([], [])
    problem = {"where": checked.where, "what": checked.what, "remedy": checked.remedy} if isinstance(checked, AuctorError) else None
    noted = questions.note_check(
        work, course, done=checked is not None, document_sha256=document_sha256(checked_document), model=model.name,
        model_sha256=model.sha256, engine=__version__, problem=problem,
    )  # fmt: skip
    if not (asked or over or noted):
        return {}
    return {"asked": [[one.id, one.code, one.fact_id] for one in asked], "over": over, "problem": problem, "waits": checked is None}


def _compared(work: Work, course: str, checked: Suspicion) -> tuple[list[Question], list[str]]:
    """The questions that are new, and the identifiers of those that are gone."""
    known = facts.current(work, course)
    found = [one for finding in checked.found.findings if (one := _asked(finding, checked, known)) is not None]
    digests = {one.digest(course) for one in found}
    opened = [one for one in questions.opened(work, [course]) if one.source == PLAUSIBILITY]
    over = [questions.settle(work, one.id, verdict=GONE, reason=NO_LONGER).question_id for one in opened if one.digest not in digests]
    return [question for one in found if (question := questions.ask(work, course, one)) is not None], over


def _asked(finding: Finding, checked: Suspicion, known: Sequence[Fact]) -> Asked | None:
    """A finding as a question; None where the entry that it doubts is not there any more."""
    doubted = fact_at(finding.where, finding.facts, checked.start, known)
    if doubted is None:
        return None
    other = fact_at(finding.facts.other, finding.facts, checked.start, known) if finding.facts.other else None
    return Asked(
        source=PLAUSIBILITY, reference="", kind=doubted.kind, code=finding.kind.value, place=finding.where, fact=doubted,
        beside=() if other is None else (other,), finding=as_data(finding, checked) | {"beside": None if other is None else other.id},
    )  # fmt: skip


def as_data(finding: Finding, checked: Suspicion) -> dict[str, Any]:
    """What the store keeps of a finding: facts and numbers, the instant that its hours count from, its unit of AUC, what judged it."""
    from auctor.report.shown import AUC, exposure

    model = read(checked.found.model)
    numbers = {name: _finite(getattr(finding, name)) for name in NUMBERS}
    judged = {"model": model.name, "model_sha256": model.sha256, "engine": __version__, "calibrated": checked.found.calibrated}
    start = None if checked.start is None else iso(checked.start)
    return {"facts": finding.facts.as_data(), "start": start, "exposure": asdict(exposure(model, AUC)), **numbers, **judged}


def _finite(number: float | None) -> float | None:
    """The number, None for one that says nothing: the AUC where it does not exist."""
    return number if number is not None and math.isfinite(number) else None


def finding_of(question: Question, known: Sequence[Fact]) -> tuple[Finding, datetime | None]:
    """The finding of a kept question and its time 0; a second sample is named by its place among the facts that stand now."""
    from auctor.data.plausibility.finding import Facts, Finding, Kind, Labelled

    kept: dict[str, Any] = question.finding or {}
    said = dict(kept["facts"])
    if "label" in said:
        said["label"] = Labelled(said["label"])
    if kept.get("beside"):
        said["other"] = place_of(kept["beside"], known) or said["other"]
    numbers = {name: kept[name] for name in NUMBERS}
    place = place_of(question.fact_id, known) if "[" in question.place else ""
    finding = Finding(kind=Kind(question.code), where=place or question.place, facts=Facts(**said), **numbers)
    return finding, None if kept["start"] is None else datetime.fromisoformat(kept["start"])


def reported(file: CourseFile, at: datetime | None = None) -> list[Kept]:
    """What the check had flagged by then (None: by now) and not taken back: open, or with the word of a person."""
    found = []
    for kept in file.findings:
        known = kept.settlement if kept.settlement is not None and (at is None or kept.settlement.settled_at <= at) else None
        if (at is None or kept.question.raised_at <= at) and (known is None or known.verdict != GONE):
            found.append(replace(kept, settlement=known, answer=None if known is None else kept.answer))
    return found


def fact_at(where: str, said: Facts, start: datetime | None, known: Sequence[Fact]) -> Fact | None:
    """The fact at a field path of the case that these make: `samples[1]`, `doses` (the first), `covariates.WT[2]` (that of its time)."""
    name, _, covariate = where.partition(".")
    if covariate:
        rows = [fact for fact in known if fact.kind == "covariate" and fact.body["name"] == covariate.partition("[")[0]]
        moment = None if start is None or said.at_h is None else start + timedelta(hours=said.at_h)
        timed = (fact for fact in rows if moment is not None and fact.at is not None and abs(fact.at - moment) < _NEAR)
        return next(timed, rows[0] if rows else None)
    found = re.fullmatch(r"(samples|doses)(?:\[(\d+)\])?", name)
    rows = [fact for fact in known if found and fact.kind == _PLACES[found[1]]]
    index = int(found[2] or 0) if found else 0
    return rows[index] if index < len(rows) else None


def place_of(fact_id: str | None, known: Sequence[Fact]) -> str:
    """The field path of a fact among those that stand; "" for one that does not any more."""
    fact = next((one for one in known if one.id == fact_id), None)
    if fact is None or fact.kind == "covariate":
        return "" if fact is None else f"covariates.{fact.body['name']}"
    same = [one.id for one in known if one.kind == fact.kind]
    return f"{fact.kind}s[{same.index(fact.id)}]"


def follow(clinic: Clinic, *, most: int = 1000) -> int:
    """Check the records that wait for it, in open courses; how many."""
    waits = select(RecordCheck.course_id).join(Course, Course.id == RecordCheck.course_id)
    with clinic.store.read(CHECKER) as reading:
        waiting = reading.session.scalars(waits.where(RecordCheck.checked_at.is_(None), Course.closed_at.is_(None)).limit(most)).all()
    for course_id in waiting:
        with suppress(AuctorError):  # why not is kept with the course
            review(clinic, CHECKER, look(clinic, CHECKER, course_id))
    return len(waiting)
