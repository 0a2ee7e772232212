"""A real PostgreSQL of the tests' own, and a fresh store on either database for each test."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECRET = b"a secret of the tests and of nothing else"
BINARIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


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


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running PostgreSQL that only a socket of its own reaches; `name` is the migrated database of the tests."""

    socket: Path
    name: str = "auctor_tests"

    def url(self, role: str, name: str = "") -> str:
        return f"postgresql://{role}@/{name or self.name}?host={self.socket}"

    def run(self, *statements: str, name: str = "") -> None:
        """As the superuser, who alone may switch the triggers off."""
        import psycopg

        with psycopg.connect(self.url("postgres", name), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def empty(self) -> None:
        from auctor.web.store.tables import Table

        self.run("SET session_replication_role = replica", f"TRUNCATE {', '.join(Table.metadata.tables)} CASCADE")


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is one: the tests are of what is written, not of the disk."""
    with tempfile.TemporaryDirectory(prefix="auctor-", dir=_memory()) as name:
        yield Path(name)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL as a hospital would set it up: a superuser, an owner of the tables, a login of the application."""
    server = _program("postgres")
    if server is None:
        pytest.skip("needs PostgreSQL (make postgresql installs it): the store is tested on SQLite alone")
    home = Path(tempfile.mkdtemp(prefix="auctor-pg-", dir=_memory()))
    try:
        with _running(server.parent, home):
            found = Cluster(socket=home)
            _prepare(found)
            yield found
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _program(name: str) -> Path | None:
    """The real binary: a wrapper on PATH may drop to another user by itself."""
    for pattern in BINARIES:
        found = sorted(Path("/").glob(f"{pattern[1:]}/{name}"))
        if found:
            return found[-1]
    path = shutil.which(name)
    return Path(path) if path else None


def _as_user(home: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: it is run as `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return {}
    user = next(entry for name in ("postgres", "nobody") if (entry := _entry(name)))
    os.chown(home, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": home}


def _entry(name: str) -> pwd.struct_passwd | None:
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(name)
    return None


@contextlib.contextmanager
def _running(binaries: Path, home: Path) -> Iterator[None]:
    data, who = home / "data", _as_user(home)
    make = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"]
    subprocess.run(make, check=True, capture_output=True, **who)
    options = f"-c listen_addresses= -k {home} -c fsync=off -c max_connections=60 -c lc_messages=C"
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    subprocess.run([*control, "-o", options, "-l", str(home / "log"), "start"], check=True, stdout=subprocess.DEVNULL, **who)
    try:
        yield
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=False, capture_output=True, **who)


def _prepare(cluster: Cluster) -> None:
    from auctor.web.store import migrate
    from auctor.web.store.engine import make_engine

    cluster.run(
        "CREATE ROLE auctor_owner LOGIN CREATEROLE",
        "CREATE ROLE auctor_application NOLOGIN",
        "CREATE ROLE auctor_login LOGIN IN ROLE auctor_application",
        "GRANT auctor_application TO auctor_owner",
        f"CREATE DATABASE {cluster.name} OWNER auctor_owner",
        name="postgres",
    )
    engine = make_engine(cluster.url("auctor_owner"))
    migrate.upgrade(engine)
    engine.dispose()


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
