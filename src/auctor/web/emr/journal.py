"""The journal of received messages: each is on disk before it is acknowledged, once, with what became of it. One SQLite file.

It stands apart from the clinical store, so that a message is kept even while the store cannot be reached, and delivered later.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from auctor.fhir.v2.ack import Outcome, Verdict
from auctor.fhir.v2.facts import Fact, Problem, Version
from auctor.fhir.v2.header import Header

_TABLES = """
CREATE TABLE IF NOT EXISTS message (
  id INTEGER PRIMARY KEY, application TEXT NOT NULL, facility TEXT NOT NULL, control_id TEXT NOT NULL, event TEXT NOT NULL,
  sha256 TEXT NOT NULL, received TEXT NOT NULL, raw BLOB NOT NULL, state TEXT NOT NULL, outcome TEXT,
  UNIQUE (application, facility, control_id, sha256));
CREATE INDEX IF NOT EXISTS message_state ON message (state);
CREATE TABLE IF NOT EXISTS last (key TEXT PRIMARY KEY, version TEXT NOT NULL);
"""


class State(StrEnum):
    """Where a message stands: kept and not yet read, settled, or waiting for a person."""

    KEPT = "kept"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A message of the journal; `outcome` is None while it is only kept."""

    id: int
    application: str
    facility: str
    control_id: str
    event: str
    sha256: str
    received: str
    raw: bytes
    state: State
    outcome: Outcome | None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A kept message: its number, whether it is new or was settled with `outcome`, whether its control id had another content before."""

    id: int
    new: bool
    outcome: Outcome | None = None
    reused: bool = False


class Journal:
    """The journal in one file; safe for one process with any number of threads.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "hl7.sqlite") as journal:
    ...     journal.keep(Header(control_id="1"), b"MSH").new, journal.keep(Header(control_id="1"), b"MSH").new
    (True, False)
    """

    def __init__(self, path: Path) -> None:
        import threading

        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(_TABLES)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _writing(self, *, through: bool) -> Iterator[sqlite3.Connection]:
        """One transaction; `through` waits for the disk, so that what it wrote survives the loss of power."""
        with self._lock:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if through else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def keep(self, header: Header, raw: bytes) -> Kept:
        """Put a message on disk, once; sqlite3.Error when that is not possible, and then nothing was kept."""
        sha = hashlib.sha256(raw).hexdigest()
        key = header.key if header.control_id else (*header.key[:2], "")
        with self._writing(through=True) as db:
            same = "application = ? AND facility = ? AND control_id = ?"
            found = db.execute(f"SELECT id, outcome FROM message WHERE {same} AND sha256 = ?", (*key, sha)).fetchone()
            if found is not None:
                return Kept(id=found[0], new=False, outcome=_outcome(found[1]))
            reused = db.execute(f"SELECT 1 FROM message WHERE {same} LIMIT 1", key).fetchone() is not None
            row = (*key, header.event, sha, datetime.now(UTC).isoformat(), raw, State.KEPT)
            fields = "application, facility, control_id, event, sha256, received, raw, state"
            done = db.execute(f"INSERT INTO message ({fields}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            return Kept(id=int(done.lastrowid or 0), new=True, reused=reused and bool(header.control_id))

    def settle(self, number: int, outcome: Outcome) -> None:
        """Write down what became of a message: done, or dead with its problems. Lost with the power, it is found out again."""
        state = State.DONE if outcome.verdict is Verdict.ACCEPT else State.DEAD
        with self._writing(through=False) as db:
            db.execute("UPDATE message SET state = ?, outcome = ? WHERE id = ?", (state, json.dumps(asdict(outcome)), number))

    def newer(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        """The facts that are not older than what was delivered under their key, so that the order of arrival does not matter."""
        found = []
        with self._lock:
            for fact in facts:
                row = self._db.execute("SELECT version FROM last WHERE key = ?", (fact.key,)).fetchone()
                found += [fact] if row is None or row[0] <= ordered(fact.version) else []
        return tuple(found)

    def delivered(self, facts: Iterable[Fact]) -> None:
        """Remember what was delivered. Lost with the power, it is delivered again, which changes nothing."""
        rows = [(fact.key, ordered(fact.version)) for fact in facts]
        later = "ON CONFLICT (key) DO UPDATE SET version = max(version, excluded.version)"
        with self._writing(through=False) as db:
            db.executemany(f"INSERT INTO last VALUES (?, ?) {later}", rows)

    def entries(self, state: State, *, most: int = 1000) -> tuple[Entry, ...]:
        """The first messages in a state, the oldest first."""
        fields = "id, application, facility, control_id, event, sha256, received, raw, state, outcome"
        with self._lock:
            rows = self._db.execute(f"SELECT {fields} FROM message WHERE state = ? ORDER BY id LIMIT ?", (state, most)).fetchall()
        names = fields.split(", ")
        return tuple(Entry(**{**dict(zip(names, row, strict=True)), "state": State(row[8]), "outcome": _outcome(row[9])}) for row in rows)

    def counts(self) -> dict[str, int]:
        """How many messages are in each state."""
        with self._lock:
            found = dict(self._db.execute("SELECT state, COUNT(*) FROM message GROUP BY state").fetchall())
        return {state.value: int(found.get(state.value, 0)) for state in State}


def ordered(version: Version) -> str:
    """A version as a text that sorts as it does."""
    at, status, length, control = version
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S.%f}|{status}|{length:04d}|{control}"


def _outcome(text: str | None) -> Outcome | None:
    if text is None:
        return None
    found = json.loads(text)
    problems = tuple(Problem(**problem) for problem in found["problems"])
    return Outcome(verdict=Verdict(found["verdict"]), problems=problems, kept=bool(found["kept"]))
