"""Backup and restore: every row of the store in one file that either database reads, as they were, bit by bit."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Date, DateTime, MetaData, Table, insert, select

from auctor.web.store import migrate
from auctor.web.store.checkpoint import Checkpoints
from auctor.web.store.engine import WRITES, make_engine
from auctor.web.store.errors import StoreError
from auctor.web.store.sealing import Sealer
from auctor.web.store.store import Store, beside, typed
from auctor.web.store.tables.columns import canonical, iso, now
from auctor.web.store.verify import AUDITOR
from auctor.web.store.work import as_application

FORMAT = "auctor store"
_CHUNK = 500
_VERSION = "alembic_version"


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds: the revision of its tables, its rows by table, and its HMAC."""

    revision: str
    rows: dict[str, int]
    hmac: str


def backup(store: Store, path: Path) -> Backup:
    """Write the whole store to `path`: gzip, one JSON line a row, an HMAC at the end. Readable by its owner alone; whole or not there.

    A steady picture is taken while the application goes on. The backup stands in the audit trail, and is part of what is written.
    """
    with store.work(AUDITOR) as work:
        work.record("store.backup", "store", path.name)
    key = store.sealer.key("backup")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
            found = _dump(store, packed, hmac.new(key, digestmod=hashlib.sha256))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return found


def read_backup(path: Path, *, secret: bytes) -> Backup:
    """Check a backup from end to end; StoreError where it was changed or cut, or the secret is another."""
    with _lines(path) as lines:
        return _checked(lines, Sealer(secret).key("backup"))


def restore(url: str, path: Path, *, secret: bytes, checkpoints: Path | None = None) -> Backup:
    """Fill an empty database from a backup, bring its tables up to date, and say so in the audit trail.

    The backup's own version of the tables is made first, so every backup of an earlier version is read. Raises StoreError when the
    database is not empty, the backup is not whole, or the checkpoints go beyond it: set those aside, they show what the backup lacks.
    """
    found = read_backup(path, secret=secret)
    engine = make_engine(url)
    _within_reach(Checkpoints(checkpoints or beside(engine), Sealer(secret).key("checkpoint")), found)
    try:
        with typed():
            migrate.upgrade(engine, found.revision)
            with engine.execution_options(**{WRITES: True}).begin() as connection, _lines(path) as lines:
                _load(connection, lines)
    finally:
        engine.dispose()
    store = Store.open(url, secret=secret, checkpoints=checkpoints)
    try:
        with store.work(AUDITOR) as work:
            work.record("store.restore", "store", path.name, after={"hmac": found.hmac, "rows": found.rows})
    finally:
        store.close()
    return found


def _within_reach(marks: Checkpoints, found: Backup) -> None:
    last = max((mark.sequence for mark in marks.read()), default=0)
    if last > found.rows.get("audit", 0):
        what = f"they go to audit entry {last}, the backup to {found.rows.get('audit', 0)}"
        raise StoreError(where="checkpoints", what=what, remedy=f"set {marks.path.name} aside and keep it: it shows what the backup lacks")


def _dump(store: Store, file: gzip.GzipFile, seal: Any) -> Backup:
    counts: dict[str, int] = {}
    with store.read(AUDITOR) as reading:
        connection = reading.session.connection()
        tables = _tables(connection)
        head = {"format": FORMAT, "revision": migrate.current(connection), "at": iso(now())}
        for line in _with_rows(connection, tables, head, counts):
            seal.update(line)
            file.write(line)
    file.write(_line({"hmac": seal.hexdigest()}))
    return Backup(revision=head["revision"], rows=counts, hmac=seal.hexdigest())


def _with_rows(connection: Connection, tables: list[Table], head: dict[str, Any], counts: dict[str, int]) -> Iterator[bytes]:
    yield _line(head)
    for table in tables:
        ordered = select(table).order_by(*table.primary_key.columns)
        for row in connection.execution_options(yield_per=_CHUNK).execute(ordered).mappings():
            counts[table.name] = counts.get(table.name, 0) + 1
            yield _line({"table": table.name, "row": {name: _plain(value) for name, value in row.items()}})


def _tables(connection: Connection) -> list[Table]:
    """The tables as the database has them, those that others refer to first: texts stay the texts they are."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != _VERSION]


def _line(data: Any) -> bytes:
    return canonical(data).encode() + b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value if value.tzinfo else value.replace(tzinfo=UTC))
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        with gzip.open(path, "rb") as file:
            yield iter(file)
    except (EOFError, gzip.BadGzipFile) as problem:
        raise _not_whole() from problem


def _checked(lines: Iterator[bytes], key: bytes) -> Backup:
    seal, counts, revision, said = hmac.new(key, digestmod=hashlib.sha256), dict[str, int](), "", ""
    for line in lines:
        data = _json(line)
        if "hmac" in data:
            said = data["hmac"]
            break
        seal.update(line)
        revision = revision or data.get("revision", "")
        if "table" in data:
            counts[data["table"]] = counts.get(data["table"], 0) + 1
    if next(lines, None) is not None or not revision or not hmac.compare_digest(said, seal.hexdigest()):
        raise _not_whole()
    return Backup(revision=revision, rows=counts, hmac=said)


def _json(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as problem:
        raise _not_whole() from problem
    return found if isinstance(found, dict) else {}


def _not_whole() -> StoreError:
    return StoreError(
        where="backup", what="changed, cut, or of another installation's secret", remedy="take another copy, check the secret"
    )


def _load(connection: Connection, lines: Iterator[bytes]) -> None:
    as_application(connection, AUDITOR)
    tables = {table.name: table for table in _tables(connection)}
    if any(connection.execute(select(table).limit(1)).first() for table in tables.values()):
        raise StoreError(where="database", what="not empty", remedy="restore into a new database, then change the setting to it")
    rows = (data for line in lines if "table" in (data := json.loads(line)))
    for name, group in groupby(rows, key=lambda data: data["table"]):
        _insert(connection, tables[name], (data["row"] for data in group))


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    zone = None if connection.dialect.name == "sqlite" else UTC
    chunk: list[dict[str, Any]] = []
    for row in rows:
        chunk.append({name: _typed_value(table, name, value, zone) for name, value in row.items()})
        if len(chunk) == _CHUNK:
            connection.execute(insert(table), chunk)
            chunk = []
    if chunk:
        connection.execute(insert(table), chunk)


def _typed_value(table: Table, name: str, value: Any, zone: Any) -> Any:
    kind = table.columns[name].type
    if value is None or not isinstance(value, str):
        return value
    if isinstance(kind, DateTime):
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=zone)
    return date.fromisoformat(value) if isinstance(kind, Date) else value
