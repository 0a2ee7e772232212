"""Sign-in at a hospital's provider, against a real one on loopback (authlib's server side), honest and lying in every way we check."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import select

from auctor.web.accounts.oidc import CALLBACK
from auctor.web.store.tables import Account
from clinic import MACHINE, Browser, Clinic

pytest.importorskip("authlib")


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """An installation with a provider beside it."""

    clinic: Clinic
    provider: Any

    def person(self, subject: str = "subject-1") -> None:
        self.clinic.app.state.reception.directory.add(MACHINE, login="ada", name="Ada", roles=("author",), oidc_subject=subject)

    def sent(self, browser: Browser, onward: str = "/account") -> str:
        """The address that the browser is sent to for signing in."""
        browser.get("/sign-in")
        answer = browser.post("/sign-in/oidc", {"onward": onward})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def back(self, address: str) -> str:
        """Where the provider sends the browser back to."""
        answer = httpx.get(address)
        assert answer.status_code == 302, answer.text
        return str(answer.headers["location"])

    def sign_in(self, browser: Browser) -> Any:
        return browser.get(self.back(self.sent(browser)))


@pytest.fixture
def hospital(clinic_folder: Path) -> Iterator[Hospital]:
    from identity_provider import CLIENT, SECRET, running

    with running("http://localhost:8571" + CALLBACK) as provider:
        settings = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
        clinic = Clinic.opened(clinic_folder, **settings)
        yield Hospital(clinic=clinic, provider=provider)
        clinic.store.close()


def test_a_linked_person_signs_in_and_goes_on_to_the_page_asked_for(hospital: Hospital) -> None:
    hospital.person()
    browser = hospital.clinic.browser()
    address = hospital.sent(browser)
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid profile")
    assert len(asked["state"]) >= 43 and len(asked["nonce"]) >= 43
    answer = browser.get(hospital.back(address))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "Ada" in browser.get("/account").text
    assert hospital.provider.challenges[0][1] == "S256"


def test_a_person_without_an_account_is_refused_or_made_without_roles(hospital: Hospital, clinic_folder: Path) -> None:
    refused = hospital.sign_in(hospital.clinic.browser())
    assert refused.status_code == 403 and "subject-1" in refused.text
    settings = hospital.clinic.settings
    options = {name: getattr(settings, name) for name in ("oidc_issuer", "oidc_client_id", "oidc_client_secret")}
    open_door = Clinic.opened(clinic_folder, oidc_create_accounts=True, **options)
    browser = open_door.browser()
    for _ in range(2):  # the second time it is the same account
        assert Hospital(clinic=open_door, provider=hospital.provider).sign_in(browser).status_code == 303
    with open_door.store.read(MACHINE) as reading:
        [account] = reading.session.scalars(select(Account)).all()
    assert (account.login, account.roles, account.oidc_subject) == ("subject-1", [], "subject-1")
    assert browser.get("/admin/accounts").status_code == 403


def test_the_same_name_at_the_provider_does_not_take_a_local_account_over(hospital: Hospital) -> None:
    hospital.clinic.person("subject-1", roles=("administrator",))
    assert hospital.sign_in(hospital.clinic.browser()).status_code == 403


def _later(seconds: int) -> int:
    return int(time.time()) + seconds


LIES: dict[str, Any] = {
    "another issuer in the token": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "other"}},
    "two audiences, for the other": {"claims": {"aud": ["auctor", "other"], "azp": "other"}},
    "two audiences, for nobody": {"claims": {"aud": ["auctor", "other"]}},
    "no audience": {"claims": {"aud": None}},
    "no subject": {"claims": {"sub": None}},
    "another nonce": {"claims": {"nonce": "replayed"}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"claims": {"exp": _later(-3600)}},
    "no end": {"claims": {"exp": None}},
    "from the future": {"claims": {"iat": _later(3600)}},
    "no time": {"claims": {"iat": None}},
    "not before tomorrow": {"claims": {"nbf": _later(86400)}},
    "no signature": {"alg": "none"},
    "signed with the public key as a secret": {"alg": "HS256"},
    "signed with another key of the same name": {"key": RSAKey.generate_key(2048, {"kid": "k1"}, private=True)},
    "a symmetric key among the public ones": {"alg": "HS256", "keys": {"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}]}},
    "another issuer in its description": {"issuer": "https://evil.example"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_token_that_does_not_hold_opens_nothing(hospital: Hospital, lie: str) -> None:
    hospital.person()
    hospital.provider.lies.update(LIES[lie])
    browser = hospital.clinic.browser()
    browser.get("/sign-in")
    begun = browser.post("/sign-in/oidc")
    answer = browser.get(hospital.back(begun.headers["location"])) if begun.status_code == 303 else begun
    assert answer.status_code == 401, answer.text
    assert browser.get("/account").status_code == 303


def test_the_provider_has_to_have_asked_for_what_counts_as_two_factors(hospital: Hospital, clinic_folder: Path) -> None:
    hospital.person()
    options = {name: getattr(hospital.clinic.settings, name) for name in ("oidc_issuer", "oidc_client_id", "oidc_client_secret")}
    strict = Hospital(clinic=Clinic.opened(clinic_folder, oidc_acr=("mfa", "card"), **options), provider=hospital.provider)
    asked = parse_qs(urlsplit(strict.sent(strict.clinic.browser())).query)
    assert asked["acr_values"] == ["mfa card"]
    for stated, status in ((None, 401), ("password", 401), ("mfa", 303), ("card", 303)):
        hospital.provider.lies["claims"] = {"acr": stated}
        answer = strict.sign_in(strict.clinic.browser())
        assert answer.status_code == status and ("as strongly as is asked" in answer.text) == (status == 401)
    strict.clinic.store.close()


def test_two_audiences_are_fine_when_the_token_was_made_for_us(hospital: Hospital) -> None:
    hospital.person()
    hospital.provider.lies["claims"] = {"aud": ["auctor", "other"], "azp": "auctor"}
    assert hospital.sign_in(hospital.clinic.browser()).status_code == 303


def test_renewed_keys_are_fetched(hospital: Hospital) -> None:
    hospital.person()
    assert hospital.sign_in(hospital.clinic.browser()).status_code == 303
    hospital.provider.renew_key()
    assert hospital.sign_in(hospital.clinic.browser()).status_code == 303


@pytest.mark.parametrize("change", ["state", "code", "error", "iss", "none"])
def test_an_answer_that_was_meddled_with_opens_nothing(hospital: Hospital, change: str) -> None:
    hospital.person()
    browser = hospital.clinic.browser()
    back = hospital.back(hospital.sent(browser))
    code, state = (parse_qs(urlsplit(back).query)[name][0] for name in ("code", "state"))
    query = {
        "state": {"code": code, "state": state[:-1] + "x"},
        "code": {"code": code[:-1] + "x", "state": state},
        "error": {"error": "access_denied", "state": state},
        "iss": {"code": code, "state": state, "iss": "https://evil.example"},
        "none": {},
    }[change]
    assert browser.get(CALLBACK, params=query).status_code == 401
    assert browser.get(back).status_code == 401  # and the honest answer is spent


def test_an_answer_is_good_once_and_for_the_browser_that_asked(hospital: Hospital) -> None:
    hospital.person()
    victim, attacker = hospital.clinic.browser(), hospital.clinic.browser()
    back = hospital.back(hospital.sent(attacker))
    hospital.sent(victim)
    assert victim.get(back).status_code == 401  # signing a victim in as somebody else
    assert attacker.get(back).status_code == 303
    assert attacker.get(back).status_code == 401


def test_a_provider_that_does_not_answer_is_said_and_passwords_still_work(hospital: Hospital, clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, oidc_issuer="http://127.0.0.1:9", oidc_client_id="auctor")
    clinic.person("eve")
    browser = clinic.browser()
    browser.get("/sign-in")
    assert browser.post("/sign-in/oidc").status_code == 401
    assert clinic.browser().sign_in("eve").status_code == 303


def test_a_provider_is_asked_over_https_only_beyond_this_machine(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, oidc_issuer="http://id.example", oidc_client_id="auctor")
    browser = clinic.browser()
    browser.get("/sign-in")
    assert "not https" in browser.post("/sign-in/oidc").text
