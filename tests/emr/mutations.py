"""Records damaged at random, by a seed: keys gone, values of other kinds, other times and units, text cut; and what may come of one."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from random import Random
from typing import Any

from auctor.data.casefile import case_of
from auctor.data.document import check_document
from auctor.errors import AuctorError
from auctor.fhir.document import as_dict, case_document
from auctor.fhir.node import parse_resource
from auctor.fhir.read import read_bundle
from auctor.fhir.reading import Wanted
from auctor.models.reader import read_model
from emr.bundles import LOINC, PATIENT, RXNORM, SNOMED, bundle, coded, given, observed, ordered, quantity, vancomycin_record

WANTED = Wanted(
    drug="vancomycin", models=("vancomycin_goti_2018",), formula="cockcroft-gault", now="2026-03-03T08:00:00+01:00", infusions={"*": "1 h"}
)
TYPES = ("Patient", "MedicationAdministration", "MedicationRequest", "Observation", "Medication", "Specimen", "Procedure", "Bundle")
SECRETS = ("Beispiel", "4711")
ODD: tuple[Any, ...] = (
    None, "", " ", 0, -1, 1, True, False, 1e308, -1e308, 5e-324, 10**400, "NaN", "1,5", [], {}, [[]], [None], {"a": {}}, [{}],
    "2026-02-30T08:00:00Z", "2026-03-01T24:00:00Z", "2026-03-01T08:00:60Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2026-03-01", "2026", "2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-03-01T08:00:00.123456789123Z", "2026-03-01T08:00:00+99:99",
    "\x00", "‮", "x" * 5000, "💊", "*1/*3", "kg", "[", "((((", "mg**99", "mg/0", "/", "%", "10*400/L", "mol", "{}", "°C", "A" * 64,
    "Patient/p2", "#", "urn:uuid:", "http://", "completed", "entered-in-error", "<", "ad", quantity(1, "mg"), quantity(1e-300, "kg/L"),
)  # fmt: skip


def whole_record() -> dict[str, Any]:
    """A record with every type that is read: product and specimen, a rate, an order, a genotype."""
    strength = {"numerator": quantity(1000, "mg"), "denominator": quantity(250, "mL")}
    bag = {"resourceType": "Medication", "id": "bag", "ingredient": [{"itemCodeableConcept": coded(RXNORM, "11124"), "strength": strength}]}
    specimen = {"resourceType": "Specimen", "id": "s", "subject": PATIENT, "type": coded(SNOMED, "119364003")}
    specimen |= {"collection": {"collectedDateTime": "2026-03-03T07:30:00+01:00"}}
    rate = {"route": coded(SNOMED, "47625008"), "rateQuantity": quantity(125, "mL/h")}
    more = (
        bag,
        specimen,
        given("bagged", "2026-03-02T20:00:00+01:00", "2026-03-02T21:00:00+01:00", dosage=rate, medicationCodeableConcept=None,
              medicationReference={"reference": "Medication/bag"}),
        observed("low", "20578-1", 11.0, "mg/L", "2026-03-03T07:30:00+01:00", specimen={"reference": "Specimen/s"}, method={"text": "IA"}),
        observed("gen", "84413-4", 1, "1", "2026-03-01T07:00:00+01:00", valueQuantity=None, valueCodeableConcept={"text": "CYP3A5 *1/*3"},
                 component=[{"code": coded(LOINC, "48018-6"), "valueCodeableConcept": {"text": "CYP3A5"}}]),
        ordered("r2", status="completed"),
        {"resourceType": "Procedure", "id": "t", "status": "completed", "subject": PATIENT, "code": coded(SNOMED, "70536003"),
         "performedPeriod": {"start": "2026-02-20T08:00:00Z"}},
    )  # fmt: skip
    return bundle(*(entry["resource"] for entry in vancomycin_record()["entry"]), *more, total=None)


def damaged(kind: str, seed: int) -> str:
    """The record as JSON text with one to four faults in one resource of a type, or anywhere in the Bundle; of some the text is cut."""
    random = Random(f"{kind}-{seed}")
    record = copy.deepcopy(whole_record())
    target: Any = record
    if kind != "Bundle":
        target = random.choice([e["resource"] for e in record["entry"] if e["resource"]["resourceType"] == kind])
    for _ in range(random.randint(1, 4)):
        _damage(target, random)
    text = json.dumps(record)
    if random.random() < 0.05:
        return text[: random.randrange(len(text))]
    return text.replace("1000", random.choice(["NaN", "Infinity", "1e999", "01", "1000"]), 1) if random.random() < 0.05 else text


def _damage(target: Any, random: Random) -> None:
    """One fault somewhere below a container."""
    places = list(_places(target))
    if not places:
        return
    holder, key = random.choice(places)
    action = random.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = [holder[key]]
    elif action == 2:
        other, name = random.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif action == 3 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    elif action == 4 and isinstance(holder, dict):
        holder[f"{key}X" if random.random() < 0.5 else random.choice(("effectivePeriod", "valueString", "modifierExtension"))] = holder.pop(
            key
        )
    else:
        holder[key] = copy.deepcopy(random.choice(ODD))


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from _places(value)


def outcome(text: str) -> str:
    """`refused`, `asked`, `case` or `case refused`. AssertionError for a number that is none or a name that leaked."""
    try:
        found = read_bundle(parse_resource(text, "record"), WANTED)
    except AuctorError as error:
        if any(secret in str(error) for secret in SECRETS):
            raise AssertionError("a name in a refusal") from error
        return "refused"
    listed = json.dumps(as_dict(found), allow_nan=False)
    assert not any(secret in listed for secret in SECRETS)
    if found.questions:
        return "asked"
    try:
        case = case_of(check_document(case_document(found, WANTED)), read_model(WANTED.models[0]))
    except AuctorError:
        return "case refused"
    numbers = [n for d in case.history.doses for n in (d.time_h, d.amount_mg, d.duration_h)] + [
        n for s in case.samples for n in (s.time_h, s.value)
    ]
    assert all(math.isfinite(n) for n in numbers) and all(d.amount_mg > 0 for d in case.history.doses)
    return "case"
