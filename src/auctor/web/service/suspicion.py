"""Does the record add up? What else would explain the levels of a course, weighed against the record. Nothing is kept or changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import check, read

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Plausibility


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What was found, and time 0 of its hours on the course's clock: None where the course's times are hours themselves."""

    found: Plausibility
    start: datetime | None


def suspicion(clinic: Clinic, actor: Actor, file: CourseFile) -> Suspicion:
    """The plausibility check of the course as it stands, by a worker; the typed errors of reading and estimating."""
    demand(actor, Verb.TRY, ward=file.patient.ward_id)
    found, start = clinic.engine.workers.run(_weigh, file.document, str(file.course.model))
    return Suspicion(found=found, start=None if start is None else start.astimezone(file.zone))


def _weigh(document: dict[str, Any], model: str) -> tuple[Plausibility, datetime | None]:
    """In a worker."""
    from auctor.data.casefile import time_zero
    from auctor.data.document import check_document
    from auctor.data.plausibility.check import check as weigh

    case = check(document)
    return weigh(case, read(model)), time_zero(check_document(document), case)
