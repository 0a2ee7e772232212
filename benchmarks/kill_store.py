"""kill -9 in the middle of writing, signing and importing: nothing acknowledged is lost, nothing is half there, the trail is whole.

    python benchmarks/kill_store.py [--points 200] [--quick] [--database sqlite|postgresql] [--seed 0] [--json]

A process writes as fast as it can and acknowledges what the store has committed; at a random moment it is killed, and what is in the
database is compared with what it had acknowledged. PostgreSQL is a server of this command's own, where it is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sqlalchemy import func, select

from auctor.web.store import Store, facts
from auctor.web.store.tables import Audit, Fact, Message, Outbox, Result, Signature
from auctor.web.store.verify import AUDITOR, verify
from web_kept import DOSE, SAMPLE, Kept, begun, keep, sign
from web_people import DOCTOR
from web_postgresql import installed, memory, running

SECRET = b"a secret of this benchmark and of nothing else"
IN_ONE_IMPORT = 5
MOST_STEPS = 8


@dataclass(frozen=True)
class Place:
    """Where the store is."""

    url: str
    checkpoints: Path

    def open(self) -> Store:
        return Store.open(self.url, secret=SECRET, checkpoints=self.checkpoints)


def write(store: Store, course: Kept, token: str) -> None:
    with store.work(DOCTOR) as work:
        facts.add(work, course.id, kind="sample", body=SAMPLE, source="api", reference=token)
        work.record("fact.add", "token", token, ward="icu")


def bring_in(store: Store, course: Kept, token: str) -> None:
    """A message with several facts, all of them or none."""
    with store.work(DOCTOR) as work:
        for k in range(IN_ONE_IMPORT):
            facts.add(work, course.id, kind="dose", body=DOSE, source="import", reference=f"{token}/{k}")
        said = {"channel": "hl7v2", "sender": "LAB", "control_id": token, "digest": "0" * 64, "state": "done"}
        work.session.add(Message(**said, ward_id="icu", received_at=datetime.now(UTC)))
        work.record("message.import", "token", token, ward="icu")


def child(place: Place, course: Kept, pipe: int, first: int) -> None:
    """Write, sign and import until killed; a token goes down the pipe when the store has said that it is written."""
    store = place.open()
    for number in count(first):
        kind = ("write", "import", "keep")[number % 3]
        if kind == "keep":
            result = keep(store, course.id)
            os.write(pipe, f"keep {result}\n".encode())
            sign(store, course, result)
            os.write(pipe, f"sign {result}\n".encode())
        else:
            (write if kind == "write" else bring_in)(store, course, f"{kind}{number}")
            os.write(pipe, f"{kind} {kind}{number}\n".encode())


def killed(place: Place, course: Kept, chance: random.Random, first: int) -> list[tuple[str, str]]:
    """What one process acknowledged before it was killed, some steps after its start."""
    after, share = chance.randint(1, MOST_STEPS), chance.uniform(0, 1.5)
    read, write_ = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with contextlib.suppress(BaseException):
            child(place, course, write_, first)
        os._exit(1)
    os.close(write_)
    with os.fdopen(read) as lines:
        begin = time.monotonic()
        said = [lines.readline() for _ in range(after)]
        time.sleep(share * (time.monotonic() - begin) / after)  # somewhere within the next step, however busy the machine is
        os.kill(pid, signal.SIGKILL)
        said += lines
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status), "the process ended by itself"
    return [(kind, token) for kind, token in (line.split() for line in said if line.endswith("\n"))]


def faults(store: Store, acknowledged: set[tuple[str, str]]) -> list[str]:
    """What is lost, half there, twice there, or not as the trail says."""
    with store.read(AUDITOR) as reading:
        ask = reading.session
        actions = {"fact.add": "write", "message.import": "import", "result.keep": "keep", "result.sign": "sign"}
        entries = ask.execute(select(Audit.action, Audit.object_id).where(Audit.action.in_(actions))).all()
        told = Counter((actions[action], token) for action, token in entries)
        by_api = ask.scalars(select(Fact.reference).where(Fact.source == "api")).all()
        parts = Counter(ref.rpartition("/")[0] for ref in ask.scalars(select(Fact.reference).where(Fact.source == "import")) if ref)
        rows = Counter(("write", ref) for ref in by_api)
        rows += Counter(("import", token) for token in ask.scalars(select(Message.control_id)))
        rows += Counter(("keep", result) for result in ask.scalars(select(Result.id)))
        rows += Counter(("sign", result) for result in ask.scalars(select(Signature.result_id)))
        sent = ask.scalar(select(func.count()).select_from(Outbox))
        signed = ask.scalar(select(func.count()).select_from(Signature))
    found = [f"lost: {item}" for item in acknowledged if item not in rows]
    found += [f"not once: {item}" for item in rows.keys() | told.keys() if not rows[item] == told[item] == 1 and item[1] not in STARTED]
    found += [f"half an import: {token}" for token, n in parts.items() if n != IN_ONE_IMPORT or ("import", token) not in rows]
    found += ["a signature without its outbox"] if sent != signed else []
    return found + [f"{finding.where}: {finding.what}" for finding in verify(store).findings]


STARTED: set[str] = set()  # facts of the course before the first kill, whose entries have another form


@contextlib.contextmanager
def places(database: str) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="auctor-kill-", dir=memory()) as folder:
        marks = Path(folder) / "audit.checkpoints"
        if database == "sqlite":
            yield Place(f"sqlite:///{folder}/auctor.db", marks)
        else:
            with running() as cluster:
                yield Place(cluster.url("auctor_login"), marks)


def run(database: str, points: int, seed: int) -> dict[str, Any]:
    """Kill `points` times; the figures, and every fault."""
    chance, acknowledged, found = random.Random(seed), set[tuple[str, str]](), list[str]()
    with places(database) as place:
        store = place.open()
        course = begun(store)
        STARTED.update((course.dose, course.sample))
        for point in range(points):
            store.close()
            acknowledged |= set(killed(place, course, chance, point * 1_000_000))
            store = place.open()
            found += faults(store, acknowledged)
        entries = verify(store).entries
        store.close()
    kinds = Counter(kind for kind, _ in acknowledged)
    return {"database": database, "points": points, "acknowledged": dict(kinds), "audit_entries": entries, "faults": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="10 points")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="default: both, where PostgreSQL is installed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    every = [asked.database] if asked.database else ["sqlite", *(["postgresql"] if installed() else [])]
    figures = [run(database, 10 if asked.quick else asked.points, asked.seed) for database in every]
    if asked.json:
        print(json.dumps(figures, indent=1))
    for one in figures if not asked.json else ():
        counts = ", ".join(f"{n} {kind}" for kind, n in sorted(one["acknowledged"].items()))
        print(f"{one['database']}: killed at {one['points']} points; acknowledged {counts}; {len(one['faults'])} faults")
        print("".join(f"  {fault}\n" for fault in one["faults"][:20]), end="")
    sys.exit(any(one["faults"] for one in figures))


if __name__ == "__main__":
    main()
