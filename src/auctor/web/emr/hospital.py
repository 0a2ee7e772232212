"""A course and the hospital's FHIR server: read the record afresh and import it, send a result back. Client and verbs together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from auctor.web.accounts.actor import Actor
from auctor.web.emr.fhir_client import FhirClient, Written
from auctor.web.emr.remote import Server
from auctor.web.service.clinic import Clinic
from auctor.web.service.importing import Answers, Arrived, import_bundle
from auctor.web.service.returning import result_transaction


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What a live read brought, and the moment that it is fresh from."""

    arrived: Arrived
    read_at: datetime


def refresh(clinic: Clinic, actor: Actor, course_id: str, server: Server, patient: str, answers: Answers) -> Refreshed:
    """The patient's record (`patient` is the server's id) read now and imported. RemoteError where the server fails."""
    with FhirClient(server) as client:
        live = client.patient_record(patient)
    known = replace(answers, names=(*answers.names, (server.base, patient)))
    return Refreshed(arrived=import_bundle(clinic, actor, course_id, live.bundle, known), read_at=live.read_at)


def send_back(clinic: Clinic, actor: Actor, result_id: str, server: Server, patient: str, *, pdf: bytes = b"") -> Written:
    """A result to the server, in its standing. Sending it again is safe, also after a refusal that came late."""
    transaction = result_transaction(clinic, actor, result_id, patient=f"Patient/{patient}", pdf=pdf)
    with FhirClient(server) as client:
        return client.write(transaction)
