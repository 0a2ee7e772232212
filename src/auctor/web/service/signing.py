"""Sign: somebody who may, having said who they are once more, takes responsibility for one regimen chosen from one result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile, look
from auctor.web.service.findings import reported
from auctor.web.service.trying import Typed, try_regimen
from auctor.web.store import StaleError, outbox, questions, results
from auctor.web.store.questions import Kept
from auctor.web.store.tables import Course, Result, Signature

MEANINGS = {
    "recommended": "I checked the inputs and recommend this regimen",
    "reviewed": "I reviewed the recommendation of a colleague and agree",
}
CHANGE = "change"  # the name of the reason for a change of the dose beyond the limit


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The regimen chosen: one of the candidates by its label, or one typed by hand; its forecast is the preferred method's."""

    label: str
    forecast: Mapping[str, Any]

    @property
    def confirm(self) -> bool:
        """Whether it changes the dose beyond the limit and needs a reason of its own."""
        return bool(self.forecast.get("needs_confirmation"))


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the signer filled in. `reasons` are by notice (`code@where`), and `change` for a change beyond the limit."""

    choice: Choice
    meaning: str
    reasons: Mapping[str, str] = field(default_factory=dict)


def result_file(clinic: Clinic, actor: Actor, result_id: str, *, audited: bool = False) -> tuple[CourseFile, Result]:
    """A result with the file of its course."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        course_id = reading.get(Result, result_id).course_id
    file = look(clinic, actor, course_id, audited=audited)
    return file, next(result for result in file.results if result.id == result_id)


def choose(clinic: Clinic, actor: Actor, file: CourseFile, result: Result, *, label: str, typed: Typed | None) -> Choice:
    """The candidate of that label, or the typed regimen within the caps. CaseError for another one, or for one above a cap."""
    data = json.loads(result.result)
    if typed is not None:
        tried = try_regimen(clinic, actor, file, result, typed)
        forecast = tried.get(data["preferred"]) or next(iter(tried.values()))
        return Choice(label=str(_option(forecast)["label"]), forecast=forecast)
    candidates = data["methods"][data["preferred"]]["candidates"]
    found = next((c for c in candidates if c["option"]["label"] == label), None)
    if found is None:
        raise CaseError(where="regimen", what="none chosen", remedy="choose one of the candidates, or type one")
    if found["option"]["over_cap"]:
        raise CaseError(where="regimen", what="above a cap of the dosing table", remedy="choose another one")
    return Choice(label=label, forecast=found)


def sign(clinic: Clinic, actor: Actor, result_id: str, wish: Wish, *, confirm: Callable[[], None]) -> Signature:
    """Sign a result. `confirm` asks the signer for the password or second factor again and raises when it is wrong.

    CaseError for a missing reason or an unknown meaning, while a question of the course is open, for inputs that changed since the result
    was computed, and for a result that is not the newest; StaleError where the check of the record said something else meanwhile. Its open
    findings do not block: they stand in what is signed. The store refuses what is signed already. Where signed results of the ward go by
    themselves, it is put into the outbox in the same transaction.
    """
    file, result = result_file(clinic, actor, result_id)
    demand(actor, Verb.SIGN, ward=file.patient.ward_id)
    _check(file, result, wish)
    confirm()
    reasons = {key: reason.strip() for key, reason in wish.reasons.items() if reason.strip()}
    regimen = {"label": wish.choice.label, "forecast": dict(wish.choice.forecast), "reasons": reasons}
    with clinic.store.work(actor) as work:
        work.get(Course, file.course.id, lock=True)
        if {one.id for one in questions.opened(work, [file.course.id])} != {one.id for one in file.opened}:
            raise StaleError(where="course", what="the check of the record came meanwhile", remedy="look at what it found, then sign")
        signature = results.sign(
            work,
            result_id,
            regimen=regimen,
            text=statement(file, result, wish),
            meaning=wish.meaning,
            reason="; ".join(f"{key}: {reason}" for key, reason in reasons.items()),
        )
        after = {"course": file.course.id, "signature": signature.id, "regimen": wish.choice.label, "meaning": wish.meaning}
        if destination := clinic.destination(file.patient.ward_id):
            after["outbox"] = outbox.put(work, result_id, destination).id
        work.record("result.sign", "result", result_id, ward=file.patient.ward_id, after=after, reason=signature.reason)
        return signature


def blocking(result: Result) -> dict[str, str]:
    """What blocks signing of a result: the name its reason is filed under, and what it says."""
    notices = json.loads(result.result)["notices"]
    return {f"{n['code']}@{n['where']}": f"{n['where']}: {n['what']}" for n in notices if n["blocks_signing"]}


def statement(file: CourseFile, result: Result, wish: Wish) -> str:
    """What the signer put their name to, as text: it is kept with the signature, and its SHA-256 too."""
    option = _option(wish.choice.forecast)
    lines = [
        f"patient {file.patient.id}, course {file.course.id}, {file.course.drug}",
        f"regimen: {wish.choice.label} ({option['dose']['value']:g} mg)",
        f"meaning: {MEANINGS[wish.meaning]}",
        *(f"{said} - reason: {wish.reasons[key].strip()}" for key, said in blocking(result).items()),
        *([f"change beyond the limit - reason: {wish.reasons[CHANGE].strip()}"] if wish.choice.confirm else []),
        *(_finding(kept) for kept in reported(file)),
        f"inputs {result.document_sha256}, model {result.model} {result.model_sha256}",
        f"auctor {result.engine}, seed {result.seed}, result {result.result_sha256}",
    ]
    return "\n".join(lines) + "\n"


def _finding(kept: Kept) -> str:
    """What the check of the record flagged, and where it stood."""
    asked, settled = kept.question, kept.settlement
    said = f"finding {asked.code} about {asked.kind} {asked.fact_id} revision {asked.fact_revision}"
    return f"{said}: open" if settled is None else f"{said}: {settled.verdict} by {settled.settled_by} - reason: {settled.reason}"


def _option(forecast: Mapping[str, Any]) -> Mapping[str, Any]:
    found = forecast["option"]
    assert isinstance(found, Mapping)
    return found


def _check(file: CourseFile, result: Result, wish: Wish) -> None:
    if wish.meaning not in MEANINGS:
        raise CaseError(where="meaning", what="none chosen", remedy="say what the signature means")
    if file.latest is None or file.latest.id != result.id or file.stale(result):
        raise CaseError(where="course", what="the inputs changed since this analysis", remedy="analyse again and sign that result")
    if file.questions:
        remedy = "answer it on the page of the course, or dismiss it with a reason"
        raise CaseError(where="questions", what="an open question about the record blocks signing", remedy=remedy)
    needed = [*blocking(result), *([CHANGE] if wish.choice.confirm else [])]
    for key in needed:
        if not wish.reasons.get(key, "").strip():
            place = "reason" if key == CHANGE else key.partition("@")[2]
            raise CaseError(where=place, what="blocks signing and has no reason", remedy="resolve it, or write why you sign nevertheless")
