"""The audit chain: entries appended in the transaction of what they tell, each hash over the entry and the hash before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from auctor.web.accounts.actor import Actor
from auctor.web.store.engine import is_postgresql
from auctor.web.store.tables import Audit, iso
from auctor.web.store.tables.columns import content_sha256

START = "0" * 64
_LOCK = 0x617563746F72  # "auctor": the advisory lock under which entries are appended


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a verb says about itself: `patient.update`, `patient`, its id; before and after as plain data; why."""

    action: str
    kind: str
    object_id: str
    ward: str | None = None
    before: Any = None
    after: Any = None
    reason: str = ""
    rows: list[list[str]] = field(default_factory=list)


def link(entry: Audit) -> str:
    """The hash that an entry must have: SHA-256 of its fields, in canonical JSON, after the hash of the one before it."""
    fields = entry.as_data()
    del fields["hash"]
    return content_sha256(fields)


def append(session: Session, actor: Actor, entry: Entry, at: datetime) -> Audit:
    """Add the entry to the end of the chain; the lock on the end is held until the transaction ends."""
    sequence, previous = _end(session)
    row = Audit(
        sequence=sequence + 1,
        at=iso(at),
        account_id=actor.account_id,
        login=actor.login,
        channel=actor.channel,
        action=entry.action,
        kind=entry.kind,
        object_id=entry.object_id,
        ward=entry.ward,
        before=entry.before,
        after=entry.after,
        reason=entry.reason,
        rows=sorted(entry.rows),
        previous=previous,
    )
    row.hash = link(row)
    session.add(row)
    session.flush()
    return row


def _end(session: Session) -> tuple[int, str]:
    if is_postgresql(session.connection()):
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = session.execute(text("SELECT sequence, hash FROM audit_end()")).one_or_none()
    else:
        audit = Audit.__table__.c  # the table itself: the end of the trail is everybody's, whatever their wards
        found = session.execute(select(audit.sequence, audit.hash).order_by(audit.sequence.desc()).limit(1)).one_or_none()
    return (0, START) if found is None else (found[0], found[1])
