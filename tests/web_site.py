"""A whole installation for the tests of the pages: a store, two wards, people of each role, and a client that fills in forms."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.app import application
from auctor.web.settings import Settings, read_settings
from auctor.web.store.tables import Account, AccountWard, Ward

ORIGIN = "http://localhost:8571"
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

    def client(self, login: str = "ada", *, language: str = "en") -> Person:
        """A signed-in person with a browser of their own."""
        person = Person(client=TestClient(self.app, base_url=ORIGIN, headers={"origin": ORIGIN, "accept-language": language}))
        answer = person.submit("/sign-in", {"login": login, "password": PASSWORD})
        assert answer.status_code == 200 and "/sign-in" not in str(answer.url), answer.text[:2000]
        return person


def make_site(folder: Path, *, port: int = 8571) -> Site:
    """A fresh installation in a folder."""
    settings = read_settings({}, data_folder=folder, port=port)
    app = application(settings)
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


class _Form(HTMLParser):
    """The hidden and filled-in fields of the form of a page that posts to an address."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action, self.fields, self.found = action, {}, False
        self._inside = False
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("action", "") == self.action
            self.found |= self._inside
        if not self._inside:
            return
        if tag == "input" and given.get("name") and given.get("type") not in ("checkbox", "radio"):
            self.fields.setdefault(given["name"], given.get("value", ""))
        if tag == "input" and given.get("type") in ("checkbox", "radio") and "checked" in given:
            self.fields[given["name"]] = given.get("value", "on")
        if tag == "select":
            self._select = given.get("name", "")
        if tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def form_of(text: str, action: str) -> dict[str, str]:
    """What a browser would send of that form when nothing is typed."""
    parser = _Form(action)
    parser.feed(text)
    assert parser.found, f"no form that posts to {action}"
    return parser.fields


@dataclass
class Person:
    """A browser without JavaScript: it follows links and fills in the forms that it was shown."""

    client: TestClient
    seen: dict[str, str] = field(default_factory=dict)

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
