"""MedicationRequest: the order as the regimen that would go on, and, only where nothing was recorded as given, as assumed doses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auctor.errors import Notice
from auctor.fhir.administrations import AGREE
from auctor.fhir.bundle import source_of
from auctor.fhir.found import Fact, LeftOut, Question
from auctor.fhir.medicine import mass_mg, read_medicine, read_route
from auctor.fhir.node import Node
from auctor.fhir.reading import BOLUS, Reading, unusable, zone_notices
from auctor.fhir.values import shown
from auctor.fhir.when import When
from auctor.units import convert

ORDERED = ("order", "original-order", "reflex-order", "filler-order", "instance-order")
_HOURS = {"s": 1 / 3600, "min": 1 / 60, "h": 1.0, "d": 24.0, "wk": 168.0}
_FREE = ("dayOfWeek", "timeOfDay", "when", "offset", "countMax", "durationMax", "frequencyMax", "periodMax")
_BY_HAND = "read the order, and enter it by hand"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order: the regimen (amount mg, every h, route, length), from when to when (None: open), whether it is still active."""

    node: Node
    regimen: dict[str, Any]
    every_h: float
    start: When | None
    stop: When | None
    active: bool


def read_order(node: Node, reading: Reading) -> Order:
    """An order of the course's drug. LeftOut for another drug, a plan or a cancelled one; a Question where it is no plain interval."""
    status, intent = node.text("status"), node.text("intent")
    if status == "entered-in-error":
        raise LeftOut("entered-in-error", "entered in error")
    medicine = read_medicine(node, reading)
    if intent not in ORDERED:
        raise LeftOut("not-an-order", "a plan or a proposal, not an order")
    if status in ("cancelled", "draft") or node.flag("doNotPerform"):
        raise LeftOut("not-in-force", "cancelled, a draft, or an order not to give")
    if status not in ("active", "completed", "stopped", "on-hold"):
        raise Question("status", where=node.at("status"), what="does not say whether it is in force", remedy=_BY_HAND)
    unusable(node)
    lines = node.nodes("dosageInstruction")
    if len(lines) != 1:
        raise Question("no-dosage", where=node.at("dosageInstruction"), what="not one line of dosing", remedy=_BY_HAND)
    every, start, stop = _timing(lines[0], reading)
    regimen = {"amount": f"{shown(_dose(lines[0], reading, medicine.strength_mg_ml))} mg", "every": f"{shown(every)} h"}
    regimen |= {"route": read_route(lines[0], reading), **_length(lines[0], node, reading)}
    return Order(node=node, regimen=regimen, every_h=every, start=start, stop=stop, active=status == "active")


def _timing(line: Node, reading: Reading) -> tuple[float, When | None, When | None]:
    """Interval (h), first and last moment of `timing.repeat`; a Question for anything but so many times in a period."""
    if line.data.get("asNeededBoolean") is True or line.has("asNeededCodeableConcept"):
        raise Question("as-needed", where=line.where, what="given as needed", remedy="find out what was given")
    timing = line.node("timing")
    repeat = timing.node("repeat") if timing is not None else None
    if timing is None or repeat is None or timing.has("event"):
        raise Question("timing", where=line.at("timing"), what="no frequency and period", remedy=_BY_HAND)
    odd = next((key for key in _FREE if repeat.has(key)), None)
    period, unit = repeat.number("period"), _HOURS.get(repeat.text("periodUnit"))
    times = repeat.number("frequency") or 1.0
    if odd is not None or period is None or unit is None or period <= 0 or times <= 0:
        raise Question("timing", where=repeat.where, what="not so many times in a period", remedy=_BY_HAND)
    bounds = repeat.node("boundsPeriod")
    start, stop = (reading.when(bounds, key) if bounds is not None and bounds.has(key) else None for key in ("start", "end"))
    return period * unit / times, start, stop


def _dose(line: Node, reading: Reading, strength: float | None) -> float:
    rates = line.nodes("doseAndRate")
    quantity = rates[0].node("doseQuantity") if len(rates) == 1 else None
    if quantity is None:
        raise Question("no-amount", where=line.at("doseAndRate"), what="not one amount", remedy=_BY_HAND)
    amount = mass_mg(quantity, reading, strength)
    if amount <= 0:
        raise Question("amount", where=quantity.where, what="not above zero", remedy=_BY_HAND)
    return amount


def _length(line: Node, node: Node, reading: Reading) -> dict[str, Any]:
    """The length of an infusion, of `timing.repeat.duration` or as answered; nothing for oral doses."""
    if read_route(line, reading) == "oral":
        return {}
    timing = line.node("timing")
    repeat = timing.node("repeat") if timing is not None else None
    duration, unit = (repeat.number("duration"), _HOURS.get(repeat.text("durationUnit"))) if repeat is not None else (None, None)
    if duration is not None and unit is not None and duration > 0:
        return {"duration": f"{shown(round(60 * duration * unit, 6))} min"}
    answer = reading.infusion(node.where)
    if not answer:
        remedy = "find out how long an infusion runs, and give it (or say that it is a bolus)"
        raise Question("no-duration", where=node.at("dosageInstruction"), what="no length", remedy=remedy)
    return {"bolus": True} if answer == BOLUS else {"duration": answer}


def current_of(orders: list[Order]) -> Fact | None:
    """The one active order as the regimen that would go on; a Question where several are active. None without one."""
    active = [order for order in orders if order.active]
    if len(active) > 1:
        raise Question(
            "several-orders", where=active[1].node.where, what="several active orders of the drug", remedy="say which one goes on"
        )
    return Fact(kind="current", body=active[0].regimen, sources=(source_of(active[0].node),)) if active else None


def assumed_doses(order: Order, reading: Reading) -> Fact:
    """An order as a series of doses taken as given; a Question where its start or its end is not said."""
    end = order.stop or reading.now()
    if order.start is None or end is None:
        what, remedy = "no start, or no end and no time up to which it ran", "give the time at which the data end, or enter the doses"
        raise Question("order-without-end", where=order.node.where, what=what, remedy=remedy)
    remedy = "compare with what was given before anybody signs"
    what = "ordered, and no administration on record: assumed to have been given as ordered"
    notice = Notice(code="dose-assumed", where=order.node.where, what=what, remedy=remedy, blocks_signing=True)
    hours = end.hours_after(order.start)
    if hours < 0:
        raise Question("period", where=order.node.where, what="ends before it starts", remedy="correct the order at its source")
    body = {**order.regimen, "at": order.start.text, "note": "assumed: ordered, not recorded as given"}
    body |= {"until_at": end.text} if hours >= order.every_h else {}
    if "until_at" not in body:
        body.pop("every")
    more = zone_notices(order.start, order.stop, where=order.node.where)
    return Fact(kind="dose", body=body, sources=(source_of(order.node),), assumed=True, notices=(notice, *more))


def differs(order: Fact, doses: tuple[Fact, ...]) -> tuple[Notice, ...]:
    """A notice where the last dose given is not the one ordered."""
    last = max(doses, key=lambda fact: str(fact.body.get("at")), default=None)
    if last is None or any(fact.assumed for fact in doses):
        return ()
    given, ordered = (_mg(str(fact.body["amount"])) for fact in (last, order))
    if abs(given - ordered) <= AGREE * ordered:
        return ()
    what = "the last dose given is not the amount ordered"
    return (Notice(code="order-differs", where=order.sources[0].reference, what=what, remedy="check whether the order changed"),)


def _mg(text: str) -> float:
    number, _, unit = text.partition(" ")
    return convert(float(number), unit, "mg", where="amount")
