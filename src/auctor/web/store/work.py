"""Work: one transaction of one actor, with exactly one audit entry for what it did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, String, event, inspect, text
from sqlalchemy.orm import ORMExecuteState, Session, UOWTransaction

from auctor.web.accounts.actor import Actor
from auctor.web.store import wards
from auctor.web.store.audit import Entry
from auctor.web.store.engine import is_postgresql
from auctor.web.store.errors import AuditError, NotFound, StoreError
from auctor.web.store.tables import Table, canonical, now
from auctor.web.store.tables.columns import Json

APPLICATION = "auctor_application"
Row = TypeVar("Row", bound=Table)


class Reading:
    """A transaction that only reads, narrowed to the actor's wards. `session` is the SQLAlchemy session, for queries."""

    def __init__(self, session: Session, actor: Actor, *, narrowed: bool = True) -> None:
        self.session, self.actor = session, actor
        if narrowed:
            event.listen(session, "do_orm_execute", self._narrow)
        event.listen(session, "after_begin", self._after_begin)
        event.listen(session, "before_flush", self._before_flush)
        session.connection()

    def get(self, table: type[Row], key: Any, *, lock: bool = False) -> Row:
        """One row by its primary key; NotFound where there is none, or none that the actor may see. `lock` holds it until the end."""
        found = self.session.get(table, key, populate_existing=lock, with_for_update=lock or None)
        if found is None:
            raise NotFound(where=table.__tablename__, what="no such object among those you may see", remedy="go back to the list")
        return found

    def _after_begin(self, _session: Session, _transaction: Any, connection: Connection) -> None:
        as_application(connection, self.actor)

    def _before_flush(self, session: Session, _context: UOWTransaction, _instances: Any) -> None:
        if session.new or session.dirty or session.deleted:
            raise AuditError(where="store", what="a change in a transaction that reads", remedy="use Store.work")

    def _narrow(self, state: ORMExecuteState) -> None:
        if state.is_select or state.is_update or state.is_delete:
            wards.keep_apart(state, self.actor.wards)


class Work(Reading):
    """A unit of work: change rows through `session`, then `record` once what the verb did; the store commits both or neither."""

    def __init__(self, session: Session, actor: Actor, *, narrowed: bool = True) -> None:
        super().__init__(session, actor, narrowed=narrowed)
        event.listen(session, "do_orm_execute", self._bulk)
        self.at: datetime = now()
        self.entry: Entry | None = None
        self._changed = False
        self._rows: list[list[str]] = []

    def record(
        self,
        action: str,
        kind: str,
        object_id: str,
        *,
        ward: str | None = None,
        before: Any = None,
        after: Any = None,
        reason: str = "",
    ) -> None:
        """Say what the verb did: the one audit entry of this unit of work. AuditError when it was said already.

        `action` names the verb (`patient.register`), `kind` and `object_id` the object, `ward` whose ward may read the entry; `before` and
        `after` are plain data (`row.as_data()`).
        """
        if self.entry is not None:
            raise AuditError(where=action, what="a second audit entry in one unit of work", remedy="one verb, one unit of work, one entry")
        self.entry = Entry(
            action=action, kind=kind, object_id=object_id, ward=ward, before=before, after=after, reason=reason, rows=self._rows
        )

    def close(self) -> Entry | None:
        """Flush what is pending and give the entry to append, or None when nothing was done; AuditError when something was not recorded."""
        self.session.flush()
        if self._changed and self.entry is None:
            raise AuditError(where="store", what="a change without an audit entry", remedy="call record() once in the unit of work")
        return self.entry

    def _before_flush(self, session: Session, _context: UOWTransaction, _instances: Any) -> None:
        new, dirty = list(session.new), [row for row in session.dirty if session.is_modified(row)]
        self._changed |= bool(new or dirty or session.deleted)
        _refuse_changes([*dirty, *session.deleted])
        for row in [*new, *dirty]:
            check_texts(row)
        if any(row.append_only for row in new):
            event.listen(session, "after_flush", self._after_flush(new), once=True)

    def _after_flush(self, new: list[Table]) -> Any:
        def note(_session: Session, _context: UOWTransaction) -> None:
            kept = [row for row in new if row.append_only]
            self._rows.extend([row.__tablename__, row.row_key(), row.row_digest()] for row in kept)

        return note

    def _bulk(self, state: ORMExecuteState) -> None:
        if state.is_insert or state.is_update or state.is_delete:
            self._changed = True
            mapper = state.bind_mapper
            if mapper is not None and mapper.class_.append_only:
                raise StoreError(where=mapper.class_.__tablename__, what="a statement on rows that are written once", remedy="add objects")


def as_application(connection: Connection, actor: Actor) -> None:
    """On PostgreSQL: drop to the application's role, and say whose wards these are, until the transaction ends."""
    if is_postgresql(connection):
        local = "SELECT set_config('role', :role, true), set_config('auctor.wards', :wards, true)"
        connection.execute(text(local), {"role": APPLICATION, "wards": ",".join(sorted(actor.wards))})


def _refuse_changes(rows: Iterable[Any]) -> None:
    for row in rows:
        if row.append_only:
            raise StoreError(where=row.__tablename__, what="a change of a row that is written once", remedy="add a revision")


def check_texts(row: Table) -> None:
    """StoreError for a text that is too long for its column, or holds a character that no database keeps (NUL, half a surrogate pair)."""
    for column in inspect(type(row)).columns:
        where, value = f"{row.__tablename__}.{column.key}", getattr(row, column.key)
        if isinstance(column.type, Json) and value is not None:
            _check_text(where, _as_text(where, value), None)
        elif isinstance(column.type, String) and isinstance(value, str):
            _check_text(where, value, column.type.length)


def _check_text(where: str, text: str, longest: int | None) -> None:
    if longest and len(text) > longest:
        raise StoreError(where=where, what=f"longer than {longest} characters", remedy="shorten it")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise StoreError(where=where, what="a character that cannot be kept", remedy="remove control characters")


def _as_text(where: str, value: Any) -> str:
    try:
        return canonical(value)
    except (TypeError, ValueError) as problem:
        raise StoreError(where=where, what="not plain data", remedy="give texts, finite numbers, lists and tables of them") from problem
