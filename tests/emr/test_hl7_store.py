"""HL7 messages through the receiver into the store: added, corrected, withdrawn, in any order, for the right patient and drug only."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from auctor.web.emr.framing import Frame
from auctor.web.emr.journal import Journal, State
from auctor.web.emr.receiver import Receiver
from auctor.web.service.clinic import Clinic
from auctor.web.service.messages import INTERFACE, take
from auctor.web.store import Store, facts
from auctor.web.store.tables import Audit, Fact
from emr.hospital import DOCTOR, ROOT, admit
from emr.messages import SITE, msh, obx, oru, ras, rxa

CASE = tomllib.loads((ROOT / "examples" / "vancomycin_two_levels.toml").read_text())
EMPTY = {**CASE, "samples": [], "doses": [], "covariates": {}}
VANCO, WEIGHT = "4092-3^Vancomycin^LN", "29463-7^Weight^LN"


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    store = Store.open(f"sqlite:///{tmp_path}/s.db", secret=b"a secret of the tests and of nothing else")
    yield Clinic(store=store)
    store.close()


@pytest.fixture
def course(clinic: Clinic) -> str:
    return admit(clinic.store, EMPTY, authority="HOSP", identifier="123456")


def _receiver(clinic: Clinic, journal: Journal) -> Receiver:
    return Receiver(site=SITE, journal=journal, deliver=lambda reading, *, message: take(clinic, INTERFACE, reading))


def _state(clinic: Clinic, course: str) -> list[tuple[str, object]]:
    with clinic.store.read(DOCTOR) as reading:
        found = facts.current(reading, course)
    return sorted((fact.kind, fact.body.get("value") or fact.body.get("amount")) for fact in found if fact.kind != "order")


def _level(value: str, status: str, control: str, sent: str) -> bytes:
    return oru(obx(value, code=VANCO, unit="mg/L", f11=status), head=msh("ORU^R01", control, sent=f"202603021{sent}+0100"))


MESSAGES = [
    _level("14.2", "P", "1", "10000"), _level("15.1", "F", "2", "11000"), _level("15.4", "C", "3", "12000"),
    ras(head=msh("RAS^O17", "4", sent="20260302090100+0100")), ras(rxa(f20="NA"), head=msh("RAS^O17", "5", sent="20260302093000+0100")),
    oru(obx("70", code=WEIGHT, unit="kg"), head=msh("ORU^R01", "6")),
]  # fmt: skip


def test_facts_become_revisions_with_one_entry_for_each_message(clinic: Clinic, course: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "hl7.sqlite") as journal:
        receiver = _receiver(clinic, journal)
        for message in MESSAGES * 2:
            assert b"MSA|AA" in receiver.receive(Frame(data=message))[0]
    assert _state(clinic, course) == [("covariate", "70 kg"), ("sample", "15.4 mg/L")]
    with clinic.store.read(INTERFACE) as reading:
        rows = reading.session.scalars(select(Fact).where(Fact.source == "hl7v2").order_by(Fact.entered_at)).all()
        entries = reading.session.scalars(select(Audit).where(Audit.action == "message.take")).all()
    assert [(row.kind, row.revision, row.withdrawn) for row in rows] == [
        ("sample", 1, False), ("sample", 2, False), ("sample", 3, False), ("dose", 1, False), ("dose", 2, True), ("covariate", 1, False),
    ]  # fmt: skip
    assert len(entries) == 6 and {entry.login for entry in entries} == {"hl7v2"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_any_order_ends_in_the_same_facts(clinic: Clinic, course: str, tmp_path: Path, order: tuple[int, ...]) -> None:
    with Journal(tmp_path / "hl7.sqlite") as journal:
        receiver = _receiver(clinic, journal)
        for k in (*order, 5, 4, 3):
            receiver.receive(Frame(data=MESSAGES[k]))
    assert _state(clinic, course) == [("covariate", "70 kg"), ("sample", "15.4 mg/L")]


def test_other_patients_and_other_drugs_are_of_no_concern(clinic: Clinic, course: str, tmp_path: Path) -> None:
    with Journal(tmp_path / "hl7.sqlite") as journal:
        receiver = _receiver(clinic, journal)
        stranger = oru(obx("9", code=VANCO, unit="mg/L"), head=msh("ORU^R01", "7"), pid="PID|1||999^^^HOSP^MR")
        for message in (stranger, oru(head=msh("ORU^R01", "8"))):
            assert b"MSA|AA" in receiver.receive(Frame(data=message))[0]
    assert not _state(clinic, course)


def test_what_a_case_would_not_take_waits_for_a_person_and_the_rest_goes_in(clinic: Clinic, course: str, tmp_path: Path) -> None:
    impossible = oru(obx("99999", code=VANCO, unit="mg/L"), obx("70", code=WEIGHT, unit="kg", f4="2"), head=msh("ORU^R01", "9"))
    with Journal(tmp_path / "hl7.sqlite") as journal:
        assert b"MSA|AE" in _receiver(clinic, journal).receive(Frame(data=impossible))[0]
        assert len(journal.entries(State.DEAD)) == 1
    assert _state(clinic, course) == [("covariate", "70 kg")]


def test_a_store_that_cannot_be_reached_leaves_the_message_to_be_replayed(clinic: Clinic, course: str, tmp_path: Path) -> None:
    def away(*_: object, **__: object) -> tuple[()]:
        raise ConnectionError

    with Journal(tmp_path / "hl7.sqlite") as journal:
        assert b"MSA|AE" in Receiver(site=SITE, journal=journal, deliver=away).receive(Frame(data=MESSAGES[1]))[0]
        (dead,) = journal.entries(State.DEAD)
        assert not _receiver(clinic, journal).replay(dead).problems
    assert _state(clinic, course) == [("sample", "15.1 mg/L")]
