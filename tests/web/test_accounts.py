"""One's own account, the administration, keys of programs and the first start, by their pages and below them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from auctor.web.accounts.actor import Role
from auctor.web.accounts.directory import DirectoryError
from auctor.web.accounts.keys import KeyRefused
from auctor.web.accounts.permissions import Forbidden, Scope, Verb, allowed
from auctor.web.store import NotFound
from auctor.web.store.tables import Account, Audit, Session
from clinic import MACHINE, PASSWORD, Clinic

NEW = "violet anvil 7 sonata"


def _actions(clinic: Clinic) -> list[str]:
    with clinic.store.read(MACHINE) as reading:
        return list(reading.session.scalars(select(Audit.action).order_by(Audit.sequence)))


def test_the_first_administrator_is_made_once_with_the_token(clinic: Clinic) -> None:
    token = clinic.app.state.reception.setup.token
    browser = clinic.browser()
    browser.get("/setup")
    form = {"token": token, "login": "root", "name": "Root", "password": "Password2026!"}
    assert browser.post("/setup", form | {"token": "guess", "password": NEW}).status_code == 403
    assert browser.post("/setup", form).status_code == 422  # a common password
    assert browser.post("/setup", form | {"password": NEW}).status_code == 303
    assert browser.get("/admin/accounts").status_code == 200
    assert clinic.browser().get("/setup").status_code == 403
    assert browser.post("/setup", form | {"login": "second", "password": NEW}).status_code == 403
    assert _actions(clinic) == ["setup", "sign-in"]


def test_a_new_password_ends_the_other_sessions_and_needs_the_old_one(clinic: Clinic) -> None:
    clinic.person("ada")
    one, other = clinic.signed_in("ada"), clinic.signed_in("ada")
    assert one.post("/account/password", {"present": "wrong", "new": NEW}).status_code == 422
    assert one.post("/account/password", {"present": PASSWORD, "new": "short"}).status_code == 422
    assert one.post("/account/password", {"present": PASSWORD, "new": NEW}).status_code == 303
    assert one.get("/account").status_code == 200
    assert other.get("/account").status_code == 303
    assert clinic.browser().sign_in("ada", NEW).status_code == 303


def test_sessions_are_listed_and_ended_but_only_ones_own(clinic: Clinic) -> None:
    clinic.person("ada")
    clinic.person("eve")
    one, other, eve = (clinic.signed_in(login) for login in ("ada", "ada", "eve"))
    ends = re.findall(r'action="(/account/sessions/\w{64}/end)"', one.get("/account").text)
    assert len(ends) == 1
    assert eve.post(ends[0]).status_code == 404
    assert other.get("/account").status_code == 200
    assert one.post(ends[0]).status_code == 303
    assert other.get("/account").status_code == 303
    again = clinic.signed_in("ada")
    assert one.post("/account/sessions/end-others").status_code == 303
    assert (again.get("/account").status_code, one.get("/account").status_code) == (303, 200)


def test_what_a_thief_of_an_open_screen_would_want_needs_a_fresh_sign_in(clinic: Clinic) -> None:
    clinic.person("ada")
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        browser = clinic.signed_in("ada")
        clock.shift(16 * 60)
        browser.get("/account")
        sessions = ("/account/sessions/end-others", "/account/sessions/x/end")
        for path in ("/account/totp", "/account/totp/remove", "/account/codes", "/account/keys", "/account/passkeys/x/remove", *sessions):
            assert browser.post(path, {"key_name": "k", "days": "1"}).headers["location"] == "/sign-in?next=/account", path


def test_a_first_password_must_be_changed_and_holds_for_three_days(clinic: Clinic) -> None:
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        directory = clinic.app.state.reception.directory
        _, first = directory.add(MACHINE, login="new", name="New", roles=("administrator",))
        browser = clinic.browser()
        assert browser.sign_in("new", first).status_code == 303
        assert browser.get("/admin/accounts").headers["location"] == "/account"
        browser.get("/account")
        assert browser.post("/account/password", {"present": first, "new": NEW}).status_code == 303
        assert browser.get("/admin/accounts").status_code == 200
        _, late = directory.add(MACHINE, login="late", name="Late", roles=("viewer",))
        clock.shift(73 * 3600)
        assert clinic.browser().sign_in("late", late).status_code == 401


def test_where_a_second_factor_is_asked_for_nothing_answers_before_it_is_set_up(clinic_folder: Path) -> None:
    import pyotp

    clinic = Clinic.opened(clinic_folder, second_factor_required=True)
    boss = clinic.person("boss", roles=("administrator",))
    browser = clinic.signed_in("boss")
    assert browser.get("/admin/accounts").headers["location"] == "/account"
    browser.get("/account")
    assert browser.post("/account/keys", {"key_name": "k", "days": "1", "scopes": "operate"}).headers["location"] == "/account"
    assert clinic.app.state.reception.keys.of(boss) == []  # a key would do without the second factor
    key = re.search(r'id="totp-key">(\w+)<', browser.post("/account/totp").text)[1]
    assert browser.post("/account/totp/confirm", {"code": "12345"}).status_code == 422
    browser.post("/account/totp/confirm", {"code": pyotp.TOTP(key).now()})
    assert browser.get("/admin/accounts").status_code == 200


def test_an_account_is_made_changed_closed_and_reset_on_the_pages(clinic: Clinic) -> None:
    clinic.person("boss", roles=("administrator",))
    clinic.ward("icu", "renal")
    boss = clinic.signed_in("boss")
    boss.get("/admin/accounts")
    page = boss.post("/admin/accounts", {"login": "Ada", "name": "Ada", "roles": ["author"], "wards": ["icu"]}).text
    first = re.search(r'id="first-password">([\w-]+)<', page)[1]
    ada = clinic.browser()
    ada.sign_in("ada", first)
    ada.get("/account")
    ada.post("/account/password", {"present": first, "new": NEW})
    path = re.search(r'href="(/admin/accounts/\w{32})">ada<', page)[1]
    boss.get(path)
    assert boss.post(path, {"name": "Ada", "roles": ["author"], "wards": ["icu"]}).status_code == 303
    assert ada.get("/account").status_code == 200  # nothing changed: the session stays
    boss.post(path, {"name": "Ada", "roles": ["author", "signer"], "wards": ["renal"]})
    assert ada.get("/account").status_code == 303  # roles changed: sign in again
    assert boss.post(path, {"name": "Ada", "roles": ["king"]}).status_code == 422
    assert boss.post(path, {"name": "Ada", "roles": ["author"], "wards": ["nowhere"]}).status_code == 422
    assert boss.post(path + "/close").status_code == 303
    assert clinic.browser().sign_in("ada", NEW).status_code == 401
    assert boss.post(path + "/open").status_code == 303
    assert 'id="first-password"' in boss.post(path + "/reset").text
    assert clinic.browser().sign_in("ada", NEW).status_code == 401
    done = [action for action in _actions(clinic) if action.startswith("account.")]
    assert done[1:] == ["account.add", "account.password", *["account.change"] * 2, "account.disable", "account.enable", "account.reset"]


def test_a_reset_leaves_second_factors_alone_unless_they_are_lost_too(clinic: Clinic) -> None:
    import pyotp

    ada = clinic.person("ada")
    browser = clinic.signed_in("ada")
    key = re.search(r'id="totp-key">(\w+)<', browser.post("/account/totp").text)[1]
    browser.post("/account/totp/confirm", {"code": pyotp.TOTP(key).now()})
    directory = clinic.app.state.reception.directory
    first = directory.reset(MACHINE, ada)
    assert browser.get("/account").status_code == 303
    assert "/sign-in/code" in clinic.browser().sign_in("ada", first).text  # still asked for the second factor
    first = directory.reset(MACHINE, ada, factors=True)
    assert clinic.browser().sign_in("ada", first).status_code == 303


def test_an_administrator_signs_somebody_out_everywhere(clinic: Clinic) -> None:
    ada = clinic.person("ada")
    clinic.person("boss", roles=("administrator",))
    one, other, boss = (clinic.signed_in(login) for login in ("ada", "ada", "boss"))
    assert boss.post(f"/admin/accounts/{ada}/end-sessions").status_code == 303
    assert [browser.get("/account").status_code for browser in (one, other, boss)] == [303, 303, 200]


def test_somebody_is_always_left_to_administer(clinic: Clinic) -> None:
    boss = clinic.person("boss", roles=("administrator",))
    directory = clinic.app.state.reception.directory
    with pytest.raises(DirectoryError, match="nobody would be left"):
        directory.change(MACHINE, boss, name="Boss", roles=("viewer",), wards=())
    with pytest.raises(DirectoryError, match="nobody would be left"):
        directory.set_active(MACHINE, boss, False)
    clinic.person("second", roles=("administrator",))
    directory.set_active(MACHINE, boss, False)


@pytest.mark.parametrize("login", ["", "two words", "a\u0000b", "x" * 201, "system:root"])
def test_an_odd_login_is_refused(clinic: Clinic, login: str) -> None:
    with pytest.raises(DirectoryError):
        clinic.app.state.reception.directory.add(MACHINE, login=login, name="", roles=("viewer",))


@pytest.mark.parametrize("ward", ["", "a b", "a,b", "*", "x" * 41, "a/b", "a\nb"])
def test_an_odd_ward_is_refused(clinic: Clinic, ward: str) -> None:
    with pytest.raises(DirectoryError):
        clinic.app.state.reception.directory.add_ward(MACHINE, ward, "Ward")


def test_a_ward_out_of_use_is_out_of_reach(clinic: Clinic) -> None:
    clinic.person("ada", wards=("icu", "renal"))
    reception = clinic.app.state.reception
    token = clinic.signed_in("ada").client.cookies["auctor"]
    assert reception.by_cookie(token).actor.wards == {"icu", "renal"}
    reception.directory.change_ward(MACHINE, "renal", name="Renal", active=False)
    assert reception.by_cookie(token).actor.wards == {"icu"}


def _actor(clinic: Clinic, login: str) -> Any:
    return clinic.app.state.reception.by_cookie(clinic.signed_in(login).client.cookies["auctor"]).actor


def test_a_key_acts_for_its_account_within_its_scopes_until_it_ends(clinic: Clinic, tmp_path: Path) -> None:
    clinic.person("boss", roles=("administrator", "signer"), wards=("icu",))
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        keys, boss = clinic.app.state.reception.keys, _actor(clinic, "boss")
        key = keys.make(boss, name="lab", scopes=frozenset({Scope.READ}), days=1)
        actor = keys.find(key)
        assert (actor.login, actor.channel, actor.wards) == ("boss", "api", {"icu"})
        assert [verb for verb in Verb if allowed(actor, verb)] == [Verb.READ, Verb.EXPORT, Verb.TRACK]
        assert keys.find(key[:-1] + "x") is None
        client = clinic.browser().client
        assert client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403
        assert client.get("/account", headers={"authorization": f"Bearer {key}"}).status_code == 403
        wide = keys.make(boss, name="prometheus", scopes=frozenset({Scope.OPERATE}), days=300)
        assert client.get("/metrics", headers={"authorization": f"Bearer {wide}"}).status_code == 200
        clock.shift(25 * 3600)
        assert keys.find(key) is None
        [row] = [row for row in keys.of(str(boss.account_id)) if row.name == "prometheus"]
        keys.revoke(boss, row.id)
        assert client.get("/metrics", headers={"authorization": f"Bearer {wide}"}).status_code == 401
    clinic.store.close()
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_no_key_signs_or_touches_its_own_account(clinic: Clinic) -> None:
    clinic.person("doc", roles=[role.value for role in Role], wards=("icu",))
    keys = clinic.app.state.reception.keys
    program = keys.find(keys.make(_actor(clinic, "doc"), name="all", scopes=frozenset(Scope), days=1))
    assert [verb for verb in Verb if not allowed(program, verb)] == [Verb.SIGN, Verb.OWN_ACCOUNT]
    with pytest.raises(Forbidden):
        keys.make(program, name="more", scopes=frozenset(Scope), days=1)


def test_a_key_of_a_closed_account_is_dead_and_anothers_is_out_of_reach(clinic: Clinic) -> None:
    ada = clinic.person("ada")
    clinic.person("eve")
    keys = clinic.app.state.reception.keys
    key = keys.make(_actor(clinic, "ada"), name="k", scopes=frozenset({Scope.READ}), days=1)
    [row] = keys.of(ada)
    with pytest.raises(NotFound):
        keys.revoke(_actor(clinic, "eve"), row.id)
    clinic.app.state.reception.directory.set_active(MACHINE, ada, False)
    assert keys.find(key) is None


@pytest.mark.parametrize(
    ("name", "scopes", "days"), [("", {Scope.READ}, 1), ("k", set(), 1), ("k", {Scope.READ}, 0), ("k", {Scope.READ}, 367)]
)
def test_a_key_needs_a_name_a_scope_and_an_end(clinic: Clinic, name: str, scopes: set[Scope], days: int) -> None:
    clinic.person("ada")
    with pytest.raises(KeyRefused):
        clinic.app.state.reception.keys.make(_actor(clinic, "ada"), name=name, scopes=frozenset(scopes), days=days)


def test_the_same_on_either_database(store: Any, tmp_path: Path) -> None:
    clinic = Clinic.opened(tmp_path / "data", store=store)
    clinic.person("boss", roles=("administrator",), wards=("icu",))
    with time_machine.travel("2026-11-25T08:00:00Z", tick=False) as clock:
        browser = clinic.signed_in("boss")
        clock.shift(120)
        assert browser.get("/admin/accounts").status_code == 200  # the session's last use is written, in the application's own role
        key = clinic.app.state.reception.keys.make(_actor(clinic, "boss"), name="k", scopes=frozenset({Scope.OPERATE}), days=1)
        assert browser.client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 200
        with store.read(MACHINE) as reading:
            seen = {row.seen_at - row.created_at for row in reading.session.scalars(select(Session))}
            assert {each.total_seconds() for each in seen} == {0.0, 120.0}
        assert browser.post("/admin/accounts", {"login": "new", "name": "New", "roles": ["viewer"], "wards": ["icu"]}).status_code == 200
        assert browser.post("/sign-out").status_code == 303
        with store.read(MACHINE) as reading:
            assert len(list(reading.session.scalars(select(Account)))) == 2
