"""The answers of the CDS services: whose courses, which drafts, the engine's judgement, the cards. No HTTP here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

from auctor.analysis.what_if import WhatIf
from auctor.errors import AuctorError, RecordError
from auctor.fhir.cds.cards import Card
from auctor.fhir.cds.judgement import Ready, concerns, read_draft
from auctor.fhir.cds.request import Call
from auctor.fhir.cds.services import Chart, Desk, order_select, order_sign, patient_view
from auctor.models.drug_file import list_drugs
from auctor.web.accounts.actor import Actor
from auctor.web.service.charts import OpenCourse, open_courses
from auctor.web.service.clinic import Clinic


class NoData(RecordError):
    """What a service needs is not here and was not sent along: a 412."""

    status = 412


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The services over one clinic; `desk` says where links lead."""

    clinic: Clinic
    desk: Desk
    _ready: WeakKeyDictionary[WhatIf, Ready] = field(default_factory=WeakKeyDictionary)
    _lock: Lock = field(default_factory=Lock)

    def answer(self, call: Call, actor: Actor, names: tuple[tuple[str, str], ...]) -> tuple[Card, ...]:
        """The cards of one call, at most one for a drug. NoData where a monitored drug is ordered and nothing is known of the patient."""
        courses = open_courses(self.clinic, actor, names)
        if call.service.hook == "patient-view":
            found = [patient_view(call, _chart(course), self.desk) for course in courses]
        else:
            _check_known(call, courses)
            found = [self._judged(call, course) for course in courses]
        return tuple(_one_for_a_drug(courses, found))

    def ready(self, course: OpenCourse) -> Ready:
        """The estimates of a course's present document, computed once."""
        what_if = self.clinic.engine.what_if(course.document)
        with self._lock:
            known = self._ready.get(what_if)
        if known is None:
            known = Ready.of(what_if)
            with self._lock:
                self._ready[what_if] = known
        return known

    def _judged(self, call: Call, course: OpenCourse) -> Card | None:
        """The card for the first draft of the course's drug that can be read as a regimen."""
        mine = [draft for draft in call.drafts if concerns(draft, course.drug)]
        if not mine:
            return None
        if not course.ready:
            raise NoData(where="course", what="no model or no dose is known", remedy="complete the course in auctor")
        ready = self.ready(course)
        if call.service.hook == "order-select":
            return order_select(call, _chart(course), self.desk, ready, mine[0])
        for draft in mine:
            try:
                read = read_draft(draft, ready.what_if)
            except AuctorError:
                continue  # no amount at a plain interval: nothing is said rather than something wrong
            return order_sign(call, _chart(course), self.desk, ready, read)
        return None


def _chart(course: OpenCourse) -> Chart:
    return Chart(course=course.course, drug=course.drug, waiting=course.waiting)


def _check_known(call: Call, courses: tuple[OpenCourse, ...]) -> None:
    """NoData where a drug of the library is ordered for a patient without a course of it."""
    mine = {course.drug for course in courses}
    for draft in call.drafts:
        if any(concerns(draft, drug) for drug in list_drugs() if drug not in mine) and not any(concerns(draft, drug) for drug in mine):
            raise NoData(where="patient", what="no open course of this drug", remedy="open one in auctor, or import the record")


def _one_for_a_drug(courses: tuple[OpenCourse, ...], found: list[Card | None]) -> Iterator[Card]:
    seen: set[str] = set()
    for course, card in zip(courses, found, strict=True):
        if card is not None and course.drug not in seen:
            seen.add(course.drug)
            yield card
