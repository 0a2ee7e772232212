"""A course and the hospital's FHIR server: read the record afresh and import it, send a result back. Client and verbs together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from auctor.errors import AuctorError, RecordError
from auctor.report.voice import ENGLISH, Voice
from auctor.web.accounts.actor import Actor
from auctor.web.emr.fhir_client import FhirClient, Written
from auctor.web.emr.partners import FhirServer, Partners
from auctor.web.emr.remote import Server
from auctor.web.service.clinic import Clinic
from auctor.web.service.importing import Answers, Arrived, import_bundle, not_read
from auctor.web.service.returning import result_transaction
from auctor.web.store.tables import Patient


@dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What a live read brought, and the moment that it is fresh from."""

    arrived: Arrived
    read_at: datetime


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """One FHIR server as it was set up: the client's server, how its records are read, and what authorities are called."""

    setup: FhirServer
    server: Server
    answers: Answers
    systems: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, setup: FhirServer, partners: Partners, beside: Path) -> Hospital:
        """From the partners' file; RecordError for a key that is not there."""
        codes = beside.parent / setup.site_codes if setup.site_codes else None
        server = Server(
            base_url=setup.base_url, allowed=(setup.base_url,), client_id=setup.client_id, private_key=_key(setup, beside),
            key_id=setup.key_id, algorithm=setup.algorithm, token_url=setup.token_url, scope=setup.scope, timeout_s=setup.timeout_s,
            deadline_s=setup.deadline_s,
        )  # fmt: skip
        answers = Answers(formula=setup.formula, site_codes=codes, authorities=partners.systems, server=server.base)
        return cls(setup=setup, server=server, answers=answers, systems=partners.systems)

    def patient(self, client: FhirClient, patient: Patient) -> str:
        """The server's own id of a patient: the number itself where the server gave it, else what it finds by the number."""
        if patient.authority == self.server.base:
            return patient.identifier
        named = [system for system, authority in self.systems.items() if authority == patient.authority]
        system = patient.authority if patient.authority.startswith(("urn:", "http")) else (named or [""])[0]
        if not system:
            remedy = "have an administrator name the authority's identifier system under [[authorities]]"
            raise RecordError(where="patient", what="this number's authority is not known to the hospital's record", remedy=remedy)
        return client.find_patient(system, patient.identifier)


def _key(setup: FhirServer, beside: Path) -> str:
    if not setup.private_key_file:
        return ""
    try:
        return (beside.parent / setup.private_key_file).read_text(encoding="utf-8")
    except OSError as problem:
        raise RecordError(where="private_key_file", what="cannot be read", remedy="see docs/fhir.md") from problem


def refresh(clinic: Clinic, actor: Actor, course_id: str, server: Server, patient: str, answers: Answers) -> Refreshed:
    """The patient's record (`patient` is the server's id) read now and imported. RemoteError where the server fails."""
    with FhirClient(server) as client:
        return _refreshed(client, clinic, actor, course_id, patient, answers)


def read_record(clinic: Clinic, actor: Actor, course_id: str, hospital: Hospital, patient: Patient) -> Refreshed:
    """The record of a course's patient, found on the server, read and imported; a failure is noted with the course, then raised."""
    try:
        with FhirClient(hospital.server) as client:
            return _refreshed(client, clinic, actor, course_id, hospital.patient(client, patient), hospital.answers)
    except AuctorError as error:
        not_read(clinic, actor, course_id, hospital.server.base, error)
        raise


def _refreshed(client: FhirClient, clinic: Clinic, actor: Actor, course_id: str, patient: str, answers: Answers) -> Refreshed:
    live = client.patient_record(patient)
    base = client.server.base
    known = replace(answers, names=(*answers.names, (base, patient)), server=base)
    return Refreshed(arrived=import_bundle(clinic, actor, course_id, live.bundle, known), read_at=live.read_at)


def send_back(
    clinic: Clinic, actor: Actor, result_id: str, server: Server, patient: str, *, pdf: bytes = b"", voice: Voice = ENGLISH
) -> Written:
    """A result to the server, in its standing. Sending it again is safe, also after a refusal that came late."""
    with FhirClient(server) as client:
        return client.write(result_transaction(clinic, actor, result_id, patient=f"Patient/{patient}", pdf=pdf, voice=voice))


def follow(hospital: Hospital, patient: Patient, *, endpoint: str, secret: str) -> str:
    """Ask the server to ring when an Observation of the patient is new; asked for twice, it is there once."""
    with FhirClient(hospital.server) as client:
        return client.subscribe(hospital.patient(client, patient), endpoint, secret)
