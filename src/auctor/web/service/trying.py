"""What-if: one regimen typed by hand, judged by every method that answered, never above a cap. Nothing is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass

from auctor.report.shown import exposure
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.service.courses import CourseFile
from auctor.web.store.tables import Result


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A regimen as typed: mg, h, h (0: swallowed or pushed)."""

    dose_mg: float
    every_h: float
    duration_h: float = 0.0


def try_regimen(clinic: Clinic, actor: Actor, file: CourseFile, result: Result, typed: Typed) -> dict[str, dict[str, object]]:
    """The forecast of each method for a typed regimen, as result.json writes them. CaseError beyond a cap of the dosing table.

    It is judged on the document of the stored result, so that it compares with the candidates beside it.
    """
    from auctor.report.result import forecast_data

    demand(actor, Verb.TRY, ward=file.patient.ward_id)
    known = clinic.engine.what_if(json.loads(result.document))
    option = known.option(dose_mg=typed.dose_mg, every_h=typed.every_h, duration_h=typed.duration_h)
    metric = exposure(known.question.model, known.question.target.metric)
    return {key: forecast_data(found, metric) for key, found in known.judge(option).items()}
