"""The audit trail of one patient: every entry on the patient, its courses, facts and results, and their export."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from sqlalchemy import select

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store.tables import Audit, Course, Fact, Patient, Result, Ward

COLUMNS = ("sequence", "at", "login", "channel", "action", "kind", "object_id", "reason", "before", "after", "hash")
KINDS = ("patient", "course", "fact", "result")  # what entries on these objects are filed under


def patient_trail(clinic: Clinic, actor: Actor, patient_id: str) -> list[Audit]:
    """The entries, newest first. Reading them is an entry too."""
    with clinic.store.work(actor) as work:
        patient = work.get(Patient, patient_id)
        demand(actor, Verb.READ_AUDIT, ward=patient.ward_id)
        courses = list(work.session.scalars(select(Course.id).where(Course.patient_id == patient_id)))
        objects = {patient_id, *courses}
        for table in (Fact, Result):
            objects |= set(work.session.scalars(select(table.id).where(table.course_id.in_(courses))))
        query = select(Audit).where(Audit.kind.in_(KINDS), Audit.object_id.in_(objects)).order_by(Audit.sequence.desc())
        found = work.session.scalars(query).all()
        work.record("audit.read", "patient", patient_id, ward=patient.ward_id)
        return list(found)


def patient_of(clinic: Clinic, actor: Actor, patient_id: str) -> tuple[Patient, str]:
    """The patient and the name of its ward, for the head of the trail."""
    with clinic.store.read(actor) as reading:
        patient = reading.get(Patient, patient_id)
        demand(actor, Verb.READ_AUDIT, ward=patient.ward_id)
        return patient, reading.get(Ward, patient.ward_id).name


def as_csv(entries: list[Audit]) -> str:
    """The entries as CSV; a cell that a spreadsheet would take for a formula starts with an apostrophe."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_cell(value) for value in _row(entry).values()])
    return file.getvalue()


def as_json(entries: list[Audit]) -> str:
    """The entries as JSON."""
    return json.dumps([_row(entry) for entry in entries], indent=1, ensure_ascii=False) + "\n"


def _row(entry: Audit) -> dict[str, Any]:
    return {column: getattr(entry, column) for column in COLUMNS}


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
