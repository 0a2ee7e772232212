"""SMART App Launch against a real authorization server on loopback: both launches, and everything that must not be believed."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import OctKey
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse

from auctor.errors import RecordError
from auctor.web.accounts.actor import Actor, Role
from auctor.web.app import application
from auctor.web.emr.addresses import MOST_BYTES, check_address
from auctor.web.emr.own_keys import OwnKeys
from auctor.web.emr.partners import Partners, read_partners
from auctor.web.emr.smart_client import LaunchRefused, SmartClient
from auctor.web.settings import Settings, read_settings
from auctor.web.store.tables import Account, AccountWard
from emr import fake_ehr
from emr.fake_ehr import App, FakeEhr
from emr.hospital import ROOT, admit

INSTALLER = Actor.system("install")


@pytest.fixture(scope="module")
def ehr() -> Iterator[FakeEhr]:
    with fake_ehr.serving() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, ehr: FakeEhr) -> tuple[FastAPI, Settings, str]:
    """The application with the double as its one SMART partner, a linked account, and a patient with an open course."""
    folder = tmp_path_factory.mktemp("smart")
    partners = folder / "partners.toml"
    partners.write_text(f'[[smart]]\niss = "{ehr.iss}"\nclient_id = "auctor"\n')
    settings = read_settings({}, data_folder=folder, partners_file=str(partners))
    app = application(settings)
    case = tomllib.loads((ROOT / "examples" / "vancomycin_two_levels.toml").read_text())
    course = admit(app.state.store, case, authority=ehr.iss, identifier="pat1")
    with app.state.store.work(INSTALLER) as work:
        account = Account(login="p1", name="P One", roles=[Role.AUTHOR.value], oidc_issuer=ehr.base, oidc_subject="user-1")
        work.session.add(account)
        work.session.flush()
        work.session.add(AccountWard(account_id=account.id, ward_id="icu"))
        work.record("account.add", "account", account.id)
    own = OwnKeys(file=settings.data_folder / "smart-keys.json")
    ehr.app = App("auctor", f"{settings.origin}/smart/callback", own.public)
    return app, settings, course


@pytest.fixture(autouse=True)
def _honest(ehr: FakeEhr) -> Iterator[None]:
    yield
    ehr.lies.clear()
    ehr.context.clear()
    ehr.patients.clear()


@pytest.fixture
def browser(site: tuple[FastAPI, Settings, str]) -> TestClient:
    app, settings, _ = site
    return TestClient(app, base_url=settings.origin, follow_redirects=False)


def _fresh(site: tuple[FastAPI, Settings, str]) -> None:
    """Forget what was fetched before, so that a lie is heard."""
    app = site[0]
    if hasattr(app.state, "smart_launches"):
        client: SmartClient = app.state.smart_launches.client
        client._known.clear()
        client.keys._kept.clear()


def _to_server(browser: TestClient, ehr: FakeEhr, patient: str = "pat1", *, standalone: bool = False) -> str:
    """From the record to the authorization server; where it sends the browser back to."""
    path = (
        f"/smart/open?{urlencode({'iss': ehr.iss})}"
        if standalone
        else f"/smart/launch?{urlencode({'iss': ehr.iss, 'launch': ehr.launch(patient)})}"
    )
    off = browser.get(path)
    assert off.status_code == 302, off.text[:500]
    back = httpx.get(off.headers["location"], trust_env=False)
    assert back.status_code == 302, back.text
    return back.headers["location"]


def _launched(browser: TestClient, ehr: FakeEhr, patient: str = "pat1", **more: Any) -> Any:
    return browser.get(_to_server(browser, ehr, patient, **more))


def test_an_ehr_launch_opens_the_patients_course(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    answer = _launched(browser, ehr)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/courses/{site[2]}")
    page = browser.get(answer.headers["location"])
    assert page.status_code == 200 and "Doe" in page.text
    assert ehr.assertions[-1]["alg"] == "ES384"
    asked = ehr.asked[-1]
    assert asked["aud"] == ehr.iss and asked["code_challenge_method"] == "S256" and len(asked["state"]) >= 43  # 256 bits
    scopes = set(asked["scope"].split())
    assert {"launch", "openid", "fhirUser"} <= scopes and not any(s.startswith(("user/", "system/")) or "*" in s for s in scopes)


def test_a_page_of_another_patient_says_so_in_a_launched_session(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient
) -> None:
    case = tomllib.loads((ROOT / "examples" / "vancomycin_two_levels.toml").read_text())
    other = admit(site[0].state.store, case, authority=ehr.iss, identifier="someone else")
    mine = _launched(browser, ehr).headers["location"]
    assert 'id="elsewhere"' not in browser.get(mine).text
    assert 'id="elsewhere"' in browser.get(f"/courses/{other}").text


def test_a_standalone_launch_asks_for_the_patient(ehr: FakeEhr, browser: TestClient) -> None:
    answer = _launched(browser, ehr, standalone=True)
    assert answer.status_code == 303 and answer.headers["location"] == "/work"  # a patient that the store does not know
    asked = ehr.asked[-1]
    assert "launch/patient" in asked["scope"].split() and "launch" not in asked["scope"].split() and "launch" not in asked


def test_the_context_of_a_card_opens_its_course_if_it_is_this_patients(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient
) -> None:
    case = tomllib.loads((ROOT / "examples" / "tacrolimus_kidney.toml").read_text())
    other = admit(site[0].state.store, case, authority=ehr.iss, identifier="pat2")
    ehr.context = {"appContext": json.dumps({"course": site[2]})}
    assert _launched(browser, ehr).headers["location"] == f"/courses/{site[2]}"
    assert _launched(browser, ehr, "pat2").headers["location"] == f"/courses/{other}"
    ehr.context = {"appContext": json.dumps({"course": "//evil.example"})}
    assert _launched(browser, ehr).headers["location"] == f"/courses/{site[2]}"


def test_identifiers_of_the_patient_resource_find_the_course(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient
) -> None:
    case = tomllib.loads((ROOT / "examples" / "vancomycin_two_levels.toml").read_text())
    course = admit(site[0].state.store, case, authority="urn:oid:1.2.250.9", identifier="77")
    ehr.patients["pat77"] = {"resourceType": "Patient", "id": "pat77", "identifier": [{"system": "urn:oid:1.2.250.9", "value": "77"}]}
    assert _launched(browser, ehr, "pat77").headers["location"] == f"/courses/{course}"
    ehr.patients["pat78"] = ehr.patients["pat77"]  # a resource that is somebody else's names nobody
    assert _launched(browser, ehr, "pat78").headers["location"] == "/work"


def test_another_launch_ends_the_earlier_patients_session_and_context(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient
) -> None:
    app, settings, course = site
    _launched(browser, ehr)
    before = dict(browser.cookies.items())
    form = re.search(r'name="csrf_token" value="([0-9a-f]+)"', browser.get(f"/courses/{course}").text)
    _launched(browser, ehr, "somebody-else")
    stale = TestClient(app, base_url=settings.origin, cookies=before, follow_redirects=False)
    assert stale.get(f"/courses/{course}").headers["location"].startswith("/sign-in")
    assert form is not None
    posted = browser.post(f"/courses/{course}/analyse", data={"csrf_token": form[1]}, headers={"origin": settings.origin})
    assert posted.status_code == 403
    contexts = app.state.smart_launches.contexts
    assert [granted.patient for granted in contexts._kept.values()][-1] == "somebody-else"
    assert sum(granted.patient == "pat1" for granted in contexts._kept.values()) < 10


def test_tokens_stay_on_the_server(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    answer = _launched(browser, ehr)
    page = browser.get(answer.headers["location"])
    seen = " ".join([str(answer.headers), page.text, str(page.headers), *(f"{n}={v}" for n, v in browser.cookies.items())])
    granted = next(reversed(site[0].state.smart_launches.contexts._kept.values()))
    assert granted.access_token in ehr.tokens and granted.access_token not in seen and granted.access_token not in repr(granted)


def test_an_account_that_is_not_linked_is_refused(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    ehr.lies["identity"] = _identity(sub="stranger")
    answer = _launched(browser, ehr)
    assert answer.status_code == 403 and "no account" in answer.text and "auctor=" not in str(answer.headers.get("set-cookie", ""))


def test_the_public_keys_are_public_only(site: tuple[FastAPI, Settings, str], browser: TestClient) -> None:
    keys = browser.get("/smart/jwks.json").json()["keys"]
    assert [(k["kty"], k["alg"]) for k in keys] == [("EC", "ES384"), ("RSA", "RS384")]
    assert not any({"d", "p", "q", "k"} & k.keys() for k in keys)
    assert (site[1].data_folder / "smart-keys.json").stat().st_mode & 0o077 == 0


def test_rs384_assertions_are_taken_too(tmp_path: Path, ehr: FakeEhr, site: tuple[FastAPI, Settings, str]) -> None:
    app = site[0]
    client: SmartClient = app.state.smart_launches.client if hasattr(app.state, "smart_launches") else pytest.fail("no launch before")
    partners = Partners.model_validate({"smart": [{"iss": ehr.iss, "client_id": "auctor", "algorithm": "RS384"}]})
    other = SmartClient(partners=partners, own=client.own, redirect_uri=client.redirect_uri)
    there, note = other.begin(ehr.iss, ehr.launch("pat1"))
    back = httpx.get(there, trust_env=False).headers["location"]
    granted = other.finish(note, {name: values[0] for name, values in parse_qs(urlsplit(back).query).items()})
    assert granted.patient == "pat1" and granted.user == "Practitioner/p1" and ehr.assertions[-1]["alg"] == "RS384"


# ---- what must not be believed: the server's address


_BAD_ISS = [
    "", "https://evil.example/fhir", "http://169.254.169.254/latest/meta-data", "http://localhost:1/fhir", "file:///etc/passwd",
    "https://ehr.example@evil.example/fhir", "gopher://localhost/", "//evil.example", "http://[::1]/fhir", "x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("iss", [*_BAD_ISS, "path", "case", "query", "traversal"])
def test_a_server_that_is_not_on_the_list_is_never_asked(ehr: FakeEhr, browser: TestClient, iss: str) -> None:
    near = {"path": f"{ehr.iss}/other", "case": ehr.iss.upper(), "query": f"{ehr.iss}?x=1", "traversal": f"{ehr.iss}/../elsewhere"}
    asked = len(ehr.requests)
    answer = browser.get(f"/smart/launch?{urlencode({'iss': near.get(iss, iss), 'launch': 'x'})}")
    assert answer.status_code == 403 and len(ehr.requests) == asked


def test_a_launch_without_its_value_is_refused(ehr: FakeEhr, browser: TestClient) -> None:
    for launch in ("", "x" * 5000):
        assert browser.get(f"/smart/launch?{urlencode({'iss': ehr.iss, 'launch': launch})}").status_code == 403


_BAD_CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("no PKCE", {"code_challenge_methods_supported": None}),
    ("PKCE plain only", {"code_challenge_methods_supported": ["plain"]}),
    ("no signed assertions", {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}),
    ("no EHR launch", {"capabilities": []}),
    ("no authorization endpoint", {"authorization_endpoint": None}),
    ("a script for one", {"authorization_endpoint": "javascript:alert(1)"}),
    ("plain http", {"authorization_endpoint": "http://ehr.example/authorize"}),
    ("a token endpoint inside", {"token_endpoint": "http://10.0.0.1/"}),
    ("a file of keys", {"jwks_uri": "file:///etc/passwd"}),
    ("no issuer", {"issuer": None}),
    ("credentials in it", {"token_endpoint": "https://user:word@ehr.example/token"}),
]


@pytest.mark.parametrize(("name", "lie"), _BAD_CONFIGURATIONS, ids=[name for name, _ in _BAD_CONFIGURATIONS])
def test_configurations_that_are_refused(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient, name: str, lie: dict[str, Any]
) -> None:
    _fresh(site)
    ehr.lies["configuration"] = lie
    assert browser.get(f"/smart/launch?{urlencode({'iss': ehr.iss, 'launch': 'x'})}").status_code == 403


@pytest.mark.parametrize("lie", ["redirect", "html", "large", "500", "array"])
def test_configurations_that_are_none(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient, lie: str) -> None:
    _fresh(site)
    ehr.lies["configuration_response"] = {
        "redirect": RedirectResponse(f"{ehr.base}/elsewhere"), "html": PlainTextResponse("<html>"),
        "large": PlainTextResponse("x" * (MOST_BYTES + 1)),
        "500": PlainTextResponse("", 500), "array": JSONResponse([]),
    }[lie]  # fmt: skip
    assert browser.get(f"/smart/launch?{urlencode({'iss': ehr.iss, 'launch': 'x'})}").status_code == 502
    assert "/elsewhere" not in ehr.requests


# ---- the answer


def test_an_answer_is_good_once(ehr: FakeEhr, browser: TestClient) -> None:
    there = _to_server(browser, ehr)
    assert browser.get(there).status_code == 303
    assert browser.get(there).status_code == 403


def test_a_code_is_not_taken_twice_by_the_server_either(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    code = parse_qs(urlsplit(_to_server(browser, ehr)).query)["code"][0]
    first = _with(_to_server(browser, ehr), code=code)
    assert browser.get(first).status_code == 403  # another launch's code: its verifier does not fit


def test_an_answer_in_another_browser_is_refused(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    there = _to_server(browser, ehr)
    app, settings, _ = site
    assert TestClient(app, base_url=settings.origin).get(there).status_code == 403
    victim = TestClient(app, base_url=settings.origin, follow_redirects=False)
    _to_server(victim, ehr)  # with a launch of its own in progress
    assert victim.get(there).status_code == 403


def _with(url: str, **changes: str | None) -> str:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changes
    return parts._replace(query=urlencode({name: value for name, value in query.items() if value is not None})).geturl()


_BAD_ANSWERS: list[tuple[str, dict[str, str | None]]] = [
    ("another state", {"state": "A" * 43}),
    ("no state", {"state": None}),
    ("an empty state", {"state": ""}),
    ("a long state", {"state": "x" * 9000}),
    ("no code", {"code": None}),
    ("an empty code", {"code": ""}),
    ("another code", {"code": "wrong"}),
    ("a long code", {"code": "x" * 9000}),
    ("another issuer (mix-up)", {"iss": "https://evil.example"}),
    ("no issuer though it names itself", {"iss": None}),
    ("an error", {"error": "access_denied"}),
]


@pytest.mark.parametrize(("name", "change"), _BAD_ANSWERS, ids=[name for name, _ in _BAD_ANSWERS])
def test_answers_that_are_refused(ehr: FakeEhr, browser: TestClient, name: str, change: dict[str, str | None]) -> None:
    answer = browser.get(_with(_to_server(browser, ehr), **change))
    assert answer.status_code == 403 and "evil" not in answer.text


def test_a_parameter_that_comes_twice_is_refused(ehr: FakeEhr, browser: TestClient) -> None:
    assert browser.get(_to_server(browser, ehr) + "&code=other").status_code == 403


def test_an_answer_that_comes_too_late_is_refused(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = _to_server(browser, ehr)
    pending = site[0].state.smart_launches.pending
    monkeypatch.setattr(pending, "_clock", lambda: time.monotonic() + 3600)
    assert browser.get(there).status_code == 403


# ---- the token's answer


_BAD_TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("no patient", {"patient": None}),
    ("a patient that is a path", {"patient": "../admin"}),
    ("a patient that is a list", {"patient": ["pat1"]}),
    ("no bearer", {"token_type": "mac"}),
    ("no token", {"access_token": ""}),
    ("no lifetime", {"expires_in": None}),
    ("for ever", {"expires_in": 10**9}),
    ("a lifetime of zero", {"expires_in": 0}),
    ("no patient scope", {"scope": "openid fhirUser"}),
    ("no identity", {"id_token": None}),
    ("an identity that is no token", {"id_token": "x"}),
]


@pytest.mark.parametrize(("name", "lie"), _BAD_TOKENS, ids=[name for name, _ in _BAD_TOKENS])
def test_tokens_that_are_refused(ehr: FakeEhr, browser: TestClient, name: str, lie: dict[str, Any]) -> None:
    ehr.lies["token"] = lie
    answer = _launched(browser, ehr)
    assert answer.status_code == 403 and "auctor=" not in str(answer.headers.get("set-cookie", ""))


@pytest.mark.parametrize("lie", ["redirect", "500", "html"])
def test_a_token_endpoint_that_misbehaves(ehr: FakeEhr, browser: TestClient, lie: str) -> None:
    there = _to_server(browser, ehr)
    ehr.lies["token_response"] = {
        "redirect": RedirectResponse(f"{ehr.base}/elsewhere", 307), "500": PlainTextResponse("", 500), "html": PlainTextResponse("<html>"),
    }[lie]  # fmt: skip
    assert browser.get(there).status_code == 403 and "/elsewhere" not in ehr.requests


# ---- the identity


def _identity(*, header: dict[str, Any] | None = None, key: str = "key", alg: str = "RS256", **changes: Any) -> Any:
    """A forged identity token: claims changed or (None) left out, another header, key or algorithm."""

    def forge(claims: dict[str, Any], ehr: FakeEhr) -> str:
        kept = {name: value for name, value in (claims | changes).items() if value is not None}
        keys = {"key": ehr.key, "other": ehr.other, "ec": ehr.ec}
        head = {"alg": alg, "kid": "sig"} | (header or {})
        return jwt.encode({n: v for n, v in head.items() if v is not None}, kept, keys[key], algorithms=[alg])

    return forge


def _parts(*parts: dict[str, Any]) -> str:
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)


def _unsigned(claims: dict[str, Any], ehr: FakeEhr) -> str:
    return f"{_parts({'alg': 'none', 'kid': 'sig'}, claims)}."


def _by_public_key(claims: dict[str, Any], ehr: FakeEhr) -> str:
    """HS256 with the public key as its secret: what a verifier that believes `alg` would take."""
    signed = _parts({"alg": "HS256", "kid": "sig"}, claims)
    digest = hmac.digest(ehr.key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _swapped(claims: dict[str, Any], ehr: FakeEhr) -> str:
    """The signature of one token under the claims of another."""
    head, _, signature = str(_identity()(claims, ehr)).split(".")
    return f"{head}.{_parts(claims | {'sub': 'admin'})}.{signature}"


_NOW = int(time.time())
_BAD_IDENTITIES: list[tuple[str, Any]] = [
    ("alg none", _unsigned),
    ("HS256 with the public key", _by_public_key),
    ("another key", _identity(key="other")),
    ("claims swapped", _swapped),
    ("an unknown kid", _identity(header={"kid": "other"})),
    ("no kid", _identity(header={"kid": None})),
    ("keys brought along", _identity(header={"jku": "https://evil.example/jwks"})),
    ("RS512", _identity(alg="RS512")),
    ("another issuer", _identity(iss="https://evil.example")),
    ("no issuer", _identity(iss=None)),
    ("another audience", _identity(aud="other")),
    ("several audiences without azp", _identity(aud=["auctor", "other"])),
    ("another azp", _identity(aud=["auctor", "other"], azp="other")),
    ("no audience", _identity(aud=None)),
    ("expired", _identity(iat=_NOW - 400, exp=_NOW - 100)),
    ("no expiry", _identity(exp=None)),
    ("expiry as text", _identity(exp="never")),
    ("issued tomorrow", _identity(iat=_NOW + 86_400)),
    ("issued long ago", _identity(iat=_NOW - 86_400)),
    ("another nonce (replayed)", _identity(nonce="A" * 43)),
    ("no nonce", _identity(nonce=None)),
    ("nobody", _identity(sub=None)),
    ("an empty subject", _identity(sub="")),
    ("a patient as the user", _identity(fhirUser="Patient/pat1")),
    ("no user", _identity(fhirUser=None)),
    ("a user of another server", _identity(fhirUser="https://evil.example/fhir/Practitioner/p1")),
    ("a user that is a path", _identity(fhirUser="../x")),
]


@pytest.mark.parametrize(("name", "forge"), _BAD_IDENTITIES, ids=[name for name, _ in _BAD_IDENTITIES])
def test_identities_that_are_not_believed(
    site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient, name: str, forge: Any
) -> None:
    ehr.lies["identity"] = forge
    answer = _launched(browser, ehr)
    assert answer.status_code == 403 and "auctor=" not in str(answer.headers.get("set-cookie", ""))


def test_elliptic_keys_are_taken_for_identities(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    ehr.lies["identity"] = _identity(alg="ES384", key="ec", header={"kid": "ec"}, aud=["auctor", "other"], azp="auctor")
    assert _launched(browser, ehr).status_code == 303


def test_symmetric_keys_of_a_key_set_are_no_keys(site: tuple[FastAPI, Settings, str], ehr: FakeEhr, browser: TestClient) -> None:
    _fresh(site)
    ehr.lies["keys"] = [OctKey.generate_key(256).as_dict() | {"kid": "sig"}]
    assert _launched(browser, ehr).status_code == 403
    _fresh(site)


@pytest.mark.parametrize(
    "text",
    [
        "http://ehr.example/fhir",
        "ftp://x",
        "https://",
        "https://a b",
        "https://a\\b",
        "https://u:p@a",
        "https://a/#f",
        "https://a/?q",
        "https://a:99999",
    ],
)
def test_addresses_that_are_never_asked(text: str) -> None:
    with pytest.raises(RecordError):
        check_address(text, where="x")


def test_a_partners_file_is_checked(tmp_path: Path) -> None:
    for text in (
        '[[smart]]\niss = "http://ehr.example"\nclient_id = "a"\n',
        '[[cds_clients]]\nissuer = "x"\nfhir_servers = ["y"]\n',
        "[[x",
        "y = 1\n",
    ):
        file = tmp_path / f"{abs(hash(text))}.toml"
        file.write_text(text)
        with pytest.raises(RecordError):
            read_partners(file)


def test_the_negative_suite_has_its_size() -> None:
    lists = (_BAD_ISS, _BAD_CONFIGURATIONS, _BAD_ANSWERS, _BAD_TOKENS, _BAD_IDENTITIES)
    assert sum(map(len, lists)) >= 40 and LaunchRefused.status == 403
