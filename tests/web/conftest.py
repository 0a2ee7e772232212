"""A real PostgreSQL of the tests' own, and a fresh store on either database for each test."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from web_postgresql import Cluster, installed, memory, running

SECRET = b"a secret of the tests and of nothing else"


@dataclass(frozen=True, kw_only=True)
class Database:
    """Where a test's own database is: `url` as the application signs in, `owner` as whoever migrates it does."""

    url: str
    owner: str
    checkpoints: Path

    @property
    def postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def open(self, **options: Any) -> Any:
        from auctor.web.store import Store

        return Store.open(self.url, secret=SECRET, checkpoints=self.checkpoints, **options)


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: the tests are of what is written, not of the disk."""
    with tempfile.TemporaryDirectory(prefix="auctor-", dir=memory()) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL as a hospital would set it up: a superuser, an owner of the tables, a login of the application."""
    if not installed():
        pytest.skip("needs PostgreSQL (make postgresql installs it): the store is tested on SQLite alone")
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied: faster than migrating for each test."""
    from auctor.web.store import migrate
    from auctor.web.store.engine import make_engine

    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    engine = make_engine(str(path))
    migrate.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, quick_folder: Path) -> Database:
    """A migrated, empty database, on SQLite and on PostgreSQL."""
    marks = quick_folder / "outside" / "audit.checkpoints"
    if request.param == "sqlite":
        path = quick_folder / "auctor.db"
        shutil.copyfile(request.getfixturevalue("empty_sqlite"), path)
        return Database(url=f"sqlite:///{path}", owner=f"sqlite:///{path}", checkpoints=marks)
    cluster: Cluster = request.getfixturevalue("cluster")
    cluster.empty()
    return Database(url=cluster.url("auctor_login"), owner=cluster.url("auctor_owner"), checkpoints=marks)


@pytest.fixture
def store(database: Database) -> Iterator[Any]:
    """An open store on either database."""
    found = database.open()
    yield found
    found.close()


@pytest.fixture
def clinic_folder(tmp_path: Path, empty_sqlite: Path) -> Path:
    """A data folder with a migrated, empty SQLite store in it."""
    shutil.copyfile(empty_sqlite, tmp_path / "auctor.sqlite")
    return tmp_path


@pytest.fixture
def clinic(clinic_folder: Path) -> Iterator[Any]:
    """An installation on SQLite: see `tests/clinic.py`."""
    from clinic import Clinic

    found = Clinic.opened(clinic_folder)
    yield found
    found.store.close()


@pytest.fixture
def force(request: pytest.FixtureRequest, database: Database) -> Callable[[str], None]:
    """Run a statement as somebody who may switch the triggers off: the superuser, or whoever may write the file of SQLite."""
    if database.postgresql:
        cluster: Cluster = request.getfixturevalue("cluster")
        return lambda statement: cluster.run("SET session_replication_role = replica", statement)
    return lambda statement: _force_sqlite(database.url.removeprefix("sqlite:///"), statement)


def _force_sqlite(path: str, statement: str) -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An installation of the module's own, with the people of `web_site`."""
    from web_site import make_site

    found = make_site(tmp_path_factory.mktemp("site"))
    yield found
    found.app.state.store.close()


@pytest.fixture(scope="module")
def ada(site: Any) -> Any:
    """Somebody with every role, signed in there."""
    return site.client("ada")
