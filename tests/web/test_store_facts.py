"""Facts of a course: revisions that are added and never changed, and the case file that they make; on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from auctor.data.casefile import case_of
from auctor.data.document import check_document
from auctor.errors import AuctorError, CaseError
from auctor.web.store import StaleError, Store, StoreError, documents, facts
from auctor.web.store.tables import Course
from auctor.web.store.verify import verify
from web_people import DOCTOR, correct, know, open_course

DOSE = {"amount": "1000 mg", "route": "iv", "duration": "1 h", "at": "2026-03-01T08:00:00+01:00"}
SAMPLE = {"value": "12.1 mg/L", "at": "2026-03-01T19:30:00+01:00", "matrix": "serum"}


@pytest.fixture
def course(store: Store) -> str:
    return open_course(store)


def case(store: Store, course: str, **options: Any) -> dict[str, Any]:
    with store.read(DOCTOR) as reading:
        return documents.document(reading, course, **options).document


def test_a_course_is_a_case_file(store: Store, course: str) -> None:
    know(store, course, "dose", DOSE)
    know(store, course, "sample", SAMPLE)
    know(store, course, "covariate", {"name": "WT", "value": "82 kg"})
    know(store, course, "covariate", {"name": "CRCL", "value": "52 mL/min", "at": "2026-03-01T18:00:00+01:00"})
    know(store, course, "covariate", {"name": "CRCL", "value": 65.0, "unit": "mL/min"})
    know(store, course, "order", {"amount": "1000 mg", "every": "12 h", "route": "iv", "duration": "1 h"})
    know(store, course, "note", {"text": "on dialysis since yesterday"})
    document = case(store, course)
    assert document["label"] == course and "dialysis" not in str(document)
    assert document["covariates"] == {
        "WT": "82 kg",
        "CRCL": [
            {"value": 65.0, "unit": "mL/min", "at": "2026-03-01T08:00:00+01:00"},
            {"value": "52 mL/min", "at": "2026-03-01T18:00:00+01:00"},
        ],
    }
    read = case_of(check_document(document))
    assert [s.time_h for s in read.samples] == [11.5] and read.current is not None
    assert read.current.doses[0].every_h == 12 and read.target is not None and read.target.low == 400


def test_entries_come_in_clinical_order_whatever_the_order_of_entry(store: Store, course: str) -> None:
    for day in (3, 1, 2):
        know(store, course, "dose", DOSE | {"at": f"2026-03-0{day}T08:00:00Z"})
    assert [dose["at"][:10] for dose in case(store, course)["doses"]] == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_a_correction_is_a_revision_with_who_when_and_why(store: Store, course: str) -> None:
    dose = know(store, course, "dose", DOSE)
    sample = know(store, course, "sample", SAMPLE)
    between = datetime.now(UTC)
    correct(store, sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="typed wrongly")
    with store.read(DOCTOR) as reading:
        revisions = facts.history(reading, sample)
        assert [f.body["value"] for f in revisions] == ["12.1 mg/L", "21.1 mg/L"]
        assert (revisions[1].entered_by, revisions[1].reason, revisions[1].revision) == ("doctor", "typed wrongly", 2)
        assert [(f.id, f.revision) for f in facts.current(reading, course)] == [(dose, 1), (sample, 2)]
        assert [(f.id, f.revision) for f in facts.as_of(reading, course, between)] == [(dose, 1), (sample, 1)]
        assert facts.as_of(reading, course, between - timedelta(hours=1)) == []
    assert case(store, course, as_of=between)["samples"][0]["value"] == "12.1 mg/L"


def test_a_withdrawn_fact_is_out_of_the_case_and_still_readable(store: Store, course: str) -> None:
    know(store, course, "dose", DOSE)
    sample = know(store, course, "sample", SAMPLE)
    with store.work(DOCTOR) as work:
        gone = facts.withdraw(work, sample, made_from=1, reason="another patient's")
        work.record("fact.withdraw", "fact", sample, ward="icu", reason=gone.reason)
    assert case(store, course)["samples"] == []
    with store.read(DOCTOR) as reading:
        assert [(f.withdrawn, f.body) for f in facts.history(reading, sample)] == [(False, SAMPLE), (True, SAMPLE)]


def test_a_stale_correction_is_refused_and_loses_nothing(store: Store, course: str) -> None:
    sample = know(store, course, "sample", SAMPLE)
    correct(store, sample, SAMPLE | {"value": "21.1 mg/L"}, made_from=1, reason="first")
    with pytest.raises(StaleError, match="revision 1 is not the last"):
        correct(store, sample, SAMPLE | {"value": "99 mg/L"}, made_from=1, reason="second")
    with store.read(DOCTOR) as reading:
        assert [f.reason for f in facts.history(reading, sample)] == ["", "first"]


@pytest.mark.parametrize(
    ("kind", "body", "where"),
    [
        ("dose", DOSE | {"amout": "1 g"}, "doses"),
        ("dose", {"amount": "1 g", "route": "oral"}, "dose"),
        ("dose", DOSE | {"at": "2026-03-01T08:00"}, "at"),
        ("sample", {"value": "12 mg/L", "at": "2026-03-01 08:00", "time_h": 3.0}, "at"),
        ("sample", SAMPLE | {"value": True}, "samples"),
        ("covariate", {"value": "70 kg"}, "covariate.name"),
        ("covariate", {"name": "WT", "value": "70 kg", "at": "yesterday"}, "at"),
        ("order", {"amount": "1 g", "every": "12 h"}, "current"),
        ("note", {"text": " "}, "note"),
        ("opinion", {"text": "?"}, "kind"),
    ],
)
def test_a_body_that_no_case_file_would_take_is_refused(store: Store, course: str, kind: str, body: dict[str, Any], where: str) -> None:
    with pytest.raises(AuctorError) as refused:
        know(store, course, kind, body)
    assert where in refused.value.where
    with pytest.raises(StoreError, match="cannot be kept"):
        know(store, course, "note", {"text": "half a pair: \ud83d"})
    with store.read(DOCTOR) as reading:
        assert facts.current(reading, course) == []
    note = know(store, course, "note", {"text": "a NUL \0, a pair \U0001f600, an accent é"})
    with store.read(DOCTOR) as reading:
        assert facts.history(reading, note)[0].body == {"text": "a NUL \0, a pair \U0001f600, an accent é"}
    assert verify(store).whole


def test_a_local_time_needs_the_zone_of_the_course(store: Store) -> None:
    paris = open_course(store, time_zone="Europe/Paris")
    dose = know(store, paris, "dose", DOSE | {"at": "2026-07-01T08:00"})
    with store.read(DOCTOR) as reading:
        assert facts.history(reading, dose)[0].at == datetime(2026, 7, 1, 6, tzinfo=UTC)
    with pytest.raises(CaseError, match="comes twice"):
        know(store, paris, "dose", DOSE | {"at": "2026-10-25T02:30"})


def test_hours_and_clock_times_do_not_mix_in_a_course(store: Store, course: str) -> None:
    know(store, course, "dose", DOSE)
    with pytest.raises(CaseError, match="hours and clock times"):
        know(store, course, "sample", {"value": "5 mg/L", "time_h": 11.5})


def test_two_values_of_a_covariate_without_a_time_are_refused(store: Store, course: str) -> None:
    know(store, course, "covariate", {"name": "WT", "value": "82 kg"})
    with pytest.raises(CaseError, match="second value"):
        know(store, course, "covariate", {"name": "WT", "value": "83 kg"})


def test_an_imported_fact_is_found_again_by_its_reference(store: Store, course: str) -> None:
    with store.work(DOCTOR) as work:
        fact = facts.add(work, course, kind="sample", body=SAMPLE, source="fhir", reference="Observation/7")
        work.record("fact.import", "fact", fact.id, ward="icu", after=fact.as_data())
    with store.read(DOCTOR) as reading:
        found = facts.referenced(reading, course, "fhir", "Observation/7")
        assert found is not None and found.id == fact.id
        assert facts.referenced(reading, course, "fhir", "Observation/8") is None


def test_a_closed_course_takes_no_facts(store: Store, course: str) -> None:
    with store.work(DOCTOR) as work:
        work.get(Course, course).closed_at = datetime.now(UTC)
        work.record("course.close", "course", course, ward="icu")
    with pytest.raises(StoreError, match="closed"):
        know(store, course, "dose", DOSE)


@pytest.mark.parametrize(
    "change", ["UPDATE fact SET kind = 'note'", "DELETE FROM fact", "UPDATE audit SET login = 'x'", "DELETE FROM audit"]
)
def test_the_database_itself_refuses_a_change(store: Store, course: str, change: str) -> None:
    know(store, course, "dose", DOSE)
    with pytest.raises(DBAPIError, match=r"append-only|permission denied"), store.engine.begin() as connection:
        connection.execute(text(change))
