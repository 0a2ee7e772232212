"""The database behind a store: SQLite made durable and honest about transactions, or PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from auctor.web.store.errors import StoreError

BUSY_MS = 10_000
WRITES = "auctor_writes"


def make_engine(url: str) -> Engine:
    """An engine for `sqlite:///file`, the bare path of a SQLite file, or `postgresql://...`; nothing is opened yet.

    SQLite: write-ahead log, synchronous=FULL (what was acknowledged survives a loss of power), foreign keys, a busy timeout of 10 s, and
    writers queue at BEGIN IMMEDIATE instead of failing in the middle; a new file is its owner's.
    Raises StoreError for another database.

    >>> make_engine("postgresql://localhost/auctor").dialect.driver
    'psycopg'
    """
    try:
        parsed = make_url(url if "://" in url else f"sqlite:///{Path(url).absolute()}")
    except ArgumentError as problem:
        raise _unknown() from problem
    name = parsed.get_backend_name()
    if name == "sqlite":
        return _sqlite(create_engine(parsed, connect_args={"timeout": BUSY_MS / 1000}))
    if name == "postgresql":
        return create_engine(parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=10, max_overflow=10)
    raise _unknown()


def is_postgresql(engine: Engine | Connection) -> bool:
    """Whether it is PostgreSQL; otherwise it is SQLite."""
    return engine.dialect.name == "postgresql"


def _unknown() -> StoreError:
    return StoreError(where="database", what="not a database that auctor knows", remedy="give sqlite:///FILE or postgresql://HOST/NAME")


def _sqlite(engine: Engine) -> Engine:
    @event.listens_for(engine, "do_connect")
    def _own(_dialect: Any, _record: Any, where: list[Any], _how: Any) -> None:
        if where and where[0] not in ("", ":memory:") and not str(where[0]).startswith("file:"):
            with suppress(OSError):  # SQLite says what is wrong
                Path(where[0]).touch(mode=0o600)  # patients' data; the log beside it takes over the mode

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # sqlite3 would begin on its own, and too late
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITES) else "BEGIN")

    return engine
