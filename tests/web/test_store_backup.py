"""Backup and restore: bit-equal on either database, whole or refused, from every earlier version of the tables."""

from __future__ import annotations

import gzip
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select
from typer.testing import CliRunner

from auctor.cli import app
from auctor.web.store import Store, StoreError, migrate
from auctor.web.store.backup import backup, read_backup, restore
from auctor.web.store.engine import make_engine
from auctor.web.store.tables import Result, Table
from auctor.web.store.verify import AUDITOR, verify
from web_kept import kept_and_signed

SECRET = b"a secret of the tests and of nothing else"


def contents(store: Store) -> dict[str, list[str]]:
    """Every row of every table but the trail, as digests."""
    with store.read(AUDITOR) as reading:
        tables = [mapper.class_ for mapper in Table.registry.mappers if mapper.class_.__tablename__ != "audit"]
        return {t.__tablename__: sorted(row.row_digest() for row in reading.session.scalars(select(t))) for t in tables}


def test_a_restored_store_is_the_same_bit_by_bit(store: Store, tmp_path: Path) -> None:
    """From either database into SQLite: what PostgreSQL wrote, SQLite reads, and the trail still verifies."""
    kept_and_signed(store)
    written = backup(store, tmp_path / "store.backup")
    assert read_backup(tmp_path / "store.backup", secret=SECRET) == written
    assert (tmp_path / "store.backup").stat().st_mode & 0o077 == 0
    restore(str(tmp_path / "again.db"), tmp_path / "store.backup", secret=SECRET)
    again = Store.open(str(tmp_path / "again.db"), secret=SECRET)
    assert contents(again) == contents(store)
    with store.read(AUDITOR) as one, again.read(AUDITOR) as other:
        first, second = (reading.session.scalars(select(Result)).one() for reading in (one, other))
        assert (first.result, first.document, first.as_data()) == (second.result, second.document, second.as_data())
    verdict = verify(again)
    assert verdict.whole and verdict.entries == verify(store).entries + 1
    again.close()


def test_a_backup_of_sqlite_fills_the_other_database(database: Any, empty_sqlite: Path, tmp_path: Path) -> None:
    origin = Store.open(str(tmp_path / "origin.db"), secret=SECRET)
    kept_and_signed(origin)
    backup(origin, tmp_path / "store.backup")
    restore(database.url, tmp_path / "store.backup", secret=SECRET, checkpoints=database.checkpoints)
    again = database.open()
    assert contents(again) == contents(origin) and verify(again).whole
    with pytest.raises(StoreError, match="not empty"):
        restore(database.url, tmp_path / "store.backup", secret=SECRET, checkpoints=tmp_path / "other.checkpoints")
    again.close()
    origin.close()


def test_a_backup_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "origin.db"), secret=SECRET)
    kept_and_signed(store)
    path, target = tmp_path / "store.backup", str(tmp_path / "again.db")
    backup(store, path)
    whole = path.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    changed = [gzip.compress(b"".join(kept)) for kept in (lines[:-1], lines[:5] + lines[6:], [*lines, lines[1]], [], [b"nonsense\n"])]
    edited = gzip.compress(b"".join(lines).replace(b"12.1 mg/L", b"92.1 mg/L"))
    for text in (*changed, edited, whole[: len(whole) // 2], b"nonsense"):
        path.write_bytes(text)
        with pytest.raises(StoreError, match="changed, cut"):
            restore(target, path, secret=SECRET)
    path.write_bytes(whole)
    with pytest.raises(StoreError, match="another installation's secret"):
        restore(target, path, secret=b"another secret, as long as the first one")
    backup(store, tmp_path / "later.backup")
    with pytest.raises(StoreError, match="go to audit entry"):
        restore(target, path, secret=SECRET, checkpoints=store.checkpoints.path)
    store.close()


@pytest.mark.parametrize("revision", migrate.revisions())
def test_a_backup_of_every_past_version_is_restored_and_upgraded(tmp_path: Path, revision: str) -> None:
    store = Store.open(str(tmp_path / "origin.db"), secret=SECRET)
    kept_and_signed(store)
    path, key = tmp_path / "store.backup", store.sealer.key("backup")
    backup(store, path)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[:-1]
    lines[0] = lines[0].replace(f'"revision":"{migrate.head()}"'.encode(), f'"revision":"{revision}"'.encode())
    if revision < "0007":  # nothing was re-opened by a question yet
        lines = [line.replace(b'"question_id":null,', b"") for line in lines]
    seal = hmac.digest(key, b"".join(lines), "sha256").hex()
    path.write_bytes(gzip.compress(b"".join(lines) + f'{{"hmac":"{seal}"}}\n'.encode()))
    assert restore(str(tmp_path / "again.db"), path, secret=SECRET).revision == revision
    again = Store.open(str(tmp_path / "again.db"), secret=SECRET)
    assert contents(again) == contents(store) and verify(again).whole
    again.close()
    store.close()


def test_the_tables_of_the_migrations_are_those_of_the_code(database: Any) -> None:
    engine = make_engine(database.owner)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert [change for change in compare_metadata(context, Table.metadata) if "alembic_version" not in str(change)] == []
    engine.dispose()


def test_every_past_version_of_the_tables_upgrades(tmp_path: Path) -> None:
    for revision in migrate.revisions():
        engine = make_engine(str(tmp_path / f"{revision}.db"))
        migrate.upgrade(engine, revision)
        assert migrate.upgrade(engine) == (revision, migrate.head())
        assert set(Table.metadata.tables) <= set(inspect(engine).get_table_names())
        engine.dispose()


def test_every_table_that_is_written_once_has_its_triggers_after_every_migration(tmp_path: Path) -> None:
    """Also one that a later version made anew, as SQLite has to."""
    engine = make_engine(str(tmp_path / "new.db"))
    migrate.upgrade(engine)
    with engine.connect() as connection:
        names = set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars())
    once = [mapper.class_.__tablename__ for mapper in Table.registry.mappers if mapper.class_.append_only]
    assert "reopening" in once
    assert names >= {f"{table}_no_{verb}" for table in once for verb in ("update", "delete", "replace")}
    engine.dispose()


def test_a_database_of_a_newer_auctor_is_refused(tmp_path: Path) -> None:
    engine = make_engine(str(tmp_path / "newer.db"))
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer auctor"):
        Store.open(str(tmp_path / "newer.db"), secret=SECRET)
    engine.dispose()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUCTOR_DATA_FOLDER", str(tmp_path / "data"))

    def ran(*command: str, code: int = 0) -> Any:
        done = CliRunner().invoke(app, ["store", *command, "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout)

    assert ran("migrate") == {"before": None, "after": migrate.head()}
    path = str(tmp_path / "store.backup")
    assert ran("backup", path)["rows"]["audit"] == 1
    assert ran("verify") == {"entries": 1, "rows": 0, "checkpoints": 1, "findings": [], "replayed": None}
    (tmp_path / "data" / "auctor.sqlite").unlink()
    assert ran("restore", path)["rows"]["audit"] == 1
    assert ran("verify", "--replay")["entries"] == 2
    engine = make_engine(str(tmp_path / "data" / "auctor.sqlite"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET login = 'somebody' WHERE sequence = 1")
    engine.dispose()
    assert [finding["where"] for finding in ran("verify", code=3)["findings"]] == ["audit 1"]
    assert ran("restore", path, code=2)["error"]["where"] == "checkpoints"
