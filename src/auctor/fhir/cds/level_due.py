"""The words of an overdue level: since when, by which interval, from whom that interval comes, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auctor.dosing.overdue import Overdue, Since
from auctor.models.drug_file import Monitoring
from auctor.report.words import said

WHY = {
    Since.START: "No level has come since the first dose of %(from_at)s; one was due within %(within)s, by %(due)s.",
    Since.CHANGE: "No level was drawn after the dose changed on %(from_at)s; one was due within %(within)s, by %(due)s.",
    Since.LEVEL: "The last level was drawn on %(from_at)s; the next was due within %(within)s, by %(due)s.",
    Since.KNOWN: "No level is on record since the first dose that is known, of %(from_at)s; one was due within %(within)s, by %(due)s.",
}
INTERVAL = "The interval is declared, not computed for this patient: %(source)s."
USE = "It is meant for: %(use)s."
BY_ORDER = "No dose is on record after %(last)s; an order alone says that the treatment goes on. Close the course in auctor where it ended."
UNKNOWN = "A level that did not reach auctor is not known here."
SUMMARY = "%(drug)s: a level is overdue since %(due)s"


@dataclass(frozen=True, kw_only=True)
class LevelDue:
    """A level that is overdue, on the course's clock: since when it is counted, when it was due, and by which declared interval.

    `last_dose` is the last dose on record; `recorded` whether one was recorded after the level was due (else only an order says that the
    treatment goes on).
    """

    found: Overdue
    rule: Monitoring
    counted_from: datetime
    due: datetime
    last_dose: datetime
    recorded: bool


def summary(drug: str, due: LevelDue) -> str:
    """The line at the top of the card."""
    return said(SUMMARY, drug=drug.capitalize(), due=_at(due.due))


def lines(due: LevelDue) -> list[str]:
    """The sentences of the card's detail."""
    within = _span(due.found.within_h)
    found = [said(WHY[due.found.since], from_at=_at(due.counted_from), within=within, due=_at(due.due))]
    found.append(said(INTERVAL, source=due.rule.source))
    if due.rule.use:
        found.append(said(USE, use=due.rule.use))
    if not due.recorded:
        found.append(said(BY_ORDER, last=_at(due.last_dose)))
    return [*found, UNKNOWN]


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _span(hours: float) -> str:
    return said("%(n)s h", n=f"{hours:g}") if hours < 72 else said("%(n)s days", n=f"{hours / 24:g}")
