"""Hypothesis on case entry: whole cases of any shape through the JSON API, analysed now and then. No crash, no NaN, no dose above a cap.

    python benchmarks/entry_fuzz.py [--n 100000] [--analysed 200] [--minutes M] [--seed N] [--quick] [--json]

A case is a list of facts whose numbers, units, times and combinations are mostly right and sometimes absurd. Every answer has to be a
success or a typed refusal (problem+json, below 500), every number in it finite. Of the cases that are accepted, `--analysed` are analysed:
again a result or a typed refusal, and no candidate, recommendation or what-if above the caps of the dosing table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

UNITS = st.sampled_from(("mg", "g", "ug", "mg/L", "ng/mL", "umol/L", "ug/mL", "h", "min", "d", "kg", "", "furlong", "mg/kg", "%"))
SANE = st.floats(0.1, 50.0).map(lambda x: round(x, 3))
ODD = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-10, 10**9), st.just(0), st.just(1e-300), st.just(1e300))
NUMBER = st.one_of(SANE, SANE, SANE, ODD)
DAYS = st.integers(1, 28).map(lambda day: f"2026-02-{day:02}")
CLOCK = st.tuples(DAYS, st.integers(0, 23), st.integers(0, 59)).map(lambda t: f"{t[0]}T{t[1]:02}:{t[2]:02}:00+01:00")
ODD_TIME = st.sampled_from(
    ("2026-02-30T08:00:00+01:00", "2126-02-01T08:00:00+01:00", "0001-01-01T00:00:00+00:00", "08:00", "", "2026-02-01")
)
TIME = st.one_of(CLOCK, CLOCK, CLOCK, CLOCK, ODD_TIME)


def _written(*units: str) -> Any:
    """A quantity, mostly in one of these units."""
    unit = st.one_of(st.sampled_from(units), st.sampled_from(units), st.sampled_from(units), UNITS)
    return st.one_of(
        st.tuples(NUMBER, unit).map(lambda q: f"{q[0]} {q[1]}".strip()), st.tuples(NUMBER, unit).map(_table), st.text(max_size=8)
    )


def _table(quantity: tuple[float, str]) -> dict[str, Any]:
    return {"value": float(quantity[0]), "unit": quantity[1]}


def _entry(required: dict[str, Any], optional: dict[str, Any]) -> Any:
    return st.fixed_dictionaries(required, optional=optional)


ROUTE, TRUE = st.sampled_from(("iv", "iv", "iv", "oral")), st.booleans()
DOSE = _entry(
    {"amount": _written("mg"), "route": ROUTE, "at": TIME},
    {
        "bolus": st.just(True),
        "duration": _written("h", "min"),
        "every": _written("h"),
        "additional": st.integers(0, 40),
        "until_at": TIME,
        "stop_at": TIME,
        "steady_state": TRUE,
        "time_h": NUMBER,
    },
)
SAMPLE = _entry(
    {"value": _written("mg/L", "ug/mL"), "at": TIME},
    {"matrix": st.sampled_from(("serum", "plasma", "whole blood", "hair")), "lloq": _written("mg/L"), "below_lloq": TRUE, "weight": NUMBER},
)
COVARIATE = st.one_of(
    _entry({"name": st.just("WT"), "value": _written("kg", "g")}, {"at": TIME}),
    _entry({"name": st.just("APGR"), "value": NUMBER, "unit": st.just("1")}, {"at": TIME}),
    _entry({"name": st.text(min_size=1, max_size=5), "value": _written("kg")}, {}),
)
ORDER = _entry({"amount": _written("mg"), "every": _written("h"), "route": ROUTE}, {"duration": _written("h"), "bolus": st.just(True)})
FACTS = st.lists(
    st.one_of(
        *(st.fixed_dictionaries({"kind": st.just("dose"), "body": DOSE}) for _ in range(3)),
        *(st.fixed_dictionaries({"kind": st.just("sample"), "body": SAMPLE}) for _ in range(2)),
        st.fixed_dictionaries({"kind": st.just("covariate"), "body": COVARIATE}),
        st.fixed_dictionaries({"kind": st.just("order"), "body": ORDER}),
    ),
    min_size=1,
    max_size=8,
)
PUSHED = st.fixed_dictionaries({"amount": SANE.map(lambda x: f"{x} mg"), "route": st.just("iv"), "bolus": st.just(True), "at": CLOCK})
LEVEL = st.fixed_dictionaries({"value": SANE.map(lambda x: f"{x} mg/L"), "at": CLOCK, "matrix": st.just("serum")})
WEIGHT = st.floats(0.5, 5.0).map(lambda x: {"name": "WT", "value": f"{x:.2f} kg"})
APGAR = st.integers(0, 10).map(lambda x: {"name": "APGR", "value": float(x), "unit": "1"})
WHOLE = st.tuples(
    st.lists(PUSHED, min_size=1, max_size=6), st.lists(LEVEL, max_size=3), st.lists(WEIGHT, max_size=1), st.lists(APGAR, max_size=1)
).map(lambda parts: [{"kind": kind, "body": body} for kind, bodies in zip(KINDS, parts, strict=True) for body in bodies])
KINDS = ("dose", "sample", "covariate", "covariate")
CASES = st.one_of(
    FACTS, WHOLE, st.tuples(WHOLE, st.lists(ORDER, max_size=1)).map(lambda t: t[0] + [{"kind": "order", "body": o} for o in t[1]])
)
TRIED_MG = st.one_of(st.floats(0.1, 40.0), st.floats(1.0, 5000.0))  # what a person would try, and far beyond every cap
TRIABLE = st.fixed_dictionaries(
    {"dose": TRIED_MG.map(lambda x: f"{x:.1f} mg"), "every": st.integers(1, 72).map(lambda h: f"{h} h")},
    optional={"duration": st.floats(0.1, 4.0).map(lambda x: f"{x:.1f} h")},
)
REGIMEN = st.one_of(
    TRIABLE,
    TRIABLE,
    TRIABLE,
    st.fixed_dictionaries({"dose": _written("mg"), "every": _written("h")}, optional={"duration": _written("h")}),
)


@dataclass
class Tally:
    """What became of the cases."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    analysed: int = 0
    refused_analyses: int = 0
    tried: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """The tally as data."""
        plain = {"cases": self.cases, "statuses": dict(sorted(self.statuses.items())), "analysed": self.analysed}
        return plain | {"refused_analyses": self.refused_analyses, "what_ifs": dict(sorted(self.tried.items()))}


@dataclass
class Entry:
    """Enters cases into a site; `analysed` of the accepted ones are analysed."""

    asker: Any
    analysed: int
    each: int = 1  # of the accepted cases one in so many is analysed, so that they are not all of the first and simplest
    tally: Tally = field(default_factory=Tally)
    patient: str = ""
    course: str = ""

    def case(self, facts: list[dict[str, Any]], regimen: dict[str, Any]) -> None:
        """One case, on a course of its own unless the one before was refused; AssertionError for what must not be."""
        self.course = self.course or self._opened()
        self.tally.cases += 1
        answer = self._sent("POST", f"/courses/{self.course}/facts", {"facts": facts})
        self.tally.statuses[answer.status_code] += 1
        if answer.status_code == 201:
            self._accepted(regimen)
            self.course = ""

    def _opened(self) -> str:
        """A new course of the one patient; a new patient after many, whose list of courses would slow everything."""
        from web_api import PERSON

        if self.tally.cases % 500 == 0 or not self.patient:
            self.patient = self.asker.make("/patients", PERSON | {"identifier": f"N-{self.tally.cases}"})["id"]
        made = self.asker.make(f"/patients/{self.patient}/courses", {"drug": "phenobarbital", "time_zone": "Europe/Paris"})
        self._sent("PUT", f"/courses/{made['id']}/model", {"model": "phenobarbital_grasela_1985"})
        return str(made["id"])

    def _sent(self, method: str, path: str, body: Any = None) -> Any:
        from web_api import numbers

        answer = self.asker.ask(method, path, body)
        assert answer.status_code < 500, (path, body, answer.text)
        numbers(answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer

    def _accepted(self, regimen: dict[str, Any]) -> None:
        self._sent("GET", f"/courses/{self.course}")
        enough = self.analysed <= self.tally.analysed + self.tally.refused_analyses
        if enough or self.tally.statuses[201] % self.each:
            return
        kept = self._sent("POST", f"/courses/{self.course}/results")
        if kept.status_code != 201:
            self.tally.refused_analyses += 1
            return
        self.tally.analysed += 1
        result = f"/results/{kept.json()['id']}"
        check_caps(self._sent("GET", result).json())
        tried = self._sent("POST", f"{result}/what-if", regimen)
        self.tally.tried[tried.status_code] += 1
        if tried.status_code == 200:
            assert not any(found["option"]["over_cap"] for found in tried.json()["methods"].values())


def check_caps(result: dict[str, Any]) -> None:
    """No offered or selected regimen above a cap of the model's dosing table, by the caps themselves."""
    from auctor.models.reader import read_model

    caps, weight = read_model(result["model"]).dosing, _weight(result)
    assert caps is not None
    most, daily = (limit * (weight if caps.per_kg else 1.0) for limit in (caps.max_dose_mg, caps.max_daily_mg))
    content = result["content"]
    for method in content["methods"].values():
        by_label = {one["option"]["label"]: one["option"] for one in method["candidates"]}
        for option in by_label.values():
            over = option["dose"]["value"] > most * (1 + 1e-6) or option["daily"]["value"] > daily * (1 + 1e-6)
            assert not over or (option["over_cap"] and option["kind"] == "current"), option
        chosen = [(method["recommendation"] or {}).get(name) for name in ("selected", "favoured")]
        assert not any(by_label[label]["over_cap"] for label in chosen if label), chosen
    preselected = content["preselected"]
    assert preselected is None or not any(
        one["option"]["over_cap"] for one in content["methods"][content["preferred"]]["candidates"] if one["option"]["label"] == preselected
    )


def _weight(result: dict[str, Any]) -> float:
    series = next((c["series"] for c in result["content"]["case"]["covariates"] if c["name"] == "WT"), [[0.0, 1.0]])
    return max(value for _, value in series)


class Over(KeyboardInterrupt):
    """The time is over: Hypothesis lets an interruption through as it is."""


def run(asker: Any, *, n: int, analysed: int, start: int, minutes: float = math.inf) -> Tally:
    """Enter `n` cases, or as many as there is time for."""
    each = max(1, n // (4 * max(1, analysed)))  # half of the cases are accepted
    entry, until = Entry(asker=asker, analysed=analysed, each=each), time.monotonic() + 60 * minutes

    @seed(start)
    @settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(facts=CASES, regimen=REGIMEN)
    def enter(facts: list[dict[str, Any]], regimen: dict[str, Any]) -> None:
        if time.monotonic() > until:
            raise Over
        entry.case(facts, regimen)

    with contextlib.suppress(Over):
        enter()
    return entry.tally


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--analysed", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=math.inf, help="end then, however many were entered")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="300 cases, 3 of them analysed")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    from web_api import program
    from web_site import make_site

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # SQLite waits for the disk at each write
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        n, analysed = (300, 3) if asked.quick else (asked.n, asked.analysed)
        tally = run(program(make_site(Path(folder))), n=n, analysed=analysed, start=asked.seed, minutes=asked.minutes)
    found = tally.as_dict()
    print(json.dumps(found, indent=1) if asked.json else "\n".join(f"{name:18} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
