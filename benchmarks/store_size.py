"""A store that grows: how long frequent pages and verbs take beside closed courses of years, and beside none.

    python benchmarks/store_size.py [--database sqlite|postgresql] [--open 200] [--closed 20000] [--repeats 7] [--quick] [--json]

The rows are those that the application writes for one course (ten doses, five levels, two analyses, both signed, predictions of every
level, a result that was sent), copied under new names (tests/web_grown.py): the open courses first, of which three in four wait for
somebody, then the closed ones, each with five cards of CDS Hooks over five years. Everything is asked for as often as `--repeats` says
before and after the closed ones are added, and the shortest time counts, as other work on the machine can only lengthen it. Pages go
through the whole application, signed in, in this process; `first look` is what a server does once when it starts. PostgreSQL is a server
of this command's own, in memory, without fsync, whose statistics are up to date, as its autovacuum keeps them. Exit code 1 where the
work list or silent mode takes twice as long or longer beside the closed courses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sqlalchemy import func, select, text

from auctor.models.monitoring import intervals_of
from auctor.web.accounts.actor import Actor, Role
from auctor.web.service.charts import open_courses
from auctor.web.service.clinic import Clinic as Verbs
from auctor.web.service.overdue import level_due
from auctor.web.service.sending import due
from auctor.web.service.silent import Follower
from auctor.web.service.work_list import waiting
from auctor.web.store import Store
from auctor.web.store.engine import make_engine
from auctor.web.store.tables import Audit, Course, Fact, Patient, Prediction, Result, ShownCard
from auctor.web.store.verify import verify
from clinic import Clinic
from web_grown import EVERYBODY, OPEN, Grown
from web_postgresql import installed, memory, running

LIMIT = 2.0
LIMITED = ("work list", "work list, verb", "silent mode, nothing to do")
FIRST = "silent mode, first look"
CARDS_OF_A_COURSE, DAYS = 5, 5 * 365.0
WARD, OTHER = "icu", "renal"
COUNTED = [table.__table__ for table in (Course, Fact, Result, Prediction, ShownCard, Audit)]

Asked = Callable[[], Any]


def asked_for(site: Clinic, verbs: Verbs, doctor: Actor) -> dict[str, Asked]:
    """Everything that is asked for, by name."""
    browser, boss = site.signed_in("dora"), site.signed_in("boss")
    with verbs.store.read(doctor) as reading:
        open_one = select(Course.id, Patient.id, Patient.identifier).join(Patient).where(Course.closed_at.is_(None)).order_by(Course.id)
        course, patient, number = reading.session.execute(open_one.limit(1)).one()
    month = {"since": f"{datetime.now(UTC) - timedelta(days=30):%Y-%m-%d}"}
    begun = Follower()
    begun.follow(verbs)

    def page(path: str, *, by: Any = browser, **options: Any) -> Asked:
        return lambda: _answered(by.get(path, **options))

    return {
        "work list": page("/work"),
        "work list, verb": lambda: waiting(verbs, doctor),
        "patients": page("/patients"),
        "patients, one sought": page("/patients/find", params={"q": number}),
        "patient": page(f"/patients/{patient}"),
        "course": page(f"/courses/{course}"),
        "audit of a patient": page(f"/patients/{patient}/audit", by=boss),
        "overdue card": lambda: _overdue(verbs, doctor, number),
        FIRST: lambda: Follower().follow(verbs),
        "silent mode, nothing to do": lambda: begun.follow(verbs),
        "silent report": page("/silent"),
        "cards, all": page("/silent/cards"),
        "cards, a month": page("/silent/cards", params=month),
        "results to be sent": lambda: due(verbs),
        "ready": page("/health/ready"),
        "metrics": page("/metrics", by=boss),
    }


def _answered(answer: Any) -> None:
    if answer.status_code != 200:
        raise RuntimeError(f"{answer.url}: status {answer.status_code}")


def _overdue(verbs: Verbs, actor: Actor, number: str) -> None:
    """What a card of patient-view looks at, by the intervals of vancomycin."""
    rule = intervals_of("vancomycin", {})
    (course,) = open_courses(verbs, actor, (("manual", number),))
    if rule is not None:
        level_due(course.file, rule, datetime.now(UTC))


def timed(asked: dict[str, Asked], repeats: int) -> dict[str, float]:
    """The shortest time of each, ms; once before, for what is made on first use."""
    found = {}
    for name, ask in asked.items():
        ask()
        found[name] = 1000 * min(_seconds(ask) for _ in range(repeats))
    return found


def _seconds(ask: Asked) -> float:
    begun = time.perf_counter()
    ask()
    return time.perf_counter() - begun


@contextlib.contextmanager
def opened(name: str, folder: Path) -> Iterator[Clinic]:
    """An application over a store of its own."""
    with contextlib.ExitStack() as stack:
        store = None
        if name == "postgresql":
            cluster = stack.enter_context(running())
            store = Store.open(
                cluster.url("auctor_login"), secret=b"a secret of this benchmark and of nothing else", checkpoints=folder / "marks"
            )
        site = Clinic.opened(folder, store=store)
        stack.callback(site.store.close)
        yield site


def grown(site: Clinic) -> tuple[Grown, Verbs, Actor]:
    """Two wards, people, and the first course; who reads the list."""
    site.person("dora", roles=("author", "signer"), wards=(WARD, OTHER))
    site.person("boss", roles=("administrator",), wards=(WARD, OTHER))
    roles, wards = frozenset({Role.AUTHOR, Role.SIGNER}), frozenset({WARD, OTHER})
    account = site.person("sam", roles=("signer",), wards=(WARD,))
    signer = Actor(account_id=account, login="sam", roles=frozenset({Role.SIGNER}), wards=frozenset({WARD}), channel="page")
    verbs = Verbs(store=site.store)
    site.app.state.clinic = verbs
    doctor = Actor(account_id=account, login="sam", roles=roles, wards=wards, channel="page")
    return Grown.begun(verbs, signer), verbs, doctor


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Fill, ask, grow, ask again."""
    n_open, closed, repeats = (4, 4, 1) if asked.quick else (asked.open, asked.closed, asked.repeats)
    with (
        tempfile.TemporaryDirectory(prefix="auctor-size-", dir=memory() if asked.quick else None) as folder,
        opened(asked.database, Path(folder)) as site,
    ):
        store, verbs, doctor = grown(site)
        for stage in OPEN:
            store.add(stage, n_open // len(OPEN))
        every = asked_for(site, verbs, doctor)
        _settled(site)
        before = timed(every, repeats)
        begun = time.monotonic()
        store.add("closed", closed)
        store.add_cards(CARDS_OF_A_COURSE * closed, days=DAYS)
        _settled(site)
        filled = time.monotonic() - begun
        after = timed(asked_for(site, verbs, doctor), repeats)
        rows = _counted(site)
        whole = verify(site.store).whole if asked.quick else None
    times = {
        name: {"alone_ms": round(before[name], 1), "grown_ms": round(after[name], 1), "ratio": round(after[name] / before[name], 2)}
        for name in after
    }
    return {
        "database": asked.database,
        "open": n_open,
        "closed": closed,
        "rows": rows,
        "filled_s": round(filled),
        "whole": whole,
        "times": times,
    }


def _settled(site: Clinic) -> None:
    """Statistics as autovacuum keeps them; SQLite has none."""
    if site.store.engine.dialect.name == "postgresql":
        owner = site.store.engine.url.set(username="auctor_owner")
        engine = make_engine(owner.render_as_string(hide_password=False))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        engine.dispose()


def _counted(site: Clinic) -> dict[str, int]:
    with site.store.read(EVERYBODY) as reading:
        return {table.name: reading.session.scalar(select(func.count()).select_from(table)) or 0 for table in COUNTED}


def printed(found: dict[str, Any]) -> str:
    """The figures as a table."""
    rows = ", ".join(f"{n:,} {name}" for name, n in found["rows"].items())
    sizes = f"{found['open']} open courses, then {found['closed']:,} closed besides, added in {found['filled_s']} s"
    lines = [f"{found['database']}: {sizes} ({rows})"]
    lines.append(f"{'':28}{'alone':>9}{'beside':>9}{'ratio':>8}   ms")
    for name, row in found["times"].items():
        lines.append(f"{name:28}{row['alone_ms']:9.1f}{row['grown_ms']:9.1f}{row['ratio']:8.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--open", type=int, default=200)
    parser.add_argument("--closed", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="four open courses, four closed ones, and whether the audit trail is whole")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.database == "postgresql" and not installed():
        parser.error("PostgreSQL is not installed")
    found = measured(asked)
    print(json.dumps(found, indent=1) if asked.json else printed(found))
    sys.exit(not asked.quick and any(found["times"][name]["ratio"] >= LIMIT for name in LIMITED))


if __name__ == "__main__":
    main()
