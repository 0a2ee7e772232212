"""The words of an overdue level: since when, by which interval, from whom that interval comes, and what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from auctor.dosing.overdue import Overdue, Since
from auctor.models.drug_file import Monitoring
from auctor.report.voice import N_, Voice

WHY = {
    Since.START: N_("No level has come since the first dose of %(from_at)s; one was due within %(within)s, by %(due)s."),
    Since.CHANGE: N_("No level was drawn after the dose changed on %(from_at)s; one was due within %(within)s, by %(due)s."),
    Since.LEVEL: N_("The last level was drawn on %(from_at)s; the next was due within %(within)s, by %(due)s."),
    Since.KNOWN: N_("No level is on record since the first dose that is known, of %(from_at)s; one was due within %(within)s, by %(due)s."),
}
INTERVAL = N_("The interval is declared, not computed for this patient: %(source)s.")
USE = N_("It is meant for: %(use)s.")
BY_ORDER = N_(
    "No dose is on record after %(last)s; an order alone says that the treatment goes on. Close the course in auctor where it ended."
)
UNKNOWN = N_("A level that did not reach auctor is not known here.")
SUMMARY = N_("%(drug)s: a level is overdue since %(due)s")


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


def summary(drug: str, due: LevelDue, voice: Voice) -> str:
    """The line at the top of the card."""
    return voice.say(SUMMARY, drug=drug.capitalize(), due=_at(due.due))


def lines(due: LevelDue, voice: Voice) -> list[str]:
    """The sentences of the card's detail."""
    within = _span(due.found.within_h, voice)
    found = [voice.say(WHY[due.found.since], from_at=_at(due.counted_from), within=within, due=_at(due.due))]
    found.append(voice.say(INTERVAL, source=due.rule.source))
    if due.rule.use:
        found.append(voice.say(USE, use=due.rule.use))
    if not due.recorded:
        found.append(voice.say(BY_ORDER, last=_at(due.last_dose)))
    return [*found, voice.say(UNKNOWN)]


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _span(hours: float, voice: Voice) -> str:
    if hours < 72:
        return voice.say(N_("%(n)s h"), n=voice.local(f"{hours:g}"))
    return voice.say(N_("%(n)s days"), n=voice.local(f"{hours / 24:g}"))
