"""What goes in and out: messages received, results to send, cards shown and the feedback on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from auctor.web.store.tables.columns import At, Data, Digest, Id, Name, ResultId, Table, Word, Words, now


class Message(Table):
    """One message that came in (HL7 v2, FHIR): once for each sender and control identifier, however often it is sent.

    `state` is received, done or dead; a dead letter says why in `problem` and keeps its text for a person to look at.
    """

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("channel", "sender", "control_id"),
        CheckConstraint("state IN ('received', 'done', 'dead')", name="state"),
    )

    id: Mapped[Id]
    channel: Mapped[Word]
    sender: Mapped[Name]
    control_id: Mapped[Name]
    digest: Mapped[Digest]
    state: Mapped[Word]
    text: Mapped[Words | None]
    ack: Mapped[Words | None]
    problem: Mapped[Words | None]
    ward_id: Mapped[str | None] = mapped_column(String(40), ForeignKey("ward.id"), index=True)
    received_at: Mapped[At] = mapped_column(default=now)
    done_at: Mapped[At | None]


class Outbox(Table):
    """A result to be sent somewhere: written in the transaction that signs it, sent and tried again afterwards.

    `state` is pending, sent or failed.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("result_id", "destination"),
        CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
    )

    id: Mapped[Id]
    result_id: Mapped[ResultId]
    destination: Mapped[str] = mapped_column(String(400))
    state: Mapped[Word] = mapped_column(default="pending", index=True)
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[At] = mapped_column(default=now)
    problem: Mapped[Words | None]
    reference: Mapped[str | None] = mapped_column(String(400))
    created_at: Mapped[At] = mapped_column(default=now)
    sent_at: Mapped[At | None]


class ShownCard(Table):
    """CDS Hooks: a card that was sent, by its UUID: what it was about, whose it was not. The same call sends the same card: once here."""

    __tablename__ = "card"
    append_only = True

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    service: Mapped[Word]
    kind: Mapped[Word]
    indicator: Mapped[Word]
    drug: Mapped[Name]
    shown_at: Mapped[At] = mapped_column(default=now, index=True)


class Feedback(Table):
    """CDS Hooks: what became of a card (accepted or overridden) and why."""

    __tablename__ = "feedback"
    append_only = True

    id: Mapped[Id]
    service: Mapped[Word]
    card: Mapped[Word] = mapped_column(index=True)
    outcome: Mapped[Word]
    detail: Mapped[Data | None]
    outcome_at: Mapped[At]
    received_at: Mapped[At] = mapped_column(default=now, index=True)


_RESOLVED = (datetime, Any)  # names that SQLAlchemy looks up in this module when it reads the annotations
