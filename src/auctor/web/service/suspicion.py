"""Does the record add up? What else would explain the levels of a course, weighed against the record. Nothing is changed; what is flagged
is kept as questions by `service.findings`.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from auctor.errors import AuctorError, EstimationError
from auctor.web.service.clinic import Clinic
from auctor.web.service.engine import read
from auctor.web.service.workers import answer

if TYPE_CHECKING:
    from auctor.data.plausibility.finding import Plausibility


@dataclass(frozen=True, kw_only=True)
class Suspicion:
    """What was found, and the instant of time 0 of its hours: None where the course's times are hours themselves."""

    found: Plausibility
    start: datetime | None


def begin(clinic: Clinic, document: dict[str, Any]) -> Future[Suspicion]:
    """Ask a worker for the plausibility check of a case document that names its model."""
    return clinic.engine.workers.submit(_weigh, document)


def answered(running: Future[Suspicion]) -> Suspicion | AuctorError:
    """What the check found, or why it could not be done: whatever it was, an analysis goes on without it."""
    try:
        return answer(running)
    except AuctorError as refused:
        return refused
    except Exception as problem:  # a fault of the check itself: its name is kept, for whoever mends it
        return EstimationError(
            where="record", what=f"the check failed ({type(problem).__name__})", remedy="report it; the analysis does not depend on it"
        )


def is_quick(model: str) -> bool:
    """Whether the check takes a fraction of a second: the model has a closed form. Without one it takes seconds."""
    from auctor.pk.direct import is_direct

    return is_direct(read(model))


def _weigh(document: dict[str, Any]) -> Suspicion:
    """In a worker."""
    from auctor.data.casefile import case_of, time_zero
    from auctor.data.document import check_document
    from auctor.data.plausibility.check import check

    checked = check_document(document)
    model = read(str(checked.model))
    case = case_of(checked, model)
    return Suspicion(found=check(case, model), start=time_zero(checked, case))
