"""Load: so many signed-in people at once on a real `auctor serve`, page by page as they work, with real forms and their tokens.

    python benchmarks/load.py [--users 50] [--minutes 5] [--database sqlite|postgresql] [--seed 0] [--quick] [--json]

A fresh store with one invented patient a user (the three examples in turn) and one account for five users. Everybody goes round: work
list, patient, course with its curve, the form of a level, its saving, analysis, three what-ifs, report as page and PDF. Between two pages
a person reads and types for 3 to 13 s, uniformly (8 s on average); everybody starts at another moment of the first 20 s. Times are those
of single requests, redirections apart, and count from the moment of sending. An error is a status of 400 or more, an answer about another
course, or none in 30 s. Memory is what the server and its workers hold (VmRSS, shared pages once for each): listening, and after each
minute; growth is from the second minute, when everybody has been round once and engine, learners and compiled models are in, to the end.
The load itself runs on the same cores, and so does whatever else the machine does (printed). PostgreSQL is a server of this command's
own, in memory, without fsync. Exit code 1 where p95 of the pages is above 1 s, of the analyses above 2 s, anything failed, or memory grew
by 5 %. `--quick`: two users with neonates, once round, with a fifth of a second between pages, and without learners.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import httpx

from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.app import open_store
from auctor.web.service.clinic import Clinic
from auctor.web.service.training import Invented, load
from auctor.web.settings import read_settings
from auctor.web.store.tables import Account, AccountWard, Ward
from web_forms import form_of
from web_postgresql import installed, memory, running

ROOT = Path(__file__).resolve().parents[1]
STARTED_WITHIN_S = 300  # on a machine that has other things to do
PASSWORD = "correct horse battery staple 7"
WARD = "training"
USERS_OF_ONE_ACCOUNT = 5
LIMIT_S, COMPUTED_LIMIT_S, GROWTH_LIMIT, LONGEST_S = 1.0, 2.0, 0.05, 30.0
COMPUTED = ("analyse",)  # a patient's analysis, which has a limit of its own; every other request is a page
# example, the unit and matrix of its levels, about what a further one would be
EXAMPLES = (
    ("tacrolimus_kidney", "ng/mL", "whole blood", 12.0),
    ("vancomycin_two_levels", "mg/L", "serum", 22.0),
    ("phenobarbital_neonate", "mg/L", "serum", 16.0),
)
TRIED = {"tacrolimus_kidney": (3.0, 12, ""), "vancomycin_two_levels": (1000.0, 12, "1"), "phenobarbital_neonate": (2.0, 12, "")}


@dataclass(frozen=True)
class Think:
    """How long a person looks at a page."""

    least_s: float
    most_s: float
    start_s: float  # everybody starts within this time

    def time(self, chance: random.Random) -> float:
        return chance.uniform(self.least_s, self.most_s)


PERSON, HASTY = Think(3.0, 13.0, 20.0), Think(0.1, 0.3, 0.2)


@dataclass
class Tally:
    """Seconds by kind of page, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, kind: str, took: float, error: str = "") -> None:
        self.seconds.setdefault(kind, []).append(took)
        if error:
            self.errors.append(f"{kind}: {error}")


def quantile(values: list[float], share: float) -> float:
    """The value below which the share lies, the upper one of two."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def installation(folder: Path, url: str, users: int, examples: list[str]) -> list[tuple[str, str, str]]:
    """A store with a patient a user, the examples in turn; login, example and course of each."""
    settings = read_settings({}, data_folder=folder, **({"database_url": url} if url else {}))
    clinic = Clinic(store=open_store(settings))
    actors = [_account(clinic, f"user{k}") for k in range(-(-users // USERS_OF_ONE_ACCOUNT))]
    found = []
    for k in range(users):
        actor, example = actors[k // USERS_OF_ONE_ACCOUNT], examples[k % len(examples)]
        who = Invented(family=f"Fern{k}", given="Karla", born=_born(example), sex="female", analysed=False)
        with _numbered(folder, example, k) as case:
            found.append((actor.login, example, load(clinic, actor, case, who)))
    clinic.store.close()
    return found


def _born(example: str) -> Any:
    from auctor.web.service.training import INVENTED

    return INVENTED[example].born


@contextlib.contextmanager
def _numbered(folder: Path, example: str, number: int) -> Iterator[Path]:
    """The example under a name of its own, which becomes the patient's number."""
    case = folder / f"{number}-{example}.toml"
    case.write_bytes((ROOT / "examples" / f"{example}.toml").read_bytes())
    yield case
    case.unlink()


def _account(clinic: Clinic, login: str) -> Actor:
    roles = frozenset({Role.VIEWER, Role.AUTHOR, Role.SIGNER})
    with clinic.store.work(Actor.system("load", wards=frozenset({WARD}))) as work:
        account = Account(login=login, name=login.title(), roles=sorted(role.value for role in roles), password_hash=_hash())
        account.password_changed_at = work.at
        work.session.add(account)
        if work.session.get(Ward, WARD) is None:
            work.session.add(Ward(id=WARD, name="Training ward"))
        work.session.flush()
        work.session.add(AccountWard(account_id=account.id, ward_id=WARD))
        work.record("account.add", "account", account.id)
        return Actor(account_id=account.id, login=login, roles=roles, wards=frozenset({WARD}), channel="cli")


_HASHES: list[str] = []


def _hash() -> str:
    if not _HASHES:
        _HASHES.append(hashed(PASSWORD))
    return _HASHES[0]


@contextlib.contextmanager
def serving(folder: Path, url: str, cache: str = "") -> Iterator[tuple[int, int]]:
    """`auctor serve` over the folder, at a free port; its process number and the port, once it is ready."""
    port = free_port()
    environment = (
        os.environ
        | {"PYTHONPATH": str(ROOT / "src")}
        | ({"AUCTOR_DATABASE_URL": url} if url else {})
        | ({"AUCTOR_CACHE": cache} if cache else {})
    )
    command = [sys.executable, "-m", "auctor", "serve", "--data", str(folder), "--port", str(port)]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server:
        try:
            if not _ready(port, server):
                sys.exit(f"the server did not start:\n{(folder / 'log').read_text(encoding='utf-8')[-2000:]}")
            yield server.pid, port
        finally:
            server.terminate()


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ready(port: int, server: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://localhost:{port}/health/live", trust_env=False).status_code == 200:
                return True
        time.sleep(0.1)
    return False


def with_children(pid: int) -> list[int]:
    """The process and the processes that it started."""
    begun_by = Path(f"/proc/{pid}/task").glob("*/children")  # a list for each thread
    children = [int(child) for listed in begun_by for child in listed.read_text(encoding="ascii").split()]
    return [pid, *(one for child in children for one in with_children(child))]


def resident_mb(pid: int) -> list[float]:
    """Memory that the process and each of those that it started hold, MB, the oldest first; what they share counts once for each."""
    texts = (Path(f"/proc/{one}/status").read_text(encoding="ascii") for one in sorted(with_children(pid)))
    return [int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024 for text in texts]


def processor_s(pid: int) -> float:
    """Processor time of the process and those that it started so far, s."""
    stats = (Path(f"/proc/{one}/stat").read_text(encoding="ascii").rpartition(")")[2].split() for one in with_children(pid))
    return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")


@dataclass
class Person:
    """One browser: cookies, forms as they were shown, the time of each request."""

    client: httpx.AsyncClient
    tally: Tally
    chance: random.Random
    think: Think
    login: str
    example: str
    course: str  # its path
    until: float
    result: str = ""
    shown: str = ""
    levels: int = 0

    async def ask(self, kind: str, path: str, *, data: dict[str, str] | None = None, **options: Any) -> httpx.Response | None:
        """One request, and the page that it redirects to as another; None after an error."""
        begun = time.perf_counter()
        try:
            answer = await self.client.request("GET" if data is None else "POST", path, data=data, **options)
        except httpx.HTTPError as problem:
            self.tally.add(kind, time.perf_counter() - begun, type(problem).__name__)
            return None
        wrong = "" if answer.status_code < 400 else f"status {answer.status_code}"
        self.tally.add(kind, time.perf_counter() - begun, wrong or self._guard(answer))
        if answer.status_code == 303:
            there = answer.headers["location"]
            return await self.ask("course" if there.startswith("/courses/") else "work list", there)
        return None if wrong else answer

    def _guard(self, answer: httpx.Response) -> str:
        """What is wrong where an answer tells of another course than was asked for."""
        guard = answer.headers.get("x-auctor-course")
        return "" if not guard or guard == self.course.rpartition("/")[2] else "another course"

    async def pause(self) -> bool:
        """Look at the page; whether there is time for another one."""
        await asyncio.sleep(self.think.time(self.chance))
        return time.monotonic() < self.until

    async def sign_in(self) -> None:
        page = await self.ask("sign-in form", "/sign-in")
        if page is not None:
            typed = {"login": self.login, "password": PASSWORD}
            await self.ask("sign-in", "/sign-in", data=form_of(page.text, "/sign-in") | typed)

    async def work(self) -> None:
        """Go round until the time is over; `until` 0 is once."""
        await asyncio.sleep(self.chance.uniform(0, self.think.start_s))
        await self.sign_in()
        steps = (self.look, self.open, self.add_level, self.analyse, self.try_one, self.try_one, self.try_one, self.read, self.print)
        while await self.pause() or not self.until:
            for step in steps:
                await step()
                if not await self.pause() and self.until:
                    return
            if not self.until:
                return

    async def look(self) -> None:
        await self.ask("work list", "/work")

    async def open(self) -> None:
        """The course, as the list links to it, its curve, and the patient's page the first time."""
        if page := await self.ask("course", self.course):
            await self._seen(page.text)
            if not self.levels:
                await self.ask("patient", re.findall(r'href="(/patients/[0-9a-f]+)"', page.text)[0])

    async def _seen(self, text: str) -> None:
        """Remember the page; a browser then asks for the data of its curve."""
        self.shown = text
        if curve := re.search(r'data-source="([^"]+)"', text):
            self.result = re.findall(r"result=(\w+)", curve[1])[0]
            await self.ask("curve data", curve[1].replace("&amp;", "&"), headers=self._claims())

    def _claims(self) -> dict[str, str]:
        patient = re.findall(r'name="patient" value="(\w+)"', self.shown)[0]
        return {"x-auctor-patient": patient, "x-auctor-course": self.course.rpartition("/")[2], "hx-request": "true"}

    async def try_one(self) -> None:
        """Another dose in the what-if form, as the script of the page sends it."""
        if not self.result:
            return
        dose, every, over = TRIED[self.example]
        typed = {"dose": f"{dose * self.chance.choice((0.5, 0.75, 1, 1.25, 1.5)):g}", "every": str(every), "duration": over}
        fields = form_of(self.shown, f"{self.course}/what-if") | typed
        await self.ask("what-if", f"{self.course}/what-if/part", params=fields, headers=self._claims())

    async def add_level(self) -> None:
        """A further level, half an hour after the one before."""
        there = f"{self.course}/add/sample"
        if page := await self.ask("level form", there):
            await self.pause()
            _, unit, matrix, about = next(one for one in EXAMPLES if one[0] == self.example)
            self.levels += 1
            minutes = 30 * self.levels
            typed = {"value": f"{about * self.chance.uniform(0.9, 1.1):.1f}", "value_unit": unit, "matrix": matrix}
            typed["at"] = f"2026-03-04 {12 + minutes // 60:02d}:{minutes % 60:02d}"
            saved = await self.ask("save a level", there, data=form_of(page.text, there) | typed)
            if saved is not None:
                self.shown = saved.text

    async def analyse(self) -> None:
        there = f"{self.course}/analyse"
        if f'action="{there}"' not in self.shown:
            self.tally.add("analyse", 0.0, "nothing to analyse")
            return
        answer = await self.ask("analyse", there, data=form_of(self.shown, there))
        if answer is not None:
            await self._seen(answer.text)

    async def read(self) -> None:
        if self.result:
            await self.ask("report", f"/results/{self.result}/report")

    async def print(self) -> None:
        if self.result:
            await self.ask("report, PDF", f"/results/{self.result}/report.pdf")


async def run(people: list[tuple[str, str, str]], pid: int, *, port: int, seconds: float, seed: int, think: Think) -> dict[str, Any]:
    """Everybody at work; the figures."""
    tally, origin, begun = Tally(), f"http://localhost:{port}", time.monotonic()
    memory_mb, spent, others = {"listening": resident_mb(pid)}, processor_s(pid), os.getloadavg()[0]
    until, longest_s = (begun + seconds, LONGEST_S) if seconds else (0.0, STARTED_WITHIN_S)

    async def one(k: int) -> None:
        login, example, course = people[k]
        headers = {"origin": origin, "accept-language": "en", "accept": "text/html"}
        async with httpx.AsyncClient(base_url=origin, headers=headers, timeout=longest_s, trust_env=False) as client:
            chance = random.Random(f"{seed} {k}")
            person = Person(client, tally, chance, think, login, example, f"/courses/{course}", until)
            await person.work()

    async def each_minute() -> None:
        for minute in range(1, int(seconds / 60)):
            await asyncio.sleep(begun + 60 * minute - time.monotonic())
            memory_mb[f"{minute} min"] = resident_mb(pid)

    await asyncio.gather(*(one(k) for k in range(len(people))), each_minute())
    took = time.monotonic() - begun
    memory_mb["end"] = resident_mb(pid)
    machine = {"cores": os.cpu_count(), "load_before": round(others, 1), "server_cores_used": round((processor_s(pid) - spent) / took, 2)}
    return figures(tally, memory_mb, took) | {"machine": machine}


def figures(tally: Tally, memory_mb: dict[str, list[float]], took: float) -> dict[str, Any]:
    """Quantiles by kind of page and together, errors, memory, requests a second."""
    every = [value for values in tally.seconds.values() for value in values]
    pages = [value for kind, values in tally.seconds.items() if kind not in COMPUTED for value in values]
    warm = memory_mb.get("2 min")
    return {
        "pages": {kind: _row(values) for kind, values in sorted(tally.seconds.items())},
        "all pages": _row(pages),
        "errors": len(tally.errors),
        "first_errors": tally.errors[:10],
        "requests_per_s": round(len(every) / took, 2),
        "memory_mb": {name: round(sum(each), 1) for name, each in memory_mb.items()},
        "memory_of_each_mb": {name: [round(one, 1) for one in each] for name, each in memory_mb.items()},
        "growth": None if warm is None else round(sum(memory_mb["end"]) / sum(warm) - 1, 4),
    }


def _row(values: list[float]) -> dict[str, float]:
    ms = {name: round(1000 * quantile(values, share)) for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))}
    return {"requests": len(values), **ms, "longest_ms": round(1000 * max(values))}


@contextlib.contextmanager
def database(name: str) -> Iterator[str]:
    """The address of the store; empty for SQLite in the data folder."""
    if name == "sqlite":
        yield ""
    else:
        with running() as cluster:
            yield cluster.url("auctor_login")


def printed(found: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [f"{'page':16}{'requests':>9}{'p50':>8}{'p95':>8}{'p99':>8}{'longest':>9}  ms"]
    for kind, row in [*found["pages"].items(), ("all pages", found["all pages"])]:
        lines.append(f"{kind:16}{row['requests']:9}{row['p50_ms']:8}{row['p95_ms']:8}{row['p99_ms']:8}{row['longest_ms']:9}")
    grown = "" if found["growth"] is None else f"; {found['growth']:+.1%} from the second minute to the end"
    lines.append(f"{found['errors']} errors {found['first_errors'] or ''}; {found['requests_per_s']} requests/s")
    machine = found["machine"]
    lines.append(
        f"server: {machine['server_cores_used']} of {machine['cores']} cores; load of the machine before: {machine['load_before']}"
    )
    lines.append(f"memory, MB: {', '.join(f'{n} {v:.0f}' for n, v in found['memory_mb'].items())}{grown}")
    first, last = (found["memory_of_each_mb"][when] for when in (("2 min", "end") if grown else ("listening", "end")))
    each = ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(first, last, strict=False))
    return "\n".join([*lines, f"each process, the server first{', from the second minute to the end' if grown else ''}: {each}"])


def measured(asked: argparse.Namespace) -> dict[str, Any]:
    """Install, serve and go round."""
    users, minutes = (2, 0.0) if asked.quick else (asked.users, asked.minutes)
    place = memory() if asked.quick else None
    with tempfile.TemporaryDirectory(prefix="auctor-load-", dir=place) as folder, database(asked.database) as url:
        examples = [one[0] for one in EXAMPLES[-1 if asked.quick else 0 :]]
        people = installation(Path(folder), url, users, examples)
        with serving(Path(folder), url, folder if asked.quick else "") as (pid, port):
            options = {"port": port, "seconds": 60 * minutes, "seed": asked.seed, "think": HASTY if asked.quick else PERSON}
            found = asyncio.run(run(people, pid, **options))
    return {"users": users, "minutes": minutes, "database": asked.database} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="two users once round")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.database == "postgresql" and not installed():
        parser.error("PostgreSQL is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server ends with us
    found = measured(asked)
    print(json.dumps(found, indent=1) if asked.json else printed(found))
    slow = not asked.quick and (
        found["all pages"]["p95_ms"] > 1000 * LIMIT_S or found["pages"]["analyse"]["p95_ms"] > 1000 * COMPUTED_LIMIT_S
    )
    sys.exit(bool(found["errors"] or slow or (found["growth"] or 0.0) >= GROWTH_LIMIT))


if __name__ == "__main__":
    main()
