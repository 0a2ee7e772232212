"""Role x route x object, enumerated from the router: what permissions.py says is what happens, and no other ward's patient shows.

On SQLite the application's ward rule stands alone, on PostgreSQL row-level security does (the application's rule is switched off there).
Then every route that changes something: exactly one audit entry each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.permissions import TABLE, verbs_of
from auctor.web.pages.visits import clinic_at
from auctor.web.service.clinic import Clinic as Verbs
from auctor.web.service.courses import look
from auctor.web.service.engine import Computed, Engine
from auctor.web.store import Store
from auctor.web.store.tables import Patient, Result
from clinic import Browser, Clinic
from web_api import entries_of
from web_matrix import ACCOUNTS, ELSEWHERE, EVERYBODY, NOTHING_KEPT, OTHERWISE, PUBLIC, SENT, Held, held

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`", "ignore::ResourceWarning")
OWN, OTHER = ("icu", "Ownling", "OWN-1111"), ("renal", "Otherling", "OTH-2222")
OBJECTS = ("{patient_id}", "{course_id}", "{fact_id}", "{result_id}")


@dataclass(frozen=True, kw_only=True)
class Two:
    """An installation with a patient in each of two wards, and the routes of the application."""

    clinic: Clinic
    verbs: Verbs
    own: Held
    other: Held
    spare: str

    @property
    def routes(self) -> list[Any]:
        return self.clinic.routes()

    def ask(self, browser: Browser, method: str, pattern: str, one: Held) -> Any:
        """The route as a page or a script would ask it, about this patient."""
        sent = dict(SENT[method, pattern](self.verbs, one)) if (method, pattern) in SENT else {}
        headers = {"origin": browser.origin, "x-csrf-token": browser.token} | sent.pop("headers", {})
        return browser.client.request(method, one.path(pattern, self.spare), headers=headers, **sent)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    found = Engine()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def computed() -> list[Computed]:
    """The one analysis of this module, put here when it is first needed."""
    return []


def installation(folder: Path, store: Store | None, engine: Engine, computed: list[Computed]) -> Two:
    partners = folder / "partners.toml"
    partners.write_text("")  # without the file the routes of partners are not there
    clinic = Clinic.opened(folder, store=store, partners_file=str(partners))
    verbs = Verbs(store=clinic.store, engine=engine, zone="Europe/Paris")
    clinic.app.state.clinic = verbs
    assert clinic_at(clinic.app) is verbs
    clinic.ward("icu", "renal")
    own = held(verbs, *OWN, computed=computed[0] if computed else None)
    if not computed:
        computed.append(engine.compute(look(verbs, EVERYBODY, own.course).document))
    other = held(verbs, *OTHER, computed=computed[0])
    for role in Role:
        clinic.person(role.value, roles=(role.value,), wards=("icu",))
    clinic.person("all", roles=[role.value for role in Role], wards=("icu",))
    return Two(clinic=clinic, verbs=verbs, own=own, other=other, spare=clinic.person("spare", roles=("viewer",), wards=("icu",)))


@pytest.fixture
def two(clinic_folder: Path, engine: Engine, computed: list[Computed]) -> Iterator[Two]:
    """On SQLite: the application's rule alone."""
    found = installation(clinic_folder, None, engine, computed)
    yield found
    found.clinic.store.close()


@pytest.fixture
def unruled(
    request: pytest.FixtureRequest, quick_folder: Path, engine: Engine, computed: list[Computed], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Two]:
    """On PostgreSQL, the application's ward rule switched off in both its places: row-level security alone."""
    cluster = request.getfixturevalue("cluster")
    cluster.empty()
    marks = quick_folder / "audit.checkpoints"
    store = Store.open(cluster.url("auctor_login"), secret=b"a secret of the tests and of nothing else", checkpoints=marks, narrowed=False)
    found = installation(quick_folder, store, engine, computed)
    monkeypatch.setattr(Actor, "sees", lambda self, ward: True)
    yield found
    store.close()


def test_every_route_demands_a_verb_or_is_declared(two: Two) -> None:
    undemanding = {route.path for route in two.routes if not verbs_of(route)}
    assert undemanding == set(PUBLIC) | set(OTHERWISE)
    assert len(two.routes) > 90
    known = {(method, route.path) for route in two.routes for method in route.methods}
    assert set(SENT) | set(ACCOUNTS) | NOTHING_KEPT <= known and set(ELSEWHERE) <= {path for _, path in known}


def about_a_patient(pattern: str) -> bool:
    return any(name in pattern for name in OBJECTS)


def shows(answer: Any, one: Held) -> bool:
    return one.family in answer.text or one.identifier in answer.text


def test_each_role_does_what_the_table_says_to_its_own_ward_and_nothing_to_another(two: Two) -> None:
    browsers = {role.value: two.clinic.signed_in(role.value) for role in Role}
    stranger, counted = two.clinic.browser(), 0
    for route in (route for route in two.routes if verbs_of(route)):
        for method in sorted(route.methods):
            assert two.ask(stranger, method, route.path, two.own).status_code in (303, 401, 403), route.path
            for role, browser in browsers.items():
                may = all(role in TABLE[verb].roles for verb in verbs_of(route))
                for one in (two.other, two.own) if about_a_patient(route.path) else (two.own,):
                    answer = two.ask(browser, method, route.path, one)
                    place = (method, route.path, role, one.ward, answer.status_code, answer.text[:300])
                    counted += 1
                    if one is two.other or not may:
                        assert answer.status_code == (404 if may else 403), place
                        assert not shows(answer, one), place
                    else:
                        assert answer.status_code not in (401, 403, 500), place
                        assert answer.status_code != 404 or not about_a_patient(route.path), place
                    assert not shows(answer, two.other), place
    assert counted > 400


def test_row_level_security_alone_keeps_the_wards_apart(unruled: Two) -> None:
    """Whoever may everything, in the other ward, with the application's rule off: nothing of the other ward on any route."""
    browser, leaks, answered = unruled.clinic.signed_in("all"), [], 0
    for route in (route for route in unruled.routes if verbs_of(route)):
        for method in sorted(route.methods):
            one = unruled.other if about_a_patient(route.path) else unruled.own
            answer = unruled.ask(browser, method, route.path, one)
            answered += answer.status_code < 400
            leaked = shows(answer, unruled.other) or (about_a_patient(route.path) and answer.status_code != 404)
            leaks += [(method, route.path, answer.status_code, answer.text[:200])] if leaked else []
    assert leaks == [] and answered > 10
    before = [row.id for row in entries_of_other(unruled)]
    registered = browser.client.post(
        "/api/v1/patients",
        json={"ward": "renal", "identifier": "9", "family": "X", "given": "Y", "birth_date": "2020-01-01", "sex": "other"},
        headers={"origin": browser.origin, "x-csrf-token": browser.token},
    )
    assert registered.status_code == 422 and [row.id for row in entries_of_other(unruled)] == before


def entries_of_other(two: Two) -> list[Any]:
    with two.clinic.store.read(EVERYBODY) as reading:
        return list(reading.session.scalars(select(Patient).where(Patient.ward_id == "renal")))


def test_every_route_that_changes_something_leaves_exactly_one_entry(two: Two) -> None:
    """In the order of SENT, which ends with what closes a course; each on a patient that nothing happened to before."""
    browser, store, asked = two.clinic.signed_in("all"), two.clinic.store, set()
    computed = Computed(**{name: getattr(_result(two), name) for name in ("result", "model", "model_sha256", "engine", "seed", "settings")})
    for number, (method, pattern) in enumerate((m, p) for m, p in SENT if m != "GET"):
        one = held(two.verbs, "icu", "Fresh", f"f{number}", computed)
        if pattern.endswith(("/results", "/analyse")):  # the same inputs are not kept twice: this one has others
            two.ask(browser, "POST", "/courses/{course_id}/add/{kind}", one)
        before = len(entries_of(store))
        answer = two.ask(browser, method, pattern, one)
        assert answer.status_code < 400, (pattern, answer.text[:500])
        expected = 0 if (method, pattern) in NOTHING_KEPT else 1
        found = [entry for entry in entries_of(store)[before:] if entry.login != EVERYBODY.login]  # what the test itself prepared
        assert [entry.login for entry in found] == ["all"] * expected, (pattern, [entry.action for entry in found])
        asked.add((method, pattern))
    for (method, pattern), sent in ACCOUNTS.items():
        before = len(entries_of(store))
        answer = browser.post(two.own.path(pattern, two.spare).replace("/icu", "/renal"), sent.get("data"))
        assert answer.status_code < 400, (pattern, answer.text[:500])
        assert len(entries_of(store)) == before + 1, pattern
        asked.add((method, pattern))
    changing = {(m, route.path) for route in two.routes for m in route.methods if m not in ("GET", "HEAD", "OPTIONS")}
    assert changing - asked - NOTHING_KEPT - {("POST", path) for path in ELSEWHERE} == set()


def _result(two: Two) -> Any:
    with two.clinic.store.read(EVERYBODY) as reading:
        return reading.get(Result, two.own.result)
