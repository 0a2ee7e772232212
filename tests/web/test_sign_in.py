"""Signing in and out: no login is given away, failures slow down, a token is new each time, what is over stays over."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
import time_machine
from sqlalchemy import select

from auctor.web.accounts import passwords
from auctor.web.accounts.second_factor import fingerprint
from auctor.web.store.tables import Account, Audit, Session
from clinic import MACHINE, PASSWORD, Clinic


@pytest.fixture(autouse=True)
def _ada(clinic: Clinic) -> None:
    clinic.person("ada", wards=("icu",))


def _rows(clinic: Clinic, table: Any) -> list[Any]:
    with clinic.store.read(MACHINE) as reading:
        return list(reading.session.scalars(select(table)))


def test_a_password_opens_a_session_whose_token_is_nowhere_in_the_store(clinic: Clinic, tmp_path: Path) -> None:
    browser = clinic.signed_in("ada")
    token = browser.client.cookies["auctor"]
    assert len(token) >= 43  # 256 bits
    assert [row.id for row in _rows(clinic, Session)] == [fingerprint(token)]
    assert not any(token.encode() in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert browser.get("/account").status_code == 200


def test_the_login_does_not_mind_case_and_blanks(clinic: Clinic) -> None:
    assert clinic.browser().sign_in(" ADA ").status_code == 303


@pytest.mark.parametrize("login", ["ada", "nobody"])
def test_a_refusal_says_the_same_and_does_the_same_work_for_a_login_that_does_not_exist(
    clinic: Clinic, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher, checked = type(passwords._hasher()), []
    real = hasher.verify
    monkeypatch.setattr(hasher, "verify", lambda self, *given: (checked.append(1), real(self, *given))[1])
    answer = clinic.browser().sign_in(login, "wrong horse battery")
    assert (answer.status_code, len(checked)) == (401, 1)
    text = re.sub(r'"\w{64}"', "", answer.text)
    other = re.sub(r'"\w{64}"', "", clinic.browser().sign_in("other", "wrong horse battery").text)
    assert text == other


def test_failures_slow_the_next_attempts_down_alike_for_known_and_unknown_logins(clinic: Clinic) -> None:
    clinic.app.state.reception.sign_in.rates._clock = lambda: datetime(2026, 3, 1, tzinfo=UTC)
    for login in ("ada", "nobody"):
        browser = clinic.browser()
        codes = [browser.sign_in(login, f"wrong horse {n}").status_code for n in range(7)]
        assert codes == [401] * 6 + [429]
        assert int(browser.seen[-1].headers["retry-after"]) >= 1
    assert clinic.browser().sign_in("ada").status_code == 429  # even the right password has to wait


def test_a_closed_account_does_not_open(clinic: Clinic) -> None:
    account = clinic.person("eve")
    browser = clinic.signed_in("eve")
    clinic.app.state.reception.directory.set_active(MACHINE, account, False)
    assert browser.get("/account").headers["location"].startswith("/sign-in")
    assert clinic.browser().sign_in("eve").status_code == 401


def test_each_sign_in_has_a_new_token_and_ends_the_session_before_it(clinic: Clinic) -> None:
    browser = clinic.signed_in("ada")
    first = browser.client.cookies["auctor"]
    browser.sign_in("ada")
    assert browser.client.cookies["auctor"] != first
    late = clinic.browser(cookies={"auctor": first})
    assert late.get("/account").status_code == 303


def test_a_token_that_was_planted_is_not_taken_over(clinic: Clinic) -> None:
    planted = "planted" * 8
    browser = clinic.browser(cookies={"auctor": planted, "auctor-visitor": planted})
    answer = browser.sign_in("ada")
    assert not any(planted in line for line in answer.headers.get_list("set-cookie"))
    assert clinic.browser(cookies={"auctor": planted}).get("/account").status_code == 303


def test_signing_out_ends_the_session_on_the_server(clinic: Clinic) -> None:
    browser = clinic.signed_in("ada")
    token = browser.client.cookies["auctor"]
    answer = browser.post("/sign-out")
    assert answer.headers["clear-site-data"] == '"cache", "storage"'
    assert clinic.browser(cookies={"auctor": token}).get("/account").status_code == 303


@pytest.mark.parametrize(("minutes", "alive"), [(29, True), (31, False)])
def test_an_idle_session_ends(clinic: Clinic, minutes: int, alive: bool) -> None:
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        browser = clinic.signed_in("ada")
        clock.shift(60 * minutes)
        assert (browser.get("/account").status_code == 200) is alive


@pytest.mark.parametrize(("hours", "alive"), [(11.9, True), (12.1, False)])
def test_a_session_ends_after_twelve_hours_whatever_one_does(clinic_folder: Path, hours: float, alive: bool) -> None:
    busy = Clinic.opened(clinic_folder, session_idle_minutes=10_000)
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        browser = busy.signed_in("ada")
        clock.shift(3600 * hours)
        assert (browser.get("/account").status_code == 200) is alive


@pytest.mark.parametrize("onward", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb: c"])
def test_nobody_is_sent_elsewhere_after_signing_in(clinic: Clinic, onward: str) -> None:
    assert clinic.browser().sign_in("ada", onward=onward).headers["location"] == "/"


def test_one_is_sent_on_to_the_page_that_was_asked_for(clinic: Clinic) -> None:
    browser = clinic.browser()
    asked = browser.get("/account").headers["location"]
    page = browser.get(asked).text
    assert 'name="onward" value="/account"' in page
    assert browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "onward": "/account"}).headers["location"] == "/account"


def test_a_script_is_told_to_sign_in_by_a_header_and_a_program_by_401(clinic: Clinic) -> None:
    browser = clinic.browser()
    assert browser.get("/account", headers={"hx-request": "true"}).headers["hx-redirect"] == "/sign-in?next=/account"
    answer = browser.get("/account", headers={"accept": "application/json"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def _with_totp(clinic: Clinic) -> tuple[str, list[str]]:
    browser = clinic.signed_in("ada")
    key = re.search(r'id="totp-key">(\w+)<', browser.post("/account/totp").text)[1]
    page = browser.post("/account/totp/confirm", {"code": pyotp.TOTP(key).now()}).text
    return key, re.findall(r"<code>([a-z2-7-]{34})</code>", page)


def test_a_second_factor_is_asked_for_and_each_code_is_good_once(clinic: Clinic) -> None:
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        key, codes = _with_totp(clinic)
        assert len(codes) == 10
        clock.shift(60)
        code = pyotp.TOTP(key).now()
        browser = clinic.browser()
        assert browser.sign_in("ada").status_code == 200
        assert browser.get("/account").status_code == 303  # the password alone opens nothing
        assert browser.post("/sign-in/code", {"code": "000000" if code != "000000" else "111111"}).status_code == 401
        assert browser.post("/sign-in/code", {"code": code}).status_code == 303
        other = clinic.browser()
        other.sign_in("ada")
        assert other.post("/sign-in/code", {"code": code}).status_code == 401  # seen over the shoulder: too late
        clock.shift(30)
        assert other.post("/sign-in/code", {"code": pyotp.TOTP(key).now()}).status_code == 303


def test_a_recovery_code_opens_once(clinic: Clinic) -> None:
    _, codes = _with_totp(clinic)
    for expected in (303, 401):
        browser = clinic.browser()
        browser.sign_in("ada")
        assert browser.post("/sign-in/code", {"code": codes[0].upper().replace("-", " ")}).status_code == expected


def test_the_second_step_is_bound_to_the_browser_and_to_five_minutes(clinic: Clinic) -> None:
    _, codes = _with_totp(clinic)
    clinic.browser().sign_in("ada")
    stranger = clinic.browser()
    stranger.get("/sign-in")
    assert stranger.post("/sign-in/code", {"code": codes[0]}).status_code == 401


def test_the_authenticators_key_lies_sealed_and_codes_only_as_hashes(clinic: Clinic, tmp_path: Path) -> None:
    key, codes = _with_totp(clinic)
    clinic.store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert key.encode() not in kept
    assert not any(code.encode() in kept or code.replace("-", "").encode() in kept for code in codes)


def test_every_way_in_and_every_change_of_an_account_leaves_one_entry_without_a_secret(clinic: Clinic) -> None:
    key, codes = _with_totp(clinic)
    entries = [row for row in _rows(clinic, Audit) if row.login != MACHINE.login]
    assert [row.action for row in entries] == ["sign-in", "account.totp"]
    text = repr([row.as_data() for row in entries])
    assert not any(secret in text for secret in (key, codes[0], "argon2"))


def test_an_old_hash_is_renewed_at_sign_in(clinic: Clinic) -> None:
    from argon2 import PasswordHasher

    with clinic.store.work(MACHINE) as work:
        account = work.session.scalars(select(Account).where(Account.login == "ada")).one()
        account.password_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
        work.record("test", "account", account.id)
    clinic.signed_in("ada")
    assert not passwords.outdated(_rows(clinic, Account)[0].password_hash)
