"""Results are kept as they were made, signed once, re-opened by late facts, superseded, and come out the same when computed again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.store import SignatureError, StaleError, Store, StoreError, facts, questions, results
from auctor.web.store.questions import Asked
from auctor.web.store.replay import replay
from auctor.web.store.results import Status
from auctor.web.store.tables import Reopening, Result, Signature
from web_kept import DOSE, REGIMEN, SAMPLE, Answer, Kept, begun, keep, sign
from web_people import DOCTOR, correct, know


@pytest.fixture
def course(store: Store) -> Kept:
    return begun(store)


def status(store: Store, course: Kept) -> list[Status]:
    """Oldest first."""
    with store.read(DOCTOR) as reading:
        return list(results.statuses(reading, course.id).values())[::-1]


def test_from_draft_to_signed(store: Store, course: Kept) -> None:
    result = keep(store, course.id)
    assert status(store, course) == [Status.DRAFT]
    sign(store, course, result)
    assert status(store, course) == [Status.SIGNED]
    with store.read(DOCTOR) as reading:
        row, signature = reading.get(Result, result), results.signature(reading, result)
    assert row.facts == [[course.dose, 1], [course.sample, 1]] and row.document_sha256 == results.sha256(row.document)
    assert signature is not None and (signature.signer, signature.regimen) == ("signer", REGIMEN)
    assert signature.text_sha256 == results.sha256("what the page said")


def test_a_result_is_signed_once_by_a_person(store: Store, course: Kept) -> None:
    result = keep(store, course.id)
    with pytest.raises(SignatureError, match="no person"), store.work(DOCTOR) as work:
        results.sign(work, result, regimen=REGIMEN, text="x")
    sign(store, course, result)
    with pytest.raises(SignatureError, match="signed already"):
        sign(store, course, result)


def test_what_blocks_signing_needs_a_reason(store: Store, course: Kept) -> None:
    result = keep(store, course.id, Answer(result='{"signing_blocked": true}'))
    with pytest.raises(SignatureError, match="warnings block signing"):
        sign(store, course, result)
    sign(store, course, result, reason="seen by the ward's pharmacist")
    assert status(store, course) == [Status.SIGNED]


LATE = [
    ("a late sample", "sample", SAMPLE | {"at": "2026-03-01T10:00:00+01:00"}, True),
    ("a sample at the very end", "sample", SAMPLE | {"at": "2026-03-01T20:00:00Z"}, True),
    ("a sample drawn afterwards", "sample", SAMPLE | {"at": "2026-03-01T20:00:01Z"}, False),
    ("a late dose", "dose", DOSE | {"at": "2026-02-28T20:00:00+01:00"}, True),
    ("the next dose", "dose", DOSE | {"at": "2026-03-02T08:00:00+01:00"}, False),
    ("a weight without a time", "covariate", {"name": "WT", "value": "82 kg"}, True),
    ("a new creatinine", "covariate", {"name": "CRCL", "value": "52 mL/min", "at": "2026-03-02T06:00:00Z"}, False),
    ("the order that follows it", "order", {"amount": "1250 mg", "every": "12 h", "route": "iv", "duration": "1 h"}, False),
    ("a note", "note", {"text": "seen"}, False),
]


def test_late_facts_reopen_what_they_change(store: Store, course: Kept) -> None:
    """Each fact comes after a signature of its own."""
    for what, kind, body, opens in LATE:
        result = keep(store, course.id)
        sign(store, course, result)
        fact = know(store, course.id, kind, body)
        assert status(store, course)[-1] is (Status.REOPENED if opens else Status.SIGNED), what
        with store.read(DOCTOR) as reading:
            assert results.reopened_by(reading, facts.history(reading, fact)[0]) == ([result] if opens else []), what


def test_a_correction_and_a_withdrawal_reopen(store: Store, course: Kept) -> None:
    sign(store, course, keep(store, course.id))
    correct(store, course.sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="typed wrongly")
    assert status(store, course) == [Status.REOPENED]
    sign(store, course, keep(store, course.id))
    assert status(store, course) == [Status.SUPERSEDED, Status.SIGNED]
    with store.work(DOCTOR) as work:
        facts.withdraw(work, course.sample, made_from=2, reason="another patient's")
        work.record("fact.withdraw", "fact", course.sample, ward="icu")
    assert status(store, course) == [Status.SUPERSEDED, Status.REOPENED]


def asked(store: Store, course: Kept, *, name: str, draft: dict[str, Any] | None = None, about: str = "") -> str | None:
    """A question of the hospital's record, about a fact or about an entry that is not there; its id, None where it is not asked again."""
    with store.work(DOCTOR) as work:
        fact = facts.history(work, about)[-1] if about else None
        said = {"kind": "dose", "code": "no-duration", "place": name, "what": "no length", "remedy": "ask the ward"}
        question = questions.ask(work, course.id, Asked(source="fhir", reference=name, draft=draft, fact=fact, **said))
        work.record("test.ask", "course", course.id, ward="icu")
    return None if question is None else question.id


QUESTIONS = [
    ("about a fact that the result knew", {"about": True}, True),
    ("about a dose of an unknown time", {}, True),
    ("about a time that is no instant", {"draft": {"at": "2026-03-02T08:00"}}, True),
    ("about a dose before the result's end", {"draft": {"at": "2026-03-01T20:00:00+01:00"}}, True),
    ("about the next dose", {"draft": {"at": "2026-03-02T08:00:00+01:00"}}, False),
]


def test_a_question_reopens_the_signed_result_that_it_touches(store: Store, course: Kept) -> None:
    """Each comes after a signature of its own, is settled without a change of the data, and what was re-opened is signed anew."""
    for what, more, opens in QUESTIONS:
        result = keep(store, course.id)
        sign(store, course, result)
        question = asked(store, course, name=what, draft=more.get("draft"), about=course.sample if "about" in more else "")
        assert question is not None and status(store, course)[-1] is (Status.REOPENED if opens else Status.SIGNED), what
        with store.work(DOCTOR) as work:
            rows = work.session.scalars(select(Reopening).where(Reopening.result_id == result)).all()
            assert [(row.question_id, row.fact_id) for row in rows] == ([(question, None)] if opens else []), what
            questions.settle(work, question, verdict="dismissed", reason="as the ward says")
            work.record("test.settle", "question", question, ward="icu")
        assert status(store, course)[-1] is (Status.REOPENED if opens else Status.SIGNED), f"{what}: what was re-opened stays so"


def test_a_question_before_the_signature_or_asked_again_reopens_nothing(store: Store, course: Kept) -> None:
    question = asked(store, course, name="no length")
    result = keep(store, course.id)
    with pytest.raises(SignatureError, match="an open question blocks signing"):
        sign(store, course, result)
    with store.work(DOCTOR) as work:
        questions.settle(work, str(question), verdict="dismissed", reason="given to somebody else")
        work.record("test.settle", "question", str(question), ward="icu")
    sign(store, course, result)
    with store.work(DOCTOR) as work:
        again = Asked(
            source="fhir",
            reference="no length",
            kind="dose",
            code="no-duration",
            place="no length",
            what="no length",
            remedy="ask the ward",
        )
        assert questions.ask(work, course.id, again) is None
    assert status(store, course) == [Status.SIGNED]


def test_the_results_before_the_last_signed_one_stay_superseded_whatever_is_asked(store: Store, course: Kept) -> None:
    for _ in range(2):
        sign(store, course, keep(store, course.id))
    asked(store, course, name="first")
    asked(store, course, name="second")
    assert status(store, course) == [Status.SUPERSEDED, Status.REOPENED]
    with store.read(DOCTOR) as reading:
        assert len(reading.session.scalars(select(Reopening)).all()) == 1


def test_a_reopening_has_a_fact_or_a_question_and_never_both(store: Store, course: Kept) -> None:
    result = keep(store, course.id)
    sign(store, course, result)
    question = asked(store, course, name="which")

    def reopen(**why: Any) -> None:
        with store.work(DOCTOR) as work:
            work.session.add(Reopening(result_id=result, reopened_at=work.at, **why))
            work.record("test.reopen", "result", result, ward="icu")

    reopen(question_id=question)
    for why in ({}, {"question_id": question, "fact_id": course.dose, "fact_revision": 1}):
        with pytest.raises(StoreError):
            reopen(**why)


def test_a_question_and_a_signature_at_the_same_time_cannot_miss_each_other(store: Store, course: Kept) -> None:
    """Whoever comes second sees the first: the signature is refused, or the signed result is re-opened."""
    for round_ in range(3):
        result, outcome, start = keep(store, course.id), list[str](), threading.Barrier(2)

        def signing(result: str = result, outcome: list[str] = outcome, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                sign(store, course, result)
                outcome.append("signed")
            except SignatureError:
                outcome.append("refused")

        def asking(round_: int = round_, start: threading.Barrier = start) -> None:
            start.wait()
            asked(store, course, name=f"question {round_}")

        threads = [threading.Thread(target=signing), threading.Thread(target=asking)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert status(store, course)[-1] is (Status.REOPENED if outcome == ["signed"] else Status.DRAFT)
        with store.work(DOCTOR) as work:
            for question in questions.opened(work, [course.id]):
                questions.settle(work, question.id, verdict="dismissed", reason="as the ward says")
            work.record("test.settle", "course", course.id, ward="icu")


def test_the_old_result_and_its_signature_stay_readable(store: Store, course: Kept) -> None:
    first = keep(store, course.id)
    sign(store, course, first)
    correct(store, course.sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="typed wrongly")
    sign(store, course, keep(store, course.id))
    with store.read(DOCTOR) as reading:
        assert '"12.1 mg/L"' in reading.get(Result, first).document and results.signature(reading, first) is not None
        assert len(reading.session.scalars(select(Signature)).all()) == 2
        assert [r.fact_revision for r in reading.session.scalars(select(Reopening))] == [2]


def test_a_draft_that_no_longer_fits_is_not_signed(store: Store, course: Kept) -> None:
    result = keep(store, course.id)
    correct(store, course.sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="typed wrongly")
    with pytest.raises(StaleError, match="changed since it was made"):
        sign(store, course, result)
    assert status(store, course) == [Status.DRAFT]


def test_a_draft_older_than_a_signed_result_is_not_signed(store: Store, course: Kept) -> None:
    old = keep(store, course.id)
    sign(store, course, keep(store, course.id))
    with pytest.raises(SignatureError, match="superseded"):
        sign(store, course, old)


def test_a_fact_and_a_signature_at_the_same_time_cannot_miss_each_other(store: Store, course: Kept) -> None:
    """Whoever comes second sees the first: the signature is refused, or the signed result is re-opened."""
    for round_ in range(5):
        result = keep(store, course.id)
        outcome: list[str] = []
        start = threading.Barrier(2)

        def signing(result: str = result, outcome: list[str] = outcome, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                sign(store, course, result)
                outcome.append("signed")
            except StaleError:
                outcome.append("refused")

        def correcting(round_: int = round_, start: threading.Barrier = start) -> None:
            start.wait()
            correct(store, course.sample, SAMPLE | {"value": f"{round_ + 20} mg/L"}, made_from=round_ + 1, reason="again")

        threads = [threading.Thread(target=signing), threading.Thread(target=correcting)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert status(store, course)[-1] is (Status.REOPENED if outcome == ["signed"] else Status.DRAFT)


def test_of_two_corrections_at_the_same_time_one_is_told(store: Store, course: Kept) -> None:
    start, outcome = threading.Barrier(2), []

    def correcting(value: str) -> None:
        start.wait()
        try:
            correct(store, course.sample, SAMPLE | {"value": value}, made_from=1, reason=value)
            outcome.append("written")
        except StaleError:
            outcome.append("told")

    threads = [threading.Thread(target=correcting, args=(f"{level} mg/L",)) for level in (30, 40)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(outcome) == ["told", "written"]
    with store.read(DOCTOR) as reading:
        assert [fact.revision for fact in facts.history(reading, course.sample)] == [1, 2]


def test_a_result_is_computed_again_to_the_same_bytes(store: Store, course: Kept) -> None:
    result = keep(store, course.id)
    with store.read(DOCTOR) as reading:
        row = reading.get(Result, result)
    asked: list[Any] = []

    def same(document: dict[str, Any], settings: Mapping[str, Any]) -> Answer:
        asked.append((document["label"], dict(settings)))
        return Answer()

    assert replay(row, same).identical and asked == [(course.id, {"draws": 2000})]
    assert replay(row, lambda _d, _s: Answer(result="{}", model_sha256="1" * 64)).why == "model_sha256 is another than it was"
    assert replay(row, lambda _d, _s: Answer(result="{}")).why == "the same inputs gave another result"
