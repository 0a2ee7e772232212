"""Return a result to the hospital's record: the FHIR transaction of a stored result, in the standing that its signature gives it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from auctor.errors import RecordError
from auctor.fhir.report_bundle import result_bundle
from auctor.fhir.returned import Return, Signed, Standing
from auctor.report.voice import ENGLISH, Voice
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.importing import SOURCE
from auctor.web.store import Reading, facts, results
from auctor.web.store.results import Status
from auctor.web.store.tables import Course, Patient, Result, Signature
from auctor.web.store.tables.columns import iso


def result_transaction(
    clinic: Clinic, actor: Actor, result_id: str, *, patient: str, pdf: bytes = b"", voice: Voice = ENGLISH
) -> dict[str, Any]:
    """The transaction for one result, to be sent to the server that knows the patient by the reference `patient` (`Patient/7`).

    Preliminary without a signature; final with it; amended or corrected where it takes the place of an earlier signed one. RecordError
    for a result that was re-opened or superseded: the next one is sent instead. `voice` says its texts. Leaves its audit entry.
    """
    demand(actor, Verb.EXPORT)
    with clinic.store.work(actor) as work:
        result = work.get(Result, result_id)
        ward = work.get(Patient, work.get(Course, result.course_id).patient_id).ward_id
        demand(actor, Verb.EXPORT, ward=ward)
        status = results.status(work, result_id)
        if status in (Status.REOPENED, Status.SUPERSEDED):
            raise RecordError(
                where="result", what=f"{status.value}: it does not stand any more", remedy="analyse again and send that result"
            )
        sent = replace(_return(work, result, patient, pdf), voice=voice)
        transaction = result_bundle(json.loads(result.result), sent)
        after = {"patient": patient, "standing": sent.standing.value, "replaces": sent.replaces, "entries": len(transaction["entry"])}
        work.record("result.return", "result", result_id, ward=ward, after=after)
        return transaction


def _return(reading: Reading, result: Result, patient: str, pdf: bytes) -> Return:
    signature = results.signature(reading, result.id)
    before = _replaced(reading, result) if signature is not None else None
    standing = Standing.PRELIMINARY if signature is None else Standing.FINAL if before is None else _because(reading, before)
    return Return(
        patient=patient, identifier=result.id, at=iso(result.made_at), standing=standing, pdf=pdf, sources=_sources(reading, result),
        signed=None if signature is None else _signed(signature), replaces="" if before is None else before.id,
    )  # fmt: skip


def _signed(signature: Signature) -> Signed:
    chosen = signature.regimen
    return Signed(
        by=signature.signer,
        at=iso(signature.signed_at),
        regimen=str(chosen.get("label", "")),
        reason=signature.reason,
        forecast=chosen.get("forecast"),
    )


def _replaced(reading: Reading, result: Result) -> Result | None:
    """The last signed result of the course before this one."""
    earlier = [one for one in results.of_course(reading, result.course_id) if one.made_at < result.made_at]
    return next((one for one in earlier if results.signature(reading, one.id) is not None), None)


def _because(reading: Reading, before: Result) -> Standing:
    """Corrected where a fact that the earlier result was computed from was changed or withdrawn; amended where facts only came."""
    known: dict[str, int] = dict(before.facts)
    changed = any(facts.history(reading, name)[-1].revision != revision for name, revision in known.items())
    return Standing.CORRECTED if changed else Standing.AMENDED


def _sources(reading: Reading, result: Result) -> tuple[str, ...]:
    """The resources of the hospital's record that the result was computed from."""
    found: dict[str, None] = {}
    for name, revision in result.facts:
        fact = next(one for one in facts.history(reading, name) if one.revision == revision)
        if fact.source == SOURCE and fact.reference:
            found |= dict.fromkeys(fact.reference.partition("#")[0].split("+"))
    return tuple(found)
