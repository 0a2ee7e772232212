"""Import a patient's FHIR record into a course: all of it or nothing, in one unit of work, and again as often as one likes.

What the record does not say is kept with the course as a question, which blocks signing until a person settles it; so are facts that the
record makes doubtful (doses that were only ordered). A fact is known by the resource that it came from. The same record twice adds nothing;
a corrected resource is the next revision, and what no longer follows from a resource that is there (entered in error, not given, replaced)
is withdrawn; either re-opens what was signed on it. What a person changed by hand is never changed back by an import: it is listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auctor.errors import AuctorError, Notice, RecordError
from auctor.fhir import found as fhir
from auctor.fhir.read import read_bundle
from auctor.fhir.reading import Wanted
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.entering import not_in_the_future
from auctor.web.service.entry_check import check_entry
from auctor.web.store import Work, facts, questions
from auctor.web.store.questions import GONE, Asked
from auctor.web.store.tables import Course, Fact, Patient, Question

SOURCE = "fhir"
KINDS = {"current": "order"}  # what the store calls an entry that the case file calls otherwise
KEPT = ("covariate-not-used", "same-value")  # left out of this import, and no reason to doubt what an earlier one took
NO_MORE_ASKED = "the record does not leave it open any more"
NOT_ANY_MORE = "no longer follows from the record"
WHOLE = "record"  # the kind of a question about the record as a whole: nothing of it is taken
_MOST = 400  # characters of a reference in the store


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the record does not say itself: see `auctor.fhir.reading.Wanted`.

    `authorities` are the names by which the store knows FHIR's identifier systems; `names` further (authority, identifier) pairs of the
    record's patient, such as the server and its id of a live read. `server` is that of a live read, "" for a file.
    """

    infusions: Mapping[str, str] = field(default_factory=dict)
    formula: str = ""
    leave: frozenset[str] = frozenset()
    now: str = ""
    site_codes: Path | None = None
    authorities: Mapping[str, str] = field(default_factory=dict)
    names: tuple[tuple[str, str], ...] = ()
    server: str = ""


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What an import did: facts added, corrected and withdrawn; references that were there already, or that a person changed; questions."""

    added: tuple[str, ...]
    corrected: tuple[str, ...]
    withdrawn: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept_by_hand: tuple[str, ...]
    found: fhir.Imported
    asked: tuple[str, ...] = ()


@dataclass
class _Tally:
    added: list[Fact] = field(default_factory=list)
    corrected: list[tuple[Fact, Fact]] = field(default_factory=list)
    withdrawn: list[tuple[Fact, Fact]] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)


def preview_bundle(clinic: Clinic, actor: Actor, course_id: str, bundle: Mapping[str, Any], answers: Answers) -> fhir.Imported:
    """What an import would take, leave out and ask; nothing is kept. Refused as `import_bundle`, but for a record that is not whole."""
    demand(actor, Verb.IMPORT)
    with clinic.store.read(actor) as reading:
        course = reading.get(Course, course_id)
        patient = reading.get(Patient, course.patient_id)
        demand(actor, Verb.IMPORT, ward=patient.ward_id)
        return _read(course, patient, bundle, answers)


def import_bundle(clinic: Clinic, actor: Actor, course_id: str, bundle: Mapping[str, Any], answers: Answers) -> Arrived:
    """Take a record into a course. RecordError where the record is not whole, and where it is not of the course's patient."""
    demand(actor, Verb.IMPORT)
    with clinic.store.work(actor) as work:
        course = work.get(Course, course_id, lock=True)
        patient = work.get(Patient, course.patient_id)
        demand(actor, Verb.IMPORT, ward=patient.ward_id)
        found = _read(course, patient, bundle, answers)
        _check_whole(found)
        tally = _taken(work, course, found)
        _ask(work, course, found, tally)
        if answers.server:
            questions.note_read(work, course_id, server=answers.server, fresh=True)
        work.record("import.fhir", "course", course_id, ward=patient.ward_id, before=_before(tally), after=_after(tally, found))
        return Arrived(
            added=tuple(fact.id for fact in tally.added),
            corrected=tuple(fact.id for _, fact in tally.corrected),
            withdrawn=tuple(fact.id for _, fact in tally.withdrawn),
            unchanged=tuple(tally.unchanged),
            kept_by_hand=tuple(tally.by_hand),
            found=found,
            asked=tuple(question.id for question in tally.asked),
        )


def _check_whole(found: fhir.Imported) -> None:
    """RecordError for one page of a record, an error that the server sent along, or versions that contradict each other."""
    for question in found.questions:
        if question.kind == WHOLE:
            raise RecordError(where=question.notice.where, what=question.notice.what, remedy=question.notice.remedy)


def _read(course: Course, patient: Patient, bundle: Mapping[str, Any], answers: Answers) -> fhir.Imported:
    wanted = Wanted(
        drug=course.drug, label=course.id, models=(course.model,) if course.model else (), time_zone=course.time_zone or "",
        now=answers.now, infusions=answers.infusions, formula=answers.formula, site_codes=answers.site_codes, leave=answers.leave,
    )  # fmt: skip
    found = read_bundle(bundle, wanted)
    _check_patient(patient, found.identity, answers)
    return found


def _check_patient(patient: Patient, identity: fhir.Identity, answers: Answers) -> None:
    """The record's patient is the course's by a number that both know, and nothing else speaks against it."""
    numbers = {(answers.authorities.get(system, system), value) for system, value in identity.identifiers} | set(answers.names)
    if (patient.authority, patient.identifier) not in numbers:
        remedy = "compare the numbers and who gave them; import into this patient's own course"
        raise RecordError(where="Patient.identifier", what="not the patient of this course", remedy=remedy)
    if patient.birth_date is not None and identity.born is not None and patient.birth_date != identity.born:
        raise RecordError(where="Patient.birthDate", what="not that of the course's patient", remedy="find out whose record it is")
    if patient.sex in ("male", "female") and identity.sex in ("male", "female") and patient.sex != identity.sex:
        raise RecordError(where="Patient.gender", what="not that of the course's patient", remedy="find out whose record it is")


def _taken(work: Work, course: Course, found: fhir.Imported) -> _Tally:
    tally = _Tally()
    arrived = {_reference(fact): fact for fact in found.facts}
    _take_back(work, course, found, set(arrived), tally)
    for reference, fact in arrived.items():
        try:
            _take(work, course, reference, fact, tally)
        except AuctorError as refused:
            raise type(refused)(where=f"{reference}: {refused.where}"[:200], what=refused.what, remedy=refused.remedy) from refused
    return tally


def _take(work: Work, course: Course, reference: str, fact: fhir.Fact, tally: _Tally) -> None:
    """One fact: new, the same, the next revision, or one that a person changed."""
    body, kind = dict(fact.body), KINDS.get(fact.kind, fact.kind)
    known = facts.referenced(work, course.id, SOURCE, reference)
    why = "; ".join(f"{notice.code}: {notice.what}" for notice in fact.notices)
    if known is None:
        if _timeless_twin(work, course.id, kind, body):
            tally.by_hand.append(reference)
            return
        check_entry(course, kind, body)
        added = facts.add(work, course.id, kind=kind, body=body, source=SOURCE, reference=reference, reason=why)
        not_in_the_future(added)
        tally.added.append(added)
    elif _last_import(work, known.id).body == body and not (known.withdrawn and known.source == SOURCE):
        tally.unchanged.append(reference)
    elif known.source != SOURCE:
        tally.by_hand.append(reference)
    else:
        check_entry(course, kind, body)
        version = f"version {fact.sources[0].version}, {fact.sources[0].status}".strip(", ")
        reason = f"changed in the hospital's record ({version}){f'; {why}' if why else ''}"
        later = facts.correct(work, known.id, made_from=known.revision, body=body, reason=reason, source=SOURCE, reference=reference)
        not_in_the_future(later)
        tally.corrected.append((known, later))


def _ask(work: Work, course: Course, found: fhir.Imported, tally: _Tally) -> None:
    """Keep what has to be asked; what was asked before about resources that are there, and is not asked now, is gone."""
    asked = [*(_open(question) for question in found.questions), *_doubts(work, course, found)]
    digests = {one.digest(course.id) for one in asked}
    there = _there(found)
    for question in questions.opened(work, [course.id]):
        if question.source == SOURCE and question.digest not in digests and _resource(question.reference) in there:
            questions.settle(work, question.id, verdict=GONE, reason=NO_MORE_ASKED)
    tally.asked += [question for one in asked if (question := questions.ask(work, course.id, one)) is not None]


def _open(question: fhir.Open) -> Asked:
    notice = question.notice
    return Asked(
        source=SOURCE, reference=_resource(notice.where), kind=KINDS.get(question.kind, question.kind), code=notice.code,
        place=notice.where, what=notice.what, remedy=notice.remedy, draft=question.draft,
    )  # fmt: skip


def _doubts(work: Work, course: Course, found: fhir.Imported) -> Iterator[Asked]:
    """The notices that block signing, of facts that stand as the record has them."""
    for fact in found.facts:
        reference = _reference(fact)
        for notice in (notice for notice in fact.notices if notice.blocks_signing):
            row = facts.referenced(work, course.id, SOURCE, reference)
            if row is not None and row.source == SOURCE and not row.withdrawn:
                yield doubt(row, notice, reference)


def doubt(row: Fact, notice: Notice, reference: str) -> Asked:
    """A notice about a fact that is kept, as a question about it."""
    said = {"code": notice.code, "place": notice.where, "what": notice.what, "remedy": notice.remedy}
    return Asked(source=row.source, reference=reference, kind=row.kind, fact=row, **said)


def _there(found: fhir.Imported) -> set[str]:
    """Every resource that the record holds, whatever became of it."""
    named = {source.reference for fact in found.facts for source in fact.sources} | {left.source for left in found.left}
    return named | {_resource(question.notice.where) for question in found.questions} | set(found.withdrawn)


def _resource(where: str) -> str:
    """The resource of a place in it: `Observation/7` of `Observation/7.effectivePeriod`, of `Observation/7#CRCL` or of `Observation/7+8`.

    An id may hold a dot; then the place is what it is, and the same each time.
    """
    first = where.partition("#")[0].partition("+")[0]
    kind, slash, name = first.partition("/")
    return f"{kind}/{name.partition('.')[0]}"[:_MOST] if slash else first.partition(".")[0][:_MOST]


def _last_import(work: Work, fact_id: str) -> Fact:
    """The last revision that came from the record, whatever a person wrote since."""
    return [fact for fact in facts.history(work, fact_id) if fact.source == SOURCE and not fact.withdrawn][-1]


def _timeless_twin(work: Work, course_id: str, kind: str, body: Mapping[str, Any]) -> bool:
    """Whether a value without a time of that covariate is there already, by hand or by another resource."""
    if kind != "covariate" or "at" in body:
        return False
    return any(fact.kind == kind and fact.body["name"] == body["name"] and "at" not in fact.body for fact in facts.current(work, course_id))


def _take_back(work: Work, course: Course, found: fhir.Imported, arrived: set[str], tally: _Tally) -> None:
    """Withdraw what the record takes back: facts of resources that are there and do not give them any more. By-hand revisions stay."""
    there = {source.reference: NOT_ANY_MORE for fact in found.facts for source in fact.sources}
    there |= {entry.source: entry.what for entry in found.left}
    kept = {entry.source for entry in found.left if entry.code in KEPT}
    for fact in facts.current(work, course.id):
        reference = fact.reference or ""
        first = reference.partition("#")[0].partition("+")[0]
        if reference in arrived or first not in there or first in kept:
            continue
        if fact.source == SOURCE:
            reason = f"in the hospital's record: {there[first]}"
            tally.withdrawn.append((fact, facts.withdraw(work, fact.id, made_from=fact.revision, reason=reason, source=SOURCE)))
        elif facts.referenced(work, course.id, SOURCE, reference):
            tally.by_hand.append(reference)


def _reference(fact: fhir.Fact) -> str:
    """The resource of a fact, and what was made of it where one gives several: `Observation/scr#CRCL`; of a joined rate both."""
    parts = list(dict.fromkeys(source.reference for source in fact.sources))
    joined = "+".join(parts if fact.kind == "dose" else parts[:1])
    mark = fact.body.get("name", "assumed" if fact.assumed else "order" if fact.kind == "current" else "")
    return f"{joined}#{mark}"[:_MOST] if mark else joined[:_MOST]


def _before(tally: _Tally) -> dict[str, Any]:
    return {"facts": [before.as_data() for before, _ in (*tally.corrected, *tally.withdrawn)]}


def _after(tally: _Tally, found: fhir.Imported) -> dict[str, Any]:
    changed = [*tally.added, *(after for _, after in tally.corrected), *(after for _, after in tally.withdrawn)]
    return {
        "facts": [fact.as_data() for fact in changed],
        "unchanged": tally.unchanged,
        "kept_by_hand": tally.by_hand,
        "left_out": [[entry.source, entry.code] for entry in found.left],
        "asked": [[question.id, question.code, question.reference] for question in tally.asked],
    }


def not_read(clinic: Clinic, actor: Actor, course_id: str, server: str, error: AuctorError) -> None:
    """Note that the record could not be read, so that the page says how old its data are."""
    demand(actor, Verb.IMPORT)
    with clinic.store.work(actor) as work:
        ward = work.get(Patient, work.get(Course, course_id).patient_id).ward_id
        demand(actor, Verb.IMPORT, ward=ward)
        row = questions.note_read(work, course_id, server=server, problem=f"{error.what}; {error.remedy}", fresh=False)
        work.record("record.not-read", "course", course_id, ward=ward, after=row.as_data())
