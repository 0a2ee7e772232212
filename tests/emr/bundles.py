"""FHIR resources of an invented patient, for tests: each builder gives a valid resource that a test then changes."""

from __future__ import annotations

import copy
from typing import Any

LOINC, RXNORM, SNOMED, UCUM = (
    "http://loinc.org", "http://www.nlm.nih.gov/research/umls/rxnorm", "http://snomed.info/sct", "http://unitsofmeasure.org",
)  # fmt: skip
ROUTES = {"iv": "47625008", "oral": "26643006"}
INGREDIENTS = {"vancomycin": "11124", "tacrolimus": "42316", "gentamicin": "1596450", "mycophenolate": "68149"}
PATIENT = {"reference": "Patient/p1"}


def coded(system: str, code: str, display: str = "") -> dict[str, Any]:
    """A CodeableConcept of one coding."""
    return {"coding": [{"system": system, "code": code, **({"display": display} if display else {})}]}


def quantity(value: float, unit: str) -> dict[str, Any]:
    """A UCUM Quantity."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def patient(**changes: Any) -> dict[str, Any]:
    """Patient/p1, a woman born in 1961."""
    return {
        "resourceType": "Patient", "id": "p1", "identifier": [{"system": "urn:oid:1.2.3", "value": "4711"}],
        "name": [{"family": "Beispiel", "given": ["Anna"]}], "gender": "female", "birthDate": "1961-05-17", **changes,
    }  # fmt: skip


def given(
    name: str, start: str, stop: str | None = None, *, drug: str = "vancomycin", mg: float = 1000, route: str = "iv", **changes: Any
) -> dict[str, Any]:
    """A MedicationAdministration, completed; without a stop, at one moment."""
    effective = {"effectiveDateTime": start} if stop is None else {"effectivePeriod": {"start": start, "end": stop}}
    found = {
        "resourceType": "MedicationAdministration", "id": name, "status": "completed", "subject": PATIENT, **effective,
        "medicationCodeableConcept": coded(RXNORM, INGREDIENTS[drug], drug),
        "dosage": {"route": coded(SNOMED, ROUTES[route]), "dose": quantity(mg, "mg")},
    }  # fmt: skip
    return _changed(found, changes)


def ordered(
    name: str, *, drug: str = "vancomycin", mg: float = 1000, every_h: float = 12, route: str = "iv", **changes: Any
) -> dict[str, Any]:
    """A MedicationRequest, active, one hour an infusion."""
    repeat: dict[str, Any] = {"frequency": 1, "period": every_h, "periodUnit": "h", "boundsPeriod": {"start": "2026-03-01T08:00:00+01:00"}}
    repeat |= {"duration": 1, "durationUnit": "h"} if route == "iv" else {}
    found = {
        "resourceType": "MedicationRequest", "id": name, "status": "active", "intent": "order", "subject": PATIENT,
        "medicationCodeableConcept": coded(RXNORM, INGREDIENTS[drug], drug),
        "dosageInstruction": [
            {"timing": {"repeat": repeat}, "route": coded(SNOMED, ROUTES[route]), "doseAndRate": [{"doseQuantity": quantity(mg, "mg")}]}
        ],
    }  # fmt: skip
    return _changed(found, changes)


def observed(name: str, code: str, value: float, unit: str, at: str, /, **changes: Any) -> dict[str, Any]:
    """An Observation, final."""
    found = {
        "resourceType": "Observation", "id": name, "status": "final", "subject": PATIENT, "code": coded(LOINC, code),
        "effectiveDateTime": at, "issued": "2026-03-03T12:00:00+01:00", "valueQuantity": quantity(value, unit),
    }  # fmt: skip
    return _changed(found, changes)


def bundle(*resources: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A collection of resources, the patient first where none is among them."""
    several = list(resources) if any(r.get("resourceType") == "Patient" for r in resources) else [patient(), *resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in several], **changes}


def vancomycin_record() -> dict[str, Any]:
    """Three infusions, a peak and a trough, weight, height and creatinine, an active order, another drug and another laboratory test."""
    return bundle(
        patient(),
        given("a1", "2026-03-01T08:00:00+01:00", "2026-03-01T09:00:00+01:00"),
        given("a2", "2026-03-01T20:00:00+01:00", "2026-03-01T21:00:00+01:00"),
        given("a3", "2026-03-02T08:10:00+01:00", "2026-03-02T09:10:00+01:00"),
        given("other", "2026-03-02T08:10:00+01:00", drug="tacrolimus", mg=2, route="oral"),
        observed("peak", "4090-7", 31.4, "ug/mL", "2026-03-02T10:15:00+01:00"),
        observed("trough", "4092-3", 14.2, "mg/L", "2026-03-02T19:40:00+01:00"),
        observed("wt", "29463-7", 82, "kg", "2026-03-01T07:00:00+01:00"),
        observed("ht", "8302-2", 171, "cm", "2026-03-01T07:00:00+01:00"),
        observed("scr", "14682-9", 97.24, "umol/L", "2026-03-01T06:30:00+01:00"),
        observed("na", "2951-2", 140, "mmol/L", "2026-03-01T06:30:00+01:00"),
        ordered("r1"),
    )


def transaction(*resources: dict[str, Any]) -> dict[str, Any]:
    """Resources put by their ids."""
    entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def _changed(found: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Keys replaced; those set to None are taken out. A copy: builders share parts."""
    merged = {key: value for key, value in (found | changes).items() if value is not None}
    return copy.deepcopy(merged)
