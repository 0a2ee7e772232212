"""A program with a key, for the tests of the API, and a neonate's case as it would send it."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import select

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.accounts.people import actor_of, by_login
from auctor.web.accounts.permissions import Scope
from auctor.web.store import Store
from auctor.web.store.tables import Audit
from web_site import Site

START = "/api/v1"
EVERYBODY = Actor.system("test", wards=frozenset({EVERY_WARD}))
PERSON = {"ward": "icu", "family": "Quoll", "given": "Ann", "birth_date": "2026-02-20", "sex": "female"}
ORDER = {"amount": "2 mg", "every": "12 h", "route": "iv", "bolus": True}
LEVEL = {"value": "13.7 mg/L", "at": "2026-03-02T10:00:00+01:00", "matrix": "serum"}


def pushed(amount: str, at: str) -> dict[str, Any]:
    return {"kind": "dose", "body": {"amount": amount, "route": "iv", "bolus": True, "at": f"2026-03-{at}:00+01:00"}}


NEONATE = [
    pushed("15 mg", "02T08:00"),
    pushed("1.9 mg", "02T20:00"),
    pushed("2 mg", "03T08:00"),
    {"kind": "sample", "body": LEVEL},
    {"kind": "sample", "body": {"value": "16.7 mg/L", "at": "2026-03-03T07:30:00+01:00", "matrix": "serum"}},
    {"kind": "covariate", "body": {"name": "WT", "value": "0.7 kg"}},
    {"kind": "covariate", "body": {"name": "APGR", "value": 6.0, "unit": "1"}},
    {"kind": "order", "body": ORDER},
]


@dataclass(frozen=True, kw_only=True)
class Program:
    """A client with a key of an account."""

    client: TestClient
    key: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = {"authorization": f"Bearer {self.key}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, f"{START}{path}", json=body, headers=sent)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask("POST", path, body, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json()


def program(site: Site, login: str = "ada", scopes: frozenset[Scope] = frozenset(Scope)) -> Program:
    """A new key of an account."""
    store: Store = site.app.state.store
    with store.read(EVERYBODY) as reading:
        account = by_login(reading, login)
        assert account is not None
        actor = actor_of(reading, account, channel="page")
    key = site.app.state.reception.keys.make(actor, name="tests", scopes=scopes, days=1)
    return Program(client=TestClient(site.app, base_url=site.origin), key=key)


def new_course(asker: Program, identifier: str, *, ward: str = "icu", facts: Any = NEONATE, family: str = "Quoll") -> str:
    """A registered patient's course with its model and facts; its id."""
    patient = asker.make("/patients", PERSON | {"identifier": identifier, "ward": ward, "family": family})["id"]
    course = str(asker.make(f"/patients/{patient}/courses", {"drug": "phenobarbital", "time_zone": "Europe/Paris"})["id"])
    assert asker.ask("PUT", f"/courses/{course}/model", {"model": "phenobarbital_grasela_1985"}).status_code == 200
    if facts:
        asker.make(f"/courses/{course}/facts", {"facts": facts})
    return course


def entries_of(store: Store) -> list[Audit]:
    """The whole audit trail, oldest first."""
    with store.read(EVERYBODY) as reading:
        return list(reading.session.scalars(select(Audit).order_by(Audit.sequence)))


def numbers(text: str) -> list[float]:
    """Every number of a JSON text; ValueError for NaN and Infinity."""

    def refused(word: str) -> float:
        raise ValueError(word)

    found: list[float] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                walk(inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(value))

    walk(json.loads(text, parse_constant=refused))
    return found


def benchmark(root: Path, name: str) -> Any:
    """A program of benchmarks/, as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", root / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
