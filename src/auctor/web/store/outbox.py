"""The outbox: results to be sent to a hospital's server, one row a result and server, with what became of the last attempt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from auctor.web.store.tables import Outbox
from auctor.web.store.work import Reading, Work

PENDING, SENT, FAILED = "pending", "sent", "failed"
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)


def put(work: Work, result_id: str, destination: str) -> Outbox:
    """The row of a result and a server, to be sent now (again, where it was sent before: sending twice changes nothing)."""
    row = of(work, result_id, destination)
    if row is None:
        row = Outbox(result_id=result_id, destination=destination)
        work.session.add(row)
    row.state, row.next_try_at = PENDING, work.at
    work.session.flush()
    return row


def sent(work: Work, row_id: str, *, reference: str) -> Outbox:
    """It arrived; `reference` is what the server calls the report."""
    row = work.get(Outbox, row_id, lock=True)
    row.state, row.tries, row.problem, row.reference, row.sent_at = SENT, row.tries + 1, None, reference[:400] or None, work.at
    work.session.flush()
    return row


def failed(work: Work, row_id: str, *, problem: str) -> Outbox:
    """It did not arrive; when to try again (each time after twice as long)."""
    row = work.get(Outbox, row_id, lock=True)
    row.state, row.tries, row.problem = FAILED, row.tries + 1, problem
    row.next_try_at = work.at + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(row.tries - 1, 10))
    work.session.flush()
    return row


def of(reading: Reading, result_id: str, destination: str) -> Outbox | None:
    """The row of a result and a server."""
    return reading.session.scalars(select(Outbox).where(Outbox.result_id == result_id, Outbox.destination == destination)).first()


def of_results(reading: Reading, results: Sequence[str]) -> list[Outbox]:
    """The rows of these results, the newest first."""
    return list(reading.session.scalars(select(Outbox).where(Outbox.result_id.in_(results)).order_by(Outbox.created_at.desc(), Outbox.id)))


def due(reading: Reading, now: datetime, *, most_tries: int) -> list[Outbox]:
    """What is to be sent by now: never tried, or failed and its wait is over; what failed too often waits for a person."""
    query = select(Outbox).where(Outbox.state.in_((PENDING, FAILED)), Outbox.next_try_at <= now, Outbox.tries < most_tries)
    return list(reading.session.scalars(query.order_by(Outbox.next_try_at, Outbox.id)))
