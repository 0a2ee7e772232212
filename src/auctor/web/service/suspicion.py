"""Does the record add up? What else would explain the levels of a course, weighed against the record. Nothing is kept or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import check, read

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Plausibility


def suspicion(clinic: Clinic, actor: Actor, file: CourseFile) -> Plausibility:
    """The plausibility check of the course as it stands, in a worker thread; the typed errors of reading and estimating."""
    demand(actor, Verb.TRY, ward=file.patient.ward_id)

    def job() -> Plausibility:
        from auctor.data.plausibility.check import check as weigh

        return weigh(check(file.document), read(str(file.course.model)))

    return clinic.engine.pool.submit(job).result()
