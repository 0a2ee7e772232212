"""CDS Hooks over the application: the twelve invariants, our stricter schema, healthchain's models, tokens, refusals, the time cap."""

from __future__ import annotations

import copy
import json
import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlalchemy import select

from auctor.errors import ModelError, RecordError
from auctor.fhir.cds.cards import Action, Card, Coding, Indicator, Link, Suggestion, response
from auctor.fhir.cds.discovery import SERVICES
from auctor.fhir.cds.request import read_call, read_feedback, service_of
from auctor.fhir.cds.services import Desk
from auctor.models.drug_file import Monitoring
from auctor.web.accounts.actor import Actor, Role
from auctor.web.app import application
from auctor.web.emr.desk import Answers
from auctor.web.emr.tokens import Keys, Once
from auctor.web.service.clinic import Clinic
from auctor.web.service.feedback import UNKNOWN, Period, acceptance
from auctor.web.store import StoreUnavailable, facts, questions
from auctor.web.store.questions import Asked
from auctor.web.store.tables import Audit, Feedback, ShownCard
from emr.cds_invariants import FEEDBACK, REQUEST, RESPONSE
from emr.hospital import DOCTOR, FHIR, ISSUER, PATIENT, VANCOMYCIN, Hospital, admit, call, draft, make_hospital

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "src/auctor/fhir/cds/response.schema.json").read_text())
HOOKS = {service.hook: service.id for service in SERVICES}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("hospital")
    (folder / "monitoring.toml").write_text(
        'schema = 1\n[[monitoring]]\ndrug = "ciclosporin"\nat_least_every_h = 720\nverified = true\nsource = "pharmacy, 2026"\n'
    )
    found = make_hospital(folder, monitoring_file=str(folder / "monitoring.toml"))
    found.app.state.cds_cap_s = 120.0  # the first call compiles, on a machine that others use too; the cap has its own test
    return found


@pytest.fixture(scope="module")
def client(hospital: Hospital) -> TestClient:
    return TestClient(hospital.app, base_url=hospital.settings.origin, raise_server_exceptions=False)


def _post(client: TestClient, hospital: Hospital, path: str, body: Any, **claims: Any) -> Any:
    return client.post(path, json=body, headers={"authorization": f"Bearer {hospital.token(path, **claims)}"})


def _cards(client: TestClient, hospital: Hospital, hook: str, *drafts: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = _post(client, hospital, f"/cds-services/{HOOKS[hook]}", call(hook, *drafts, **more))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    _check(body)
    return list(body["cards"])


def _check(body: dict[str, Any]) -> None:
    """What every response must be."""
    from healthchain.models.responses.cdsresponse import CDSResponse

    jsonschema.validate(body, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert {name for name, rule in RESPONSE.items() if not rule(body)} == set()
    assert not [found for card in body["cards"] for found in _empties(card)]
    theirs = copy.deepcopy(body)
    for card in theirs["cards"]:
        for link in card.get("links", []):
            link["autoLaunchable"] = link.pop("autolaunchable")  # healthchain spells it so
    assert len(CDSResponse.model_validate(theirs).cards) == len(body["cards"])


def _empties(value: Any) -> list[Any]:
    if value in (None, "", [], {}):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [found for one in inner for found in _empties(one)]


def test_discovery_is_open_and_as_healthchain_reads_it(client: TestClient) -> None:
    from healthchain.models.responses.cdsdiscovery import CDSServiceInformation

    body = client.get("/cds-services").json()
    read = CDSServiceInformation.model_validate(body)
    assert [s.hook for s in read.services] == ["patient-view", "order-select", "order-sign"] and not _empties(body["services"])
    assert all("{{context.patientId}}" in query for s in body["services"] for query in s.get("prefetch", {}).values())


def test_patient_view_says_that_levels_wait(client: TestClient, hospital: Hospital) -> None:
    (card,) = _cards(client, hospital, "patient-view")
    assert card["indicator"] == "info" and card["summary"] == "Vancomycin: a level that is not interpreted yet"
    assert card["links"][0]["type"] == "smart" and json.loads(card["links"][0]["appContext"]) == {"course": hospital.course}
    assert card["links"][0]["url"] == f"{hospital.settings.origin}/smart/launch"


def test_patient_view_says_that_a_level_is_overdue_by_whose_interval_and_what_is_not_known(client: TestClient, hospital: Hospital) -> None:
    _admitted(hospital, "late")
    (card,) = _cards(client, hospital, "patient-view", patient="late")
    assert card["indicator"] == "info" and card["summary"] == "Vancomycin: a level is overdue since 2026-03-09 20:10"
    lines = card["detail"].split("\n")
    assert lines[0] == ("- No level has come since the first dose of 2026-03-02 20:10; one was due within 7 days, by 2026-03-09 20:10.")
    assert "rxkinetics.com" in lines[1] and "not computed for this patient" in lines[1]
    assert "No dose is on record after 2026-03-04 20:15; an order alone" in card["detail"] and "suggestions" not in card
    (both,) = _cards(client, hospital, "patient-view")
    assert both["summary"].endswith("not interpreted yet") and "The last level was drawn on 2026-03-05 06:39" in both["detail"]


def test_no_card_of_an_overdue_level_where_it_is_not_known(client: TestClient, hospital: Hospital) -> None:
    _admitted(hospital, "stopped", current=None)  # no order, and no dose when the level was due
    _admitted(hospital, "nothing", doses=[], current=None)
    _admitted(hospital, "unruled", drug="tacrolimus", model="tacrolimus_woillard_2011", current=None, doses=KIDNEY)
    for patient in ("stopped", "nothing", "unruled"):
        assert not _cards(client, hospital, "patient-view", patient=patient)


def test_the_hospitals_own_intervals_are_read_at_the_start_and_a_bad_file_stops_it(hospital: Hospital, tmp_path: Path) -> None:
    assert set(hospital.app.state.intervals) == {"ciclosporin"}
    (tmp_path / "bad.toml").write_text("schema = 1\n[[monitoring]]\ndrug = 1\n")
    with pytest.raises(ModelError, match="monitoring"):
        application(replace(hospital.settings, monitoring_file=str(tmp_path / "bad.toml")), store=hospital.app.state.store)


def test_a_level_that_came_and_is_still_asked_about_is_not_overdue(client: TestClient, hospital: Hospital) -> None:
    course = _admitted(hospital, "asked")
    assert _cards(client, hospital, "patient-view", patient="asked")
    with hospital.app.state.store.work(DOCTOR) as work:
        asked = Asked(source="hl7v2", reference="r", kind="sample", code="unread", place="OBX[1]-5", what="not a number", remedy="send it")
        questions.ask(work, course, asked)
        work.record("test.ask", "course", course, ward="icu")
    assert not _cards(client, hospital, "patient-view", patient="asked")


def test_the_hospitals_own_interval_and_a_change_of_dose_decide(hospital: Hospital) -> None:
    """At a moment of the treatment: the order of 4 March is another dose, and the level of 5 March was drawn after it."""
    own = Monitoring(first_within_h=None, after_change_within_h=24, at_least_every_h=None, use="", verified=True, source="pharmacy, 2026")
    course, store = _admitted(hospital, "moment", current=None), hospital.app.state.store
    with store.work(DOCTOR) as work:
        for at, amount in (("2026-03-02T20:00:00+01:00", "1000 mg"), ("2026-03-04T08:00:00+01:00", "1250 mg")):
            body = {"amount": amount, "every": "12 h", "route": "iv", "duration": "1 h"}
            facts.add(work, course, kind="order", body=body, at=datetime.fromisoformat(at))
        work.record("test.order", "course", course, ward="icu")

    def said(now: str) -> list[Card]:
        answers = Answers(
            clinic=Clinic(store=store), desk=Desk(launch="https://a/smart"), intervals={"vancomycin": own},
            now=lambda: datetime.fromisoformat(now),
        )  # fmt: skip
        body = read_call(call("patient-view", patient="moment"), service_of("tdm-patient-view"))
        return list(answers.answer(body, DOCTOR, ((FHIR, "moment"),)))

    assert not said("2026-03-05T07:59:00+01:00")
    (card,) = said("2026-03-05T08:01:00+01:00")
    assert card.kind == "overdue" and "after the dose changed on 2026-03-04 08:00; one was due within 24 h" in card.detail
    assert "pharmacy, 2026" in card.detail
    with store.work(DOCTOR) as work:
        facts.add(work, course, kind="sample", body={"value": "14 mg/L", "at": "2026-03-05T07:30:00+01:00", "matrix": "serum"})
        work.record("test.level", "course", course, ward="icu")
    (pending,) = said("2026-03-05T08:01:00+01:00")
    assert pending.kind == "pending" and "overdue" not in pending.detail


KIDNEY = [{"amount": "3 mg", "route": "oral", "at": "2026-03-02T08:00:00+01:00", "every": "12 h", "steady_state": True}]


def _admitted(hospital: Hospital, identifier: str, **change: Any) -> str:
    """A course like the example's without a level, known by the FHIR server's id."""
    import tomllib

    case = tomllib.loads((Path(__file__).resolve().parents[2] / "examples" / "vancomycin_two_levels.toml").read_text())
    order = {"amount": "1000 mg", "every": "12 h", "route": "iv", "duration": "1 h"}
    case |= {"samples": [], "covariates": {}, "current": order} | change
    return admit(hospital.app.state.store, {key: value for key, value in case.items() if value is not None}, identifier=identifier)


def test_cards_are_in_the_language_of_the_call_else_of_the_installation(client: TestClient, hospital: Hospital) -> None:
    path = f"/cds-services/{HOOKS['patient-view']}"

    def asked(**headers: str) -> tuple[str, str, str]:
        answer = client.post(path, json=call("patient-view"), headers={"authorization": f"Bearer {hospital.token(path)}", **headers})
        _check(answer.json())
        (card,) = answer.json()["cards"]
        return answer.headers["content-language"], card["summary"], card["source"]["label"]

    english = ("en", "Vancomycin: a level that is not interpreted yet", "auctor (research software, not a medical device)")
    french = (
        "fr",
        "Vancomycin : une concentration qui n'est pas encore interprétée",
        "auctor (logiciel de recherche, pas un dispositif médical)",
    )
    assert asked() == asked(**{"accept-language": "de"}) == english and asked(**{"accept-language": "fr-CH, en;q=0.5"}) == french
    own = hospital.app.state.settings
    try:
        hospital.app.state.settings = replace(own, language="fr")
        assert asked() == asked(**{"accept-language": "*"}) == french and asked(**{"accept-language": "en-GB"}) == english
        assert "Doses qui atteignent la cible" in [one["title"] for one in client.get("/cds-services").json()["services"]]
    finally:
        hospital.app.state.settings = own


def test_a_french_card_has_the_codes_numbers_and_resource_of_the_english_one(client: TestClient, hospital: Hospital) -> None:
    path = f"/cds-services/{HOOKS['order-sign']}"
    body, cards = call("order-sign", draft(2000, every=12, minutes=120)), {}
    for code in ("en", "fr"):
        headers = {"authorization": f"Bearer {hospital.token(path)}", "accept-language": code}
        answer = client.post(path, json=body, headers=headers).json()
        _check(answer)
        (cards[code],) = answer["cards"]
    english, french = cards["en"], cards["fr"]
    ends = "Vancomycin : cette prescription finit au-dessus de la cible chez "
    assert french["summary"].startswith(ends) and " sur 10 patients comme celui-ci" in french["summary"]
    detail, basis = french["detail"], "Cible AUC0-24 400–600 mg·h/L à l'équilibre. Calculé par :"
    for said in (basis, "| Schéma | AUC0-24 mg·h/L (90 %) | sous | dans la cible | au-dessus |"):
        assert said in detail
    assert "toutes les" in detail and "Décidez après avoir lu les données" in detail and "Méthodes : " in detail
    assert not re.search(r"\b(every|over|target|order|Methods|of 10|the)\b", detail + french["summary"] + french["suggestions"][0]["label"])
    assert re.findall(r"\d+", detail) == re.findall(r"\d+", english["detail"])
    for key in ("uuid", "indicator"):
        assert french[key] == english[key]
    assert [r["code"] for r in french["overrideReasons"]] == [r["code"] for r in english["overrideReasons"]]
    assert french["overrideReasons"][0]["display"] == "Ne s'applique pas à ce patient"
    one, other = (card["suggestions"][0]["actions"][0]["resource"] for card in (english, french))
    assert one == other and french["links"][0]["label"] == "Ouvrir vancomycin dans auctor"


def test_order_sign_warns_and_proposes_an_update_of_the_whole_order(client: TestClient, hospital: Hospital) -> None:
    order = draft(2000, every=12, minutes=120)
    (card,) = _cards(client, hospital, "order-sign", order)
    assert card["indicator"] == "warning" and "above the target" in card["summary"]
    (suggestion,) = card["suggestions"]
    (action,) = suggestion["actions"]
    assert action["type"] == "update" and suggestion["isRecommended"]
    changed = action["resource"]
    assert {k: v for k, v in changed.items() if k != "dosageInstruction"} == {k: v for k, v in order.items() if k != "dosageInstruction"}
    line, before = changed["dosageInstruction"][0], order["dosageInstruction"][0]
    assert line["route"] == before["route"] and "text" not in line
    assert line["timing"]["repeat"]["boundsPeriod"] == before["timing"]["repeat"]["boundsPeriod"]
    mg, every = line["doseAndRate"][0]["doseQuantity"]["value"], line["timing"]["repeat"]["period"]
    assert mg * 24 / every < 4000 and f"{mg} mg every {every} h" in suggestion["label"]
    # the proposed order needs no word
    assert not _cards(client, hospital, "order-sign", changed)


def test_what_the_card_says_is_what_the_engine_says(client: TestClient, hospital: Hospital) -> None:
    from auctor.analysis import analyse
    from auctor.case import Regimen, Route
    from auctor.data.casefile import read_case
    from auctor.models.reader import read_model
    from auctor.report.shown import frequencies

    model = read_model("vancomycin_goti_2018")
    case = read_case(Path(__file__).resolve().parents[2] / "examples" / "vancomycin_two_levels.toml", model)
    drafted = Regimen.steady(250, every_h=12, route=Route.IV, duration_h=1)
    found = analyse(replace(case, current=drafted), model).method("posterior").recommendation
    assert found is not None and found.current is not None
    (card,) = _cards(client, hospital, "order-sign", draft(250))
    assert f"below the target in {frequencies(found.current.shares)[0]}" in card["summary"]


def test_a_dose_above_a_cap_and_surely_too_much_is_critical_and_by_the_population_model(client: TestClient, hospital: Hospital) -> None:
    (card,) = _cards(client, hospital, "order-sign", draft(6000, every=6, minutes=360))
    assert card["indicator"] == "critical" and "exceeds a cap" in card["detail"] and "Posterior" in card["detail"]


def test_a_length_that_was_not_said_is_said_on_the_card(client: TestClient, hospital: Hospital) -> None:
    (card,) = _cards(client, hospital, "order-sign", draft(2000, minutes=None))
    assert "does not say how long the infusion runs" in card["detail"]


def test_order_select_offers_doses_and_recommends_one(client: TestClient, hospital: Hospital) -> None:
    (card,) = _cards(client, hospital, "order-select", draft(2000))
    assert [s["isRecommended"] for s in card["suggestions"]] == [True] + [False] * (len(card["suggestions"]) - 1)
    assert 2 <= len(card["suggestions"]) <= 3 and len({s["uuid"] for s in card["suggestions"]}) == len(card["suggestions"])


def test_at_most_one_card_for_a_drug_and_none_for_others(client: TestClient, hospital: Hospital) -> None:
    two = (draft(2000, name="a"), draft(2500, name="b"))
    assert len(_cards(client, hospital, "order-sign", *two)) == 1
    paracetamol = {"system": VANCOMYCIN["system"], "code": "161"}
    assert not _cards(client, hospital, "order-sign", draft(coding=paracetamol))
    assert not _cards(client, hospital, "patient-view", patient="nobody")


@pytest.mark.parametrize("change", ["as needed", "range", "two lines", "no dose", "oral"])
def test_an_order_that_is_no_plain_regimen_gets_no_card_rather_than_a_wrong_one(
    client: TestClient, hospital: Hospital, change: str
) -> None:
    order = draft(2000)
    line = order["dosageInstruction"][0]
    if change == "as needed":
        line["asNeededBoolean"] = True
    elif change == "range":
        line["doseAndRate"] = [{"doseRange": {"low": {"value": 1}, "high": {"value": 2}}}]
    elif change == "two lines":
        order["dosageInstruction"] = [line, line]
    elif change == "no dose":
        del line["doseAndRate"]
    else:
        line["route"] = {"coding": [{"system": "http://snomed.info/sct", "code": "26643006"}]}
        del line["timing"]["repeat"]["duration"]
    assert not _cards(client, hospital, "order-sign", order)


def test_a_monitored_drug_without_a_course_is_a_412_with_an_operation_outcome(client: TestClient, hospital: Hospital) -> None:
    tacrolimus = {"system": VANCOMYCIN["system"], "code": "42316"}
    for body in (call("order-sign", draft(coding=tacrolimus)), call("order-sign", draft(), patient="nobody")):
        answer = _post(client, hospital, "/cds-services/tdm-order-sign", body)
        assert answer.status_code == 412 and answer.json()["issue"][0]["code"] == "incomplete"


def test_identifiers_of_a_prefetched_patient_find_the_course(client: TestClient, hospital: Hospital) -> None:
    import tomllib

    case = tomllib.loads((Path(__file__).resolve().parents[2] / "examples" / "vancomycin_two_levels.toml").read_text())
    admit(hospital.app.state.store, case, authority="HOSP", identifier="42")
    patient = {"resourceType": "Patient", "id": "p42", "identifier": [{"system": "urn:oid:1.2.250.1", "value": "42"}]}
    body = call("patient-view", patient="p42", prefetch={"patient": patient, "other": None})
    assert len(_post(client, hospital, "/cds-services/tdm-patient-view", body).json()["cards"]) == 1
    swapped = call("patient-view", patient="p43", prefetch={"patient": patient})
    assert not _post(client, hospital, "/cds-services/tdm-patient-view", swapped).json()["cards"]


def test_another_draft_in_the_same_call_of_the_hook_is_another_card(client: TestClient, hospital: Hospital) -> None:
    """An answer to a card is an answer to what it said: the record may ask again under the same hookInstance."""
    cards = [_cards(client, hospital, "order-sign", draft(mg, minutes=minutes))[0] for mg, minutes in ((2000, 120), (2000, 60), (250, 60))]
    assert len({card["uuid"] for card in cards}) == 3


def test_the_same_call_gives_the_same_bytes(client: TestClient, hospital: Hospital) -> None:
    path, body = "/cds-services/tdm-order-sign", call("order-sign", draft(2000))
    assert len({_post(client, hospital, path, body).content for _ in range(3)}) == 1


_BAD_CALLS: list[dict[str, Any]] = [
    {"hook": "order-sign"}, {"hookInstance": "x"}, {"hookInstance": None}, {"fhirServer": "javascript:1"}, {"context": {}}, {"context": []},
    {"context": {"userId": "Practitioner/p1", "patientId": "a/b"}}, {"context": {"userId": "x", "patientId": PATIENT}},
    {"context": {"userId": "Practitioner/p1", "patientId": None}}, {"extension": {"a": None}},
    {"fhirServer": "", "fhirAuthorization": {"access_token": "t", "token_type": "Bearer", "expires_in": 1, "scope": "s", "subject": "c"}},
    {"fhirAuthorization": {"access_token": "t", "token_type": "MAC", "expires_in": 1, "scope": "s", "subject": "c"}},
]  # fmt: skip


@pytest.mark.parametrize("change", _BAD_CALLS, ids=range(len(_BAD_CALLS)))
def test_calls_that_the_specification_forbids_are_refused(client: TestClient, hospital: Hospital, change: dict[str, Any]) -> None:
    answer = _post(client, hospital, "/cds-services/tdm-patient-view", call("patient-view") | change)
    assert answer.status_code == 400 and answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"hook": NaN}', b'{"a":1,"a":2}', b"[" * 100_000])
def test_bodies_that_are_no_call(client: TestClient, hospital: Hospital, body: bytes) -> None:
    path = "/cds-services/tdm-patient-view"
    answer = client.post(path, content=body, headers={"authorization": f"Bearer {hospital.token(path)}"})
    assert answer.status_code == 400 and answer.json()["resourceType"] == "OperationOutcome"


def test_a_refusal_is_in_the_language_that_the_call_asks_for_as_cards_are(client: TestClient, hospital: Hospital) -> None:
    path, said = "/cds-services/tdm-patient-view", []
    for code in ("en", "fr"):
        headers = {"accept-language": code}
        late = client.post(path, json=call("order-sign"), headers=headers | {"authorization": f"Bearer {hospital.token(path)}"})
        stranger = client.post(path, json=call("patient-view"), headers=headers)
        assert (late.status_code, stranger.status_code, late.headers["content-language"]) == (400, 401, code)
        said.append([answer.json()["issue"][0]["diagnostics"] for answer in (late, stranger)])
    english = "request.hook: not the hook patient-view; call the service of this hook", "authorization: no bearer token; send a token as"
    french = (
        "request.hook: pas le hook patient-view; appelez le service de ce hook",
        "authorization: pas de jeton au porteur; envoyez un jeton",
    )
    for found, expected in zip(said, (english, french), strict=True):
        assert all(text.startswith(start) for text, start in zip(found, expected, strict=True)), found


def test_an_unknown_service_is_a_404(client: TestClient, hospital: Hospital) -> None:
    assert _post(client, hospital, "/cds-services/nothing", call("patient-view")).status_code == 404


def test_request_invariants_by_example() -> None:
    authorization = {"access_token": "t", "token_type": "Bearer", "expires_in": 300, "scope": "patient/Observation.rs", "subject": "c"}
    service = service_of("tdm-patient-view")
    without = {k: v for k, v in call("patient-view", fhirAuthorization=authorization).items() if k != "fhirServer"}
    assert not REQUEST["cds-r-1"](without)
    with pytest.raises(RecordError, match="cds-r-1"):
        read_call(without, service)
    body = call("patient-view", fhirAuthorization=authorization)
    assert not REQUEST["cds-r-2"](body) and "cds-r-2" in read_call(body, service).notices[0]
    body = call("patient-view", fhirAuthorization=authorization | {"patient": PATIENT})
    assert REQUEST["cds-r-2"](body) and not read_call(body, service).notices
    assert "access" not in repr(read_call(body, service))


_CODING = Coding(system="s", code="c", display="d")
_CARD: dict[str, Any] = {"uuid": "u", "summary": "s", "indicator": Indicator.INFO, "source": "x", "topic": _CODING}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("cds-resp-1", {"cards": [{"selectionBehavior": "at-most-one", "suggestions": [{"isRecommended": True}] * 2}]}),
        ("cds-resp-2", {"cards": [{"suggestions": [{"actions": [{"type": "delete", "resource": {"id": "1"}}]}]}]}),
        ("cds-resp-3", {"cards": [{"links": [{"type": "absolute", "appContext": "x"}]}]}),
        ("cds-resp-4", {"cards": [{"overrideReasons": [{"code": "x"}]}]}),
        ("cds-resp-5", {"cards": [{"suggestions": [{"actions": [{"type": "create"}]}]}]}),
        ("cds-resp-6", {"cards": [{"suggestions": [{}]}]}),
        ("cds-resp-7", {"cards": [{"suggestions": [{"actionSelectionBehavior": "some"}]}]}),
    ],
)
def test_the_response_invariants_can_fail(name: str, body: dict[str, Any]) -> None:
    assert not RESPONSE[name](body)


def test_cards_that_break_an_invariant_cannot_be_made() -> None:
    action = Action(type="delete", description="d", resource_id="MedicationRequest/1")
    suggestion = Suggestion(label="l", uuid="u", actions=(action,), recommended=True)
    card = Card(**_CARD, suggestions=(suggestion,), reasons=(_CODING,), links=(Link(label="l", url="https://a", smart=True, context="c"),))
    assert all(rule(response([card])) for rule in RESPONSE.values())
    wrong = [
        lambda: Card(**_CARD, suggestions=(suggestion, suggestion)),
        lambda: Card(**{**_CARD, "summary": "x" * 140}),
        lambda: Card(**{**_CARD, "summary": " "}),
        lambda: Action(type="delete", description="d", resource={"a": 1}),
        lambda: Action(type="delete", description="d"),
        lambda: Action(type="update", description="d"),
        lambda: Action(type="create", description=" ", resource={"a": 1}),
        lambda: Action(type="apply", description="d", resource={"a": 1}),
        lambda: Link(label="l", url="https://a", context="c"),
        lambda: Link(label="l", url="/relative"),
    ]
    for make in wrong:
        with pytest.raises(RecordError):
            make()


_ENTRY = {"card": "4e0a3a1e-3283-4575-ab82-028d55fe2719", "outcome": "overridden", "outcomeTimestamp": "2026-03-05T08:00:00Z"}
_TAKEN = {"outcome": "accepted", "acceptedSuggestions": [{"id": "e56e1945-20b3-4393-8503-a1a20fd73152"}]}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, ""), (_TAKEN, ""), ({"overrideReason": {"userComment": "no"}}, ""),
        ({"overrideReason": {"reason": {"system": "s", "code": "c"}}}, ""),
        ({"outcome": "ignored"}, "cds-fb-1"), ({"outcome": "accepted"}, "cds-fb-2"), ({"overrideReason": {"x": "y"}}, "cds-fb-3"),
    ],
)  # fmt: skip
def test_feedback_invariants(change: dict[str, Any], broken: str) -> None:
    entry = _ENTRY | change
    assert {name for name, rule in FEEDBACK.items() if not rule(entry)} == ({broken} if broken else set())
    if broken:
        with pytest.raises(RecordError, match=broken):
            read_feedback({"feedback": [entry]})
    else:
        assert read_feedback({"feedback": [entry]})[0].accepted == (entry["outcome"] == "accepted")


@pytest.mark.parametrize(
    "change", [{"card": "x"}, {"outcomeTimestamp": "2026-03-05T08:00"}, {"outcomeTimestamp": "now"}, {"outcomeTimestamp": None}]
)
def test_feedback_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        read_feedback({"feedback": [_ENTRY | change]})


def test_feedback_is_kept_with_one_audit_entry_and_counted(client: TestClient, hospital: Hospital) -> None:
    (card,) = _cards(client, hospital, "order-sign", draft(2000))
    taken = _ENTRY | {"card": card["uuid"], "outcome": "accepted", "acceptedSuggestions": [{"id": card["suggestions"][0]["uuid"]}]}
    answer = _post(client, hospital, "/cds-services/tdm-order-sign/feedback", {"feedback": [taken, _ENTRY]})
    assert answer.status_code == 200 and not answer.content
    store, boss = hospital.app.state.store, Actor.system("test")
    with store.read(boss) as reading:
        assert {row.outcome for row in reading.session.scalars(select(Feedback))} == {"accepted", "overridden"}
        entries = reading.session.scalars(select(Audit).where(Audit.action == "cds.feedback")).all()
    assert len(entries) == 1 and entries[0].login == f"cds:{ISSUER}"
    viewer = Actor(account_id=None, login="v", roles=frozenset({Role.VIEWER}), wards=frozenset(), channel="page")
    rows = acceptance(Clinic(store=store), viewer, Period.read("", "", zone="UTC"))
    found = next(row for row in rows if row.accepted)
    assert (found.service, found.kind, found.accepted, found.overridden) == ("tdm-order-sign", "draft", 1, 0)
    assert found.indicator == card["indicator"]
    (unknown,) = [row for row in rows if row.kind == UNKNOWN]
    assert (unknown.service, unknown.shown, unknown.overridden, unknown.reasons) == ("tdm-order-sign", 0, 1, {"not-given": 1})
    with store.read(boss) as reading:
        shown = reading.session.scalars(select(ShownCard)).all()
        entries = reading.session.scalars(select(Audit).where(Audit.action == "cds.shown")).all()
    assert len(shown) == len({row.id for row in shown}) == sum(entry.after["cards"] for entry in entries) >= 1
    assert {row.drug for row in shown} <= {"vancomycin"} and PATIENT not in repr([row.as_data() for row in shown])


def test_a_card_that_cannot_be_kept_is_shown_all_the_same(client: TestClient, hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise StoreUnavailable(where="database", what="busy", remedy="try again")

    monkeypatch.setattr("auctor.web.emr.cds_hooks.keep_shown", down)
    assert len(_cards(client, hospital, "patient-view")) == 1


_BAD_TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("another audience", {"aud": "https://auctor.example/cds-services/tdm-patient-view"}), ("several audiences", {"aud": ["a", "b"]}),
    ("no audience", {"aud": None}), ("an unknown issuer", {"iss": "https://evil.example"}), ("no issuer", {"iss": None}),
    ("expired", {"iat": 1_000_000_000, "exp": 1_000_000_060}),
    ("not valid yet", {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 3660}),
    ("valid for a day", {"exp": int(time.time()) + 86_400}), ("no expiry", {"exp": None}),
    ("no time", {"iat": None}), ("no jti", {"jti": None}),
    ("an empty jti", {"jti": ""}), ("expiry as text", {"exp": "tomorrow"}), ("an infinite expiry", {"exp": 1e300}),
    ("RS256", {"header": {"alg": "RS256", "kid": "rsa"}, "key": "rsa"}), ("no kid", {"header": {"kid": None}}),
    ("an unknown kid", {"header": {"kid": "other"}}), ("keys elsewhere", {"header": {"jku": "https://evil.example/jwks"}}),
    ("another key", {"key": "other"}), ("HS256 with the public key", {"header": {"alg": "HS256"}, "key": "public"}),
    ("another type", {"header": {"typ": "at+jwt"}}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change"), _BAD_TOKENS, ids=[name for name, _ in _BAD_TOKENS])
def test_tokens_that_are_not_believed(client: TestClient, hospital: Hospital, name: str, change: dict[str, Any]) -> None:
    public = json.dumps(hospital.key.as_dict(private=False))
    keys = {"rsa": hospital.rsa, "other": ECKey.generate_key("P-384"), "public": OctKey.import_key(public)}
    change = {k: keys[v] if k == "key" else v for k, v in change.items()}
    answer = _post(client, hospital, "/cds-services/tdm-patient-view", call("patient-view"), **change)
    assert answer.status_code == 401 and answer.json()["resourceType"] == "OperationOutcome" and answer.headers["www-authenticate"]


def test_unsigned_and_broken_tokens_are_refused(client: TestClient, hospital: Hospital) -> None:
    path = "/cds-services/tdm-patient-view"
    head, body, signature = hospital.token(path).split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    for token in (
        "",
        "x",
        "a.b",
        f"{none}.{body}.",
        f"{none}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-6]}AAAAAA",
        "é.é.é",
    ):
        headers = {"authorization": f"Bearer {token}".encode()}
        answer = client.post(path, json=call("patient-view"), headers=headers)
        assert answer.status_code == 401
    assert client.post(path, json=call("patient-view")).status_code == 401


def test_a_token_is_taken_once_and_both_algorithms_are(client: TestClient, hospital: Hospital) -> None:
    path = "/cds-services/tdm-patient-view"
    headers = {"authorization": f"Bearer {hospital.token(path)}"}
    assert [client.post(path, json=call("patient-view"), headers=headers).status_code for _ in range(2)] == [200, 401]
    assert _post(client, hospital, path, call("patient-view"), key=hospital.rsa, header={"alg": "RS384", "kid": "rsa"}).status_code == 200


def test_a_client_speaks_for_its_own_servers_only(client: TestClient, hospital: Hospital) -> None:
    body = call("patient-view", fhirServer="https://other.example/fhir")
    assert _post(client, hospital, "/cds-services/tdm-patient-view", body).status_code == 401


def test_remembered_tokens_are_bounded_and_full_means_no() -> None:
    now = [1000.0]
    once = Once(most=2, clock=lambda: now[0])
    assert once.first("a", 1100) and once.first("b", 1200) and not once.first("c", 1200)
    now[0] = 1150
    assert once.first("c", 1300) and not once.first("b", 1200)


def test_keys_are_fetched_from_the_agreed_address_and_again_for_a_new_key() -> None:
    now, fetched = [1000.0], []

    def fetching(url: str, *, where: str) -> dict[str, Any]:
        fetched.append(url)
        return {"keys": [{"kid": str(len(fetched))}]}

    keys = Keys(clock=lambda: now[0], fetching=fetching)
    keys.at("https://a", "1")
    keys.at("https://a", "2")
    assert len(fetched) == 1  # asked again at once, it is not fetched again at once
    now[0] += 60
    assert keys.at("https://a", "2")["keys"][0]["kid"] == "2" and len(fetched) == 2


def test_out_of_time_is_no_card_and_the_unforeseen_is_a_412(
    client: TestClient, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any) -> tuple[()]:
        time.sleep(0.5)
        return ()

    def broken(*_: Any) -> tuple[()]:
        raise ZeroDivisionError("a patient's value")

    monkeypatch.setattr(Answers, "answer", slow)
    hospital.app.state.cds_cap_s = 0.05
    try:
        answer = _post(client, hospital, "/cds-services/tdm-patient-view", call("patient-view"))
        assert answer.status_code == 200 and answer.json() == {"cards": []}
    finally:
        del hospital.app.state.cds_cap_s
    monkeypatch.setattr(Answers, "answer", broken)
    answer = _post(client, hospital, "/cds-services/tdm-patient-view", call("patient-view"))
    assert answer.status_code == 412 and "value" not in answer.text


def test_an_rsa_key_that_is_too_short_is_not_a_key(client: TestClient, hospital: Hospital) -> None:
    weak = RSAKey.generate_key(2048, {"kid": "rsa"})
    answer = _post(
        client, hospital, "/cds-services/tdm-patient-view", call("patient-view"), key=weak, header={"alg": "RS384", "kid": "rsa"}
    )
    assert answer.status_code == 401
