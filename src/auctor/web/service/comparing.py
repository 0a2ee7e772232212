"""The same patient under every model of the drug; nothing is kept."""

from __future__ import annotations

from typing import Any

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read
from auctor.web.service.models import offers


def compare(clinic: Clinic, actor: Actor, file: CourseFile) -> dict[str, Any]:
    """The comparison as data (`auctor.report.comparison`), by a worker; models that need compiling say so instead of answering."""
    demand(actor, Verb.TRY, ward=file.patient.ward_id)
    names = [offer.model.name for offer in offers(file.course.drug)]
    return clinic.engine.workers.run(_compare, names, file.document)


def _compare(names: list[str], document: dict[str, Any]) -> dict[str, Any]:
    """In a worker."""
    from auctor.analysis.comparison import compare
    from auctor.data.casefile import for_each
    from auctor.data.document import check_document
    from auctor.report.comparison import as_dict

    models = [read(name) for name in names]
    return as_dict(compare(models, for_each(check_document(document), models), compiled=False, n_draws=500))
