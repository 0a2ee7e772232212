"""No ward sees another's patients: by the application's rule alone, and by PostgreSQL's row-level security alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.store import NotFound, Store, StoreError, facts, questions
from auctor.web.store.engine import make_engine
from auctor.web.store.questions import Asked
from auctor.web.store.tables import (
    Course,
    Fact,
    Message,
    Outbox,
    Patient,
    Prediction,
    Question,
    RecordCheck,
    RecordRead,
    Reopening,
    Result,
    Score,
    Settlement,
    Signature,
)
from auctor.web.store.work import APPLICATION
from web_kept import kept_and_signed
from web_people import DOCTOR, STRANGER, know, open_course

GUARDED = (
    Patient,
    Course,
    Fact,
    Result,
    Signature,
    Reopening,
    Prediction,
    Score,
    Outbox,
    Message,
    Question,
    Settlement,
    RecordRead,
    RecordCheck,
)
FORBIDDEN = (
    "UPDATE fact SET kind = 'note'",
    "DELETE FROM result",
    "UPDATE signature SET signer = 'x'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "ALTER TABLE fact DISABLE TRIGGER ALL",
    "DROP TABLE fact",
    "ALTER TABLE patient DISABLE ROW LEVEL SECURITY",
    "SET ROLE auctor_owner",
    "SET session_replication_role = replica",
    "CREATE TABLE mine (id int)",
    "UPDATE alembic_version SET version_num = 'x'",
)
EVERYBODY = Actor.system("test", wards=frozenset({EVERY_WARD}))


@pytest.fixture
def guarded(database: Any) -> Iterator[Store]:
    """A store with one row of everything on the intensive care unit, and one layer: the application's on SQLite, PostgreSQL's there."""
    store: Store = database.open(narrowed=not database.postgresql)
    course = kept_and_signed(store).id
    with store.work(DOCTOR) as work:
        asked = Asked(source="fhir", reference="Observation/1", kind="sample", code="no-time", place="x", what="no time", remedy="ask")
        question = questions.ask(work, course, asked)
        assert question is not None
        questions.settle(work, question.id, verdict="dismissed", reason="another course")
        questions.note_read(work, course, server="https://ehr.example/fhir", fresh=True)
        judged = {"document_sha256": "0" * 64, "model": "m", "model_sha256": "0" * 64, "engine": "0"}
        questions.note_check(work, course, done=True, problem=None, **judged)
        work.record("test.ask", "question", question.id, ward="icu")
    yield store
    store.close()


def test_another_ward_sees_no_row(guarded: Store) -> None:
    def counted(actor: Actor) -> dict[str, int]:
        with guarded.read(actor) as reading:
            return {table.__tablename__: len(reading.session.scalars(select(table)).all()) for table in GUARDED}

    assert min(counted(DOCTOR).values()) >= 1 and counted(DOCTOR) == counted(EVERYBODY)
    assert set(counted(STRANGER).values()) == set(counted(Actor.system("nobody")).values()) == {0}


def test_another_ward_gets_no_row_by_its_key(guarded: Store) -> None:
    with guarded.read(DOCTOR) as reading:
        keys = [(table, reading.session.scalars(select(table)).first()) for table in GUARDED]
    for table, row in keys:
        key = (row.id, row.revision) if table is Fact else row.course_id if table in (RecordRead, RecordCheck) else row.id
        with guarded.read(STRANGER) as reading, pytest.raises(NotFound):
            reading.get(table, key)


def test_another_ward_writes_nothing(guarded: Store) -> None:
    with guarded.read(DOCTOR) as reading:
        course = reading.session.scalars(select(Course)).one()
        fact = reading.session.scalars(select(Fact)).first()
    with pytest.raises(NotFound), guarded.work(STRANGER) as work:
        facts.add(work, course.id, kind="note", body={"text": "?"})
    assert fact is not None
    with pytest.raises(NotFound), guarded.work(STRANGER) as work:
        facts.withdraw(work, fact.id, made_from=1, reason="?")

    def rename() -> None:
        with guarded.work(STRANGER) as work:
            work.session.execute(update(Patient).values(family="Nobody"))
            work.record("patient.update", "patient", "every")

    rename()
    with guarded.read(DOCTOR) as reading:
        assert reading.session.scalars(select(Patient.family)).all() == ["Doe"]


def test_a_query_past_the_orm_is_held_by_postgresql(guarded: Store) -> None:
    if guarded.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no row-level security: there the application's rule is the only one")
    with guarded.read(STRANGER) as reading:
        for table in GUARDED:
            assert reading.session.execute(text(f"SELECT count(*) FROM {table.__tablename__}")).scalar() == 0


def test_the_application_alone_keeps_wards_apart_where_row_level_security_is_off(store: Store, force: Any) -> None:
    kept_and_signed(store)
    if store.engine.dialect.name == "postgresql":
        for table in GUARDED:
            force(f"ALTER TABLE {table.__tablename__} DISABLE ROW LEVEL SECURITY")
    try:
        with store.read(STRANGER) as reading:
            assert [reading.session.scalars(select(table)).all() for table in GUARDED] == [[]] * len(GUARDED)
    finally:
        if store.engine.dialect.name == "postgresql":
            for table in GUARDED:
                force(f"ALTER TABLE {table.__tablename__} ENABLE ROW LEVEL SECURITY")


def test_the_rights_of_the_applications_role(store: Store, database: Any) -> None:
    """Whoever owns the tables signs in as somebody else; the application's role may neither change history nor the tables."""
    if not database.postgresql:
        pytest.skip("SQLite has no roles")
    know(store, open_course(store), "note", {"text": "here"})
    for forbidden in FORBIDDEN:
        with pytest.raises(DBAPIError, match=r"permission denied|must be (owner|able)|append-only"), store.engine.begin() as connection:
            connection.execute(text(forbidden))


def test_the_owner_of_the_tables_drops_to_the_applications_role(database: Any) -> None:
    """Where one login does everything, a transaction of the application still has the application's rights and wards."""
    if not database.postgresql:
        pytest.skip("SQLite has no roles")
    store = Store.open(
        database.owner, secret=b"a secret of the tests and of nothing else", checkpoints=database.checkpoints, narrowed=False
    )
    kept_and_signed(store)
    with store.read(STRANGER) as reading:
        assert reading.session.execute(text("SELECT current_user")).scalar() == APPLICATION
        assert reading.session.scalars(select(Patient)).all() == []
    with pytest.raises(StoreError), store.work(DOCTOR) as work:
        work.session.execute(text("DELETE FROM fact"))
    store.close()


def test_a_transaction_after_a_rollback_keeps_its_role_and_wards(store: Store) -> None:
    kept_and_signed(store)
    with store.work(STRANGER) as work:
        work.session.rollback()
        assert work.session.scalars(select(Patient)).all() == []


def test_a_login_that_may_not_migrate_says_who_may(database: Any, tmp_path: Any) -> None:
    if not database.postgresql:
        pytest.skip("SQLite has no roles")
    empty = make_engine(database.owner)
    with empty.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("CREATE SCHEMA empty"))
    url = f"{database.url}&options=-csearch_path%3Dempty"
    with pytest.raises(StoreError, match="as the owner of the tables"):
        Store.open(url, secret=b"a secret of the tests and of nothing else", checkpoints=tmp_path / "marks")
    with empty.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("DROP SCHEMA empty CASCADE"))
    empty.dispose()
    empty.dispose()
