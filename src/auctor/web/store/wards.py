"""The ward rule in the application: every query through the ORM sees the patients of the actor's wards, and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from auctor.web.accounts.actor import EVERY_WARD
from auctor.web.store.tables import (
    Audit,
    Course,
    Fact,
    Message,
    Outbox,
    Patient,
    Prediction,
    Question,
    RecordCheck,
    RecordRead,
    Reopening,
    Result,
    Score,
    Settlement,
    Signature,
)

OF_A_COURSE = (Fact, Result, Prediction, Question, RecordCheck, RecordRead)
OF_A_RESULT = (Signature, Reopening, Outbox)


def keep_apart(state: ORMExecuteState, wards: frozenset[str]) -> None:
    """Narrow a query of the ORM to the wards; PostgreSQL repeats the rule for every query (row-level security)."""
    if state.is_orm_statement and not state.is_column_load and EVERY_WARD not in wards:
        state.statement = state.statement.options(*_options(wards))


@lru_cache(maxsize=256)
def _options(wards: frozenset[str]) -> tuple[Any, ...]:
    """Made once for the same wards: they are the same for every query of an account."""
    return tuple(_criteria(wards))


def _criteria(wards: frozenset[str]) -> Iterator[Any]:
    own = sorted(wards)
    patient, course, result, prediction, question = (table.__table__.c for table in (Patient, Course, Result, Prediction, Question))
    patients = select(patient.id).where(patient.ward_id.in_(own))
    courses = select(course.id).where(course.patient_id.in_(patients))
    results = select(result.id).where(result.course_id.in_(courses))
    yield with_loader_criteria(Patient, Patient.ward_id.in_(own))
    yield with_loader_criteria(Audit, Audit.ward.is_(None) | Audit.ward.in_(own))
    yield with_loader_criteria(Message, Message.ward_id.in_(own))
    yield with_loader_criteria(Course, Course.patient_id.in_(patients))
    yield with_loader_criteria(Score, Score.prediction_id.in_(select(prediction.id).where(prediction.course_id.in_(courses))))
    yield with_loader_criteria(Settlement, Settlement.question_id.in_(select(question.id).where(question.course_id.in_(courses))))
    yield from (with_loader_criteria(table, table.course_id.in_(courses)) for table in OF_A_COURSE)
    yield from (with_loader_criteria(table, table.result_id.in_(results)) for table in OF_A_RESULT)
