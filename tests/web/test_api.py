"""The JSON API: a case from registration to the report, by a program; revisions, idempotency, refusals, pages of a list."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from auctor.web.accounts.permissions import Scope
from web_api import LEVEL, NEONATE, ORDER, PERSON, Program, entries_of, new_course, numbers, program
from web_site import PASSWORD, Site

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")


@pytest.fixture(scope="module")
def ada(site: Site) -> Program:
    return program(site)


@pytest.fixture(scope="module")
def course(ada: Program) -> str:
    return new_course(ada, "Q-1")


@pytest.fixture(scope="module")
def result(ada: Program, course: str) -> str:
    return str(ada.make(f"/courses/{course}/results")["id"])


def said(answer: Any) -> dict[str, Any]:
    """A refusal's fields, which all have to be there."""
    assert answer.headers["content-type"] == "application/problem+json"
    fields: dict[str, Any] = answer.json()
    assert fields["status"] == answer.status_code and fields["type"].startswith("urn:auctor:problem:")
    assert all(fields[name] for name in ("title", "detail", "where", "what", "remedy"))
    return fields


# --- the whole way ----------------------------------------------------------------------------------------------------------------


def test_a_case_goes_from_registration_to_the_report(ada: Program, course: str, result: str) -> None:
    file = ada.get(f"/courses/{course}")
    assert file["not_ready"] is None and file["model"] == "phenobarbital_grasela_1985"
    assert [one["id"] for one in file["results"]] == [result] and not file["results"][0]["stale"]
    found = ada.get(f"/results/{result}")
    assert found["status"] == "draft" and found["signature"] is None and found["document"]["label"] == course
    posterior = found["content"]["methods"]["posterior"]
    assert posterior["candidates"] and posterior["candidates"][0]["option"]["dose"]["unit"] == "mg"
    page = ada.ask("GET", f"/results/{result}/report")
    assert page.headers["content-type"].startswith("text/html") and "Quoll" in page.text
    pdf = ada.ask("GET", f"/results/{result}/report.pdf")
    assert pdf.content.startswith(b"%PDF-") and pdf.headers["content-type"] == "application/pdf"


def test_the_result_is_the_stored_text_and_every_number_is_finite(site: Site, ada: Program, result: str) -> None:
    import json

    from auctor.web.store.tables import Result
    from web_api import EVERYBODY

    text = ada.ask("GET", f"/results/{result}").text
    assert len(numbers(text)) > 100
    with site.app.state.store.read(EVERYBODY) as reading:
        assert json.loads(text)["content"] == json.loads(reading.get(Result, result).result)


def test_the_same_inputs_are_not_kept_twice(ada: Program, course: str, result: str) -> None:
    assert ada.make(f"/courses/{course}/results")["id"] == result


def test_what_if_judges_within_the_caps_and_keeps_nothing(site: Site, ada: Program, result: str) -> None:
    before = len(entries_of(site.app.state.store))
    tried = ada.ask("POST", f"/results/{result}/what-if", {"dose": "2000 ug", "every": "0.5 d"})
    assert tried.status_code == 200, tried.text
    option = tried.json()["methods"]["map"]["option"]
    assert option["dose"] == {"value": 2.0, "unit": "mg"} and option["every"] == {"value": 12.0, "unit": "h"}
    over = ada.ask("POST", f"/results/{result}/what-if", {"dose": "9 g", "every": "12 h"})
    assert over.status_code == 422 and said(over)["where"] == "dose"
    assert len(entries_of(site.app.state.store)) == before


def test_a_person_signs_and_a_key_does_not(site: Site, ada: Program, result: str) -> None:
    label = ada.get(f"/results/{result}")["content"]["methods"]["posterior"]["candidates"][0]["option"]["label"]
    notices = [n for n in ada.get(f"/results/{result}")["content"]["notices"] if n["blocks_signing"]]
    reasons = {f"{n['code']}@{n['where']}": "checked with the ward" for n in notices} | {"change": "as agreed on the round"}
    wish = {"candidate": label, "meaning": "recommended", "reasons": reasons, "password": PASSWORD}
    assert said(ada.ask("POST", f"/results/{result}/signature", wish))["type"].endswith("Forbidden")
    person = site.client("ada")
    forged = person.client.post(f"/api/v1/results/{result}/signature", json=wish)
    assert forged.status_code == 403 and said(forged)["type"].endswith("Forged")
    from web_site import form_of

    token = form_of(person.get("/account").text, "/sign-out")["csrf_token"]
    for change, status in ({"password": "wrong"}, 401), ({"meaning": "maybe"}, 400), ({"reasons": {}}, 422), ({"candidate": None}, 422):
        refused = person.client.post(f"/api/v1/results/{result}/signature", json=wish | change, headers={"x-csrf-token": token})
        assert refused.status_code == status, refused.text
        assert said(refused)
    signed = person.client.post(f"/api/v1/results/{result}/signature", json=wish | {"reasons": reasons}, headers={"x-csrf-token": token})
    assert signed.status_code == 200, signed.text
    found = ada.get(f"/results/{result}")
    assert found["status"] == "signed" and found["signature"]["signer"] == "ada" and found["signature"]["regimen"] == label


# --- facts: revisions, If-Match ---------------------------------------------------------------------------------------------------


def test_a_fact_is_corrected_by_whoever_saw_its_last_revision(ada: Program) -> None:
    course = new_course(ada, "Q-2", facts=[{"kind": "sample", "body": LEVEL}])
    (fact,) = ada.get(f"/courses/{course}/facts")["items"]
    path = f"/facts/{fact['id']}"
    assert ada.ask("GET", path).headers["etag"] == '"1"'
    change = {"fact": {"kind": "sample", "body": LEVEL | {"value": "17.3 mg/L"}}, "reason": "typing error"}
    assert said(ada.ask("PUT", path, change))["status"] == 428
    assert said(ada.ask("PUT", path, change, if_match="1"))["status"] == 412
    corrected = ada.ask("PUT", path, change, if_match='"1"')
    assert corrected.json()["revision"] == 2 and corrected.headers["etag"] == '"2"'
    assert said(ada.ask("PUT", path, change, if_match='"1"'))["status"] == 412
    left = ada.ask("POST", f"{path}/use", {"used": False, "reason": "haemolysed"}, if_match='"2"')
    assert left.json()["body"]["used"] is False
    gone = ada.ask("POST", f"{path}/withdrawal", {"reason": "another patient's"}, if_match='"3"')
    assert gone.json()["withdrawn"] and ada.get(f"/courses/{course}/facts")["items"] == []
    revisions = ada.get(f"{path}/revisions")["items"]
    assert [one["revision"] for one in revisions] == [1, 2, 3, 4]
    assert [one["body"]["value"] for one in revisions] == ["13.7 mg/L", "17.3 mg/L", "17.3 mg/L", "17.3 mg/L"]
    assert said(ada.ask("PUT", path, change | {"fact": {"kind": "order", "body": ORDER}}, if_match='"4"'))["where"] == "kind"


def test_facts_come_all_or_none(ada: Program, site: Site) -> None:
    course = new_course(ada, "Q-3", facts=())
    wrong = {"kind": "sample", "body": {"value": "12.1 furlong", "at": "2026-03-01T07:30:00+01:00", "matrix": "serum"}}
    later = {"kind": "sample", "body": LEVEL | {"at": "2126-03-01T07:30:00+01:00"}}
    before = len(entries_of(site.app.state.store))
    for bad in (wrong, later):
        assert said(ada.ask("POST", f"/courses/{course}/facts", {"facts": [NEONATE[0], bad]}))["status"] == 422
    assert len(entries_of(site.app.state.store)) == before and ada.get(f"/courses/{course}/facts")["items"] == []
    ada.make(f"/courses/{course}/facts", {"facts": NEONATE[:1]})
    assert all(fact["source"] == "api" for fact in ada.get(f"/courses/{course}/facts")["items"])


def test_what_is_not_a_number_is_refused_as_malformed(ada: Program, course: str) -> None:
    for text in ("NaN", "Infinity", "1e999", "-1e999", "9" * 400):
        body = f'{{"value": {text}, "unit": "mg/L", "at": "2026-03-02T10:00:00+01:00"}}'
        sent = f'{{"facts": [{{"kind": "sample", "body": {body}}}]}}'
        headers = {"authorization": f"Bearer {ada.key}", "content-type": "application/json"}
        answer = ada.client.post(f"/api/v1/courses/{course}/facts", content=sent, headers=headers)
        assert said(answer)["status"] in (400, 422), text


# --- once -------------------------------------------------------------------------------------------------------------------------


def test_a_request_with_its_key_is_done_once(ada: Program, site: Site) -> None:
    new = PERSON | {"identifier": "Q-4"}
    first = ada.ask("POST", "/patients", new, idempotency_key="k-1")
    trail = len(entries_of(site.app.state.store))
    again = ada.ask("POST", "/patients", new, idempotency_key="k-1")
    assert first.json() == again.json() and first.headers["location"] == again.headers["location"]
    assert again.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
    assert len(entries_of(site.app.state.store)) == trail
    assert said(ada.ask("POST", "/patients", PERSON | {"identifier": "Q-5"}, idempotency_key="k-1"))["type"].endswith("Reused")
    patient = first.json()["id"]
    assert said(ada.ask("POST", f"/patients/{patient}/courses", new, idempotency_key="k-1"))["status"] in (400, 422)


def test_a_refused_request_may_be_sent_again_with_its_key(ada: Program) -> None:
    wrong = PERSON | {"identifier": "Q-6", "birth_date": "1820-01-01"}
    assert ada.ask("POST", "/patients", wrong, idempotency_key="k-2").status_code == 422
    assert ada.ask("POST", "/patients", PERSON | {"identifier": "Q-6"}, idempotency_key="k-2").status_code == 201


def test_the_same_key_at_the_same_time_is_done_once(ada: Program, site: Site) -> None:
    course = new_course(ada, "Q-7", facts=())
    before, answers = len(entries_of(site.app.state.store)), []

    def send() -> None:
        answers.append(ada.ask("POST", f"/courses/{course}/facts", {"facts": NEONATE[:2]}, idempotency_key="k-3"))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(entries_of(site.app.state.store)) == before + 1
    assert len(ada.get(f"/courses/{course}/facts")["items"]) == 2


# --- who, and what is seen ---------------------------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say(site: Site, ada: Program, course: str) -> None:
    reader = program(site, scopes=frozenset({Scope.READ}))
    assert reader.get(f"/courses/{course}/facts")["items"]
    assert said(reader.ask("POST", f"/courses/{course}/facts", {"facts": NEONATE[:1]}))["status"] == 403
    nobody = Program(client=reader.client, key="auctor_nothing")
    assert said(nobody.ask("GET", "/patients"))["status"] == 401
    rena = program(site, "rena")
    assert said(rena.ask("GET", f"/courses/{course}"))["status"] == 404
    assert rena.get("/patients")["items"] == [] and rena.get("/work-list")["items"] == []
    assert [ward["id"] for ward in rena.get("/wards")["items"]] == ["renal"]


def test_lists_come_in_pages(ada: Program) -> None:
    for k in range(5):
        ada.make("/patients", PERSON | {"identifier": f"P-{k}", "family": f"Numbat{k}"})
    seen, path = [], "/find/patients?limit=2"
    while path:
        page = ada.ask("POST", path.removeprefix("/api/v1"), {"text": "numbat"}).json()
        seen += [one["family"] for one in page["items"]]
        path = page["next"]
    assert seen == [f"Numbat{k}" for k in range(5)]
    assert len(ada.get("/patients?limit=5")["items"]) == 5
    assert said(ada.ask("GET", "/patients?limit=0"))["where"] == "limit"


def test_the_trail_and_the_models_are_read(ada: Program, course: str) -> None:
    patient = ada.get(f"/courses/{course}")["patient"]
    actions = [entry["action"] for entry in ada.get(f"/patients/{patient}/audit?limit=200")["items"]]
    assert actions[-1] == "patient.register" and "course.open" in actions
    model = ada.get("/models/phenobarbital_grasela_1985")
    assert model["drug"] == "phenobarbital" and {c["name"] for c in model["covariates"]} == {"WT", "APGR"}
    assert all(p["unit"] for p in model["parameters"])
    assert {m["drug"] for m in ada.get("/models?drug=vancomycin")["items"]} == {"vancomycin"}
    assert said(ada.ask("GET", "/models/nothing"))["status"] == 404


def test_an_unknown_address_and_a_wrong_method_are_problems_too(ada: Program) -> None:
    assert said(ada.ask("GET", "/nothing"))["status"] == 404
    wrong = ada.ask("DELETE", "/patients")
    assert said(wrong)["status"] == 405 and wrong.headers["allow"] == "GET, POST"
    big = ada.ask("POST", "/patients", {"x": "a" * 10_000_001})
    assert said(big)["status"] == 413
