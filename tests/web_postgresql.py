"""A PostgreSQL server of the tests' own, in a folder that goes away, reached by a socket alone."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BINARIES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


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


def installed() -> bool:
    """Whether there is a server to run."""
    return program("postgres") is not None


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A server with the roles of a hospital and one migrated database."""
    server = program("postgres")
    assert server is not None
    home = Path(tempfile.mkdtemp(prefix="auctor-pg-", dir=memory()))
    try:
        with _running(server.parent, home):
            found = Cluster(socket=home)
            _prepare(found)
            yield found
    finally:
        shutil.rmtree(home, ignore_errors=True)


def memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def program(name: str) -> Path | None:
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
