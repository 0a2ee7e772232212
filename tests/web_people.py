"""Actors and patients for the tests of the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from auctor.web.accounts.actor import Actor, Role
from auctor.web.store import Store, facts
from auctor.web.store.tables import Account, Course, Patient, Ward

TARGET = {"metric": "AUC0-24", "low": 400, "high": 600, "unit": "mg*h/L"}

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


def open_course(store: Store, *, drug: str = "vancomycin", **fields: Any) -> str:
    """A course of a patient of the intensive care unit; its id."""
    with store.read(DOCTOR) as reading:
        found = reading.session.scalars(select(Patient.id)).first()
    patient = found or admit(store, "icu")
    with store.work(DOCTOR) as work:
        course = Course(patient_id=patient, drug=drug, target=TARGET, **fields)
        work.session.add(course)
        work.session.flush()
        work.record("course.open", "course", course.id, ward="icu", after=course.as_data())
    return course.id


def know(store: Store, course: str, kind: str, body: dict[str, Any], *, actor: Actor = DOCTOR, **fields: Any) -> str:
    """A fact added to a course; its id."""
    with store.work(actor) as work:
        fact = facts.add(work, course, kind=kind, body=body, **fields)
        work.record("fact.add", "fact", fact.id, ward="icu", after=fact.as_data())
    return fact.id


def correct(store: Store, fact: str, body: dict[str, Any], *, made_from: int, reason: str) -> None:
    """A correction of a fact."""
    with store.work(DOCTOR) as work:
        row = facts.correct(work, fact, made_from=made_from, body=body, reason=reason)
        work.record("fact.correct", "fact", fact, ward="icu", after=row.as_data(), reason=reason)


def hire(store: Store, login: str = "signer") -> Actor:
    """An account that may sign, as the actor that it is."""
    with store.work(INSTALLER) as work:
        account = Account(login=login, name=login.title(), roles=[Role.SIGNER.value])
        work.session.add(account)
        work.session.flush()
        work.record("account.create", "account", account.id)
    return Actor(account_id=account.id, login=login, roles=frozenset({Role.SIGNER}), wards=frozenset({"icu"}), channel="page")
