"""Feedback on cards: kept as it came, and how often each service's cards were accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select

from auctor.fhir.cds.request import Verdict
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store.tables import Feedback


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """How the cards of one service were answered. Of one card the last answer counts."""

    service: str
    accepted: int
    overridden: int

    @property
    def rate(self) -> float | None:
        """Accepted among the answered, None where none was answered."""
        answered = self.accepted + self.overridden
        return self.accepted / answered if answered else None


def keep_feedback(clinic: Clinic, actor: Actor, service: str, verdicts: Sequence[Verdict]) -> None:
    """Keep the verdicts of one call: all of them or none, with one audit entry. A comment is kept and shown to nobody but auditors."""
    demand(actor, Verb.READ)
    with clinic.store.work(actor) as work:
        for verdict in verdicts:
            detail = {"suggestions": list(verdict.suggestions), "reason": dict(verdict.reason), "comment": verdict.comment}
            outcome = "accepted" if verdict.accepted else "overridden"
            row = Feedback(service=service, card=verdict.card, outcome=outcome, detail=detail, outcome_at=verdict.at)
            work.session.add(row)
        work.session.flush()
        work.record("cds.feedback", "service", service, after={"entries": len(verdicts)})


def acceptance(clinic: Clinic, actor: Actor) -> tuple[Acceptance, ...]:
    """The acceptance of each service's cards."""
    demand(actor, Verb.TRACK)
    last = select(Feedback.card, func.max(Feedback.received_at).label("at")).group_by(Feedback.card).subquery()
    query = (
        select(Feedback.service, Feedback.outcome, func.count())
        .join(last, (Feedback.card == last.c.card) & (Feedback.received_at == last.c.at))
        .group_by(Feedback.service, Feedback.outcome)
    )
    with clinic.store.read(actor) as reading:
        counted = {(service, outcome): int(count) for service, outcome, count in reading.session.execute(query)}
    services = sorted({service for service, _ in counted})
    return tuple(
        Acceptance(service=name, accepted=counted.get((name, "accepted"), 0), overridden=counted.get((name, "overridden"), 0))
        for name in services
    )
