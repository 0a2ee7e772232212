"""Actors and patients for the tests of the store."""

from __future__ import annotations

from auctor.web.accounts.actor import Actor, Role
from auctor.web.store import Store
from auctor.web.store.tables import Patient, Ward

INSTALLER = Actor.system("install")
DOCTOR = Actor(account_id=None, login="doctor", roles=frozenset({Role.AUTHOR}), wards=frozenset({"icu"}), channel="page")
STRANGER = Actor(account_id=None, login="stranger", roles=frozenset({Role.AUTHOR}), wards=frozenset({"renal"}), channel="page")


def admit(store: Store, ward: str, *, family: str = "Doe", identifier: str = "123", ward_exists: bool = False) -> str:
    """A ward, unless it is there, and a patient on it; the patient's id."""
    if not ward_exists:
        with store.work(INSTALLER) as work:
            work.session.add(Ward(id=ward, name=ward.title()))
            work.record("ward.create", "ward", ward)
    actor = Actor(account_id=None, login="doctor", roles=frozenset({Role.AUTHOR}), wards=frozenset({ward}), channel="page")
    with store.work(actor) as work:
        patient = Patient(ward_id=ward, identifier=identifier, authority="tests", family=family, given="Ann")
        work.session.add(patient)
        work.session.flush()
        work.record("patient.register", "patient", patient.id, ward=ward, after=patient.as_data())
    return patient.id
