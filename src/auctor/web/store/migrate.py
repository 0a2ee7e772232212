"""Migrations: bring a database's tables to this version of auctor, in one transaction, from any version before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from auctor.web.store.engine import WRITES, is_postgresql
from auctor.web.store.errors import StoreError
from auctor.web.store.tables import Table

HEAD = "head"
_LOCK = 0x6D6967726174  # "migrat": one process migrates, others wait


def upgrade(engine: Engine, revision: str = HEAD) -> tuple[str, str]:
    """Upgrade to `revision`; the revisions before and after ("" for an empty database). All of it or nothing.

    Raises StoreError for a database that a newer auctor wrote, and for a login that may not change the tables.
    """
    scripts = _scripts()
    with engine.execution_options(**{WRITES: True}).connect() as connection, connection.begin():
        before = current(connection)
        if before == scripts.get_current_head():
            return before, before
        _serialise(connection)
        try:
            _run(connection, scripts, revision)
        except CommandError as problem:
            what = "written by a newer auctor, or by another program"
            raise StoreError(where="database", what=what, remedy="install that version, or restore a backup") from problem
        except ProgrammingError as problem:
            what = "its tables are of another version, and this login may not change them"
            raise StoreError(where="database", what=what, remedy="run auctor store migrate as the owner of the tables") from problem
        return before, current(connection)


def current(connection: Connection) -> str:
    """The revision of a database's tables, "" when it has none."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def head() -> str:
    """The revision of this version of auctor."""
    return _scripts().get_current_head() or ""


def revisions() -> list[str]:
    """Every revision, oldest first."""
    return [script.revision for script in reversed(list(_scripts().walk_revisions()))]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).parent / "migrations"))


def _run(connection: Connection, scripts: ScriptDirectory, revision: str) -> None:
    def steps(found: Any, _context: MigrationContext) -> Any:
        return scripts._upgrade_revs(revision, found)

    with EnvironmentContext(Config(), scripts, fn=steps, destination_rev=revision) as environment:
        environment.configure(connection=connection, target_metadata=Table.metadata)
        environment.run_migrations()


def _serialise(connection: Connection) -> None:
    if is_postgresql(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
