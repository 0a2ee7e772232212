"""A whole installation for the tests of the pages: a store, two wards, people of each role, and a client that fills in forms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import select

from auctor.models.reader import read_model
from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.app import application
from auctor.web.pages.entries import read_covariates, read_entry
from auctor.web.pages.language import language
from auctor.web.pages.typed import Form
from auctor.web.service import analyses, courses, entering, patients
from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import Engine
from auctor.web.service.entering import Entered
from auctor.web.service.patients import NewPatient
from auctor.web.settings import Settings, read_settings
from auctor.web.store.tables import Account, AccountWard, Ward
from web_forms import form_of

PASSWORD = "correct horse battery staple 7"
INSTALLER = Actor.system("install")
PEOPLE = {
    "ada": ([Role.VIEWER, Role.AUTHOR, Role.SIGNER, Role.ADMINISTRATOR], ["icu", "renal"]),
    "vic": ([Role.VIEWER], ["icu"]),
    "rena": ([Role.AUTHOR, Role.SIGNER], ["renal"]),
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """The application and how to knock at it."""

    app: FastAPI
    settings: Settings

    @property
    def origin(self) -> str:
        """What browsers show."""
        return self.settings.origin

    def client(self, login: str = "ada", *, language: str = "en") -> Person:
        """A signed-in person with a browser of their own."""
        person = Person(
            app=self.app, client=TestClient(self.app, base_url=self.origin, headers={"origin": self.origin, "accept-language": language})
        )
        answer = person.submit("/sign-in", {"login": login, "password": PASSWORD})
        assert answer.status_code == 200 and "/sign-in" not in str(answer.url), answer.text[:2000]
        return person


def make_site(folder: Path, *, port: int = 8571, **settings: Any) -> Site:
    """A fresh installation in a folder."""
    settings = read_settings({}, data_folder=folder, port=port, **({"requests_a_minute": 0} | settings))
    app = application(settings)
    app.state.clinic = Clinic(store=app.state.store, engine=Engine(ml=False))  # a learner takes seconds to load
    word = hashed(PASSWORD)
    with app.state.store.work(INSTALLER) as work:
        work.session.add_all([Ward(id="icu", name="Intensive care"), Ward(id="renal", name="Renal unit")])
        for login, (roles, wards) in PEOPLE.items():
            account = Account(login=login, name=login.title(), roles=[role.value for role in roles], password_hash=word)
            work.session.add(account)
            work.session.flush()
            work.session.add_all([AccountWard(account_id=account.id, ward_id=ward) for ward in wards])
        work.record("test.install", "installation", "test")
    return Site(app=app, settings=settings)


@dataclass
class Person:
    """A browser without JavaScript: it follows links and fills in the forms that it was shown."""

    app: FastAPI
    client: TestClient

    def get(self, path: str, **headers: str) -> Response:
        """A page, following redirects."""
        return self.client.get(path, headers=headers)

    def submit(self, page: str, values: dict[str, Any], *, action: str | None = None) -> Response:
        """Open a page, fill in its form and send it."""
        there = action or page
        fields = form_of(self.get(page).text, there) | {name: str(value) for name, value in values.items() if value is not None}
        for name in [name for name, value in values.items() if value is None]:
            fields.pop(name, None)
        return self.client.post(there, data=fields)


def refusal(text: str) -> str:
    """The refusal that a page shows, without its tags."""
    found = re.search(r'<div class="note bad" role="alert"[^>]*>(.*?)</div>', text, re.S)
    return re.sub(r"<[^>]+>", "", found[1]) if found else ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One patient's course: where its pages are."""

    patient: str
    course: str
    result: str = ""


Entries = list[tuple[str, dict[str, Any]]]


def _pushed(amount: str, at: str) -> tuple[str, dict[str, Any]]:
    return "dose", {"amount": amount, "amount_unit": "mg", "route": "iv", "at": at, "bolus": "on"}


NEONATE: Entries = [
    _pushed("15", "2026-03-02 08:00"),
    _pushed("1.9", "2026-03-02 20:00"),
    _pushed("2", "2026-03-03 08:00"),
    ("sample", {"value": "13.7", "value_unit": "mg/L", "at": "2026-03-02 10:00", "matrix": "serum"}),
    ("sample", {"value": "16.7", "value_unit": "mg/L", "at": "2026-03-03 07:30", "matrix": "serum"}),
    ("covariate", {"at": "2026-03-02 07:00", "c_WT": "0.7", "c_APGR": "6"}),
    ("order", {"amount": "2", "amount_unit": "mg", "every": "12", "route": "iv", "bolus": "on"}),
]
KIDNEY: Entries = [
    ("dose", {"amount": "3", "amount_unit": "mg", "route": "oral", "at": "2026-03-02 08:00", "every": "12", "steady_state": "on"}),
    *(
        ("sample", {"value": v, "value_unit": "ng/mL", "at": f"2026-03-02 {t}", "matrix": "whole blood", "assay": "LC-MS/MS", "lloq": "1"})
        for v, t in (("6.8", "08:00"), ("18.5", "09:00"), ("14.2", "11:00"))
    ),
    ("covariate", {"at": "2026-03-02 07:00", "c_HCT": "32.3", "c_CYP3A5": "nonexpresser", "c_FORM": "immediate"}),
    ("order", {"amount": "3", "amount_unit": "mg", "every": "12", "route": "oral"}),
]


def _with_level(entries: Entries, level: str, instead: str) -> Entries:
    return [(kind, values | ({"value": instead} if values.get("value") == level else {})) for kind, values in entries]


LATE_TROUGH = _with_level(KIDNEY, "6.8", "17.5")  # what blood drawn after the dose would hold
MILLIGRAMS = _with_level(NEONATE, "16.7", "0.0167")  # a unit wrong by a thousand
MODELS = {
    "phenobarbital": "phenobarbital_grasela_1985",
    "tacrolimus": "tacrolimus_woillard_2011",
    "vancomycin": "vancomycin_goti_2018",
}


def register(person: Person, *, family: str, identifier: str, ward: str = "icu", demo: bool = True, birth_date: str = "2026-02-20") -> str:
    """A new patient's page."""
    values = {"family": family, "given": "Ann", "identifier": identifier, "birth_date": birth_date, "sex": "female", "ward": ward}
    answer = person.submit("/patients/new", values | {"demo": "on" if demo else None}, action="/patients")
    assert answer.status_code == 200, refusal(answer.text)
    return answer.url.path


def open_course(person: Person, patient: str, drug: str) -> str:
    """A new course's page, its model chosen."""
    answer = person.submit(patient, {"drug": drug, "time_zone": "Europe/Paris"}, action=f"{patient}/courses")
    course = answer.url.path.removesuffix("/model")
    answer = person.submit(f"{course}/model", {"model": MODELS[drug]})
    assert answer.url.path == course, refusal(answer.text)
    return course


def add(person: Person, course: str, kind: str, values: dict[str, Any]) -> Response:
    """Fill in an entry form."""
    return person.submit(f"{course}/add/{kind}", values)


def case(person: Person, *, family: str, identifier: str, drug: str = "phenobarbital", entries: Entries = NEONATE) -> Opened:
    """A patient of the intensive care unit whose course was entered and analysed, through the verbs: a tenth of the time of the pages."""
    clinic, ada = person.app.state.clinic, _ada(person.app)
    born = date(2026, 2, 20)
    new = NewPatient(ward="icu", identifier=identifier, family=family, given="Ann", birth_date=born, sex="female", demo=True)
    patient = patients.register(clinic, ada, new)
    course = courses.open_course(clinic, ada, patient, drug=drug, time_zone="Europe/Paris")
    courses.choose(clinic, ada, course, model=MODELS[drug], target="", reason="")
    for kind, values in entries:
        form = Form(fields=values, language=language("en"), zone=ZoneInfo("Europe/Paris"))
        bodies = read_covariates(form, read_model(MODELS[drug])) if kind == "covariate" else [read_entry(kind, form)]
        entering.enter(clinic, ada, course, [Entered(kind=kind, body=body) for body in bodies])
    return Opened(patient=f"/patients/{patient}", course=f"/courses/{course}", result=analyses.analyse(clinic, ada, course))


def _ada(app: FastAPI) -> Actor:
    with app.state.store.read(INSTALLER) as reading:
        account = reading.session.scalars(select(Account.id).where(Account.login == "ada")).one()
    roles, wards = PEOPLE["ada"]
    return Actor(account_id=account, login="ada", roles=frozenset(roles), wards=frozenset(wards), channel="page")


def analyse(person: Person, course: str) -> str:
    """Press Analyse; the identifier of the result."""
    answer = person.submit(course, {}, action=f"{course}/analyse")
    assert "said=analysed" in str(answer.url), refusal(answer.text)
    return latest(answer.text)


def latest(text: str) -> str:
    """The result that a course's page shows."""
    return re.findall(r"/results/(\w+)/sign", text)[0] if "/sign" in text else re.findall(r"/results/(\w+)/report", text)[-1]


def sign(person: Person, result: str, regimen: str, **values: str) -> Response:
    """Sign, giving a reason to whatever asks for one."""
    page = f"/results/{result}/sign"
    asked = person.client.get(page, params={"regimen": regimen})
    fields = form_of(asked.text, page) if asked.status_code == 200 else {}
    reasons = {name: "checked with the ward" for name in fields if name.startswith("reason")}
    return person.client.post(page, data=fields | reasons | {"password": PASSWORD, "meaning": "recommended"} | values)
