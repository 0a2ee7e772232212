"""Schemathesis over the whole OpenAPI document of the JSON API, against the application in this process: every check, every phase.

    python benchmarks/api_fuzz.py [--quick] [--examples N] [--seconds S] [--seed N] [--json]

A fresh installation with an analysed neonate; a key of an account that may everything. Half of the path parameters are those of the
neonate's course, half are made up. Prints a line for each kind of failure and the number of requests; exit code 1 when there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
# well-formed, and still not possible: an unknown unit, a closed course, no If-Match
REFUSED = ["2xx", "3xx", "401", "403", "404", "409", "412", "422", "428"]


@dataclass
class Tally:
    """What a run found."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The tally as data."""
        return {"requests": self.requests, "statuses": dict(sorted(self.statuses.items())), "failures": self.failures}


def fuzz(app: Any, key: str, known: dict[str, str], *, examples: int, seconds: int, seed: int, enough: int | None = None) -> Tally:
    """Run every phase within the limits; no new one after `enough` requests. `known` are path parameters of objects that exist."""
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import from_schema

    config = SchemathesisConfig.from_dict(_config(key, known, examples=examples, seconds=seconds, seed=seed))
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, config=config)
    tally = Tally()
    events = from_schema(schema).execute()
    for event in events:
        recorder = getattr(event, "recorder", None)
        if recorder is not None:
            _count(tally, recorder)
            if enough is not None and tally.requests >= enough:
                events.stop()
        if type(event).__name__ in ("FatalError", "NonFatalError"):
            tally.failures[f"{type(event).__name__} {getattr(event, 'label', '')}"] = str(getattr(event, "info", event))[:500]
    return tally


def _config(key: str, known: dict[str, str], *, examples: int, seconds: int, seed: int) -> dict[str, Any]:
    generation = {"max-examples": examples, "no-shrink": True, "database": "none"}
    return {
        "seed": seed,
        "max-time": seconds,
        "continue-on-failure": True,
        "headers": {"Authorization": f"Bearer {key}"},
        "generation": generation,
        "dictionaries": {name: {"values": [value]} for name, value in known.items()},
        "parameters": {f"path.{name}": {"dictionary": name, "probability": 0.5} for name in known},
        "checks": {"positive_data_acceptance": {"expected-statuses": REFUSED}},
    }


def _count(tally: Tally, recorder: Any) -> None:
    for interaction in recorder.interactions.values():
        tally.requests += 1
        if interaction.response is not None:
            tally.statuses[interaction.response.status_code] += 1
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                tally.failures.setdefault(
                    f"{recorder.label}: {check.name}: {failure.title}", f"{failure.message}\n{check.failure_info.code_sample}"
                )


def installed(folder: Path) -> tuple[Any, str, dict[str, str]]:
    """An application with an analysed neonate, a key, and the identifiers of what is there."""
    from web_api import new_course, program
    from web_site import make_site

    site = make_site(folder, trusted_hosts=("localhost", "127.0.0.1", "testserver"))
    ada = program(site)
    course = new_course(ada, "Q-1")
    fact = ada.get(f"/courses/{course}/facts?kind=sample")["items"][0]["id"]
    known = {
        "patient_id": ada.get(f"/courses/{course}")["patient"],
        "course_id": course,
        "fact_id": fact,
        "result_id": ada.make(f"/courses/{course}/results")["id"],
        "name": "phenobarbital_grasela_1985",
    }
    return site.app, ada.key, known


def printed(tally: Tally) -> str:
    """The tally as a table, with the beginning of each kind of failure."""
    lines = [f"status {status:5} {n:8}" for status, n in sorted(tally.statuses.items())]
    lines += [f"requests     {tally.requests:8}", f"failures     {len(tally.failures):8}"]
    return "\n".join([*lines, *(f"{kind}: {text[:500]}" for kind, text in tally.failures.items())])


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="three examples an operation, two minutes")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.quick:
        asked.examples, asked.seconds = 3, 120
    warnings.simplefilter("ignore")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # SQLite waits for the disk at each write
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        app, key, known = installed(Path(folder))
        tally = fuzz(app, key, known, examples=asked.examples, seconds=asked.seconds, seed=asked.seed)
    print(json.dumps(tally.as_dict(), indent=1) if asked.json else printed(tally))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
