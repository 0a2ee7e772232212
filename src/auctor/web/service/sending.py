"""Send a result to the hospital's record: into the outbox, and what became of it. The traffic itself is in `auctor.web.emr`."""

from __future__ import annotations

from datetime import UTC, datetime

from auctor.errors import AuctorError
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store import Work, outbox
from auctor.web.store.tables import Course, Outbox, Patient, Result

COURIER = Actor(account_id=None, login="system:courier", roles=frozenset({Role.VIEWER}), wards=frozenset({EVERY_WARD}), channel="fhir")
MOST_TRIES = 12  # with waits that double, a day; then a person has to try


def put(clinic: Clinic, actor: Actor, result_id: str, destination: str) -> str:
    """A result to be sent (again) to a server; the row of the outbox."""
    demand(actor, Verb.EXPORT)
    with clinic.store.work(actor) as work:
        ward = _ward(work, result_id)
        demand(actor, Verb.EXPORT, ward=ward)
        row = outbox.put(work, result_id, destination)
        work.record("result.send", "result", result_id, ward=ward, after=row.as_data())
        return row.id


def sent(clinic: Clinic, actor: Actor, row_id: str, *, reference: str) -> None:
    """A row arrived."""
    with clinic.store.work(actor) as work:
        row = outbox.sent(work, row_id, reference=reference)
        work.record("result.sent", "result", row.result_id, ward=_ward(work, row.result_id), after=row.as_data())


def failed(clinic: Clinic, actor: Actor, row_id: str, error: AuctorError) -> None:
    """A row did not arrive, and why."""
    with clinic.store.work(actor) as work:
        row = outbox.failed(work, row_id, problem=f"{error.what}; {error.remedy}")
        work.record("result.not-sent", "result", row.result_id, ward=_ward(work, row.result_id), after=row.as_data())


def sendings(clinic: Clinic, actor: Actor, results: list[str]) -> list[Outbox]:
    """What became of these results, the newest first."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        return outbox.of_results(reading, results)


def due(clinic: Clinic) -> list[Outbox]:
    """What waits to be sent by now."""
    with clinic.store.read(COURIER) as reading:
        return outbox.due(reading, datetime.now(UTC), most_tries=MOST_TRIES)


def _ward(work: Work, result_id: str) -> str:
    return work.get(Patient, work.get(Course, work.get(Result, result_id).course_id).patient_id).ward_id
