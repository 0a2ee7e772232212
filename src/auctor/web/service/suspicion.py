"""Does the record add up? What else would explain the levels of a course, weighed against the record. Nothing is kept or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import check, read

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Plausibility


def suspicion(clinic: Clinic, actor: Actor, file: CourseFile) -> Plausibility:
    """The plausibility check of the course as it stands, by a worker; the typed errors of reading and estimating."""
    demand(actor, Verb.TRY, ward=file.patient.ward_id)
    return clinic.engine.workers.run(_weigh, file.document, str(file.course.model))


def _weigh(document: dict[str, Any], model: str) -> Plausibility:
    """In a worker."""
    from auctor.data.plausibility.check import check as weigh

    return weigh(check(document), read(model))
