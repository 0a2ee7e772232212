"""The ward rule in the application: every query through the ORM sees the patients of the actor's wards, and what hangs on them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import literal, select
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
    Table,
)

# the row that a row hangs on: by which column, in which table; every way ends at a patient
ABOVE: dict[type[Table], tuple[str, type[Table]]] = {
    Course: ("patient_id", Patient),
    **dict.fromkeys((Fact, Result, Prediction, Question, RecordCheck, RecordRead), ("course_id", Course)),
    **dict.fromkeys((Signature, Reopening, Outbox), ("result_id", Result)),
    Score: ("prediction_id", Prediction),
    Settlement: ("question_id", Question),
}


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
    yield with_loader_criteria(Patient, Patient.ward_id.in_(own))
    yield with_loader_criteria(Audit, Audit.ward.is_(None) | Audit.ward.in_(own))
    yield with_loader_criteria(Message, Message.ward_id.in_(own))
    yield from (with_loader_criteria(table, _reached(table, own)) for table in ABOVE)


def _reached(table: type[Table], own: list[str]) -> Any:
    """Whether a row hangs on a patient of these wards, looked up from the row itself: a list of the wards' patients grows for years."""
    name, above = ABOVE[table]
    key, found = getattr(table, name), select(literal(1))
    while True:
        row = above.__table__.alias(f"own_{above.__tablename__}").c
        found = found.where(row.id == key)
        if above is Patient:
            return found.where(row.ward_id.in_(own)).correlate(table).exists()
        name, above = ABOVE[above]
        key = row[name]
