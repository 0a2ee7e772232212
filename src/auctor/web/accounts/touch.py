"""Moments of last use, written outside a unit of work: they say nothing about a patient or an account, and would drown the audit trail."""

from __future__ import annotations

from sqlalchemy import Update

from auctor.web.accounts.actor import Actor
from auctor.web.store import Reading, Store

CLOCK = Actor.system("last-use")


def touch(store: Store, statement: Update) -> None:
    """Run one update of `seen_at` or `last_used_at`, in the application's own role."""
    with store.writes() as session:
        Reading(session, CLOCK, narrowed=store.narrowed)
        session.execute(statement)
        session.commit()
