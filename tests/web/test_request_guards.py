"""What every request passes: headers on every answer, hosts, sizes, forged forms, and errors that show nothing of the inside."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auctor.web.middleware.headers import content_security_policy
from auctor.web.middleware.pace import Buckets
from clinic import PASSWORD, Clinic

EVERY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
BROKEN = [
    ("GET", "/sign-in", {}),
    ("GET", "/nowhere", {}),
    ("DELETE", "/sign-in", {}),
    ("TRACE", "/sign-in", {}),
    ("POST", "/sign-in", {}),
    ("GET", "/account", {}),
    ("GET", "/health/ready", {}),
    ("GET", "/sign-in", {"host": "evil.example"}),
    ("GET", "/sign-in", {"origin": "https://evil.example"}),
    ("OPTIONS", "/api/v1/patients", {"origin": "https://evil.example", "access-control-request-method": "POST"}),
    ("POST", "/sign-in", {"content-length": "99999999"}),
    ("GET", "/static/accounts/passkeys.js", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), BROKEN)
def test_every_answer_has_the_headers(clinic: Clinic, method: str, path: str, headers: dict[str, str]) -> None:
    answer = clinic.browser().client.request(method, path, headers=headers)
    policy = answer.headers["content-security-policy"]
    assert policy.split("; ")[:4] == ["default-src 'none'", "object-src 'none'", "script-src 'self'", "style-src 'self'"]
    assert "require-trusted-types-for 'script'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert {name: answer.headers.get(name) for name in EVERY} == EVERY
    assert answer.headers["cache-control"] == "no-store" or path.startswith("/static/")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert not answer.headers.get("content-type", "").startswith("text/") or "charset=utf-8" in answer.headers["content-type"]
    assert answer.status_code == 405 or method != "TRACE"
    assert "server" not in answer.headers and "x-powered-by" not in answer.headers


def test_with_https_cookies_are_bound_to_the_host_and_the_browser_is_told_to_stay(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, public_url="https://auctor.example")
    clinic.person("ada")
    answer = clinic.browser().sign_in("ada")
    [session, visitor] = answer.headers.get_list("set-cookie")
    assert re.fullmatch(r"__Host-auctor=[\w-]{43}; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=43200", session)
    assert visitor == "__Host-auctor-visitor=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
    assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_every_cookie_is_bound_to_the_host_the_readers_language_too(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, public_url="https://auctor.example")
    browser = clinic.browser()
    browser.get("/sign-in")
    answer = browser.post("/language", {"code": "fr", "next": "/sign-in"})
    assert answer.headers.get_list("set-cookie") == [
        "__Host-auctor-language=fr; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=31536000",
    ]
    assert '<html lang="fr">' in browser.get("/sign-in").text


def test_an_ehr_may_frame_the_pages_only_where_it_is_configured(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, public_url="https://auctor.example", frame_ancestors=("https://ehr.example",))
    answer = clinic.browser().get("/sign-in")
    assert "frame-ancestors https://ehr.example;" in answer.headers["content-security-policy"]
    assert "x-frame-options" not in answer.headers
    assert "SameSite=None; Partitioned; Secure" in answer.headers["set-cookie"]
    assert content_security_policy(clinic.settings).count("https://") == 1


def test_another_host_is_not_answered(clinic: Clinic) -> None:
    assert clinic.browser().client.get("/sign-in", headers={"host": "evil.example"}).status_code == 400


def test_a_body_beyond_the_limit_is_refused_whatever_it_announces(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, max_body_bytes=1000)
    client = clinic.browser().client
    headers = {"origin": clinic.settings.origin, "content-type": "application/x-www-form-urlencoded"}
    assert client.post("/sign-in", content=b"a=" + b"x" * 2000, headers=headers).status_code == 413
    pieces = (b"x" * 100 for _ in range(100))
    assert client.post("/sign-in", content=pieces, headers=headers).status_code == 413  # chunked: no length announced


def _forged() -> dict[str, Any]:
    """By name: what a request of an attacker's page looks like, given the token of the real page."""
    return {
        "no token": lambda token: ({}, {}),
        "a wrong token": lambda token: ({"csrf_token": token[:-1] + "x"}, {}),
        "a foreign origin": lambda token: ({"csrf_token": token}, {"origin": "https://evil.example"}),
        "a null origin": lambda token: ({"csrf_token": token}, {"origin": "null"}),
        "a lookalike origin": lambda token: ({"csrf_token": token}, {"origin": "http://localhost:8571.evil.example"}),
        "a foreign referrer": lambda token: (
            {"csrf_token": token},
            {"origin": "", "referer": "https://evil.example/http://localhost:8571"},
        ),
        "no origin at all": lambda token: ({"csrf_token": token}, {"origin": ""}),
        "the token in the address": lambda token: ({}, {}),
    }


@pytest.mark.parametrize("how", _forged())
def test_a_forged_form_changes_nothing(clinic: Clinic, how: str) -> None:
    clinic.person("boss", roles=("administrator",))
    browser = clinic.signed_in("boss")
    fields, headers = _forged()[how](browser.token)
    headers = {"origin": clinic.settings.origin} | headers
    headers = {name: value for name, value in headers.items() if value}
    path = "/admin/wards" + (f"?csrf_token={browser.token}" if how == "the token in the address" else "")
    answer = browser.client.post(path, data={"ward": "new", "name": "New", **fields}, headers=headers)
    assert answer.status_code == 403
    assert "new" not in browser.get("/admin/wards").text.split("<main")[1].split("<form")[0]
    assert browser.post("/admin/wards", {"ward": "new", "name": "New"}).status_code == 303  # the honest form works


def test_a_token_of_another_session_is_worth_nothing(clinic: Clinic) -> None:
    clinic.person("boss", roles=("administrator",))
    one, other = clinic.signed_in("boss"), clinic.signed_in("boss")
    one.token = other.token
    assert one.post("/admin/wards", {"ward": "new", "name": "New"}).status_code == 403


def test_signing_in_cannot_be_forged_either(clinic: Clinic) -> None:
    clinic.person("ada")
    answer = clinic.browser().client.post(
        "/sign-in", data={"login": "ada", "password": PASSWORD}, headers={"origin": clinic.settings.origin}
    )
    assert answer.status_code == 403


def test_a_form_may_be_multipart_and_its_files_arrive_whole(clinic: Clinic) -> None:
    clinic.person("boss", roles=("administrator",))
    browser = clinic.signed_in("boss")
    parts = {"csrf_token": (None, browser.token), "ward": (None, "icu"), "name": (None, "Intensive care")}
    answer = browser.client.post("/admin/wards", files=parts, headers={"origin": clinic.settings.origin})
    assert answer.status_code == 303


def test_one_account_asks_for_so_much_and_no_more_whatever_session_or_key_it_uses(clinic_folder: Path) -> None:
    clinic = Clinic.opened(clinic_folder, requests_a_minute=12)
    clinic.person("ada")
    clinic.person("bob")
    ada, bob = clinic.signed_in("ada"), clinic.signed_in("bob")
    codes = [ada.get("/account").status_code for _ in range(13)]
    assert codes[:9] == [200] * 9 and codes[-1] == 429
    assert int(ada.seen[-1].headers["retry-after"]) >= 1 and "at a time" in ada.seen[-1].text
    assert bob.get("/account").status_code == 200
    assert ada.get("/static/app.css").status_code == 200  # the page that says so has its style


def test_requests_at_the_same_time_are_bounded_and_a_bucket_fills_again() -> None:
    clock = [0.0]
    buckets = Buckets(a_minute=60, at_once=2, clock=lambda: clock[0])
    assert [buckets.enter("ada", 1) for _ in range(3)] == [0, 0, 1]
    assert buckets.enter("bob", 1) == 0 and [buckets.enter("proxy", 2) for _ in range(5)] == [0, 0, 0, 0, 1]
    buckets.leave("ada")
    for _ in range(58):
        assert buckets.enter("ada", 1) == 0
        buckets.leave("ada")
    assert buckets.enter("ada", 1) == 1  # sixty in this minute
    clock[0] = 1.0
    assert [buckets.enter("ada", 1), buckets.enter("ada", 1)] == [0, 1]


def test_a_forwarded_address_is_not_believed(clinic: Clinic) -> None:
    """Only uvicorn, from configured proxies, takes a forwarded address; the application itself never does."""
    clinic.app.state.reception.sign_in.rates._clock = lambda: datetime(2026, 3, 1, tzinfo=UTC)
    browser = clinic.browser()
    browser.get("/sign-in")
    fields = {"login": "ada", "password": "wrong horse battery"}
    codes = [
        browser.post("/sign-in", fields, headers={"x-forwarded-for": f"10.0.0.{n}", "forwarded": f"for=10.0.0.{n}"}).status_code
        for n in range(7)
    ]
    assert codes == [401] * 6 + [429]


def test_an_unforeseen_error_shows_nothing_of_the_inside(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise RuntimeError("Jane Doe, born 1961")

    monkeypatch.setattr(type(clinic.app.state.reception.setup), "check", fail)
    answer = clinic.browser().get("/setup")
    assert answer.status_code == 500
    assert answer.json()["error"]["kind"] == "Bug"
    assert not any(word in answer.text for word in ("Jane", "Traceback", "RuntimeError", "auctor/web"))


def test_a_form_of_the_wrong_shape_is_refused_by_the_name_of_the_field(clinic: Clinic) -> None:
    clinic.person("boss", roles=("administrator",))
    browser = clinic.signed_in("boss")
    answer = browser.post("/account/keys", {"key_name": "lab", "days": "Jane Doe"})
    assert answer.status_code == 422
    assert "Jane" not in answer.text and "days" in answer.text
