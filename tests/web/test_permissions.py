"""Role x verb x ward, enumerated; and every route of the application as the router has it: it demands a verb, or is public by name."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.permissions import TABLE, Forbidden, Hidden, Scope, Verb, allowed, demand, verbs_of
from clinic import MACHINE, Clinic

V, A, S, X = Role.VIEWER, Role.AUTHOR, Role.SIGNER, Role.ADMINISTRATOR
# written down a second time, by hand, so that a slip in the table shows
EXPECTED = {
    Verb.READ: {V, A, S},
    Verb.TRY: {V, A, S},
    Verb.REGISTER: {A, S},
    Verb.ENTER: {A, S},
    Verb.CORRECT: {A, S},
    Verb.ANALYSE: {A, S},
    Verb.SIGN: {S},
    Verb.MOVE: {A, S},
    Verb.EXPORT: {V, A, S},
    Verb.IMPORT: {A, S},
    Verb.TRACK: {V, A, S, X},
    Verb.READ_AUDIT: {X},
    Verb.OWN_ACCOUNT: {V, A, S, X},
    Verb.MANAGE_ACCOUNTS: {X},
    Verb.MANAGE_WARDS: {X},
    Verb.OPERATE: {X},
}
PUBLIC = {
    "/static/accounts/passkeys.js",
    "/sign-in",
    "/sign-in/code",
    "/sign-in/passkey/options",
    "/sign-in/passkey",
    "/sign-in/oidc",
    "/sign-in/oidc/callback",
    "/setup",
    "/health/live",
    "/health/ready",
}
OTHERWISE = {"/sign-out": "needs a session", "/metrics": "a token, or Verb.OPERATE in the route"}
OURS = ("auctor.web.accounts", "auctor.web.operate")


def _actor(*roles: Role, scopes: frozenset[str] | None = None) -> Actor:
    return Actor(account_id="1", login="one", roles=frozenset(roles), wards=frozenset({"icu"}), channel="page", scopes=scopes)


def test_the_table_has_every_verb_and_grants_what_was_agreed() -> None:
    assert set(TABLE) == set(Verb)
    for role, verb in product(Role, Verb):
        assert allowed(_actor(role), verb) == (role in EXPECTED[verb]), (role, verb)
    assert [verb for verb in Verb if allowed(_actor(), verb)] == [Verb.OWN_ACCOUNT]  # who has no roles yet


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_never_adds_and_never_signs(scope: Scope) -> None:
    for role, verb in product(Role, Verb):
        narrowed = _actor(role, scopes=frozenset({scope}))
        assert allowed(narrowed, verb) == (role in EXPECTED[verb] and TABLE[verb].scope == scope)
        assert not allowed(_actor(role, scopes=frozenset()), verb)


@pytest.mark.parametrize("verb", Verb)
def test_a_ward_out_of_reach_looks_like_nothing_whatever_the_role(verb: Verb) -> None:
    for role in Role:
        with pytest.raises(Hidden):
            demand(_actor(role), verb, ward="renal")
        if role in EXPECTED[verb]:
            demand(_actor(role), verb, ward="icu")
        else:
            with pytest.raises(Forbidden):
                demand(_actor(role), verb, ward="icu")


def _routes(clinic: Clinic) -> list[Any]:
    return [route for route in clinic.routes() if route.endpoint.__module__.startswith(OURS)]


def test_every_route_demands_a_verb_or_is_public_by_name(clinic: Clinic) -> None:
    routes = _routes(clinic)
    assert len(routes) > 30
    undemanding = {route.path for route in routes if not verbs_of(route)}
    assert undemanding == PUBLIC | set(OTHERWISE)


def test_every_route_refuses_whoever_lacks_its_verb(clinic: Clinic) -> None:
    """Role x route: each role alone, a stranger and a program without scopes, on each route that demands a verb."""
    for role in Role:
        clinic.person(role.value, roles=(role.value,))
    clinic.person("nothing", roles=())
    browsers = {login: clinic.signed_in(login) for login in (*(role.value for role in Role), "nothing")}
    refused = answered = 0
    for route in (route for route in _routes(clinic) if verbs_of(route)):
        path = route.path.replace("{account_id}", "0" * 32).replace("{ward_id}", "none")
        for name in ("{passkey_id}", "{session_id}", "{key_id}"):
            path = path.replace(name, "0" * 32)
        for method in route.methods:
            assert clinic.browser().client.request(method, path).status_code in {303, 403}, path  # a stranger
            for login, browser in browsers.items():
                may = all(TABLE[verb].anybody or login in {role.value for role in EXPECTED[verb]} for verb in verbs_of(route))
                status = browser.get(path).status_code if method == "GET" else browser.post(path).status_code
                assert (status == 403) == (not may), (method, path, login, status)
                refused, answered = refused + (not may), answered + may
    assert refused > 40 and answered > 50


@pytest.mark.parametrize(("roles", "there"), [(("signer",), "/work"), (("administrator",), "/admin/accounts"), ((), "/account")])
def test_everyone_starts_where_they_may_be(clinic: Clinic, roles: tuple[str, ...], there: str) -> None:
    clinic.person("one", roles=roles)
    browser = clinic.signed_in("one")
    assert browser.get("/").headers["location"] == there
    assert browser.get(there).status_code == 200


def test_nobody_reads_the_accounts_below_the_pages_either(clinic: Clinic) -> None:
    directory = clinic.app.state.reception.directory
    calls = {
        "people": lambda actor: directory.people(actor),
        "person": lambda actor: directory.person(actor, "x"),
        "find": lambda actor: directory.find(actor, "x"),
        "add": lambda actor: directory.add(actor, login="x", name="", roles=()),
        "change": lambda actor: directory.change(actor, "x", name="", roles=(), wards=()),
        "set_active": lambda actor: directory.set_active(actor, "x", False),
        "reset": lambda actor: directory.reset(actor, "x"),
        "end_sessions": lambda actor: directory.end_sessions(actor, "x"),
        "wards": lambda actor: directory.wards(actor),
        "add_ward": lambda actor: directory.add_ward(actor, "x", ""),
        "change_ward": lambda actor: directory.change_ward(actor, "x", name="", active=True),
        "reseal": lambda actor: directory.reseal(actor, directory.store.sealer),
    }
    assert set(calls) == {name for name in vars(type(directory)) if not name.startswith("_") and callable(getattr(directory, name))}
    for call, role in product(calls.values(), (V, A, S)):
        with pytest.raises(Forbidden):
            call(_actor(role))
    assert directory.people(MACHINE) == ()
