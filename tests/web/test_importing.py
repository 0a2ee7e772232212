"""A FHIR record into a course: whole or not at all, the same twice adds nothing, corrections and errors re-open what was signed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from auctor.data.casefile import case_of
from auctor.data.document import check_document
from auctor.errors import AuctorError, RecordError
from auctor.models.reader import read_model
from auctor.web.accounts.permissions import Forbidden
from auctor.web.service.clinic import Clinic
from auctor.web.service.importing import Answers, Arrived, import_bundle
from auctor.web.store import Store, documents, facts, results
from auctor.web.store.results import Status
from auctor.web.store.tables import Audit
from emr.bundles import bundle, given, observed, ordered, patient, vancomycin_record
from web_kept import Kept, keep, sign
from web_people import DOCTOR, STRANGER, correct, hire, open_course

MODEL = "vancomycin_goti_2018"
ANSWERS = Answers(formula="cockcroft-gault", authorities={"urn:oid:1.2.3": "tests"})
NUMBER = [{"system": "urn:oid:1.2.3", "value": "123"}]
START, STOP = "2026-03-01T08:00:00+01:00", "2026-03-01T09:00:00+01:00"


def record(*more: dict[str, Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The record of bundles.py under the number that the store knows, with resources put in their place or added."""
    resources = [e["resource"] for e in vancomycin_record()["entry"][1:]]
    named = {r["id"]: r for r in (*resources, *more) if r["id"] not in without}
    return bundle(patient(identifier=NUMBER), *named.values())


@pytest.fixture
def store(quick_folder: Path, empty_sqlite: Path) -> Iterator[Store]:
    """On SQLite alone; one test below takes both."""
    path = quick_folder / "auctor.db"
    shutil.copyfile(empty_sqlite, path)
    opened = Store.open(f"sqlite:///{path}", secret=b"a secret of the tests and of nothing else")
    yield opened
    opened.close()


@pytest.fixture
def clinic(store: Store) -> Iterator[Clinic]:
    made = Clinic(store=store)
    yield made
    made.engine.stop()


@pytest.fixture
def course(store: Store) -> str:
    return open_course(store, model=MODEL)


def take(clinic: Clinic, course: str, raw: dict[str, Any], answers: Answers = ANSWERS) -> Arrived:
    return import_bundle(clinic, DOCTOR, course, raw, answers)


def document(clinic: Clinic, course: str) -> dict[str, Any]:
    with clinic.store.read(DOCTOR) as reading:
        return documents.document(reading, course).document


def entries(store: Store) -> int:
    with store.read(DOCTOR) as reading:
        return reading.session.scalar(select(func.count()).select_from(Audit)) or 0


def test_a_record_becomes_the_course_and_a_second_time_adds_nothing(clinic: Clinic, course: str) -> None:
    first = take(clinic, course, record())
    assert (len(first.added), first.corrected, first.withdrawn, first.kept_by_hand) == (8, (), (), ())
    case = case_of(check_document(document(clinic, course)), read_model(MODEL))
    assert ([s.value for s in case.samples], len(case.history.doses)) == ([31.4, 14.2], 3)
    before = document(clinic, course)
    again = take(clinic, course, record())
    assert (again.added, again.corrected, again.withdrawn, len(again.unchanged)) == ((), (), (), 8)
    assert document(clinic, course) == before
    with clinic.store.read(DOCTOR) as reading:
        found = facts.referenced(reading, course, "fhir", "Observation/trough")
    assert found is not None and found.source == "fhir" and found.body["value"] == "14.2 mg/L"


def test_the_same_on_both_databases(database: Any) -> None:
    store = database.open()
    try:
        clinic, course = Clinic(store=store), open_course(store, model=MODEL)
        assert len(take(clinic, course, record()).added) == 8
        arrived = take(clinic, course, record(ordered("r1", status="completed")))
        assert (len(arrived.withdrawn), len(arrived.unchanged)) == (1, 7)
        clinic.engine.stop()
    finally:
        store.close()


def test_a_record_that_is_not_whole_keeps_everything_out(clinic: Clinic, course: str) -> None:
    with pytest.raises(RecordError, match="one page of a longer record"):
        take(clinic, course, record() | {"link": [{"relation": "next", "url": "https://ehr.example/fhir/2"}]})
    assert document(clinic, course)["doses"] == []


def test_a_level_corrected_in_the_record_is_a_revision_and_reopens_what_was_signed(clinic: Clinic, course: str) -> None:
    take(clinic, course, record())
    kept = Kept(id=course, dose="", sample="", signer=hire(clinic.store))
    result = keep(clinic.store, course, now=datetime(2026, 3, 3, tzinfo=UTC))
    sign(clinic.store, kept, result)
    assert take(clinic, course, record()).corrected == () and status(clinic, result) is Status.SIGNED
    trough = observed("trough", "4092-3", 4.2, "mg/L", "2026-03-02T19:40:00+01:00", status="corrected", meta={"versionId": "2"})
    arrived = take(clinic, course, record(trough))
    assert len(arrived.corrected) == 1 and status(clinic, result) is Status.REOPENED
    with clinic.store.read(DOCTOR) as reading:
        history = facts.history(reading, arrived.corrected[0])
    assert [fact.body["value"] for fact in history] == ["14.2 mg/L", "4.2 mg/L"]
    assert "version 2, corrected" in history[-1].reason


def status(clinic: Clinic, result: str) -> Status:
    with clinic.store.read(DOCTOR) as reading:
        return results.status(reading, result)


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (given("a2", "2026-03-01T20:00:00+01:00", "2026-03-01T21:00:00+01:00", status="entered-in-error"), "doses"),
        (given("a2", "2026-03-01T20:00:00+01:00", "2026-03-01T21:00:00+01:00", status="not-done"), "doses"),
        (observed("peak", "4090-7", 31.4, "ug/mL", "2026-03-02T10:15:00+01:00", status="entered-in-error"), "samples"),
        (ordered("r1", status="completed"), "current"),
    ],
)
def test_what_the_record_takes_back_is_withdrawn(clinic: Clinic, course: str, change: dict[str, Any], gone: str) -> None:
    take(clinic, course, record())
    before = document(clinic, course)
    arrived = take(clinic, course, record(change))
    after = document(clinic, course)
    assert len(arrived.withdrawn) == 1
    assert ("current" not in after) if gone == "current" else len(after[gone]) == len(before[gone]) - 1
    back = take(clinic, course, record())  # the hospital changes its mind
    assert len(back.corrected) == 1 and document(clinic, course) == before


def test_what_a_person_changed_is_listed_and_not_changed_back(clinic: Clinic, course: str) -> None:
    take(clinic, course, record())
    with clinic.store.read(DOCTOR) as reading:
        fact = facts.referenced(reading, course, "fhir", "Observation/trough")
    assert fact is not None
    correct(clinic.store, fact.id, fact.body | {"at": "2026-03-02T20:10:00+01:00"}, made_from=1, reason="drawn later, the nurse says")
    assert "Observation/trough" in take(clinic, course, record()).unchanged
    trough = observed("trough", "4092-3", 4.2, "mg/L", "2026-03-02T19:40:00+01:00", status="corrected")
    arrived = take(clinic, course, record(trough))
    assert (arrived.corrected, arrived.kept_by_hand) == ((), ("Observation/trough",))
    assert document(clinic, course)["samples"][1]["at"] == "2026-03-02T20:10:00+01:00"


def test_assumed_doses_go_when_administrations_come(clinic: Clinic, course: str) -> None:
    every = tuple(r["resource"]["id"] for r in vancomycin_record()["entry"] if r["resource"]["resourceType"] == "MedicationAdministration")
    answers = Answers(formula="cockcroft-gault", authorities=ANSWERS.authorities, now="2026-03-02T21:00:00+01:00")
    take(clinic, course, record(without=every), answers)
    (assumed,) = document(clinic, course)["doses"]
    assert assumed["note"].startswith("assumed")
    take(clinic, course, record(), answers)
    assert len(document(clinic, course)["doses"]) == 3 and "assumed" not in str(document(clinic, course))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"identifier": [{"system": "urn:oid:1.2.3", "value": "124"}]}, "Patient.identifier"),
        ({"identifier": [{"system": "urn:oid:9", "value": "123"}]}, "Patient.identifier"),
        ({"identifier": None}, "Patient.identifier"),
    ],
)
def test_another_patients_record_is_refused(clinic: Clinic, course: str, change: dict[str, Any], where: str) -> None:
    raw = bundle(patient(**({"identifier": NUMBER} | change)), given("a1", START, STOP))
    with pytest.raises(RecordError) as refused:
        take(clinic, course, raw)
    assert refused.value.where == where and document(clinic, course)["doses"] == []
    live = Answers(authorities=ANSWERS.authorities, names=(("tests", "123"),))  # a live read knows the patient by the server's own id
    assert len(take(clinic, course, bundle(patient(identifier=[]), given("a1", START, STOP)), live).added) == 1


def test_one_refusal_keeps_the_whole_out_and_one_import_leaves_one_entry(clinic: Clinic, course: str) -> None:
    future = observed("late", "20578-1", 9.0, "mg/L", "2099-03-02T19:40:00+01:00")
    with pytest.raises(AuctorError):
        take(clinic, course, record(future))
    assert document(clinic, course)["doses"] == []
    before = entries(clinic.store)
    take(clinic, course, record())
    assert entries(clinic.store) == before + 1


def test_strangers_and_viewers_do_not_import(clinic: Clinic, course: str) -> None:
    from dataclasses import replace

    from auctor.web.accounts.actor import Role

    with pytest.raises(AuctorError):
        import_bundle(clinic, STRANGER, course, record(), ANSWERS)
    with pytest.raises(Forbidden):
        import_bundle(clinic, replace(DOCTOR, roles=frozenset({Role.VIEWER})), course, record(), ANSWERS)
    assert document(clinic, course)["doses"] == []
