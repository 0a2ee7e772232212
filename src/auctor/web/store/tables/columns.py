"""What the columns of every table are made of: identifiers, moments in UTC, canonical JSON, and rows that never change."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import DateTime, Dialect, ForeignKey, MetaData, String, Text, TypeDecorator, inspect
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Moment(TypeDecorator[datetime]):
    """An instant, aware and in UTC on both sides; SQLite, which knows no zones, holds it as UTC without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: ValueError for a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """Plain data as canonical JSON text, so that the same data is the same bytes in every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To the database."""
        return None if value is None else canonical(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


class Table(DeclarativeBase):
    """Base of every table. `append_only` tables have rows that are written once: the database itself refuses a change."""

    metadata = MetaData(naming_convention=NAMES)
    append_only: ClassVar[bool] = False

    def as_data(self) -> dict[str, Any]:
        """The row as plain data, moments as ISO text: what an audit entry shows as before or after."""
        return {column.key: plain(getattr(self, column.key)) for column in inspect(type(self)).column_attrs}

    def row_key(self) -> str:
        """The row's primary key as text; the parts of a composite one joined by `/`."""
        parts = inspect(type(self)).primary_key
        return "/".join(str(getattr(self, part.key)) for part in parts if part.key)

    def row_digest(self) -> str:
        """SHA-256 of the row's content, the same in every database; an empty column, such as one that is added later, does not count."""
        return content_sha256(self.as_data())


def content_sha256(fields: Mapping[str, Any]) -> str:
    """SHA-256 of the fields that say something, as canonical JSON."""
    return hashlib.sha256(canonical({key: value for key, value in fields.items() if value is not None}).encode()).hexdigest()


def canonical(data: Any) -> str:
    """Plain data as the one JSON text that stands for it: sorted keys, no blanks, no NaN.

    >>> canonical({"b": 1.0, "a": "é"})
    '{"a":"é","b":1.0}'
    """
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """A column's value as JSON can hold it."""
    if isinstance(value, datetime):
        return iso(value)
    return value.isoformat() if isinstance(value, date) else value


def iso(moment: datetime) -> str:
    """A moment as text in UTC with microseconds, of one length, so that texts sort as times do.

    >>> iso(datetime(2026, 3, 1, 8, tzinfo=UTC))
    '2026-03-01T08:00:00.000000Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_id() -> str:
    """A new identifier: 128 random bits, so that it says nothing and cannot be guessed."""
    return secrets.token_hex(16)


def now() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


Id = Annotated[str, mapped_column(String(32), primary_key=True, default=new_id)]
Ref = Annotated[str, mapped_column(String(32))]
Word = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(200))]
Words = Annotated[str, mapped_column(Text)]
At = Annotated[datetime, mapped_column(Moment())]
Data = Annotated[Any, mapped_column(Json())]
Digest = Annotated[str, mapped_column(String(64))]
WardId = Annotated[str, mapped_column(String(40), ForeignKey("ward.id"))]
AccountId = Annotated[str, mapped_column(String(32), ForeignKey("account.id"))]
CourseId = Annotated[str, mapped_column(String(32), ForeignKey("course.id"), index=True)]
ResultId = Annotated[str, mapped_column(String(32), ForeignKey("result.id"), index=True)]
