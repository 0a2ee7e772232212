"""Cards of CDS Hooks: kept when they are shown, what became of them, and how often each kind was accepted or overridden, and why.

No patient and no ward stand in any of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Row, Select, func, select

from auctor.errors import CaseError
from auctor.fhir.cds.cards import OVERRIDE_REASONS, REASONS_SYSTEM, Card
from auctor.fhir.cds.request import Verdict
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.service.clinic import Clinic
from auctor.web.store import Reading
from auctor.web.store.tables import Feedback, ShownCard

UNKNOWN = "unknown"  # the kind of a card that was answered and is not on record as shown
COMMENT, OTHER, NONE = "comment-only", "other", "not-given"  # reasons that are no code of HL7's list
ANSWERS = select(Feedback.card, Feedback.outcome, Feedback.detail, Feedback.received_at, Feedback.outcome_at)
Group = tuple[str, str, str]  # service, kind, indicator
_CODES = {reason.code for reason in OVERRIDE_REASONS}


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """How the cards of one service, kind and indicator were answered. Of a card the last answer counts; `reasons` are of the overridden."""

    service: str
    kind: str
    indicator: str
    shown: int
    accepted: int
    overridden: int
    reasons: Mapping[str, int]

    @property
    def unanswered(self) -> int:
        """Shown, and nothing was heard of them."""
        return max(0, self.shown - self.accepted - self.overridden)

    @property
    def rate(self) -> float | None:
        """Accepted among the answered, None where none was answered."""
        answered = self.accepted + self.overridden
        return self.accepted / answered if answered else None


@dataclass(frozen=True, kw_only=True)
class Period:
    """Days on one clock, the last included; None is open."""

    since: date | None = None
    until: date | None = None
    zone: ZoneInfo

    @classmethod
    def read(cls, since: str, until: str, *, zone: str) -> Period:
        """From texts such as 2026-03-01, "" for an open end. CaseError for what is no day, and for an end before the start."""
        found = cls(since=_day(since, "since"), until=_day(until, "until"), zone=ZoneInfo(zone))
        if found.since and found.until and found.until < found.since:
            raise CaseError(where="until", what="before the first day", remedy="exchange the two days")
        return found

    @property
    def begin(self) -> datetime | None:
        """Its first moment."""
        return datetime.combine(self.since, time(), self.zone) if self.since else None

    @property
    def end(self) -> datetime | None:
        """The first moment after it."""
        return datetime.combine(self.until + timedelta(days=1), time(), self.zone) if self.until else None


def _day(text: str, where: str) -> date | None:
    try:
        found = date.fromisoformat(text.strip()) if text.strip() else None
    except ValueError as problem:
        raise CaseError(where=where, what="not a day", remedy="write it as 2026-03-31") from problem
    if found is not None and not 2000 <= found.year <= 2200:
        raise CaseError(where=where, what="not a day", remedy="write it as 2026-03-31")
    return found


def keep_shown(clinic: Clinic, actor: Actor, service: str, cards: Sequence[Card]) -> None:
    """Keep what was shown: cards that are not on record yet, with one audit entry; nothing where there are none."""
    demand(actor, Verb.READ)
    with clinic.store.read(actor) as reading:
        known = set(reading.session.scalars(select(ShownCard.id).where(ShownCard.id.in_([card.uuid for card in cards]))))
    new = [card for card in cards if card.uuid not in known]
    if not new:
        return
    with clinic.store.work(actor) as work:
        for card in new:
            said = {"service": service, "kind": card.kind, "indicator": card.indicator.value, "drug": card.drug}
            work.session.add(ShownCard(id=card.uuid, **said, shown_at=work.at))
        work.record("cds.shown", "service", service, after={"cards": len(new)})


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


def acceptance(clinic: Clinic, actor: Actor, period: Period) -> tuple[Acceptance, ...]:
    """Cards shown in a period and what became of each, whenever; answers to cards that are not on record by when they came."""
    demand(actor, Verb.TRACK)
    with clinic.store.read(actor) as reading:
        shown, answers = _shown(reading, period), [*_answered(reading, period), *_unknown(reading, period)]
    groups: dict[Group, list[Row[Any]]] = {group: [] for group in shown}
    for group, answer in answers:
        groups.setdefault(group, []).append(answer)
    return tuple(_counted(group, shown.get(group, 0), found) for group, found in sorted(groups.items()))


def _in(column: Any, begin: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    return [*([column >= begin] if begin else []), *([column < end] if end else [])]


def _shown(reading: Reading, period: Period) -> dict[Group, int]:
    """How many cards were shown in the period."""
    group = (ShownCard.service, ShownCard.kind, ShownCard.indicator)
    query = select(*group, func.count()).where(*_in(ShownCard.shown_at, period.begin, period.end)).group_by(*group)
    return {(service, kind, indicator): n for service, kind, indicator, n in reading.session.execute(query)}


def _answered(reading: Reading, period: Period) -> Iterable[tuple[Group, Row[Any]]]:
    """The last answer to each card that was shown in the period, whenever it came."""
    query = ANSWERS.add_columns(ShownCard.service, ShownCard.kind, ShownCard.indicator).join(ShownCard, ShownCard.id == Feedback.card)
    for row in _last(reading, query.where(*_in(ShownCard.shown_at, period.begin, period.end))):
        yield (row.service, row.kind, row.indicator), row


def _unknown(reading: Reading, period: Period) -> Iterable[tuple[Group, Row[Any]]]:
    """The last answers to cards that are not on record, those that came in the period."""
    known = select(ShownCard.id).where(ShownCard.id == Feedback.card).correlate(Feedback).exists()
    query = ANSWERS.add_columns(Feedback.service).where(~known, *_in(Feedback.received_at, period.begin, None))
    for row in _last(reading, query):
        if period.end is None or row.received_at < period.end:
            yield (row.service, UNKNOWN, ""), row


def _last(reading: Reading, query: Select[Any]) -> Iterable[Row[Any]]:
    """Of each card the last answer; sorted here, as a database that is asked for an order reads every answer in it."""
    rows = reading.session.execute(query).all()
    return {row.card: row for row in sorted(rows, key=lambda row: (row.received_at, row.outcome_at))}.values()


def _counted(group: Group, shown: int, answers: Sequence[Row[Any]]) -> Acceptance:
    service, kind, indicator = group
    overridden = [answer for answer in answers if answer.outcome == "overridden"]
    return Acceptance(
        service=service,
        kind=kind,
        indicator=indicator,
        shown=shown,
        accepted=sum(answer.outcome == "accepted" for answer in answers),
        overridden=len(overridden),
        reasons=dict(sorted(Counter(_reason(answer.detail or {}) for answer in overridden).items())),
    )


def _reason(detail: Mapping[str, Any]) -> str:
    """The code of HL7's list; what a client made up is not shown, it could hold anything."""
    reason = detail.get("reason") or {}
    if reason.get("code") in _CODES and reason.get("system", REASONS_SYSTEM) == REASONS_SYSTEM:
        return str(reason["code"])
    return OTHER if reason else COMMENT if detail.get("comment") else NONE


def as_data(rows: Sequence[Acceptance]) -> list[dict[str, object]]:
    """The counts as plain data."""
    return [
        {
            "service": row.service,
            "kind": row.kind,
            "indicator": row.indicator,
            "shown": row.shown,
            "accepted": row.accepted,
            "overridden": row.overridden,
            "unanswered": row.unanswered,
            "accepted_of_answered": None if row.rate is None else {"value": float(f"{100 * row.rate:.6g}"), "unit": "%"},
            "reasons": dict(row.reasons),
        }
        for row in rows
    ]
