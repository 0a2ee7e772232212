"""result.json to a transaction Bundle: Device, Observations, DiagnosticReport, the PDF, Provenance. Sent twice, it is there once.

What is not signed is created only where it is not there yet (`ifNoneExist` on our identifier), so it never overwrites a signed one; what is
signed is put in the place of its own preliminary version (`PUT ...?identifier=`).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from auctor.errors import RecordError
from auctor.fhir.result_observations import Data, concept, result_observations, statement_of
from auctor.fhir.returned import Return, Signed, Standing, search_of, uuid_of
from auctor.report.voice import N_

SCHEMA = 1  # of result.json
DEVICE = "urn:auctor:device"
AGENTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_NEEDS = ("auctor", "case", "methods", "model", "target", "statement", "concordance")
_UNSIGNED = N_("Computed and not signed by anybody: not a basis for treatment.")
_STANDINGS = {Standing.AMENDED: N_("amended"), Standing.CORRECTED: N_("corrected")}
_TITLE = N_("%(drug)s: exposure and dose")

Resource = dict[str, Any]


def result_bundle(result: Data, sent: Return) -> Resource:
    """The transaction for one result; RecordError where `result` is no result.json of this version, or the regimen no candidate of it."""
    _check_result(result, sent)
    observations = result_observations(result, sent)
    device = _entry("Device", DEVICE, f"auctor-{result['auctor']}", _device(result), create=True)
    parts = [_part("Observation", key, resource, sent, device) for key, resource in observations]
    document = [_part("DocumentReference", sent.key("document"), _document(result, sent), sent, device)] if sent.pdf else []
    report = _part("DiagnosticReport", sent.identifier, _report(result, sent, parts), sent, device)
    made = [report, *parts, *document]
    return {"resourceType": "Bundle", "type": "transaction", "entry": [device, *made, _provenance(sent, made, device)]}


def _check_result(result: Data, sent: Return) -> None:
    if result.get("schema") != SCHEMA or any(key not in result for key in _NEEDS):
        raise RecordError(
            where="result", what=f"not a result.json of schema {SCHEMA}", remedy="give the file that `auctor analyse --out` wrote"
        )
    labels = {c["option"]["label"] for method in result["methods"].values() for c in method["candidates"]}
    if sent.signed is not None and sent.signed.regimen and sent.signed.forecast is None and sent.signed.regimen not in labels:
        remedy = "write the label of a candidate as result.json has it"
        raise RecordError(where="signed.regimen", what="none of the result's candidates", remedy=remedy)


def _entry(kind: str, system: str, value: str, resource: Resource, *, create: bool) -> Resource:
    """One entry, by our identifier: created where it is not there, or put in its place."""
    search = search_of(system, value)
    request = {"method": "POST", "url": kind, "ifNoneExist": search} if create else {"method": "PUT", "url": f"{kind}?{search}"}
    return {"fullUrl": f"urn:uuid:{uuid_of(system, f'{kind}/{value}')}", "resource": resource, "request": request}


def _part(kind: str, value: str, resource: Resource, sent: Return, device: Resource) -> Resource:
    identifier = {"system": sent.system, "value": value}
    marked = {**resource, "identifier": [identifier]}
    marked |= {} if sent.voice.code == "en" else {"language": sent.voice.code}
    marked |= {"device": {"reference": device["fullUrl"]}} if kind == "Observation" else {}
    return _entry(kind, sent.system, value, marked, create=sent.standing is Standing.PRELIMINARY)


def _device(result: Data) -> Resource:
    return {
        "resourceType": "Device",
        "identifier": [{"system": DEVICE, "value": f"auctor-{result['auctor']}"}],
        "status": "active",
        "deviceName": [{"name": "auctor", "type": "user-friendly-name"}],
        "type": {"text": "software: drug exposure and dose, research use"},
        "version": [{"value": result["auctor"]}],
        "note": [{"text": statement_of(result)}],
    }


def _report(result: Data, sent: Return, parts: list[Resource]) -> Resource:
    signed = sent.signed
    return {
        "resourceType": "DiagnosticReport",
        "status": sent.standing.value,
        "code": concept("exposure-report", _title(result, sent)),
        "subject": {"reference": sent.patient},
        "effectiveDateTime": sent.at,
        "issued": signed.at if signed else sent.at,
        **({"resultsInterpreter": [_signer(sent)]} if signed else {}),
        "result": [{"reference": part["fullUrl"]} for part in parts],
        "conclusion": _conclusion(result, sent),
    }


def _title(result: Data, sent: Return) -> str:
    return sent.voice.say(_TITLE, drug=result["case"]["drug"])


def _conclusion(result: Data, sent: Return) -> str:
    """Who answers for it and what was chosen; then how the methods agree."""
    say, signed, engine = sent.voice.say, sent.signed, sent.voice.engine
    said = [say(_UNSIGNED)] if signed is None else _decided(sent, signed)
    said.append(say(N_("Methods: %(state)s."), state=engine(result["concordance"]["state"])))
    caveat = result["concordance"]["caveat"]
    return " ".join([*said, engine(caveat)] if caveat else said)


def _decided(sent: Return, signed: Signed) -> list[str]:
    say = sent.voice.say
    chosen = say(N_("Regimen chosen: %(regimen)s."), regimen=sent.voice.engine(signed.regimen)) if signed.regimen else ""
    said = [chosen or say(N_("No regimen chosen.")), say(N_("Signed by %(who)s."), who=signed.by)]
    said += [say(N_("Reason: %(reason)s."), reason=signed.reason)] if signed.reason else []
    standing = say(_STANDINGS[sent.standing]) if sent.replaces else ""
    said += [say(N_("In the place of result %(result)s (%(standing)s)."), result=sent.replaces, standing=standing)] if sent.replaces else []
    return said


def _signer(sent: Return) -> Resource:
    signed = sent.signed
    if signed is None:
        return {}
    return {"display": signed.by} | ({"reference": signed.reference} if signed.reference else {})


def _document(result: Data, sent: Return) -> Resource:
    status = "preliminary" if sent.signed is None else "amended" if sent.standing.replacing else "final"
    digest = base64.b64encode(hashlib.sha1(sent.pdf, usedforsecurity=False).digest()).decode()  # FHIR asks for SHA-1 here
    attachment = {
        "contentType": "application/pdf", "data": base64.b64encode(sent.pdf).decode(), "size": len(sent.pdf), "hash": digest,
        "title": _title(result, sent), "creation": sent.at,
    }  # fmt: skip
    old = {"identifier": {"system": sent.system, "value": f"{sent.replaces}/document"}}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": status,
        "type": concept("exposure-document", sent.voice.say(N_("drug exposure and dose"))),
        "subject": {"reference": sent.patient},
        "date": sent.signed.at if sent.signed else sent.at,
        **({"author": [_signer(sent)]} if sent.signed else {}),
        **({"relatesTo": [{"code": "replaces", "target": old}]} if sent.replaces else {}),
        "content": [{"attachment": attachment}],
    }


def _provenance(sent: Return, made: list[Resource], device: Resource) -> Resource:
    """Who made it of what: the program, the signer, the resources read, the result replaced. Its id is ours, since it has no identifier."""
    name = uuid_of(sent.system, f"Provenance/{sent.identifier}/{sent.standing.value}")
    agents = [{"type": _agent("assembler", "Assembler"), "who": {"reference": device["fullUrl"]}}]
    agents += [{"type": _agent("attester", "Attester"), "who": _signer(sent)}] if sent.signed else []
    entities = [{"role": "source", "what": {"reference": source}} for source in sent.sources]
    old = {"identifier": {"system": sent.system, "value": sent.replaces}}
    entities += [{"role": "revision", "what": old}] if sent.replaces else []
    resource = {
        "resourceType": "Provenance",
        "id": name,
        "target": [{"reference": entry["fullUrl"]} for entry in made],
        "occurredDateTime": sent.at,
        "recorded": sent.signed.at if sent.signed else sent.at,
        "agent": agents,
        **({"entity": entities} if entities else {}),
    }
    return {"fullUrl": f"urn:uuid:{name}", "resource": resource, "request": {"method": "PUT", "url": f"Provenance/{name}"}}


def _agent(code: str, display: str) -> Resource:
    return {"coding": [{"system": AGENTS, "code": code, "display": display}]}
