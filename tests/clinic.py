"""A whole installation for tests: an application over a fresh store, people in it, and browsers that fill in its forms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.app import application
from auctor.web.settings import Settings, read_settings
from auctor.web.store import Store
from auctor.web.store.tables import Account, AccountWard, Ward

PASSWORD = "quorum lattice oboe 9"
UNHURRIED = {"requests_a_minute": 0}  # tests ask faster than people do
MACHINE = Actor(account_id=None, login="system:test", roles=frozenset({Role.ADMINISTRATOR}), wards=frozenset({EVERY_WARD}), channel="cli")


@cache
def password_hash() -> str:
    """One hash for everyone: an argon2 hash costs a tenth of a second."""
    from auctor.web.accounts.passwords import hashed

    return hashed(PASSWORD)


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """An installation. `settings` may be changed field by field with `opened(..., port=...)`."""

    app: FastAPI
    settings: Settings
    store: Store

    @classmethod
    def opened(cls, folder: Path, *, store: Store | None = None, **settings: Any) -> Clinic:
        found = replace(read_settings({}, data_folder=folder), **(UNHURRIED | settings))
        app = application(found, store=store)
        return cls(app=app, settings=found, store=app.state.store)

    def ward(self, *names: str) -> None:
        for name in names:
            with self.store.work(MACHINE) as work:
                if work.session.get(Ward, name) is None:
                    work.session.add(Ward(id=name, name=name.title()))
                    work.record("ward.add", "ward", name, ward=name)

    def person(self, login: str, *, roles: Iterable[str] = ("author",), wards: Iterable[str] = ()) -> str:
        """An account with `PASSWORD`; its identifier."""
        self.ward(*wards)
        with self.store.work(MACHINE) as work:
            account = Account(
                login=login, name=login.title(), roles=sorted(roles), password_hash=password_hash(), password_changed_at=work.at
            )
            work.session.add(account)
            work.session.flush()
            work.session.add_all([AccountWard(account_id=account.id, ward_id=ward) for ward in wards])
            work.record("account.add", "account", account.id)
            return account.id

    def routes(self) -> list[Any]:
        """Every route of the application with its path, methods, endpoint and dependencies; mounted files are not among them."""
        return [route for route in iter_route_contexts(self.app.routes) if getattr(route, "methods", None)]

    def browser(self, **options: Any) -> Browser:
        return Browser(
            client=TestClient(self.app, base_url=self.settings.origin, follow_redirects=False, **options), origin=self.settings.origin
        )

    def signed_in(self, login: str) -> Browser:
        browser = self.browser()
        answer = browser.sign_in(login)
        assert answer.status_code == 303, answer.text
        return browser


@dataclass
class Browser:
    """A browser: keeps cookies, sends the form token of the last page it saw and its own origin."""

    client: TestClient
    origin: str
    token: str = ""
    seen: list[Any] = field(default_factory=list)

    def get(self, path: str, **options: Any) -> Any:
        return self._saw(self.client.get(path, **options))

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> Any:
        headers = {"origin": self.origin} | options.pop("headers", {})
        return self._saw(self.client.post(path, data={"csrf_token": self.token} | (data or {}), headers=headers, **options))

    def send(self, path: str, document: Any) -> Any:
        """A script's request: JSON, with the token in the header."""
        return self.client.post(
            path, json=document, headers={"origin": self.origin, "x-csrf-token": self.token, "accept": "application/json"}
        )

    def sign_in(self, login: str, password: str = PASSWORD, **data: str) -> Any:
        self.get("/sign-in")
        answer = self.post("/sign-in", {"login": login, "password": password, **data})
        if answer.status_code == 303:
            self.get("/account")
        return answer

    def _saw(self, answer: Any) -> Any:
        found = re.search(r'name="csrf_token" value="(\w+)"', answer.text) if "html" in answer.headers.get("content-type", "") else None
        self.token = found[1] if found else self.token
        self.seen.append(answer)
        return answer
