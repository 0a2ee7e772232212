"""Passkeys in a real Chromium with a virtual authenticator (CDP), over a real server; no violation of the content policy on any page."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from sqlalchemy import select

from auctor.web.store.tables import Audit, Credential
from clinic import MACHINE, PASSWORD, Clinic

pytestmark = pytest.mark.browser


@pytest.fixture
def served(clinic_folder: Path) -> Iterator[Clinic]:
    """An installation that listens on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clinic = Clinic.opened(clinic_folder, port=port)
    server = uvicorn.Server(uvicorn.Config(clinic.app, port=port, log_config=None, access_log=False, ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield clinic
    server.should_exit = True
    thread.join()


@dataclass
class Screen:
    """A page of Chromium with what it complained about, and its virtual authenticator."""

    page: Any
    cdp: Any
    authenticator: str
    origin: str
    complaints: list[str] = field(default_factory=list)

    def sign_in(self, login: str) -> None:
        self.page.goto(f"{self.origin}/sign-in?next=/account")
        self.page.fill("#login", login)
        self.page.fill("#password", PASSWORD)
        self.page.click("form[action='/sign-in'] button")
        self.page.wait_for_url("**/account")

    def sign_out(self) -> None:
        self.page.click("form[action='/sign-out'] button")
        self.page.wait_for_url("**/sign-in")


@pytest.fixture
def screen(chromium: Any, served: Clinic) -> Iterator[Screen]:
    page = chromium.new_context().new_page()
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    found = Screen(page=page, cdp=cdp, authenticator=made["authenticatorId"], origin=served.settings.origin)
    page.on("console", lambda message: found.complaints.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.set_default_timeout(60_000)
    yield found
    page.context.close()


def _make(screen: Screen) -> None:
    screen.page.fill("#passkey-name", "laptop")
    screen.page.click("[data-passkey=make] button")
    screen.page.wait_for_selector("[data-passkey=make] [role=status]:not(:empty)")


def test_a_passkey_is_made_signs_in_and_cannot_be_replayed_or_cloned(served: Clinic, screen: Screen) -> None:
    served.person("ada")
    screen.sign_in("ada")
    _make(screen)
    assert "shown this once" in screen.page.text_content("[data-passkey=make] [role=status]")
    screen.sign_out()
    with screen.page.expect_request("**/sign-in/passkey") as sent:
        screen.page.click("[data-passkey=use] button")
    screen.page.wait_for_url("**/work")
    screen.page.goto(f"{screen.origin}/account")
    assert "laptop" in screen.page.text_content("main")
    assert _actions(served) == ["account.add", "sign-in", "account.passkey", "session.end", "sign-in"]

    replayed = served.browser()  # a copy of the answer, in another browser and in a browser with a challenge of its own
    replayed.get("/sign-in")
    assert replayed.send("/sign-in/passkey", sent.value.post_data_json).status_code == 401
    replayed.send("/sign-in/passkey/options", {})
    assert replayed.send("/sign-in/passkey", sent.value.post_data_json).status_code == 401

    with served.store.work(MACHINE) as work:  # a clone: the authenticator's counter is behind what was seen
        work.session.scalars(select(Credential)).one().sign_count = 1000
        work.record("test", "account", "1")
    screen.sign_out()
    screen.page.click("[data-passkey=use] button")
    screen.page.get_by_text("is not right").wait_for()
    assert [line for line in screen.complaints if "401" not in line and "404" not in line] == []


def test_a_passkey_that_does_not_know_its_person_is_not_enough(served: Clinic, screen: Screen) -> None:
    served.person("ada")
    screen.sign_in("ada")
    _make(screen)
    screen.sign_out()
    screen.cdp.send("WebAuthn.setUserVerified", {"authenticatorId": screen.authenticator, "isUserVerified": False})
    screen.page.click("[data-passkey=use] button")
    screen.page.wait_for_selector("[data-passkey=use] [role=status]:not(:empty)")
    screen.page.goto(f"{screen.origin}/account")
    assert "/sign-in" in screen.page.url


def test_no_page_of_the_accounts_violates_the_policy_and_injected_script_does_not_run(served: Clinic, screen: Screen) -> None:
    served.person("boss", roles=("administrator",))
    served.ward("icu")
    screen.page.goto(f"{screen.origin}/sign-in")
    screen.sign_in("boss")
    for path in ("/account", "/admin/accounts", "/admin/wards"):
        assert screen.page.goto(f"{screen.origin}{path}").ok
    screen.page.goto(f"{screen.origin}/account")
    screen.page.click("form[action='/account/totp'] button")
    screen.page.wait_for_selector("svg.qr")
    assert screen.complaints == []
    blocked = """() => new Promise(done => {
        document.addEventListener('securitypolicyviolation', event => done(event.violatedDirective));
        const script = document.createElement('script');
        try { script.textContent = 'window.ran = 1'; document.body.append(script); } catch (error) { done('trusted-types'); }
    })"""
    assert screen.page.evaluate(blocked) in {"script-src-elem", "trusted-types", "require-trusted-types-for"}
    assert screen.page.evaluate("window.ran") is None


def _actions(clinic: Clinic) -> list[str]:
    with clinic.store.read(MACHINE) as reading:
        return list(reading.session.scalars(select(Audit.action).order_by(Audit.sequence)))
