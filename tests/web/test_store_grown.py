"""What is asked of a store that has grown: the answers of the plain definitions, on either database, and copies that are as written."""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.service import silent
from auctor.web.service.clinic import Clinic
from auctor.web.service.feedback import Period, acceptance
from auctor.web.service.work_list import Why, waiting
from auctor.web.store import Store, Work
from auctor.web.store.tables import (
    Account,
    Course,
    Fact,
    Feedback,
    Patient,
    Prediction,
    Question,
    Reopening,
    Result,
    Score,
    Settlement,
    ShownCard,
    Signature,
    Table,
    Ward,
    new_id,
)
from web_api import benchmark

START = datetime(2026, 3, 1, tzinfo=UTC)
WARDS = ("icu", "renal", "burns")
EVERYBODY = Actor.system("test", wards=frozenset({EVERY_WARD}))


class Chance(random.Random):
    """Random rows, of which every moment is another one."""

    def moment(self, after: datetime = START) -> datetime:
        return after + timedelta(microseconds=self.randrange(1, 10**13))


def rows(reading: Any, table: type[Table]) -> list[Any]:
    return list(reading.session.scalars(select(table)))


# --- a store of random rows ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clinic(store: Store) -> Clinic:
    chance = Chance(8)
    with store.work(EVERYBODY) as work:
        work.session.add_all([*(Ward(id=ward, name=ward) for ward in WARDS), Account(id="signer", login="s", name="S", roles=[])])
        work.session.flush()
        for k in range(60):
            course(work, chance, k)
        cards(work, chance)
        work.record("test", "ward", "icu")
    return Clinic(store=store)


def course(work: Work, chance: Chance, k: int) -> None:
    """A patient with an open or a closed course: levels, results, questions, predictions and scores, each or none of them."""
    patient = Patient(ward_id=chance.choice(WARDS), identifier=str(k), authority="tests", family="Doe", given="Ann")
    work.session.add(patient)
    work.session.flush()
    found = Course(patient_id=patient.id, drug="vancomycin", closed_at=chance.choice((None, None, START)))
    work.session.add(found)
    work.session.flush()
    facts = [revision for _ in range(chance.randrange(4)) for revision in revisions(chance, found.id)]
    work.session.add_all(facts)
    work.session.flush()
    for _ in range(chance.randrange(3)):
        result(work, chance, found.id, facts)
    for fact in facts:
        question(work, chance, fact)
        foretold(work, chance, fact, chance.choice(("waits", "scored", "refused")) if fact.kind == "sample" else "waits")


def revisions(chance: Chance, course_id: str) -> Iterable[Fact]:
    name, kind, at = new_id(), chance.choice(("sample", "sample", "dose")), chance.moment()
    for revision in range(1, chance.randrange(2, 4)):
        fact = Fact(id=name, revision=revision, course_id=course_id, kind=kind, body={}, source="manual", entered_by="x", reason="")
        fact.at, fact.entered_at, fact.withdrawn = at, chance.moment(), chance.random() < 0.2
        yield fact


def result(work: Work, chance: Chance, course_id: str, facts: list[Fact]) -> None:
    known = [[fact.id, fact.revision] for fact in facts if chance.random() < 0.7]
    texts = dict.fromkeys(("document", "document_sha256", "model", "model_sha256", "engine", "result", "result_sha256", "made_by"), "x")
    made = Result(course_id=course_id, facts=known, seed=0, settings={}, made_at=chance.moment(), **texts)
    work.session.add(made)
    work.session.flush()
    if chance.random() < 0.6:
        signed = Signature(result_id=made.id, signer_id="signer", signer="S", signed_at=made.made_at, regimen={}, meaning="x", text="x")
        signed.text_sha256 = "x"
        work.session.add(signed)
        if facts and chance.random() < 0.5:
            fact = chance.choice(facts)
            opened = {"fact_id": fact.id, "fact_revision": fact.revision, "reopened_at": chance.moment(made.made_at)}
            work.session.add(Reopening(result_id=made.id, **opened))


def question(work: Work, chance: Chance, fact: Fact) -> None:
    if chance.random() < 0.3:
        doubted = {"fact_id": fact.id, "fact_revision": fact.revision} if chance.random() < 0.5 else {}
        texts = dict.fromkeys(("source", "reference", "kind", "code", "place", "what", "remedy", "digest", "raised_by"), "x")
        asked = Question(course_id=fact.course_id, raised_at=chance.moment(), **texts, **doubted)
        work.session.add(asked)
        work.session.flush()
        if chance.random() < 0.3:
            work.session.add(Settlement(question_id=asked.id, verdict="gone", reason="x", settled_by="x", settled_at=chance.moment()))


def foretold(work: Work, chance: Chance, fact: Fact, became: str) -> None:
    """Nothing, two predictions with their scores, or that nobody could foretell it."""
    for method in {"waits": (), "scored": ("map", "posterior"), "refused": (silent.NONE,)}[became]:
        name = silent.prediction_id(fact, method)
        if work.session.get(Prediction, name) is None:
            said = {"for_at": START, "made_at": START, "quantiles": {}, "inputs_sha256": "x", "model": "x"}
            work.session.add(Prediction(id=name, course_id=fact.course_id, method=method, **said))
            work.session.flush()
        if method != silent.NONE:
            figures = {"observed": 1.0, "error": chance.random(), "percentile": 100 * chance.random(), "scored_at": START}
            work.session.add(Score(prediction_id=name, fact_id=fact.id, fact_revision=fact.revision, **figures))


def cards(work: Work, chance: Chance) -> None:
    names = [f"card {k}" for k in range(40)]
    for name in names[:30]:
        kind, indicator = chance.choice(("draft", "overdue")), chance.choice(("info", "warning"))
        work.session.add(ShownCard(id=name, service="view", kind=kind, indicator=indicator, drug="x", shown_at=chance.moment()))
    for name in chance.choices(names, k=60):
        outcome = chance.choice(("accepted", "overridden"))
        at = {"outcome_at": chance.moment(), "received_at": chance.moment()}
        work.session.add(Feedback(service="view", card=name, outcome=outcome, detail={"comment": "x"}, **at))


# --- the plain definitions, over every row --------------------------------------------------------------------------------------------


def last_levels(reading: Any) -> dict[str, Fact]:
    """The last revision of each level, withdrawn or not."""
    return {fact.id: fact for fact in sorted(rows(reading, Fact), key=lambda fact: fact.revision) if fact.kind == "sample"}


def plain_work_list(reading: Any) -> dict[str, set[Why]]:
    signed = {one.result_id for one in rows(reading, Signature)}
    opened = {one.result_id for one in rows(reading, Reopening)}
    settled = {one.question_id for one in rows(reading, Settlement)}
    newest = {one.course_id: one for one in sorted(rows(reading, Result), key=lambda one: one.made_at)}
    revision = {fact.id: fact.revision for fact in sorted(rows(reading, Fact), key=lambda fact: fact.revision)}
    found: dict[str, set[Why]] = {one.id: set() for one in rows(reading, Course) if one.closed_at is None}
    for one in rows(reading, Question):
        if one.id not in settled and (one.fact_id is None or revision[one.fact_id] == one.fact_revision):
            found.get(one.course_id, set()).add(Why.ASKED)
    for fact in last_levels(reading).values():
        last = newest.get(fact.course_id)
        if not fact.withdrawn and (last is None or [fact.id, fact.revision] not in last.facts):
            found.get(fact.course_id, set()).add(Why.PENDING)
    for course_id, last in newest.items():
        reasons = found.get(course_id, set())
        reasons |= {Why.CHANGED} if last.id in opened else set()
        reasons |= set() if last.id in signed else {Why.UNSIGNED}
    return {course_id: why for course_id, why in found.items() if why}


def plain_waiting(reading: Any) -> set[str]:
    scored = {(one.fact_id, one.fact_revision) for one in rows(reading, Score)}
    known = {one.id for one in rows(reading, Prediction)}
    levels = [fact for fact in last_levels(reading).values() if not fact.withdrawn and (fact.id, fact.revision) not in scored]
    return {fact.id for fact in levels if silent.prediction_id(fact, silent.NONE) not in known}


def plain_acceptance(reading: Any, begin: datetime, end: datetime) -> Counter[tuple[str, str, str]]:
    """How many cards were shown, and how many were answered so, by kind and indicator."""
    shown = {one.id: one for one in rows(reading, ShownCard)}
    answers = {one.card: one for one in sorted(rows(reading, Feedback), key=lambda one: one.received_at)}
    found: Counter[tuple[str, str, str]] = Counter()
    for one in shown.values():
        if begin <= one.shown_at < end:
            found[one.kind, one.indicator, "shown"] += 1
            found[one.kind, one.indicator, answers[one.id].outcome if one.id in answers else "unanswered"] += 1
    for name, answer in answers.items():
        if name not in shown and begin <= answer.received_at < end:
            found["unknown", "", answer.outcome] += 1
    return found


# --- the same answers -----------------------------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_definitions(clinic: Clinic) -> None:
    """One store for all of them: to fill it takes longer than to ask."""
    for wards in ({EVERY_WARD}, {"icu"}, {"icu", "renal"}, {"nowhere"}):
        the_work_list(clinic, wards)
    for since, until in (("", ""), ("2026-04-01", ""), ("2026-03-20", "2026-05-20"), ("", "2026-04-10")):
        cards_of_a_period(clinic, since, until)
    levels_at_each_look(clinic)


def the_work_list(clinic: Clinic, wards: set[str]) -> None:
    with clinic.store.read(EVERYBODY) as reading:
        every, ward = plain_work_list(reading), {one.id: one.ward_id for one in rows(reading, Patient)}
        of = {one.id: ward[one.patient_id] for one in rows(reading, Course)}
    found = waiting(clinic, viewer(wards))
    expected = {course_id: why for course_id, why in every.items() if EVERY_WARD in wards or of[course_id] in wards}
    assert {one.course.id: set(one.why) for one in found} == expected
    assert bool(found) == (wards != {"nowhere"}) and [one.since for one in found] == sorted(one.since for one in found)


def cards_of_a_period(clinic: Clinic, since: str, until: str) -> None:
    begin = datetime.fromisoformat(since or "2000-01-01").replace(tzinfo=UTC)
    end = datetime.fromisoformat(until or "2100-01-01").replace(tzinfo=UTC) + timedelta(days=1)
    with clinic.store.read(EVERYBODY) as reading:
        expected = plain_acceptance(reading, begin, end)
    found: Counter[tuple[str, str, str]] = Counter()
    for row in acceptance(clinic, viewer({"icu"}), Period.read(since, until, zone="UTC")):
        for name in ("shown", "accepted", "overridden", "unanswered"):
            found[row.kind, row.indicator, name] += getattr(row, name)
    assert +found == expected and found.total() > 10


def levels_at_each_look(clinic: Clinic) -> None:
    """The first look is at every level, the next ones at what came meanwhile: they find the same."""
    follower, chance = silent.Follower(), Chance(9)
    for _ in range(3):
        with clinic.store.read(EVERYBODY) as reading:
            expected, some = plain_waiting(reading), chance.sample(rows(reading, Course), 5)
            fact = chance.choice([one for one in last_levels(reading).values() if one.id in expected])
        assert set(follower.look(clinic)) == expected == set(silent.Follower().look(clinic))
        with clinic.store.work(EVERYBODY) as work:
            for one in some:
                work.session.add_all(revisions(chance, one.id))
            work.session.flush()
            foretold(work, chance, fact, "scored")
            work.record("test", "ward", "icu")


def viewer(wards: set[str]) -> Actor:
    return Actor(account_id=None, login="x", roles=frozenset({Role.VIEWER}), wards=frozenset(wards), channel="page")


def test_copies_are_what_the_application_writes_and_every_page_answers(root: Path) -> None:
    """The audit trail over the copied rows is whole, each row has the digest of its entry (benchmarks/store_size.py, 20,000 courses)."""
    asked = argparse.Namespace(quick=True, database="sqlite")
    found = benchmark(root, "store_size").measured(asked)
    assert found["whole"] and found["rows"]["course"] == 1 + found["open"] + found["closed"]
    assert all(row["grown_ms"] > 0 for row in found["times"].values())
