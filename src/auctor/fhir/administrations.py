"""MedicationAdministration to doses: what was given, when, over how long. A length that is not said is asked for, never assumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auctor.data.limits import MAX_DOSE_MG
from auctor.errors import Notice
from auctor.fhir.bundle import source_of
from auctor.fhir.found import Fact, Left, LeftOut, Open, Question, question_of
from auctor.fhir.medicine import Medicine, mass_mg, read_medicine, read_route
from auctor.fhir.node import Node
from auctor.fhir.reading import BOLUS, Reading, unusable, zone_notices
from auctor.fhir.values import in_unit, read_quantity, shown
from auctor.fhir.when import When

GIVEN = ("completed", "in-progress", "stopped")
CHARTED_H = 5 / 60  # a period this short is how some systems chart any dose (MIMIC: end = start + 1 min), not how long it ran
AGREE = 0.05  # dose and rate times period may differ by rounding

_LENGTH = "find out how long the infusion ran, and give it (or say that it was a bolus)"


@dataclass(frozen=True, kw_only=True)
class OpenRate:
    """A rate from a time on, without an end: it runs until the next rate of the same order. `rate` mg/h."""

    node: Node
    start: When
    rate: float
    order: str
    note: str


@dataclass(frozen=True, kw_only=True)
class _Given:
    """The parts of one administration: amount mg, rate mg/h, start and stop, each None where not said."""

    node: Node
    route: str
    medicine: Medicine
    dose: float | None
    rate: float | None
    start: When
    stop: When | None


def read_administration(node: Node, reading: Reading) -> Fact | OpenRate:
    """One dose, or a rate whose end another resource says. LeftOut for another drug or one not given, a Question for what is missing."""
    status = node.text("status")
    if status == "entered-in-error":
        raise LeftOut("entered-in-error", "entered in error")
    medicine = read_medicine(node, reading)
    if status == "not-done":
        raise LeftOut("not-given", "recorded as not given")
    if status not in GIVEN:
        raise Question(
            "status", where=node.at("status"), what="does not say whether it was given", remedy="find out, and enter the dose by hand"
        )
    unusable(node)
    dosage = node.node("dosage")
    if dosage is None:
        raise Question("no-dosage", where=node.at("dosage"), what="no amount and no route", remedy="find out what was given")
    start, stop = _span(node, reading)
    dose = dosage.node("dose")
    given = _Given(
        node=node, route=read_route(dosage, reading), medicine=medicine, rate=_rate(dosage, reading, medicine.strength_mg_ml),
        dose=mass_mg(dose, reading, medicine.strength_mg_ml) if dose is not None else None, start=start, stop=stop,
    )  # fmt: skip
    return _oral(given) if given.route == "oral" else _intravenous(given, reading)


def _span(node: Node, reading: Reading) -> tuple[When, When | None]:
    """Start and stop: of effectivePeriod, or effectiveDateTime alone."""
    said = list(node.choices("effective"))
    if len(said) != 1 or said[0] not in ("effectiveDateTime", "effectivePeriod"):
        what = "no time" if not said else "two times, or one of a kind that FHIR does not have"
        raise Question("no-time", where=node.at("effective"), what=what, remedy="find out when it was given")
    if said[0] == "effectiveDateTime":
        return reading.when(node, "effectiveDateTime"), None
    period = node.node("effectivePeriod")
    if period is None or not period.has("start"):
        raise Question("no-time", where=node.at("effectivePeriod"), what="a period without a start", remedy="find out when it began")
    start, stop = reading.when(period, "start"), reading.when(period, "end") if period.has("end") else None
    if stop is not None and stop.moment < start.moment:
        raise Question("period", where=period.at("end"), what="before its start", remedy="correct the times at their source")
    return start, stop


def _rate(dosage: Node, reading: Reading, strength: float | None) -> float | None:
    """mg/h of rateQuantity (mg/h or mL/h) or rateRatio (mg or mL in a time); None where neither is there."""
    quantity, ratio = dosage.node("rateQuantity"), dosage.node("rateRatio")
    if quantity is not None and ratio is not None:
        raise Question("rate", where=dosage.at("rate"), what="two rates", remedy="find out which is right")
    if quantity is not None:
        return _flow(quantity, reading, strength)
    if ratio is None:
        return None
    top, bottom = ratio.node("numerator"), ratio.node("denominator")
    hours = in_unit(read_quantity(bottom, reading.book), "h", where=bottom.where) if bottom is not None else 0.0
    if top is None or hours <= 0:
        raise Question("rate", where=ratio.where, what="not an amount in a time above zero", remedy="find out the rate")
    return mass_mg(top, reading, strength) / hours


def _flow(quantity: Node, reading: Reading, strength: float | None) -> float:
    amount = read_quantity(quantity, reading.book)
    if not amount.unit.lower().startswith(("ml/", "l/")):
        return in_unit(amount, "mg/h", where=quantity.where)
    if strength is None:
        remedy = "find out mg per mL, or enter the dose by hand"
        raise Question("no-strength", where=quantity.where, what="a volume in a time, and the strength is not here", remedy=remedy)
    return strength * in_unit(amount, "mL/h", where=quantity.where)


def _oral(given: _Given) -> Fact:
    if given.node.text("status") != "completed":
        raise Question("status", where=given.node.at("status"), what="an oral dose not completed", remedy="find out how much was taken")
    if given.dose is None:
        raise Question("no-amount", where=given.node.at("dosage.dose"), what="no amount", remedy="find out how much was given")
    return _fact(given, given.dose, {})


def _intravenous(given: _Given, reading: Reading) -> Fact | OpenRate:
    if given.stop is not None:
        return _over_period(given, given.stop, reading)
    if given.dose is not None and given.rate is not None:
        return _at_rate(given, given.dose, given.rate)
    if given.rate is not None:
        order = given.node.node("request")
        chain = order.text("reference") if order is not None else ""
        return OpenRate(node=given.node, start=given.start, rate=given.rate, order=chain, note=_note(given))
    amount = _amount(given)
    if given.node.text("status") != "completed":
        what = "not completed, and no end and no rate"
        raise Question("running", where=given.node.at("effective"), what=what, remedy=_LENGTH, draft=_draft(given, amount))
    return _answered(given, amount, reading, Question("no-duration", where=given.node.at("effective"), what="no length", remedy=_LENGTH))


def _at_rate(given: _Given, dose: float, rate: float) -> Fact:
    """Dose over rate is the length; only of an administration that ran to its end."""
    if given.node.text("status") != "completed" or rate <= 0:
        what = "not completed, or at no rate: the amount given is not known"
        raise Question("running", where=given.node.at("dosage"), what=what, remedy=_LENGTH, draft=_draft(given, dose))
    return _fact(given, dose, {"duration": f"{shown(round(60 * dose / rate, 6))} min"})


def _over_period(given: _Given, stop: When, reading: Reading) -> Fact:
    hours = stop.hours_after(given.start)
    if hours <= CHARTED_H:
        what = "so short a period that it may be how doses are charted"
        question = Question("charted-as-push", where=given.node.at("effectivePeriod"), what=what, remedy=_LENGTH)
        return _answered(given, _amount(given), reading, question)
    amount = given.dose
    if given.rate is not None:
        amount = given.rate * hours
        if given.dose is not None and abs(given.dose - amount) > AGREE * max(given.dose, amount):
            what = "dose and rate times period are not the same amount"
            raise Question("rate-contradicts", where=given.node.at("dosage"), what=what, remedy="find out how much was given")
        amount = given.dose if given.dose is not None else float(f"{amount:.9g}")
    elif given.node.text("status") != "completed":
        what = "not completed, and no rate says how much was given"
        raise Question(
            "stopped", where=given.node.at("status"), what=what, remedy="find out how much was given", draft=_draft(given, given.dose)
        )
    return _fact(given, amount if amount is not None else _amount(given), {"stop_at": stop.text})


def _answered(given: _Given, amount: float, reading: Reading, question: Question) -> Fact:
    """The dose with the length that somebody gave; otherwise the question, with what is known of the dose."""
    answer = reading.infusion(given.node.where)
    if not answer:
        question.draft = _draft(given, amount)
        raise question
    length: dict[str, Any] = {"bolus": True} if answer == BOLUS else {"duration": answer}
    what, remedy = "the length of this infusion was answered, not recorded", "check it with who gave the dose"
    return _fact(given, amount, length, Notice(code="infusion-answered", where=given.node.where, what=what, remedy=remedy))


def _amount(given: _Given) -> float:
    if given.dose is None:
        raise Question("no-amount", where=given.node.at("dosage.dose"), what="no amount", remedy="find out how much was given")
    return given.dose


def _draft(given: _Given, amount: float | None) -> dict[str, Any]:
    known = {"route": given.route, "at": given.start.text}
    return known if amount is None else {"amount": f"{shown(amount)} mg", **known}


def _note(given: _Given) -> str:
    meaning = given.medicine.meaning.meaning
    return "" if meaning in ("drug", "ingredient") else meaning.split(";")[0][:80]


def _fact(given: _Given, amount: float, length: dict[str, Any], *notices: Notice) -> Fact:
    if not 0 < amount <= MAX_DOSE_MG:
        what = "not above zero" if amount <= 0 else "more than 100 g"
        raise Question("amount", where=given.node.at("dosage.dose"), what=what, remedy="find out how much was given")
    note = {"note": _note(given)} if _note(given) else {}
    body = {**_draft(given, amount), **length, **note}
    more = zone_notices(given.start, given.stop, where=given.node.where)
    return Fact(kind="dose", body=body, sources=(source_of(given.node),), notices=(*notices, *more))


def join_rates(rates: list[OpenRate]) -> tuple[list[Fact], list[Left], list[Open]]:
    """Rates of one order, each until the next one: infusions, what only ended one (a rate of zero), and what has no end."""
    facts: list[Fact] = []
    left: list[Left] = []
    questions: list[Open] = []
    chains: dict[str, list[OpenRate]] = {}
    for rate in rates:
        chains.setdefault(rate.order or rate.node.where, []).append(rate)
    for chain in chains.values():
        ordered = sorted(chain, key=lambda rate: rate.start.moment)
        for rate, after in zip(ordered, [*ordered[1:], None], strict=True):
            if rate.rate <= 0:
                left.append(Left(source=rate.node.where, code="rate-of-zero", what="ends the rate before it"))
            elif after is None or after.start.moment <= rate.start.moment:
                what = "a rate without an end" if after is None else "two rates from one time on"
                error = Question("running", where=rate.node.where, what=what, remedy="find out when it ended")
                questions.append(question_of(error, "dose"))
            else:
                facts.append(_piece(rate, after))
    return facts, left, questions


def _piece(rate: OpenRate, after: OpenRate) -> Fact:
    amount = float(f"{rate.rate * after.start.hours_after(rate.start):.9g}")
    body = {"amount": f"{shown(amount)} mg", "route": "iv", "at": rate.start.text, "stop_at": after.start.text}
    notices = zone_notices(rate.start, after.start, where=rate.node.where)
    return Fact(
        kind="dose",
        body=body | ({"note": rate.note} if rate.note else {}),
        sources=(source_of(rate.node), source_of(after.node)),
        notices=notices,
    )
