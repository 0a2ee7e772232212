"""Tampering with an audit trail of 10,000 entries: how many of each kind the check finds.

    python benchmarks/tamper_audit.py [--entries 10000] [--trials 200] [--quick] [--seed 0] [--json]

Each trial changes a copy of the trail at a random place and checks it from end to end with its checkpoints. `rewrite` also puts every later
hash right, which only the checkpoints outside the database show.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sqlalchemy import select

from auctor.web.accounts.actor import Actor
from auctor.web.store import Store
from auctor.web.store.audit import link
from auctor.web.store.checkpoint import Mark
from auctor.web.store.tables import Audit
from auctor.web.store.verify import AUDITOR, chain, checkpoints
from web_postgresql import memory

Trail = list[Audit]
TEXTS = ("at", "login", "channel", "action", "kind", "object_id", "reason", "previous", "hash")


def copied(entry: Audit) -> Audit:
    return Audit(**{column.key: getattr(entry, column.key) for column in Audit.__table__.columns})


def edit(trail: Trail, place: int, chance: random.Random) -> Trail:
    changed, field = copied(trail[place]), chance.choice(TEXTS)
    setattr(changed, field, getattr(changed, field) + chance.choice("xyz"))
    return [*trail[:place], changed, *trail[place + 1 :]]


def delete(trail: Trail, place: int, _: random.Random) -> Trail:
    return [*trail[:place], *trail[place + 1 :]]


def insert(trail: Trail, place: int, _: random.Random) -> Trail:
    forged = copied(trail[place])
    forged.login, forged.previous = "somebody", trail[place].hash
    forged.sequence += 1
    forged.hash = link(forged)
    return [*trail[: place + 1], forged, *trail[place + 1 :]]


def reorder(trail: Trail, place: int, chance: random.Random) -> Trail:
    other = chance.choice([k for k in range(len(trail)) if k != place])
    changed = list(trail)
    changed[place], changed[other] = copied(trail[other]), copied(trail[place])
    changed[place].sequence, changed[other].sequence = trail[place].sequence, trail[other].sequence
    return changed


def cut(trail: Trail, place: int, _: random.Random) -> Trail:
    return trail[:place]


def rewrite(trail: Trail, place: int, _: random.Random) -> Trail:
    changed = [*trail[:place], *(copied(entry) for entry in trail[place:])]
    changed[place].login = "somebody"
    for k in range(place, len(changed)):
        changed[k].previous = changed[k - 1].hash if k else changed[k].previous
        changed[k].hash = link(changed[k])
    return changed


KINDS: tuple[Callable[[Trail, int, random.Random], Trail], ...] = (edit, delete, insert, reorder, cut, rewrite)


def written(entries: int, folder: Path) -> tuple[Trail, list[Mark]]:
    """A trail that the store wrote, one unit of work an entry."""
    store = Store.open(str(folder / "auctor.db"), secret=b"a secret of this benchmark and of nothing else")
    actor = Actor.system("benchmark")
    for k in range(entries):
        with store.work(actor) as work:
            work.record("fact.correct", "fact", f"f{k % 97}", before={"value": k}, after={"value": k + 1}, reason="typed wrongly")
    with store.read(AUDITOR) as reading:
        trail = list(reading.session.scalars(select(Audit).order_by(Audit.sequence)))
    marks = list(store.checkpoints.read())
    store.close()
    return trail, marks


def run(entries: int, trials: int, seed: int) -> dict[str, Any]:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="auctor-audit-", dir=memory()) as folder:
        start = time.monotonic()
        trail, marks = written(entries, Path(folder))
        seconds = time.monotonic() - start
    start = time.monotonic()
    clean = not [*chain(trail), *checkpoints(trail, marks)]
    checked = time.monotonic() - start
    found = {}
    for kind in KINDS:
        changed = (kind(trail, chance.randrange(entries), chance) for _ in range(trials))
        found[kind.__name__] = sum(bool(next(chain(one), None) or next(checkpoints(one, marks), None)) for one in changed)
    return {
        "entries": entries, "trials": trials, "untouched_is_whole": clean, "found": found,
        "write_s": round(seconds, 1), "check_s": round(checked, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=200, help="of each kind")
    parser.add_argument("--quick", action="store_true", help="500 entries, 20 trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = run(500, 20, asked.seed) if asked.quick else run(asked.entries, asked.trials, asked.seed)
    if asked.json:
        print(json.dumps(figures, indent=1))
    else:
        kinds = ", ".join(f"{kind} {n}/{figures['trials']}" for kind, n in figures["found"].items())
        print(f"{figures['entries']} entries, written in {figures['write_s']} s, checked in {figures['check_s']} s; found: {kinds}")
    sys.exit(not figures["untouched_is_whole"] or any(n < figures["trials"] for n in figures["found"].values()))


if __name__ == "__main__":
    main()
