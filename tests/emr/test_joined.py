"""The hospital's record in the running application: read, asked, answered, signed, sent back; files; HL7 beside it; what breaks."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.fhir_hook import PATH, secret_of
from auctor.web.emr.framing import Frame
from auctor.web.emr.remote import Server
from auctor.web.store.tables import Audit
from emr.bundles import bundle, given, observed, patient, transaction, vancomycin_record
from emr.messages import msh, obx, oru, ras, rxa
from emr.servers import FaultProxy, sekmet
from web_site import Person, Site, analyse, make_site, open_course, refusal, register, sign

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
NUMBER = "4711"
SITE_FILE = """time_zone = "Europe/Paris"
authorities = ["manual"]
[[codes]]
system = "99PHA"
code = "VANCO"
drug = "vancomycin"
"""
LEVEL = "4092-3^Vancomycin^LN"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    """A sekmet-fhir with one patient's record, one dose of it without a length, behind a proxy that breaks its answers when told."""
    with sekmet(tmp_path_factory.mktemp("joined-sekmet"), None) as base:
        record = [e["resource"] for e in vancomycin_record()["entry"]]
        with FhirClient(Server(base_url=base, allowed=(base,))) as client:
            client.write(transaction(*record, given("a4", "2026-03-02T20:05:00+01:00")))
        found = FaultProxy(base)
        yield found
        found.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, proxy: FaultProxy) -> Iterator[Site]:
    """An installation whose ward icu has a FHIR server, and an HL7 interface."""
    folder = tmp_path_factory.mktemp("joined")
    (folder / "site.toml").write_text(SITE_FILE)
    (folder / "partners.toml").write_text(
        f'[[fhir]]\nname = "The hospital"\nbase_url = "{proxy.base}"\nwards = ["icu"]\nformula = "cockcroft-gault"\n'
        'send_when_signed = true\n[[authorities]]\nsystem = "urn:oid:1.2.3"\nauthority = "manual"\n'
    )
    found = make_site(folder, partners_file=str(folder / "partners.toml"), hl7_site_file=str(folder / "site.toml"), hl7_port=0)
    found.app.state.clinic = replace(found.app.state.clinic, destination=found.app.state.records.destination)
    yield found
    found.app.state.interface.journal.close()
    found.app.state.store.close()


@pytest.fixture(autouse=True)
def _whole(proxy: FaultProxy) -> Iterator[None]:
    yield
    proxy.fault = ""


@pytest.fixture(scope="module")
def ada(site: Site) -> Person:
    return site.client("ada")


@pytest.fixture(scope="module")
def course(ada: Person) -> str:
    """The course of the patient whom the hospital's server knows, empty."""
    patient = register(ada, family="Beispiel", identifier=NUMBER, birth_date="1961-05-17", demo=False)
    return open_course(ada, patient, "vancomycin")


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def read(person: Person, course: str) -> Any:
    return person.submit(course, {}, action=f"{course}/record/read")


def question_of(page: str) -> str:
    return re.findall(r'href="(/courses/\w+/questions/\w+)"', page)[0]


def test_from_the_record_to_a_signed_result_in_it(site: Site, ada: Person, course: str, proxy: FaultProxy) -> None:
    arrived = words_of(read(ada, course).text)
    assert "8 new, 0 corrected, 0 withdrawn" in arrived and "1 question(s) open" in arrived
    page = ada.get(course).text
    assert "Beispiel" in ada.get("/work").text and "question about the record" in ada.get("/work").text
    result, question = analyse(ada, course), question_of(page)
    assert "Choose and sign" not in ada.get(course).text
    refused = sign(ada, result, _first(ada, course))
    assert refused.status_code == 422 and "an open question about the record blocks signing" in refused.text
    form = ada.get(question).text
    french = words_of(ada.get(question, **{"accept-language": "fr"}).text)
    assert "pas de durée" in french and "combien de temps la perfusion a duré" in french and "no length" not in french
    assert 'value="1000"' in form and "2026-03-02 20:05" in form
    without = ada.submit(question, {"duration": "1", "reason": ""}, action=f"{question}/answer")
    assert without.status_code == 422 and "Reason: missing" in refusal(without.text)
    answered = ada.submit(question, {"duration": "1", "reason": "the nurse who gave it"}, action=f"{question}/answer")
    assert answered.url.path == course and 'id="questions"' not in answered.text
    assert "0 new, 0 corrected, 0 withdrawn" in words_of(read(ada, course).text)  # asked once, and the answer stands
    signed = sign(ada, analyse(ada, course), _first(ada, course))
    assert "said=signed" in str(signed.url), refusal(signed.text)
    assert "waits to be sent" in signed.text
    assert site.app.state.records.work_off() == 1
    assert "\u2714 sent" in ada.get(course).text
    with FhirClient(Server(base_url=proxy.target, allowed=(proxy.target,))) as client:
        (report,) = client._all_pages(f"{proxy.target}/DiagnosticReport?patient=p1", float("inf"))[0]
    assert report["resource"]["status"] == "final"


def _first(person: Person, course: str) -> str:
    """The first candidate of a course's page."""
    page = person.get(course).text
    labels = re.findall(r'name="regimen" value="([^"]+)"', page)
    return html.unescape(labels[0]) if labels else "hold"


def test_every_step_left_its_entry(site: Site, ada: Person, course: str) -> None:
    from auctor.web.store.verify import AUDITOR

    with site.app.state.store.read(AUDITOR) as reading:
        actions = {row.action for row in reading.session.scalars(select(Audit))}
    assert {"import.fhir", "question.answer", "result.sign", "result.return", "result.sent"} <= actions


def test_a_server_that_fails_is_said_and_can_be_tried_again(ada: Person, course: str, proxy: FaultProxy) -> None:
    proxy.fault = "status"
    failed = ada.submit(course, {}, action=f"{course}/record/send")
    assert failed.status_code == 422 and "the server failed (500)" in failed.text
    page = ada.get(course).text
    assert "not sent" in page and "Try again to send" in page
    proxy.fault = ""
    assert "said=sent" in str(ada.submit(course, {}, action=f"{course}/record/send").url)


@pytest.mark.parametrize(("fault", "said"), [("status", "the server failed"), ("slow", "no answer in time"), ("short", "fewer resources")])
def test_a_record_that_cannot_be_read_is_never_shown_as_fresh(
    site: Site, ada: Person, course: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    """Requirement 31: the server fails, is slow, answers in part."""
    assert read(ada, course).status_code == 200
    before = ada.get(course).text
    hospital = site.app.state.records.of_ward("icu")
    hurried = replace(hospital, server=replace(hospital.server, timeout_s=1.0))
    if fault == "slow":
        monkeypatch.setattr(type(site.app.state.records), "of_ward", lambda self, ward: hurried)
    proxy.fault = fault
    failed = read(ada, course)
    assert failed.status_code == 422 and said in failed.text and "What is shown is of" in failed.text
    after = ada.get(course).text
    assert 'id="not-fresh"' in after and "may have changed since" in after and 'id="not-fresh"' not in before
    assert after.count('class="fact"') == before.count('class="fact"')
    proxy.fault = ""
    read(ada, course)
    assert 'id="not-fresh"' not in ada.get(course).text


def test_a_file_is_looked_at_and_then_taken(ada: Person) -> None:
    course = open_course(ada, register(ada, family="Datei", identifier="F-1", birth_date="1961-05-17", demo=False), "vancomycin")
    number = [{"system": "urn:oid:1.2.3", "value": "F-1"}]
    late = given("z1", "2026-03-01T08:00:00", "2026-03-01T09:00:00+01:00", drug="vancomycin")
    weight = observed("wt", "29463-7", 82, "kg", "2026-03-01")
    raw = bundle(patient(identifier=number), given("z2", "2026-03-02T08:00:00+01:00"), late, weight)
    shown = _upload(ada, course, json.dumps(raw).encode())
    text = words_of(shown.text)
    assert "What would be asked" in text and "a date without a time of day" in text and "no length" in text
    french = words_of(_upload(ada, course, json.dumps(raw).encode(), **{"accept-language": "fr"}).text)
    assert "une date sans heure" in french and "pas de durée" in french
    assert 'class="fact"' not in ada.get(course).text
    name = re.findall(r'name="upload" value="([^"]+)"', shown.text)[0]
    fields = _tokens(shown.text) | {"upload": name}
    taken = ada.client.post(f"{course}/record/import", data=fields)
    assert taken.status_code == 200 and "2 question(s) open" in words_of(taken.text)
    assert ada.client.post(f"{course}/record/import", data=fields).status_code == 422  # once
    question = question_of(ada.get(course).text)
    settled = ada.submit(question, {"why": "weighed again by hand"}, action=f"{question}/close")
    assert "said=settled" in str(settled.url)
    for broken, said in (
        (b"{", "not JSON"),
        (b"", "missing"),
        (json.dumps(bundle(patient(), late)).encode(), "not the patient of this course"),
    ):
        refused = _upload(ada, course, broken)
        assert refused.status_code == 422 and said in refused.text
    misnamed = _upload(ada, course, json.dumps(raw).encode(), name="record.json.exe")
    assert misnamed.status_code == 422 and "not a .json file" in misnamed.text


def _upload(person: Person, course: str, content: bytes, *, name: str = "record.json", **headers: str) -> Any:
    fields = _tokens(person.get(f"{course}/record").text)
    return person.client.post(f"{course}/record/preview", data=fields, files={"file": (name, content, "application/json")}, headers=headers)


def _tokens(page: str) -> dict[str, str]:
    return {name: re.findall(rf'name="{name}" value="([^"]*)"', page)[0] for name in ("csrf_token", "patient", "course", "revision")}


def test_a_viewer_neither_reads_nor_settles_and_another_ward_sees_nothing(site: Site, ada: Person, course: str) -> None:
    vic, rena = site.client("vic"), site.client("rena")
    assert "Read the record" not in vic.get(course).text
    fields = _tokens(ada.get(f"{course}/record").text) | {"csrf_token": _tokens(vic.get(course).text)["csrf_token"]}
    for what in ("read", "import"):
        assert vic.client.post(f"{course}/record/{what}", data=fields).status_code == 403
    assert rena.get(f"{course}/record").status_code == 404
    wrong = fields | {"csrf_token": _tokens(ada.get(course).text)["csrf_token"], "patient": "0" * 32}
    assert ada.client.post(f"{course}/record/read", data=wrong).status_code == 409


def test_a_call_of_the_hospitals_server_reads_the_record(site: Site, ada: Person, course: str, proxy: FaultProxy) -> None:
    name, records = course.rpartition("/")[2], site.app.state.records
    client = ada.client
    assert client.post(f"{PATH}/{name}", headers={"authorization": "Bearer wrong"}).status_code == 401
    with FhirClient(Server(base_url=proxy.target, allowed=(proxy.target,))) as server:
        server.write(transaction(observed("late", "20578-1", 17.5, "mg/L", "2026-03-03T07:40:00+01:00")))
    secret = secret_of(records.hook_key, name)
    assert client.post(f"{PATH}/{name}", headers={"authorization": f"Bearer {secret}"}).status_code == 200
    assert records.work_off() == 1
    assert "17.5 mg/L" in ada.get(course).text and "Re-opened" in ada.get(course).text


def test_hl7_messages_become_facts_and_questions_and_dead_letters_are_shown(site: Site, ada: Person) -> None:
    course = open_course(ada, register(ada, family="Haitschell", identifier="123456"), "vancomycin")
    receive = site.app.state.interface.receiver.receive
    level = oru(obx("15.1", code=LEVEL, unit="mg/L"), head=msh("ORU^R01", "1")).replace(b"HOSP^MR", b"manual^MR")
    preliminary = oru(obx("9.9", code=LEVEL, unit="mg/L", f4="2", f11="P"), head=msh("ORU^R01", "2")).replace(b"HOSP^MR", b"manual^MR")
    endless = ras(rxa(stop=""), head=msh("RAS^O17", "3")).replace(b"HOSP^MR", b"manual^MR")
    for message, answer in ((level, b"MSA|AA"), (preliminary, b"MSA|AA"), (endless, b"MSA|AE")):
        assert answer in receive(Frame(data=message))[0]
    text = words_of(ada.get(course).text)
    assert "15.1 mg/L" in text and "a preliminary result" in text and "an intravenous dose without its length" in text
    work = ada.get("/work").text
    assert "1 HL7 message(s) wait for a person" in work
    letters = ada.get("/admin/messages").text
    assert "RXA[1]-4" in letters and "Haitschell" not in letters and "HL7 message" not in site.client("vic").get("/work").text
    again = ada.submit("/admin/messages", {}, action="/admin/messages/3/replay")
    assert again.status_code == 200 and "Read again" in again.text
    final = preliminary.replace(b"||P|", b"||F|").replace(b"ORU_R01|2|", b"ORU_R01|4|")
    assert final != preliminary and b"MSA|AA" in receive(Frame(data=final))[0]
    assert "a preliminary result" not in ada.get(course).text
