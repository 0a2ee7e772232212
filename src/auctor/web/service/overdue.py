"""Whether a level of a course is overdue: the times of its facts against the intervals that hold for its drug. Nothing is estimated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from auctor.data.clock import Clock, Moment
from auctor.data.document import check_document
from auctor.data.doses import read_current, read_dose
from auctor.data.schema import CaseFile, CurrentEntry
from auctor.dosing.overdue import Followed, Stated, changes, overdue
from auctor.errors import AuctorError
from auctor.fhir.cds.level_due import LevelDue
from auctor.models.drug_file import Monitoring
from auctor.models.model import DrugModel
from auctor.web.service.courses import CourseFile
from auctor.web.service.engine import read


def level_due(file: CourseFile, rule: Monitoring, now: datetime) -> LevelDue | None:
    """The level of a course that is overdue. None also where it cannot be told: no dose, hours without a date, a level asked about."""
    if any(question.kind == "sample" for question in file.questions):
        return None  # one came, and could not be read or entered yet
    try:
        case = check_document(file.document)
        clock = Clock.of(case)
        now_h = clock.hours(Moment("now", None, now))
        known = _followed(file, case, clock, now_h)
    except AuctorError:
        return None
    found = overdue(known, rule, now_h) if known is not None else None
    if known is None or found is None:
        return None
    moments = [_moment(now, h - now_h).astimezone(file.zone) for h in (found.from_h, found.due_h, known.last_dose_h)]
    recorded = known.last_dose_h >= found.due_h
    return LevelDue(found=found, rule=rule, counted_from=moments[0], due=moments[1], last_dose=moments[2], recorded=recorded)


def _moment(now: datetime, hours: float) -> datetime:
    """The second so many hours from now, without the microseconds that hours were rounded by."""
    return (now + timedelta(hours=hours, milliseconds=500)).replace(microsecond=0)


def _followed(file: CourseFile, case: CaseFile, clock: Clock, now_h: float) -> Followed | None:
    if any(dose.at is None for dose in case.doses) or any(sample.at is None for sample in case.samples):
        return None
    model = read(file.course.model) if file.course.model else None
    doses = [read_dose(entry, f"doses[{k}]", clock, model) for k, entry in enumerate(case.doses)]
    given = [dose for dose in doses if dose.time_h <= now_h]
    if not given:
        return None
    first = min(given, key=lambda dose: dose.time_h)
    stated = [Stated(from_h=d.time_h, dose_mg=d.amount_mg, every_h=d.every_h) for d in given if d.every_h > 0]
    ordered = [one for one in _ordered(file, clock, model) if one.from_h <= now_h]
    return Followed(
        first_dose_h=first.time_h,
        last_dose_h=max(_last(dose.time_h, dose.every_h, dose.additional, now_h) for dose in given),
        older=first.steady_state,
        ordered=bool(ordered),
        changes_h=changes([*stated, *ordered]),
        levels_h=tuple(clock.hours(Moment(f"samples[{k}]", None, entry.at)) for k, entry in enumerate(case.samples)),
    )


def _ordered(file: CourseFile, clock: Clock, model: DrugModel | None) -> Iterator[Stated]:
    """The orders that stand, from when each holds."""
    for fact in file.of_kind("order"):
        if fact.at is not None:
            (dose,) = read_current(CurrentEntry.model_validate(fact.body), model).doses
            yield Stated(from_h=clock.hours(Moment("order", None, fact.at)), dose_mg=dose.amount_mg, every_h=dose.every_h)


def _last(first_h: float, every_h: float, additional: int, now_h: float) -> float:
    """The last dose of a series up to now."""
    done = min(additional, int((now_h - first_h) // every_h)) if every_h > 0 else 0
    return first_h + done * every_h
