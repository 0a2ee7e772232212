"""The answers of the CDS services: whose courses, which drafts, the engine's judgement, the cards. No HTTP here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from threading import Lock

from auctor.errors import AuctorError, RecordError
from auctor.fhir.cds.cards import Card
from auctor.fhir.cds.judgement import Ready, drugs_of, read_draft
from auctor.fhir.cds.request import Call
from auctor.fhir.cds.services import Chart, Desk, order_select, order_sign, patient_view
from auctor.models.drug_file import Monitoring
from auctor.models.monitoring import intervals_of
from auctor.report.voice import ENGLISH, Voice
from auctor.web.accounts.actor import Actor
from auctor.web.service.charts import OpenCourse, open_courses
from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import KEPT, document_sha256
from auctor.web.service.overdue import level_due


class NoData(RecordError):
    """What a service needs is not here and was not sent along: a 412."""

    status = 412


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The services over one clinic; `desk` says where links lead, `intervals` are the hospital's own for levels that are due."""

    clinic: Clinic
    desk: Desk
    intervals: Mapping[str, Monitoring] = field(default_factory=dict)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    _ready: OrderedDict[str, Ready] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def answer(self, call: Call, actor: Actor, names: tuple[tuple[str, str], ...], voice: Voice = ENGLISH) -> tuple[Card, ...]:
        """The cards of one call in one language, at most one for a drug.

        NoData where a monitored drug is ordered and nothing is known of the patient.
        """
        courses, desk = open_courses(self.clinic, actor, names), replace(self.desk, voice=voice)
        if call.service.hook == "patient-view":
            found = [patient_view(call, self._watched(course), desk) for course in courses]
        else:
            _check_known(call, courses)
            found = [self._judged(call, course, desk) for course in courses]
        return tuple(_one_for_a_drug(courses, found))

    def ready(self, course: OpenCourse) -> Ready:
        """The estimates of a course's present document, computed once."""
        key = document_sha256(course.document)
        with self._lock:
            known = self._ready.get(key)
        if known is None:
            known = Ready.of(self.clinic.engine.what_if(course.document))
            with self._lock:
                self._ready[key] = known
                while len(self._ready) > KEPT:
                    self._ready.popitem(last=False)
        return known

    def _watched(self, course: OpenCourse) -> Chart:
        """The course with the level that is overdue, where an interval is declared for its drug."""
        rule = intervals_of(course.drug, self.intervals)
        return replace(_chart(course), overdue=None if rule is None else level_due(course.file, rule, self.now()))

    def _judged(self, call: Call, course: OpenCourse, desk: Desk) -> Card | None:
        """The card for the first draft of the course's drug that can be read as a regimen."""
        mine = [draft for draft in call.drafts if course.drug in drugs_of(draft)]
        if not mine:
            return None
        if not course.ready:
            raise NoData(where="course", what="no model or no dose is known", remedy="complete the course in auctor")
        ready = self.ready(course)
        if call.service.hook == "order-select":
            return order_select(call, _chart(course), desk, ready, mine[0])
        for draft in mine:
            try:
                read = read_draft(draft, ready.what_if)
            except AuctorError:
                continue  # no amount at a plain interval: nothing is said rather than something wrong
            return order_sign(call, _chart(course), desk, ready, read)
        return None


def _chart(course: OpenCourse) -> Chart:
    return Chart(course=course.course, drug=course.drug, waiting=course.waiting)


def _check_known(call: Call, courses: tuple[OpenCourse, ...]) -> None:
    """NoData where a drug of the library is ordered for a patient without a course of it."""
    mine = {course.drug for course in courses}
    if any((drugs := drugs_of(draft)) and not drugs & mine for draft in call.drafts):
        raise NoData(where="patient", what="no open course of this drug", remedy="open one in auctor, or import the record")


def _one_for_a_drug(courses: tuple[OpenCourse, ...], found: list[Card | None]) -> Iterator[Card]:
    seen: set[str] = set()
    for course, card in zip(courses, found, strict=True):
        if card is not None and course.drug not in seen:
            seen.add(course.drug)
            yield card
