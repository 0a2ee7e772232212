"""The audit trail: one entry for each verb, chained by SHA-256."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from auctor.web.store.tables.columns import Data, Digest, Table, Word, Words


class Audit(Table):
    """Who did what to which object, when, what it was and became, why; `rows` names the written rows that never change, with their SHA-256.

    `at` is text, as it was hashed; `ward` is empty where the object belongs to no ward.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_kind_object_id", "kind", "object_id"),)
    append_only = True

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(27))
    account_id: Mapped[str | None] = mapped_column(String(32))
    login: Mapped[str] = mapped_column(String(200))
    channel: Mapped[Word]
    action: Mapped[Word]
    kind: Mapped[Word]
    object_id: Mapped[str] = mapped_column(String(200))
    ward: Mapped[str | None] = mapped_column(String(40), index=True)
    before: Mapped[Data | None]
    after: Mapped[Data | None]
    reason: Mapped[Words]
    rows: Mapped[Data]
    previous: Mapped[Digest]
    hash: Mapped[Digest]


_RESOLVED = (datetime, Any)  # names that SQLAlchemy looks up in this module when it reads the annotations
