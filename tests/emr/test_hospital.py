"""From the hospital's server to a signed result on it again, through the store: read, import, analyse, sign, correct, sign, send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from auctor.errors import RecordError
from auctor.web.emr.fhir_client import FhirClient
from auctor.web.emr.hospital import refresh, send_back
from auctor.web.emr.remote import Server, Unreachable
from auctor.web.service.clinic import Clinic
from auctor.web.service.importing import Answers
from auctor.web.service.returning import result_transaction
from auctor.web.store import Store, documents, results
from auctor.web.store.tables import Patient
from emr.bundles import observed, patient, transaction, vancomycin_record
from emr.results import CHOSEN
from emr.servers import free_port
from web_kept import Answer
from web_people import DOCTOR, admit, hire, open_course

ANSWERS = Answers(formula="cockcroft-gault")


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[Clinic]:
    store = Store.open(f"sqlite:///{tmp_path / 'auctor.db'}", secret=b"a secret of the tests and of nothing else")
    made = Clinic(store=store)
    yield made
    made.engine.stop()
    store.close()


@pytest.fixture
def course(clinic: Clinic, hospital: Server) -> str:
    """A course of the patient whom the hospital's server calls h1, with the record of bundles.py on the server."""
    with FhirClient(hospital) as client:
        mine = [
            dict(r, id=f"h-{r['id']}", subject={"reference": "Patient/h1"})
            for e in vancomycin_record()["entry"][1:]
            if (r := e["resource"])
        ]
        client.write(transaction(patient(id="h1", identifier=[]), *mine))
    admit(clinic.store, "icu", identifier="h1")
    with clinic.store.work(DOCTOR) as work:
        known = work.session.scalars(select(Patient)).one()
        known.authority = hospital.base
        work.record("test", "patient", known.id, ward="icu")
    return open_course(clinic.store, model="vancomycin_goti_2018")


def kept(clinic: Clinic, course: str, text: str, *, signed: bool) -> str:
    """The course's present document kept with a result; signed where asked."""
    signer = hire(clinic.store, f"signer{len(text)}{datetime.now(UTC).timestamp()}") if signed else None
    with clinic.store.work(DOCTOR) as work:
        result = results.keep(work, course, taken=documents.document(work, course, now=datetime.now(UTC)), computed=Answer(result=text))
        work.record("result.keep", "result", result.id, ward="icu")
    if signer is not None:
        with clinic.store.work(signer) as work:
            results.sign(work, result.id, regimen={"label": CHOSEN}, text="what the page said", reason="read")
            work.record("result.sign", "result", result.id, ward="icu")
    return result.id


def reports(server: Server, *ids: str) -> list[str]:
    with FhirClient(server) as client:
        found = [client._get(f"{server.base}/DiagnosticReport?identifier=urn:auctor:result%7C{name}", float("inf")) for name in ids]
    return [page["entry"][0]["resource"]["status"] for page in found]


def test_from_the_record_to_a_signed_result_in_it(clinic: Clinic, course: str, hospital: Server, result: dict[str, Any]) -> None:
    import json

    text = json.dumps(result | {"preferred": "posterior"})
    assert len(refresh(clinic, DOCTOR, course, hospital, "h1", ANSWERS).arrived.added) == 8
    draft = kept(clinic, course, text, signed=False)
    send_back(clinic, DOCTOR, draft, hospital, "h1")
    assert reports(hospital, draft) == ["preliminary"]
    first = kept(clinic, course, text, signed=True)
    assert send_back(clinic, DOCTOR, first, hospital, "h1", pdf=b"%PDF-1.7").created > 10
    assert send_back(clinic, DOCTOR, first, hospital, "h1", pdf=b"%PDF-1.7").created == 0
    late = observed("h-late", "20578-1", 17.5, "mg/L", "2026-03-03T07:40:00+01:00", subject={"reference": "Patient/h1"})
    with FhirClient(hospital) as client:
        client.write(transaction(late))
    assert len(refresh(clinic, DOCTOR, course, hospital, "h1", ANSWERS).arrived.added) == 1
    with pytest.raises(RecordError, match="does not stand"):
        send_back(clinic, DOCTOR, first, hospital, "h1")
    second = kept(clinic, course, text, signed=True)
    send_back(clinic, DOCTOR, second, hospital, "h1")
    with FhirClient(hospital) as client:
        client.write(transaction(late | {"status": "corrected", "valueQuantity": late["valueQuantity"] | {"value": 7.5}}))
    assert len(refresh(clinic, DOCTOR, course, hospital, "h1", ANSWERS).arrived.corrected) == 1
    third = kept(clinic, course, text, signed=True)
    transaction_of_third = result_transaction(clinic, DOCTOR, third, patient="Patient/h1")
    (origin,) = (e["resource"] for e in transaction_of_third["entry"] if e["resource"]["resourceType"] == "Provenance")
    named = {entity["what"].get("reference") for entity in origin["entity"]}
    assert {"Observation/h-late", "MedicationAdministration/h-a1"} <= named
    send_back(clinic, DOCTOR, third, hospital, "h1")
    assert reports(hospital, first, second, third) == ["final", "amended", "corrected"]


def test_a_server_that_is_down_changes_nothing(clinic: Clinic, course: str, hospital: Server) -> None:
    base = f"http://127.0.0.1:{free_port()}/fhir"
    with pytest.raises(Unreachable):
        refresh(clinic, DOCTOR, course, replace(hospital, base_url=base, allowed=(base,), client_id=""), "h1", ANSWERS)
    with clinic.store.read(DOCTOR) as reading:
        assert documents.document(reading, course).document["doses"] == []


def test_another_patient_of_the_server_is_refused(clinic: Clinic, course: str, hospital: Server) -> None:
    with pytest.raises(RecordError, match="not the patient"):
        refresh(clinic, DOCTOR, course, hospital, "p1", ANSWERS)
