"""Procedure to days after transplantation: the date of the last transplantation before the course, counted by calendar days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from auctor.fhir.bundle import source_of
from auctor.fhir.found import Fact, LeftOut, Question, Source
from auctor.fhir.node import Node
from auctor.fhir.reading import Reading, unusable
from auctor.fhir.values import meanings
from auctor.fhir.when import day_of, read_date, read_when

COVARIATE = "POD"


@dataclass(frozen=True, kw_only=True)
class Transplant:
    """One transplantation and the resource that says so."""

    day: date
    source: Source


def read_transplant(node: Node, reading: Reading) -> Transplant:
    """The day of a transplantation that was completed; LeftOut for other procedures, a Question where the day is not said."""
    status = node.text("status")
    if status == "entered-in-error":
        raise LeftOut("entered-in-error", "entered in error")
    if not meanings(node.node("code"), reading.book, "procedure"):
        raise LeftOut("not-used", "not a procedure that is read")
    if status != "completed":
        raise LeftOut("not-given", "not recorded as completed")
    unusable(node)
    period = node.node("performedPeriod")
    text = node.text("performedDateTime") or (period.text("start") if period is not None else "")
    if len(text) < len("2026-03-01"):
        what, remedy = "no day on which it was done", "find out the day, or give the days after transplantation by hand"
        raise Question("no-time", where=node.at("performed"), what=what, remedy=remedy)
    return Transplant(day=read_date(text[:10], where=node.at("performed")), source=source_of(node))


def days_after(transplants: list[Transplant], facts: list[Fact], zone: str) -> tuple[list[Fact], list[Question]]:
    """POD at the first dose or sample of each day, from the last transplantation before them; a Question for one during the course."""
    moments = [read_when(str(f.body["at"]), "", where=f.sources[0].reference) for f in facts if f.kind in ("dose", "sample")]
    if not transplants or not moments:
        return [], []
    ordered = sorted(moments, key=lambda when: when.moment)
    before = [one for one in transplants if one.day <= day_of(ordered[0], zone)]
    if len(before) < len(transplants) or not before:
        late = next(one for one in transplants if one not in before)
        what, remedy = "after the first entry of the course", "begin a course of its own after it"
        return [], [Question("transplant-during-course", where=late.source.reference, what=what, remedy=remedy)]
    last = max(before, key=lambda one: one.day)
    first = {day_of(when, zone): when for when in reversed(ordered)}
    days = sorted(first)
    return [
        Fact(
            kind="covariate", body={"name": COVARIATE, "value": f"{(day - last.day).days} d", "at": first[day].text}, sources=(last.source,)
        )
        for day in days
    ], []
