"""What changes with every use or failure, written outside a unit of work: it says nothing of a patient and would drown the audit trail."""

from __future__ import annotations

from sqlalchemy import Delete, Insert, Update

from auctor.web.accounts.actor import Actor
from auctor.web.store import Reading, Store
from auctor.web.store.store import typed

CLOCK = Actor.system("last-use")


def touch(store: Store, *statements: Update | Insert | Delete) -> None:
    """Run statements on moments of last use or on counts of failures, in one transaction and the application's own role.

    Raises StoreUnavailable where the database does not answer.
    """
    with typed(), store.writes() as session:
        Reading(session, CLOCK, narrowed=store.narrowed)
        for statement in statements:
            session.execute(statement)
        session.commit()
