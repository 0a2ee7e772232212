"""An invented hospital around a store in a folder: a patient on vancomycin with an open course, a CDS Hooks client and its keys."""

from __future__ import annotations

import json
import time
import tomllib
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from auctor.web.accounts.actor import Actor, Role
from auctor.web.app import application
from auctor.web.settings import Settings, read_settings
from auctor.web.store import Store, facts
from auctor.web.store.tables import Course, Patient, Ward

ROOT = Path(__file__).resolve().parents[2]
FHIR, ISSUER, PATIENT = "https://ehr.example/fhir", "https://ehr.example", "pat1"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
VANCOMYCIN = {"system": RXNORM, "code": "11124"}
INSTALLER = Actor.system("install")
DOCTOR = Actor(account_id=None, login="doctor", roles=frozenset({Role.AUTHOR}), wards=frozenset({"icu"}), channel="page")


@dataclass(frozen=True, kw_only=True)
class Hospital:
    """The application, its settings, the keys of the EHR, and the open course."""

    app: FastAPI
    settings: Settings
    key: ECKey
    rsa: RSAKey
    course: str = field(default="")

    def token(self, path: str, *, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A client's token for a path, with claims and header fields changed or (None) left out."""
        now = int(time.time())
        said = {"iss": ISSUER, "aud": f"{self.settings.origin}{path}", "iat": now, "exp": now + 60, "jti": uuid.uuid4().hex} | claims
        head = {"alg": "ES384", "kid": "ec", "typ": "JWT"} | (header or {})
        kept = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(
            {k: v for k, v in head.items() if v is not None}, kept, key or self.key, algorithms=["ES384", "RS384", "RS256", "HS256"]
        )


def make_hospital(folder: Path, *, port: int = 8571, example: str = "vancomycin_two_levels", **more: Any) -> Hospital:
    """A fresh installation with one patient whose course is that of an example."""
    key, rsa = ECKey.generate_key("P-384", {"kid": "ec", "use": "sig"}), RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
    (folder / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False), rsa.as_dict(private=False)]}))
    (folder / "partners.toml").write_text(
        f'[[cds_clients]]\nissuer = "{ISSUER}"\njwks_file = "jwks.json"\nfhir_servers = ["{FHIR}"]\n'
        '[[authorities]]\nsystem = "urn:oid:1.2.250.1"\nauthority = "HOSP"\n'
    )
    settings = read_settings({}, data_folder=folder, port=port, partners_file=str(folder / "partners.toml"), **more)
    app = application(settings)
    course = admit(app.state.store, tomllib.loads((ROOT / "examples" / f"{example}.toml").read_text()))
    return Hospital(app=app, settings=settings, key=key, rsa=rsa, course=course)


def admit(store: Store, case: dict[str, Any], *, authority: str = FHIR, identifier: str = PATIENT, ward: str = "icu") -> str:
    """A patient with an open course that holds the facts of a case file."""
    with store.work(INSTALLER) as work:
        if work.session.get(Ward, ward) is None:
            work.session.add(Ward(id=ward, name=ward))
            work.record("ward.create", "ward", ward)
    with store.work(DOCTOR) as work:
        patient = Patient(ward_id=ward, identifier=identifier, authority=authority, family="Doe", given="Ann")
        work.session.add(patient)
        work.session.flush()
        course = Course(
            patient_id=patient.id, drug=case["drug"], model=case["model"], target=case.get("target"), time_zone=case.get("time_zone")
        )
        work.session.add(course)
        work.session.flush()
        for kind, body in bodies(case):
            facts.add(work, course.id, kind=kind, body=body)
        work.record("test.admit", "course", course.id, ward=ward)
        return course.id


def bodies(case: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The facts of a case file, its local times with their offsets."""
    zone = case.get("time_zone")
    found = [("dose", dict(dose)) for dose in case["doses"]] + [("sample", dict(sample)) for sample in case.get("samples", [])]
    for name, series in case.get("covariates", {}).items():
        points = series if isinstance(series, list) else [{"value": series}]
        found += [("covariate", {"name": name, **point}) for point in points]
    return [(kind, _zoned(body, zone)) for kind, body in found] + ([("order", dict(case["current"]))] if "current" in case else [])


def _zoned(body: dict[str, Any], zone: str | None) -> dict[str, Any]:
    if zone is None:
        return body
    clocks = {key: datetime.fromisoformat(str(body[key])) for key in ("at", "stop_at") if key in body}
    return body | {key: at.replace(tzinfo=at.tzinfo or ZoneInfo(zone)).isoformat() for key, at in clocks.items()}


def draft(
    mg: float = 1000, *, every: float = 12, name: str = "order1", minutes: float | None = 60, coding: dict[str, str] = VANCOMYCIN
) -> dict[str, Any]:
    """A drafted MedicationRequest of so many mg every so many hours."""
    repeat: dict[str, Any] = {"frequency": 1, "period": every, "periodUnit": "h", "boundsPeriod": {"start": "2026-03-05T08:00:00+01:00"}}
    repeat |= {"duration": minutes, "durationUnit": "min"} if minutes is not None else {}
    dose = {"value": mg, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
    route = {"coding": [{"system": "http://snomed.info/sct", "code": "47625008"}]}
    return {
        "resourceType": "MedicationRequest", "id": name, "status": "draft", "intent": "order",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "medicationCodeableConcept": {"coding": [coding]},
        "dosageInstruction": [{"text": f"{mg} mg", "timing": {"repeat": repeat}, "route": route, "doseAndRate": [{"doseQuantity": dose}]}],
    }  # fmt: skip


def call(hook: str, *drafts: dict[str, Any], patient: str = PATIENT, **more: Any) -> dict[str, Any]:
    """The body of a call."""
    context: dict[str, Any] = {"userId": "Practitioner/p1", "patientId": patient}
    if hook != "patient-view":
        context["draftOrders"] = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": d} for d in drafts]}
    if hook == "order-select":
        context["selections"] = [f"MedicationRequest/{d['id']}" for d in drafts]
    return {"hook": hook, "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "fhirServer": FHIR, "context": context} | more
