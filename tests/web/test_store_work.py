"""The unit of work: one transaction, one audit entry, nothing half done; the same on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, text

from auctor.web.store import AuditError, NotFound, StaleError, Store, StoreError, StoreUnavailable
from auctor.web.store.tables import Audit, Patient, Ward
from web_people import DOCTOR, INSTALLER, admit


def test_a_change_and_its_entry_are_written_together(store: Store) -> None:
    patient = admit(store, "icu")
    with store.read(DOCTOR) as reading:
        assert reading.get(Patient, patient).family == "Doe"
        entries = reading.session.scalars(select(Audit).order_by(Audit.sequence)).all()
    assert [(e.sequence, e.action, e.object_id) for e in entries] == [(1, "ward.create", "icu"), (2, "patient.register", patient)]
    assert entries[1].previous == entries[0].hash and entries[1].login == "doctor" and entries[1].after["given"] == "Ann"


def test_a_change_without_an_entry_is_refused_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(AuditError, match="without an audit entry"), store.work(INSTALLER) as work:
        work.session.add(Ward(id="icu", name="Intensive care"))
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Ward)).all() == []


def test_a_second_entry_is_refused(store: Store) -> None:
    def twice() -> None:
        with store.work(INSTALLER) as work:
            work.session.add(Ward(id="icu", name="Intensive care"))
            work.record("ward.create", "ward", "icu")
            work.record("ward.create", "ward", "icu")

    with pytest.raises(AuditError, match="second"):
        twice()
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Audit)).all() == []


def test_an_entry_alone_is_kept_as_for_a_refused_sign_in(store: Store) -> None:
    with store.work(INSTALLER) as work:
        work.record("account.sign-in-refused", "account", "nobody", reason="wrong password")
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Audit.action)).all() == ["account.sign-in-refused"]


def test_an_error_in_the_block_rolls_back(store: Store) -> None:
    def broken() -> None:
        with store.work(INSTALLER) as work:
            work.session.add(Ward(id="icu", name="Intensive care"))
            work.record("ward.create", "ward", "icu")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Ward)).all() == []


def test_a_reading_does_not_write(store: Store) -> None:
    with pytest.raises(AuditError, match="reads"), store.read(INSTALLER) as reading:
        reading.session.add(Ward(id="icu", name="Intensive care"))
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Ward)).all() == []


def test_of_two_writers_of_one_row_the_second_is_told(store: Store) -> None:
    patient = admit(store, "icu")
    with store.read(DOCTOR) as reading:
        seen = reading.get(Patient, patient)
    with store.work(DOCTOR) as work:
        work.get(Patient, patient).given = "Anna"
        work.record("patient.update", "patient", patient)

    def later() -> None:
        with store.work(DOCTOR) as work:
            work.session.add(seen)
            seen.given = "Annie"
            work.record("patient.update", "patient", patient)

    with pytest.raises(StaleError):
        later()
    with store.read(DOCTOR) as reading:
        assert reading.get(Patient, patient).given == "Anna"


def test_what_the_database_refuses_is_a_typed_error_without_values(store: Store) -> None:
    admit(store, "icu")
    with pytest.raises(StoreError) as refused:
        admit(store, "icu", ward_exists=True)
    assert "Doe" not in str(refused.value) and "Ann" not in str(refused.value)


@pytest.mark.parametrize(("family", "says"), [("D\0e", "cannot be kept"), ("D\ud800e", "cannot be kept"), ("D" * 201, "longer than 200")])
def test_texts_that_one_database_would_refuse_are_refused_on_both(store: Store, family: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        admit(store, "icu", family=family)


def test_what_is_not_there_is_a_typed_error(store: Store) -> None:
    with pytest.raises(NotFound), store.read(DOCTOR) as reading:
        reading.get(Patient, "nobody")


def test_a_sealed_text_opens_only_for_its_purpose(store: Store) -> None:
    sealed = store.seal("JBSWY3DP", purpose="totp:a1")
    assert "JBSWY3DP" not in sealed and store.unseal(sealed, purpose="totp:a1") == "JBSWY3DP"
    for wrong, purpose in ((sealed, "totp:a2"), (sealed[:-4] + "AAAA", "totp:a1"), ("nonsense", "totp:a1")):
        with pytest.raises(StoreError, match="does not open"):
            store.unseal(wrong, purpose=purpose)


def test_sqlite_is_opened_to_survive_a_loss_of_power(store: Store) -> None:
    if store.engine.dialect.name != "sqlite":
        pytest.skip("SQLite's own settings")
    with store.engine.connect() as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert found == ["wal", 2, 1]


def test_a_new_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/auctor.sqlite", secret=b"s" * 32)
    admit(store, "icu")
    files = list(tmp_path.glob("auctor.sqlite*"))
    assert len(files) == 3 and not any(path.stat().st_mode & 0o077 for path in files)  # the log and its index beside it
    store.close()


def test_a_checkpoint_that_cannot_be_written_is_told_and_the_change_stands(store: Store) -> None:
    store.checkpoints.path.mkdir(parents=True)
    with pytest.raises(StoreUnavailable, match="the change itself is in the database"), store.work(INSTALLER) as work:
        work.record("account.sign-in", "account", "a1")
    with store.read(INSTALLER) as reading:
        assert reading.session.scalars(select(Audit.action)).all() == ["account.sign-in"]


def test_a_database_that_does_not_answer_is_a_typed_error(tmp_path: Path) -> None:
    for url in ("postgresql://nobody@/nothing?host=/nowhere", f"sqlite:///{tmp_path}/no/such/folder/auctor.db"):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            Store.open(url, secret=b"a secret of the tests and of nothing else", checkpoints=tmp_path / "marks")
    with pytest.raises(StoreError, match="not a database that auctor knows"):
        Store.open("mysql://localhost/auctor", secret=b"a secret of the tests and of nothing else")
