"""The FHIR client against a real sekmet-fhir on loopback: live read, write-back, subscription; and refusals when the server breaks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from auctor.errors import RecordError
from auctor.fhir.document import case_document
from auctor.fhir.read import read_bundle
from auctor.fhir.reading import Wanted
from auctor.fhir.report_bundle import result_bundle
from auctor.fhir.returned import Standing
from auctor.web.emr.backend_token import assertion
from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.fhir_hook import PATH, Ping, hook_router, secret_of
from auctor.web.emr.remote import Failed, Incomplete, NotAllowed, Refused, RemoteError, Server, TooLarge, TooSlow, Unreachable
from emr.bundles import observed, patient, quantity, transaction, vancomycin_record
from emr.results import sent
from emr.servers import CLIENT, FaultProxy, free_port, new_key, wait_for

GOTI = Wanted(drug="vancomycin", models=("vancomycin_goti_2018",), formula="cockcroft-gault")


@pytest.fixture
def client(hospital: Server) -> Iterator[FhirClient]:
    with FhirClient(hospital) as client:
        yield client


def test_a_live_read_gives_the_case_that_the_file_gives(client: FhirClient) -> None:
    live = client.patient_record("p1")
    found = read_bundle(live.bundle, GOTI)
    from_file = read_bundle(vancomycin_record(), GOTI)
    assert live.pages > 4  # of three entries each
    assert case_document(found, GOTI) | {"doses": [], "samples": []} == case_document(from_file, GOTI) | {"doses": [], "samples": []}
    for kind in ("dose", "sample"):
        assert sorted(map(str, (f.body for f in found.of(kind)))) == sorted(map(str, (f.body for f in from_file.of(kind))))
    assert all(s.version == "1" and s.updated for f in found.facts for s in f.sources if not s.reference.startswith("Patient"))
    assert len(client.patient_record("p1", since="2026-03-02").bundle["entry"]) < len(live.bundle["entry"])


def test_a_patient_is_found_by_number(client: FhirClient) -> None:
    assert client.find_patient("urn:oid:1.2.3", "4711") == "p1"
    with pytest.raises(Refused, match="no patient"):
        client.find_patient("urn:oid:1.2.3", "0")


def test_a_result_is_written_once_and_a_signed_one_takes_the_place_of_its_preliminary(client: FhirClient, result: dict[str, Any]) -> None:
    preliminary = result_bundle(result, sent())
    first = client.write(preliminary)
    assert first.created == len(preliminary["entry"])
    assert client.write(preliminary).created == 0
    report = read(client, "DiagnosticReport?identifier=urn:auctor:result%7Cr2")
    assert [r["status"] for r in report] == ["preliminary"]
    client.write(result_bundle(result, sent(Standing.FINAL)))
    client.write(result_bundle(result, sent(Standing.FINAL)))
    client.write(preliminary)  # late: it must not undo the signature
    (report,) = read(client, "DiagnosticReport?identifier=urn:auctor:result%7Cr2")
    assert (report["status"], report["subject"]["reference"]) == ("final", "Patient/p1")
    observations = [read(client, item["reference"])[0] for item in report["result"]]
    assert {o["status"] for o in observations} == {"final"} and len(read(client, "Device?identifier=urn:auctor:device%7Cauctor-0.1.0")) == 1
    targets = read(client, "Provenance?_count=50")
    assert len(targets) == 2  # of the preliminary and of the signed one


def test_a_superseding_result_stands_beside_the_old_one(client: FhirClient, result: dict[str, Any]) -> None:
    client.write(result_bundle(result, sent(Standing.FINAL, identifier="s1")))
    client.write(result_bundle(result, sent(Standing.AMENDED, identifier="s2", replaces="s1")))
    old, new = (read(client, f"DiagnosticReport?identifier=urn:auctor:result%7C{name}")[0] for name in ("s1", "s2"))
    assert (old["status"], new["status"]) == ("final", "amended")


def read(client: FhirClient, path: str) -> list[dict[str, Any]]:
    found = client._get(f"{client.server.base}/{path}", float("inf"))
    return [e["resource"] for e in found.get("entry", [])] if found["resourceType"] == "Bundle" else [found]


def test_what_the_server_refuses_is_refused_whole(client: FhirClient, result: dict[str, Any]) -> None:
    damaged = result_bundle(result, sent(identifier="bad"))
    damaged["entry"][1]["resource"]["status"] = []
    with pytest.raises(Refused):
        client.write(damaged)
    assert read(client, "Observation?identifier=urn:auctor:result%7Cbad/map/current") == []
    with pytest.raises(Refused):
        client.patient_record("nobody")
    with pytest.raises(RecordError):
        client.patient_record("p1/../../metadata")


def test_a_new_level_rings_and_is_then_read(hospital: Server, client: FhirClient) -> None:
    import uvicorn
    from fastapi import FastAPI

    rung: list[Ping] = []
    app, port, secret = FastAPI(), free_port(), secret_of(b"k", "course-1")
    app.include_router(hook_router(b"k", rung.append))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, "hook")
        endpoint = f"http://127.0.0.1:{port}{PATH}/course-1"
        name = client.subscribe("p1", endpoint, secret)
        assert client.subscribe("p1", endpoint, secret) == name
        wait_for(lambda: client.subscription_status(name) == "active", "active subscription")
        new = observed("late", "20578-1", 17.5, "mg/L", "2026-03-03T07:40:00+01:00")
        other = observed("q", "20578-1", 9.0, "mg/L", "2026-03-03T07:40:00+01:00", subject={"reference": "Patient/p2"})
        client.write(transaction(new, patient(id="p2"), other))
        wait_for(lambda: rung, "a call of the subscription")
        assert {ping.course for ping in rung} == {"course-1"} and len(rung) == 1
        levels = read_bundle(client.patient_record("p1").bundle, GOTI).of("sample")
        assert "17.5 mg/L" in [fact.body["value"] for fact in levels]
        corrected = new | {"status": "corrected", "valueQuantity": quantity(7.5, "mg/L")}
        client.write(transaction(corrected))
        wait_for(lambda: len(rung) == 2, "a call for the correction")
        (late,) = [
            f for f in read_bundle(client.patient_record("p1").bundle, GOTI).of("sample") if f.sources[0].reference == "Observation/late"
        ]
        assert (late.body["value"], late.sources[0].status, late.sources[0].version) == ("7.5 mg/L", "corrected", "2")
    finally:
        server.should_exit = True
        thread.join(timeout=20)


OWN, OTHER = secret_of(b"k", "course-1"), secret_of(b"k", "course-2")


@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")
@pytest.mark.parametrize(
    ("header", "status"), [("", 401), ("Bearer x", 401), (f"Bearer {OTHER}", 401), (f"Basic {OWN}", 401), (f"Bearer {OWN}", 200)]
)
def test_a_hook_opens_with_its_own_secret_alone(header: str, status: int) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    rung: list[Ping] = []
    app, sent_with = FastAPI(), {"Authorization": header}
    app.include_router(hook_router(b"k", rung.append))
    with TestClient(app) as caller:
        assert caller.post(f"{PATH}/course-1", headers=sent_with).status_code == status
        assert caller.put(f"{PATH}/course-1/Observation/7", content=b"{}", headers=sent_with).status_code == status
        assert caller.post(f"{PATH}/course-1", content=b"x" * 2_000_001, headers=sent_with).status_code in (401, 413)
    assert len(rung) == (2 if status == 200 else 0)


@pytest.fixture(scope="module")
def faulty(hospital: Server) -> Iterator[tuple[FaultProxy, Server]]:
    """The hospital behind the proxy, with short limits; whole records of one page a type."""
    proxy = FaultProxy(hospital.base)
    short: dict[str, Any] = {"timeout_s": 1.0, "deadline_s": 8.0, "max_bytes": 2_000_000, "page_size": 200}
    yield proxy, replace(hospital, base_url=proxy.base, allowed=(proxy.base,), token_url=token_url(hospital), **short)
    proxy.close()


FAULTS: dict[str, type[RemoteError]] = {
    "status": Failed, "busy": Failed, "slow": TooSlow, "trickle": TooSlow, "cut": Incomplete, "drop": Incomplete, "html": Incomplete,
    "circle": Incomplete, "short": Incomplete, "away": NotAllowed, "redirect": NotAllowed, "huge": TooLarge,
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_breaks_gives_a_typed_refusal_and_no_half_record(faulty: tuple[FaultProxy, Server], fault: str) -> None:
    proxy, server = faulty
    with FhirClient(replace(server, deadline_s=1.5) if fault == "trickle" else server) as client:
        proxy.fault = fault
        try:
            with pytest.raises(FAULTS[fault]) as refused:
                client.patient_record("p1")
        finally:
            proxy.fault = ""
        assert refused.value.exit_code == 5 and "4711" not in str(refused.value)


def test_the_client_recovers_when_the_server_does(faulty: tuple[FaultProxy, Server]) -> None:
    proxy, server = faulty
    with FhirClient(server) as client:
        proxy.fault = "status"
        with pytest.raises(Failed):
            client.patient_record("p1")
        proxy.fault = ""
        assert len(client.patient_record("p1").bundle["entry"]) > 5


def token_url(server: Server) -> str:
    return server.base.removesuffix("/fhir") + "/auth/token"


def test_a_server_that_is_down(hospital: Server) -> None:
    base = f"http://127.0.0.1:{free_port()}/fhir"
    with FhirClient(Server(base_url=base, allowed=(base,))) as client, pytest.raises(Unreachable):
        client.patient_record("p1")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"client_id": "somebody"}, Refused),
        ({"private_key": "new"}, Refused),
        ({"private_key": "no key"}, NotAllowed),
        ({"client_id": ""}, Refused),  # no token at all
        ({"token_url": "http://127.0.0.1:9/token"}, Unreachable),
        ({"scope": "system/Patient.rs"}, Refused),
    ],
)
def test_without_the_right_to_it_there_is_no_record(hospital: Server, change: dict[str, Any], refusal: type[RemoteError]) -> None:
    change = change | ({"private_key": new_key()[0]} if change.get("private_key") == "new" else {})
    with FhirClient(replace(hospital, **change)) as client, pytest.raises(refusal):
        client.patient_record("p1")


def test_an_assertion_says_who_to_whom_and_once(hospital: Server, key: tuple[str, dict[str, Any]]) -> None:
    from joserfc import jwt
    from joserfc.jwk import ECKey

    public = ECKey.import_key(key[1]["keys"][0])
    first, second = (jwt.decode(assertion(hospital, "https://x/token"), public, algorithms=["ES384"]) for _ in range(2))
    claims = first.claims
    assert (claims["iss"], claims["sub"], claims["aud"], first.header["alg"]) == (CLIENT, CLIENT, "https://x/token", "ES384")
    assert claims["exp"] - claims["iat"] <= 300 and claims["jti"] != second.claims["jti"]


@pytest.mark.parametrize(
    "url",
    [
        "http://hospital.example/fhir",
        "https://other.example/fhir",
        "https://u:p@hospital.example/fhir",
        "file:///etc/passwd",
        "http://169.254.169.254/",
    ],
)
def test_only_listed_servers_and_only_https(url: str) -> None:
    allowed = ("https://hospital.example/fhir",) if "other" in url else (url,)
    with pytest.raises(NotAllowed):
        Server(base_url=url, allowed=allowed)


def test_a_link_that_only_looks_like_the_servers_is_not_followed() -> None:
    server = Server(base_url="https://h.example/fhir", allowed=("https://h.example/fhir/",))
    for url in ("https://h.example/fhirx/1", "https://h.example.evil/fhir/1", "https://h.example/fhir/../admin", "//h.example/fhir/1"):
        with pytest.raises(NotAllowed):
            server.own(url, where="link")
    assert server.own("https://h.example/fhir/Patient?x", where="link")
    with pytest.raises(NotAllowed):
        server.own_host("https://evil.example/token", where="token")


def test_the_private_key_is_not_shown(hospital: Server) -> None:
    assert "PRIVATE" not in repr(hospital) and "PRIVATE" in hospital.private_key
