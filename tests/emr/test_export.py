"""FHIR R4 out: what is sent of a result, in which standing; three validators accept all of it, and damaged ones are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from auctor.errors import RecordError
from auctor.fhir.report_bundle import result_bundle
from auctor.fhir.result_observations import ucum_of
from auctor.fhir.returned import Standing
from auctor.report.voice import ENGLISH
from auctor.units import factor
from auctor.web.pages.language import language
from auctor.web.pages.voice import PageVoice
from emr.results import CHOSEN, sent
from emr.validators import VALIDATORS

Result = dict[str, Any]
# Codes that R4 has (hl7.org/fhir/R4, valueset-diagnostic-report-status.html and -observation-status.html) and pyfhircheck's tables lack
FALSE_ALARMS = (
    "DiagnosticReport.status: Code 'amended' is not in required ValueSet",
    "DiagnosticReport.status: Code 'corrected' is not in required ValueSet",
    "Observation.status: Code 'corrected' is not in required ValueSet",
)


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def complaints(name: str, resource: dict[str, Any]) -> list[str]:
    return [text for text in VALIDATORS[name](resource) if not any(alarm in text for alarm in FALSE_ALARMS)]


@pytest.mark.parametrize("name", VALIDATORS)
@pytest.mark.parametrize("standing", Standing)
def test_a_validator_accepts_everything_that_is_sent(result: Result, name: str, standing: Standing) -> None:
    assert complaints(name, result_bundle(result, sent(standing))) == []  # and resource by resource: benchmarks/fhir_validators.py


def test_the_known_false_alarms_are_still_raised(result: Result) -> None:
    bundles = [result_bundle(result, sent(standing)) for standing in (Standing.AMENDED, Standing.CORRECTED)]
    raised = " ".join(text for bundle in bundles for text in VALIDATORS["pyfhircheck"](bundle))
    assert all(alarm in raised for alarm in FALSE_ALARMS)


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda resource: resource.update({key: value})


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda resource: resource.pop(key) and None  # type: ignore[func-returns-value]


DAMAGE: list[tuple[str, Callable[[dict[str, Any]], None]]] = [
    ("Observation", _set("status", "done")),
    ("Observation", _drop("code")),
    ("Observation", _set("valueQuantity", {"value": "6.1", "unit": "mg/L"})),
    ("Observation", _set("effectiveDateTime", "yesterday")),
    ("Observation", _set("valueString", "6.1")),  # two values
    ("Observation", _set("dosage", {})),  # no such element
    ("DiagnosticReport", _set("status", "signed")),
    ("DiagnosticReport", _drop("code")),
    ("DiagnosticReport", _set("result", {"reference": "Observation/1"})),
    ("DocumentReference", _drop("content")),
    ("DocumentReference", _set("status", "final")),
    ("Provenance", _drop("agent")),
    ("Provenance", _drop("recorded")),
    ("Device", _set("version", "0.1")),
]


@pytest.mark.parametrize(("kind", "damage"), DAMAGE, ids=[f"{kind}-{k}" for k, (kind, _) in enumerate(DAMAGE)])
def test_a_damaged_resource_is_refused_by_at_least_one(result: Result, kind: str, damage: Callable[[dict[str, Any]], None]) -> None:
    resource = copy.deepcopy(resources(result_bundle(result, sent(Standing.FINAL)), kind)[0])
    damage(resource)
    assert any(complaints(name, resource) for name in VALIDATORS)


def test_the_numbers_are_those_of_the_result_with_their_interval_and_risk(result: Result) -> None:
    found = {o["identifier"][0]["value"]: o for o in resources(result_bundle(result, sent()), "Observation")}
    current = result["methods"]["map"]["current"]
    observation = found["r2/map/current"]
    assert observation["valueQuantity"]["value"] == pytest.approx(current["exposure"]["point"], rel=1e-5)
    parts = {c["code"]["coding"][0]["code"]: c["valueQuantity"] for c in observation["component"]}
    assert [parts[q]["value"] for q in ("q05", "q95")] == [pytest.approx(x, rel=1e-5) for x in current["exposure"]["interval90"]]
    assert sum(parts[f"share-{name}"]["value"] for name in ("below", "in", "above")) == pytest.approx(1)
    assert observation["interpretation"][0]["coding"][0]["code"] == "H"  # about 800 above 400-600
    clearance = found["r2/map/clearance"]["valueQuantity"]
    assert (clearance["value"], clearance["code"]) == (
        pytest.approx(result["methods"]["map"]["parameters"]["values"]["CL"], rel=1e-5),
        "L/h",
    )
    assert found["r2/ml/abstained"]["dataAbsentReason"]["text"] == result["methods"]["ml"]["abstained"]
    assert {"r2/map/chosen", "r2/posterior/chosen", "r2/a_priori/current"} <= found.keys()


@pytest.mark.parametrize("unit", ["mg*h/L", "ng*h/mL", "mg/L", "umol/L", "L/h", "%", "1", "mL/min/1.73m2"])
def test_units_are_ucum_and_mean_the_same(unit: str) -> None:
    assert "*" not in ucum_of(unit) and factor(ucum_of(unit), unit, where="unit") == 1


@pytest.mark.parametrize("standing", Standing)
def test_status_follows_the_signature(result: Result, standing: Standing) -> None:
    bundle = result_bundle(result, sent(standing))
    (report,), (document,), (origin,) = (resources(bundle, kind) for kind in ("DiagnosticReport", "DocumentReference", "Provenance"))
    assert {report["status"], *(o["status"] for o in resources(bundle, "Observation"))} == {standing.value}
    signed = standing is not Standing.PRELIMINARY
    assert document["docStatus"] == ("preliminary" if not signed else "amended" if standing.replacing else "final")
    assert ("not signed by anybody" in report["conclusion"]) != signed and (CHOSEN in report["conclusion"]) == signed
    assert ("resultsInterpreter" in report) == signed and len(origin["agent"]) == 1 + signed
    assert ("relatesTo" in document) == standing.replacing
    assert [e["what"] for e in origin["entity"] if e["role"] == "revision"] == (
        [{"identifier": {"system": "urn:auctor:result", "value": "r1"}}] if standing.replacing else []
    )
    methods = {e["request"]["method"] for e in bundle["entry"] if e["resource"]["resourceType"] not in ("Device", "Provenance")}
    assert methods == ({"PUT"} if signed else {"POST"})


FRENCH = PageVoice(language("fr"))
TEXTS = {"text", "title", "conclusion", "language", "data", "size", "hash"}


def coded(value: Any) -> Any:
    """A resource without what people read: codes, numbers, times, references and identifiers."""
    if isinstance(value, dict):
        return {key: coded(inner) for key, inner in value.items() if key not in TEXTS}
    return [coded(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("standing", "english", "french"),
    [
        (
            Standing.PRELIMINARY,
            "Computed and not signed by anybody: not a basis for treatment.",
            "Calculé et signé par personne : aucune base pour un traitement.",
        ),
        (
            Standing.FINAL,
            "Regimen chosen: 1250 mg every 24 h over 1.25 h. Signed by Dr B. Exemple. Reason: renal function.",
            "Schéma choisi : 1250 mg toutes les 24 h en 1,25 h. Signé par Dr B. Exemple. Motif : renal function.",
        ),
        (
            Standing.CORRECTED,
            "Regimen chosen: 1250 mg every 24 h over 1.25 h. Signed by Dr B. Exemple. Reason: renal function. "
            "In the place of result r1 (corrected).",
            "Schéma choisi : 1250 mg toutes les 24 h en 1,25 h. Signé par Dr B. Exemple. Motif : renal function. "
            "À la place du résultat r1 (corrigé).",
        ),
    ],
)
def test_the_conclusion_is_in_the_language_asked_for(result: Result, standing: Standing, english: str, french: str) -> None:
    state = result["concordance"]["state"]
    for voice, said, methods in ((ENGLISH, english, f"Methods: {state}."), (FRENCH, french, f"Méthodes : {FRENCH.engine(state)}.")):
        (report,) = resources(result_bundle(result, sent(standing, voice=voice)), "DiagnosticReport")
        assert report["conclusion"] == f"{said} {methods} {voice.engine(result['concordance']['caveat'])}"
    assert FRENCH.engine(state) != state


def test_codes_and_numbers_are_the_same_in_either_language_and_a_validator_accepts_both(result: Result) -> None:
    english, french = (result_bundle(result, sent(Standing.FINAL, voice=voice)) for voice in (ENGLISH, FRENCH))
    assert coded(english) == coded(french)
    for resource in {entry["resource"]["resourceType"]: entry["resource"] for entry in french["entry"]}.values():
        assert all(complaints(name, resource) == [] for name in VALIDATORS)
        assert resource["resourceType"] in ("Device", "Provenance") or resource["language"] == "fr"
    (report,) = resources(french, "DiagnosticReport")
    assert report["code"]["text"] == "vancomycin : exposition et dose"
    texts = [note["text"] for one in resources(french, "Observation") for note in one["note"]]
    english_texts = {note["text"] for one in resources(english, "Observation") for note in one["note"]}
    assert [text for text in texts if text in english_texts] == []
    assert any(o["code"]["text"] == "vancomycin AUC0-24 sous 1250 mg toutes les 24 h en 1,25 h" for o in resources(french, "Observation"))


def test_the_same_result_gives_the_same_bundle_and_every_reference_is_in_it(result: Result) -> None:
    bundle = result_bundle(result, sent(Standing.FINAL))
    assert bundle == result_bundle(result, sent(Standing.FINAL))
    urls = [e["fullUrl"] for e in bundle["entry"]]
    assert len(set(urls)) == len(urls)
    text = str(bundle)
    import re

    assert set(re.findall(r"urn:uuid:[0-9a-f-]{36}", text)) == set(urls)
    conditions = [e["request"].get("ifNoneExist") or e["request"]["url"] for e in bundle["entry"]]
    assert len(set(conditions)) == len(conditions)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"standing": Standing.FINAL, "signed": None}, "standing"),
        ({"standing": Standing.AMENDED, "replaces": ""}, "replaces"),
        ({"replaces": "r1"}, "replaces"),
        ({"patient": "Patient/p 1"}, "patient"),
        ({"patient": "Observation/p1"}, "patient"),
        ({"sources": ("javascript:1",)}, "sources[0]"),
        ({"identifier": ""}, "identifier"),
        ({"at": "2026-03-03T08:00:00"}, "at"),
        ({"system": "result"}, "system"),
    ],
)
def test_what_cannot_be_sent_is_refused(changes: dict[str, Any], where: str) -> None:
    with pytest.raises(RecordError) as refused:
        sent(changes.pop("standing", Standing.PRELIMINARY), **changes)
    assert refused.value.where == where


def test_a_result_of_another_kind_and_an_unknown_regimen_are_refused(result: Result) -> None:
    with pytest.raises(RecordError, match=r"result\.json"):
        result_bundle({"schema": 9}, sent())
    from dataclasses import replace

    final = sent(Standing.FINAL)
    assert final.signed is not None
    with pytest.raises(RecordError, match="candidates"):
        result_bundle(result, replace(final, signed=replace(final.signed, regimen="1 kg every 1 h")))
