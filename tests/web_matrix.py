"""What every route is asked with: the objects in its path, and for a change a request that would be accepted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.service import courses, entering, patients
from auctor.web.service.clinic import Clinic as Verbs
from auctor.web.service.engine import Computed
from auctor.web.service.entering import Entered
from auctor.web.service.patients import NewPatient
from auctor.web.store import documents, results
from auctor.web.store.tables import Fact
from clinic import PASSWORD
from web_api import LEVEL, NEONATE, ORDER, PERSON
from web_silent import MODEL, START

EVERYBODY = Actor(account_id=None, login="system:test", roles=frozenset(Role), wards=frozenset({EVERY_WARD}), channel="cli")
PUBLIC = {
    "/health/live": "says that the process answers",
    "/health/ready": "says which part does not",
    "/static/accounts/passkeys.js": "a script of ours",
    "/static/{path:path}": "files of ours",
    "/sign-in": "before anybody is known",
    "/sign-in/code": "before anybody is known",
    "/sign-in/passkey/options": "before anybody is known",
    "/sign-in/passkey": "before anybody is known",
    "/sign-in/oidc": "before anybody is known",
    "/sign-in/oidc/callback": "before anybody is known",
    "/setup": "once, with the token of the machine",
    "/": "a redirection",
    "/language": "a cookie",
    "/api/v1/openapi.json": "the description, without data",
    "/cds-services": "the discovery document, without data",
    "/smart/jwks.json": "our public keys",
    "/smart/launch": "begins a sign-in at a partner's server",
    "/smart/open": "begins a sign-in at a partner's server",
    "/smart/callback": "ends a sign-in at a partner's server",
}
OTHERWISE = {
    "/sign-out": "ends the session that asks",
    "/metrics": "a token, or Verb.OPERATE asked in the route",
    "/help": "whoever is signed in: it shows no data",
    "/cds-services/{name}": "a client's signed token (tests/emr/test_cds_hooks.py)",
    "/cds-services/{name}/feedback": "a client's signed token (tests/emr/test_cds_hooks.py)",
}


@dataclass(frozen=True, kw_only=True)
class Held:
    """A patient of one ward with a course, a fact and a result: what the paths of routes name."""

    ward: str
    family: str
    identifier: str
    patient: str
    course: str
    fact: str
    result: str

    def path(self, pattern: str, account: str = "0" * 32) -> str:
        """A route's address for this patient's objects."""
        filled = {
            "{patient_id}": self.patient,
            "{course_id}": self.course,
            "{fact_id}": self.fact,
            "{result_id}": self.result,
            "{ward_id}": self.ward,
            "{account_id}": account,
            "{kind}": "csv" if "audit" in pattern else "dose",
            "{deed}": "correct",
            "{name}": MODEL,
            "{path:path}": "app.css",
        }
        for name, value in filled.items():
            pattern = pattern.replace(name, value)
        return pattern.replace("{passkey_id}", "0" * 32).replace("{session_id}", "0" * 64).replace("{key_id}", "0" * 32)


def held(verbs: Verbs, ward: str, family: str, identifier: str, computed: Computed | None = None) -> Held:
    """A patient of a ward, analysed; `computed` is an analysis made before, so that the engine is asked once."""
    new = NewPatient(ward=ward, identifier=identifier, family=family, given="Ann", birth_date=START.date(), sex="female")
    patient = patients.register(verbs, EVERYBODY, new)
    course = courses.open_course(verbs, EVERYBODY, patient, drug="phenobarbital", time_zone="Europe/Paris")
    courses.choose(verbs, EVERYBODY, course, model=MODEL, target="", reason="")
    entering.enter(verbs, EVERYBODY, course, [Entered(kind=fact["kind"], body=fact["body"]) for fact in NEONATE])
    with verbs.store.work(EVERYBODY) as work:
        fact = work.session.scalars(select(Fact.id).where(Fact.course_id == course, Fact.kind == "sample")).first()
        taken = documents.document(work, course)
        made = computed or verbs.engine.compute(taken.document)
        result = results.keep(work, course, taken=taken, computed=made)
        work.record("result.keep", "result", result.id, ward=ward)
    return Held(
        ward=ward, family=family, identifier=identifier, patient=patient, course=course, fact=str(fact), result=result.id
    )  # fmt: skip


Asked = dict[str, Any]  # data, json, params, headers of a request


def form(verbs: Verbs, one: Held, **fields: str) -> Asked:
    """A page's form, with the guard of this patient's page as it stands."""
    revision = courses.look(verbs, EVERYBODY, one.course).revision
    return {"data": {"patient": one.patient, "course": one.course, "revision": revision} | fields}


def fragment(verbs: Verbs, one: Held, **params: str) -> Asked:
    """What a script of the course's page asks for, with its guard."""
    revision = courses.look(verbs, EVERYBODY, one.course).revision
    guard = {"patient": one.patient, "course": one.course, "revision": revision, "result": one.result}
    return {"params": guard | params, "headers": {"x-auctor-patient": one.patient, "x-auctor-course": one.course}}


DOSE = {"amount": "2", "amount_unit": "mg", "route": "iv", "at": "2026-03-04 08:00", "bolus": "on"}
SAMPLE = {"value": "14", "value_unit": "mg/L", "at": "2026-03-02 10:00", "matrix": "serum", "reason": "typing error"}
NEW = {"given": "Ann", "birth_date": "2026-02-20", "sex": "female"}


def last(verbs: Verbs, one: Held) -> int:
    """The last revision of its fact."""
    return entering.fact_history(verbs, EVERYBODY, one.fact)[-1].revision


def signing(verbs: Verbs, one: Held) -> tuple[str, dict[str, str]]:
    """A candidate's label, and a reason for everything that asks for one."""
    import json

    from auctor.web.service.signing import blocking, result_file

    _, result = result_file(verbs, EVERYBODY, one.result)
    content = json.loads(result.result)
    label = content["methods"][content["preferred"]]["candidates"][0]["option"]["label"]
    return label, dict.fromkeys(blocking(result), "checked with the ward") | {"change": "as agreed"}


def page_signature(verbs: Verbs, one: Held) -> Asked:
    """The form of the signature's page."""
    label, reasons = signing(verbs, one)
    fields = {f"reason{k}": text for k, text in enumerate(v for key, v in reasons.items() if key != "change")}
    return form(verbs, one, regimen=label, meaning="recommended", password=PASSWORD, reason_change="as agreed", **fields)


def api_signature(verbs: Verbs, one: Held) -> Asked:
    """The same through the API."""
    label, reasons = signing(verbs, one)
    return {"json": {"candidate": label, "meaning": "recommended", "reasons": reasons, "password": PASSWORD}}


def seen(verbs: Verbs, one: Held, body: dict[str, Any]) -> Asked:
    """A change of a fact with the revision that it was made from."""
    return {"json": body, "headers": {"if-match": f'"{last(verbs, one)}"'}}


def closed(verbs: Verbs, one: Held) -> None:
    """Close its course, unless it is closed."""
    if courses.look(verbs, EVERYBODY, one.course).course.closed_at is None:
        courses.close_course(verbs, EVERYBODY, one.course, reason="done")


Builder = Callable[[Verbs, Held], Asked]
P, C = "/patients/{patient_id}", "/courses/{course_id}"
A = "/api/v1"
SENT: Mapping[tuple[str, str], Builder] = {
    ("POST", "/patients/find"): lambda v, h: {"data": {"q": "n"}},
    ("POST", f"{A}/find/patients"): lambda v, h: {"json": {"text": "n"}},
    ("POST", "/patients"): lambda v, h: {"data": NEW | {"ward": h.ward, "identifier": f"n{h.identifier}", "family": h.family}},
    ("POST", f"{P}/courses"): lambda v, h: form(v, h, drug="tacrolimus", time_zone="Europe/Paris"),
    ("POST", f"{C}/add/{{kind}}"): lambda v, h: form(v, h, **DOSE),
    ("POST", f"{C}/facts/{{fact_id}}/{{deed}}"): lambda v, h: form(v, h, **SAMPLE) | _revision(v, h),
    ("POST", f"{C}/model"): lambda v, h: form(v, h, model=MODEL, target="", reason="again"),
    ("POST", f"{C}/analyse"): form,
    ("POST", f"{C}/close"): lambda v, h: form(v, h, reason="done"),
    ("POST", f"{C}/reopen"): lambda v, h: closed(v, h) or form(v, h, reason="too early"),
    ("POST", "/results/{result_id}/sign"): page_signature,
    ("GET", f"{C}/curve.json"): fragment,
    ("GET", f"{C}/what-if"): lambda v, h: fragment(v, h, dose="2", every="12"),
    ("GET", f"{C}/what-if/part"): lambda v, h: fragment(v, h, dose="2", every="12"),
    ("GET", "/results/{result_id}/sign"): lambda v, h: {"params": {"regimen": signing(v, h)[0]}},
    ("POST", f"{A}/patients"): lambda v, h: {"json": PERSON | {"ward": h.ward, "identifier": f"a{h.identifier}", "family": h.family}},
    ("POST", f"{A}{P}/courses"): lambda v, h: {"json": {"drug": "tacrolimus", "time_zone": "Europe/Paris"}},
    ("PUT", f"{A}{C}/model"): lambda v, h: {"json": {"model": MODEL, "reason": "again"}},
    ("POST", f"{A}{C}/facts"): lambda v, h: {"json": {"facts": [{"kind": "order", "body": ORDER}]}},
    ("PUT", f"{A}/facts/{{fact_id}}"): lambda v, h: seen(v, h, {"fact": {"kind": "sample", "body": LEVEL}, "reason": "typing error"}),
    ("POST", f"{A}/facts/{{fact_id}}/use"): lambda v, h: seen(v, h, {"used": False, "reason": "haemolysed"}),
    ("POST", f"{A}/facts/{{fact_id}}/withdrawal"): lambda v, h: seen(v, h, {"reason": "another patient's"}),
    ("POST", f"{A}{C}/results"): lambda v, h: {},
    ("POST", f"{A}/results/{{result_id}}/what-if"): lambda v, h: {"json": {"dose": "2 mg", "every": "12 h"}},
    ("POST", f"{A}/results/{{result_id}}/signature"): api_signature,
    ("POST", f"{A}{C}/closing"): lambda v, h: {"json": {"reason": "done"}},
    ("POST", f"{A}{C}/reopening"): lambda v, h: closed(v, h) or {"json": {"reason": "too early"}},
}
NOTHING_KEPT = {
    ("POST", f"{A}/results/{{result_id}}/what-if"),
    ("POST", "/language"),
    ("POST", "/patients/find"),
    ("POST", f"{A}/find/patients"),
}
ACCOUNTS: Mapping[tuple[str, str], Asked] = {
    ("POST", "/admin/accounts"): {"data": {"login": "fresh", "name": "Fresh", "roles": "viewer", "wards": "icu"}},
    ("POST", "/admin/accounts/{account_id}"): {"data": {"name": "Spare", "roles": "viewer", "wards": "icu", "reason": "moved"}},
    ("POST", "/admin/accounts/{account_id}/end-sessions"): {},
    ("POST", "/admin/accounts/{account_id}/reset"): {},
    ("POST", "/admin/accounts/{account_id}/close"): {},
    ("POST", "/admin/accounts/{account_id}/open"): {},
    ("POST", "/admin/wards"): {"data": {"ward": "burns", "name": "Burns unit"}},
    ("POST", "/admin/wards/{ward_id}"): {"data": {"name": "Renal unit", "active": "on"}},
    ("POST", "/account/keys"): {"data": {"key_name": "night", "days": "7", "scopes": "read"}},
    ("POST", "/account/sessions/end-others"): {},
}
ELSEWHERE = {  # need a device, a partner, a code of the moment, or end the session that asks
    **{
        f"/courses/{{course_id}}/{deed}": "tests/emr/test_joined.py"
        for deed in ("record/read", "record/preview", "record/import", "record/send")
    },
    **{f"/courses/{{course_id}}/questions/{{question_id}}/{deed}": "tests/emr/test_joined.py" for deed in ("answer", "close")},
    "/admin/messages/{number}/replay": "tests/emr/test_joined.py",
    "/sign-in": "tests/web/test_sign_in.py",
    "/sign-in/code": "tests/web/test_sign_in.py",
    "/sign-in/passkey/options": "tests/web/test_passkeys_browser.py",
    "/sign-in/passkey": "tests/web/test_passkeys_browser.py",
    "/sign-in/oidc": "tests/web/test_oidc.py",
    "/sign-out": "tests/web/test_sign_in.py",
    "/setup": "tests/web/test_sign_in.py",
    "/account/password": "tests/web/test_accounts.py",
    "/account/totp": "tests/web/test_accounts.py",
    "/account/totp/confirm": "tests/web/test_accounts.py",
    "/account/totp/remove": "tests/web/test_accounts.py",
    "/account/codes": "tests/web/test_accounts.py",
    "/account/passkeys/options": "tests/web/test_passkeys_browser.py",
    "/account/passkeys": "tests/web/test_passkeys_browser.py",
    "/account/passkeys/{passkey_id}/remove": "tests/web/test_passkeys_browser.py",
    "/account/sessions/{session_id}/end": "tests/web/test_accounts.py",
    "/account/keys/{key_id}/revoke": "tests/web/test_accounts.py",
    "/cds-services/{name}": "tests/emr/test_cds_hooks.py",
    "/cds-services/{name}/feedback": "tests/emr/test_cds_hooks.py",
}


def _revision(verbs: Verbs, one: Held) -> Asked:
    """The form of a fact carries that fact's revision."""
    return form(verbs, one, **SAMPLE, revision=str(last(verbs, one)))
