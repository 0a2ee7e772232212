"""Before a signature: password, code of the authenticator, or a new sign-in at the hospital's provider; each wrong one signs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from auctor.web.accounts.oidc import CALLBACK
from auctor.web.accounts.second_factor import new_totp_key
from auctor.web.store.tables import Account, AccountWard, Audit
from web_site import INSTALLER, Opened, Person, Site, case, form_of, make_site, refusal

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
pytest.importorskip("authlib")
REGIMEN = "2 mg every 12 h"


@pytest.fixture(scope="module")
def provider() -> Iterator[Any]:
    from identity_provider import running

    with running("http://localhost:8571" + CALLBACK) as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, provider: Any) -> Iterator[Site]:
    from identity_provider import CLIENT, SECRET

    given = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    found = make_site(tmp_path_factory.mktemp("site"), **given)
    yield found
    found.app.state.store.close()


@pytest.fixture(scope="module")
def opened(site: Site) -> Opened:
    return case(site.client("ada"), family="Signed", identifier="S-1")


def person(site: Site, login: str, **columns: Any) -> str:
    """A signer of the ward without a password; the account's identifier."""
    with site.app.state.store.work(INSTALLER) as work:
        account = Account(login=login, name=login.title(), roles=["signer"], **columns)
        work.session.add(account)
        work.session.flush()
        work.session.add(AccountWard(account_id=account.id, ward_id="icu"))
        work.record("test.person", "account", account.id)
        return account.id


def browser(site: Site) -> Person:
    return Person(app=site.app, client=TestClient(site.app, base_url=site.origin, headers={"origin": site.origin, "accept-language": "en"}))


def at_provider(who: Person, page: str, action: str = "/sign-in/oidc") -> Any:
    """Press the button to the provider and come back; the page that follows, and what the provider was asked."""
    sent = who.client.post(action, data=form_of(who.get(page).text, action), follow_redirects=False).headers["location"]
    back = httpx.get(sent).headers["location"]
    return who.client.get(back), parse_qs(urlsplit(sent).query)


def try_to_sign(who: Person, result: str, **given: str) -> Any:
    page = f"/results/{result}/sign"
    fields = form_of(who.client.get(page, params={"regimen": REGIMEN}).text, page)
    reasons = {name: "checked" for name in fields if name.startswith("reason")}
    return who.client.post(page, data=fields | reasons | {"meaning": "recommended"} | given)


def test_who_has_no_password_signs_after_a_new_sign_in_at_the_provider_once(site: Site, provider: Any, opened: Opened) -> None:
    person(site, "olga", oidc_issuer=provider.issuer, oidc_subject="subject-1")
    olga = browser(site)
    assert at_provider(olga, "/sign-in")[0].status_code == 200
    asked = olga.client.get(f"/results/{opened.result}/sign", params={"regimen": REGIMEN}).text
    assert 'id="password"' not in asked and "Sign in anew at hospital sign-in" in asked
    assert "say once more who you are" in refusal(try_to_sign(olga, opened.result).text)
    again, query = at_provider(olga, f"/results/{opened.result}/sign?regimen={REGIMEN}")
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    assert str(again.url.path) == f"/results/{opened.result}/sign" and 'id="confirmed"' in again.text
    assert "said=signed" in str(try_to_sign(olga, opened.result).url)
    assert 'id="confirmed"' not in olga.client.get(f"/results/{opened.result}/sign", params={"regimen": REGIMEN}).text


@pytest.mark.parametrize("auth_time", [None, 1_000_000, "now"], ids=str)
def test_a_provider_that_does_not_say_that_the_person_signed_in_anew_is_not_believed(
    site: Site, provider: Any, opened: Opened, auth_time: Any
) -> None:
    name = f"otto{auth_time}"
    person(site, name.lower(), oidc_issuer=provider.issuer, oidc_subject=name)
    provider.user = name
    otto = browser(site)
    at_provider(otto, "/sign-in")
    provider.lies = {"claims": {"auth_time": auth_time}}
    answer, _ = at_provider(otto, f"/results/{opened.result}/sign?regimen={REGIMEN}")
    provider.lies, provider.user = {}, "subject-1"
    assert answer.status_code == 401 and "did not have you sign in anew" in answer.text


def test_a_code_of_the_authenticator_signs_once(site: Site, provider: Any) -> None:
    mine, key = case(site.client("ada"), family="Coded", identifier="S-2"), new_totp_key()
    account = person(site, "tess", oidc_issuer=provider.issuer, oidc_subject="tess")
    with site.app.state.store.work(INSTALLER) as work:
        work.get(Account, account).totp_sealed = site.app.state.store.seal(key, purpose=f"totp:{account}")
        work.record("test.totp", "account", account)
    provider.user = "tess"
    tess = browser(site)
    at_provider(tess, "/sign-in")
    provider.user = "subject-1"
    page = tess.client.get(f"/results/{mine.result}/sign", params={"regimen": REGIMEN}).text
    assert re.search(r'<label for="code">A code of your authenticator app', page) and 'id="password"' not in page
    code = pyotp.TOTP(key).now()
    assert "not right" in refusal(try_to_sign(tess, mine.result, code="0" * 6 if code != "0" * 6 else "1" * 6).text)
    assert "said=signed" in str(try_to_sign(tess, mine.result, code=code).url)
    with site.app.state.store.read(INSTALLER) as reading:
        entries = reading.session.scalars(select(Audit).where(Audit.action == "account.confirm", Audit.object_id == account)).all()
    assert [entry.after for entry in entries] == [{"factor": "totp"}]
    again = case(site.client("ada"), family="Coded", identifier="S-3")
    assert "not right" in refusal(try_to_sign(tess, again.result, code=code).text), "a code is good once"


def test_another_session_of_the_same_person_is_not_confirmed_by_it(site: Site, provider: Any, opened: Opened) -> None:
    person(site, "uma", oidc_issuer=provider.issuer, oidc_subject="uma")
    provider.user = "uma"
    one, two = browser(site), browser(site)
    for who in (one, two):
        at_provider(who, "/sign-in")
    at_provider(one, f"/results/{opened.result}/sign?regimen={REGIMEN}")
    provider.user = "subject-1"
    assert "say once more" in two.client.get(f"/results/{opened.result}/sign", params={"regimen": REGIMEN}).text.lower()
