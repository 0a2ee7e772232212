"""RAS^O17: each RXA that gives a drug becomes a dose. HL7's own mapping (v2-to-FHIR) has RXA for vaccines only, so this one is ours.

RXA-3 and RXA-4 are start and stop, RXA-6 and RXA-7 the amount, RXA-12 the time that an amount is a rate per, RXA-13, -14, -23 and -24 the
strength where the amount is a volume or a count, RXA-20 the completion status, RXA-21 the action, RXR-1 the route, RXR-4 the method.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from auctor.errors import AuctorError, Notice
from auctor.fhir.v2.facts import Fact, Kind, Status, Version
from auctor.fhir.v2.message import Segment
from auctor.fhir.v2.site import PUSHES, Site
from auctor.fhir.v2.values import REQUIRED, TABLE, When, codings, number, unreadable, when
from auctor.units import factor

GIVEN, PARTLY, REFUSED, NOT_GIVEN = "CP", "PA", "RE", "NA"  # HL7 table 0322
DELETED = "D"  # HL7 table 0323
_PER = re.compile(r"(?P<count>\d{0,3})\s*(?P<unit>S|M|H|D|sec|min|hr|h|hour|day)\s*(?P<after>\d{0,3})", re.ASCII | re.IGNORECASE)
_HOURS = {"s": Fraction(1, 3600), "m": Fraction(1, 60), "h": Fraction(1), "d": Fraction(24)}
_COUNTS = ("TAB", "TABLET", "CAP", "CAPSULE", "VIAL", "AMP", "EA", "EACH", "UNIT", "DOSE", "1", "{TABLET}", "{CAPSULE}", "{VIAL}", "{DOSE}")
SHORTEST_H = Fraction(2, 60)  # an infusion charted as a minute or less is a push in disguise
DIGITS = 10


class Given(NamedTuple):
    """Where an administration stands: its RXA, the RXR that follows it, and its place in the message."""

    rxa: Segment
    rxr: Segment | None
    where: str


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """What the ORC before an RXA says, and how facts of this message are versioned and named."""

    orc: Segment | None
    sender: str
    version: Version

    @property
    def number(self) -> str:
        """The placer's number of the order, or the filler's."""
        found = (("^".join(filter(None, (self.orc.text(n), self.orc.text(n, 2))))) for n in (2, 3)) if self.orc else ()
        return next((text for text in found if text), "")


def administration(given: Given, order: Ordered, site: Site) -> Fact | None:
    """The dose of one RXA; None when its drug is of no concern. Unreadable when it cannot be used.

    Not given, refused and deleted are withdrawals of a dose under the same key, so that one that was reported as given before goes.
    """
    drug = drug_of(given, site)
    if drug is None:
        return None
    status = _status(given)
    version = (order.version[0], int(status), *order.version[2:])
    blank = Fact(kind=Kind.DOSE, key=_key(given, order), version=version, status=status, about=drug)
    if status is Status.WITHDRAWN:
        return blank
    body, notices = _dose(given, site)
    return Fact(**{**vars(blank), "body": body, "notices": notices})


def drug_of(given: Given, site: Site) -> str | None:
    """The drug of an RXA, None for one that is of no concern."""
    found = (site.meaning(code.system, code.code) for code in codings(given.rxa.raw(5), given.rxa.delimiters))
    return next((meaning.about for meaning in found if meaning is not None and meaning.kind == "drug"), None)


def _status(given: Given) -> Status:
    done, action = given.rxa.text(20).upper(), given.rxa.text(21).upper()
    if done not in ("", GIVEN, PARTLY, REFUSED, NOT_GIVEN):
        raise unreadable(f"{given.where}-20", "a completion status that is not known", "send CP, PA, RE or NA", code=TABLE)
    if action not in ("", "A", "U", DELETED):
        raise unreadable(f"{given.where}-21", "an action that is not known", "send A, U or D", code=TABLE)
    if action == DELETED or done in (REFUSED, NOT_GIVEN):
        return Status.WITHDRAWN
    return Status.CORRECTED if action == "U" else Status.FINAL


def _key(given: Given, order: Ordered) -> str:
    counter = given.rxa.text(2)
    if not order.number or not counter:
        what = "no number of the order, or no counter of the administration"
        raise unreadable(f"{given.where}-2", what, "send ORC-2 and RXA-2: without them a correction cannot be recognised", code=REQUIRED)
    return "|".join(("dose", order.sender, order.number, given.rxa.text(1), counter))


def _dose(given: Given, site: Site) -> tuple[dict[str, object], tuple[Notice, ...]]:
    start = when(given.rxa, 3, where=f"{given.where}-3", site=site)
    stop = when(given.rxa, 4, where=f"{given.where}-4", site=site) if given.rxa.raw(4) else None
    if stop is not None and stop.at < start.at:
        raise unreadable(f"{given.where}-4", "before the start", "correct the times")
    route = _route(given, site)
    amount = _amount(given, site, None if stop is None else _hours(start, stop))
    body: dict[str, object] = {"amount": f"{float(amount):.{DIGITS}g} mg", "route": route, "at": start.text}
    notices = (*start.notices, *_partial(given))
    if route == "oral":
        return body, notices
    return body | _length(given, start, stop, site), (*notices, *(stop.notices if stop else ()), *_short(given, start, stop))


def _hours(start: When, stop: When) -> Fraction:
    return Fraction((stop.at - start.at).total_seconds()) / 3600


def _route(given: Given, site: Site) -> Literal["oral", "iv"]:
    found = codings(given.rxr.raw(1), given.rxr.delimiters) if given.rxr else ()
    if not found:
        raise unreadable(f"{given.where} RXR-1", "no route", "send it: it is never assumed", code=REQUIRED)
    for code in found:
        route = site.route(code.code)
        if route is not None:
            return route
    raise unreadable(
        f"{given.where} RXR-1", "a route that models do not describe", "send PO or IV, or add it to the site's routes", code=TABLE
    )


def _length(given: Given, start: When, stop: When | None, site: Site) -> dict[str, object]:
    """An infusion's stop, or a push that was said to be one; Unreadable otherwise: a length is never assumed."""
    if stop is not None and stop.at > start.at:
        return {"stop_at": stop.text}
    method = given.rxr.text(4).upper() if given.rxr else ""
    pushed = method in PUSHES or (given.rxr is not None and given.rxr.text(1).upper() in PUSHES)
    if pushed or (stop is not None and site.push_when_no_length):
        return {"bolus": True}
    raise unreadable(
        f"{given.where}-4", "an intravenous dose without its length", "send the stop, or IVP in RXR-4 for a push", code=REQUIRED
    )


def _amount(given: Given, site: Site, hours: Fraction | None) -> Fraction:
    """The amount in mg that was given."""
    found = number(given.rxa, 6, "NM", where=f"{given.where}-6")
    if found.sign or found.text.startswith("-"):
        raise unreadable(f"{given.where}-6", "not an amount", "send the amount that was given")
    amount = Fraction(found.text)
    if amount == 0 or (amount == 999 and not given.rxa.raw(7)):  # 999 is HL7's "not known"
        raise unreadable(f"{given.where}-6", "an amount of zero or not known", "send the amount, or NA in RXA-20", code=REQUIRED)
    total = amount * _per(given, hours)
    return total * _mg(given, site)


def _per(given: Given, hours: Fraction | None) -> Fraction:
    """How many of RXA-12's time units the administration lasted; 1 where the amount is the whole."""
    text = given.rxa.text(12)
    if not text:
        return Fraction(1)
    found = _PER.fullmatch(text)
    if found is None:
        raise unreadable(f"{given.where}-12", "a rate per something else than a time", "send H1, M1, or the whole amount", code=TABLE)
    if not hours:
        raise unreadable(f"{given.where}-4", "a rate without its stop", "send the stop, or the whole amount", code=REQUIRED)
    length = int(found["count"] or found["after"] or 1) * _HOURS[found["unit"][0].lower()]
    if length == 0:
        raise unreadable(f"{given.where}-12", "a rate per no time at all", "send H1", code=TABLE)
    return hours / length


def _mg(given: Given, site: Site) -> Fraction:
    """Milligrams in one of RXA-7: a mass as it is, a volume by its concentration, a count by the strength of one."""
    spelt = _code(given.rxa, 7, site)
    if not spelt:
        raise unreadable(f"{given.where}-7", "no unit", "send it: it is never assumed", code=REQUIRED)
    if (mass := _factor(spelt, "mg")) is not None:
        return mass
    volume = _factor(spelt, "mL")
    if volume is None and spelt.upper() not in _COUNTS:
        raise unreadable(
            f"{given.where}-7", "neither a mass, a volume nor a count", "send mg, or add the unit to the site's units", code=TABLE
        )
    return _strength(given, site, per_ml=volume is not None) * (volume or 1)


def _strength(given: Given, site: Site, *, per_ml: bool) -> Fraction:
    """RXA-13 in mg, or in mg/mL where the amount is a volume."""
    where = f"{given.where}-13"
    strength = number(given.rxa, 13, "NM", where=where)
    if strength.sign or Fraction(strength.text) <= 0:
        raise unreadable(where, "not a strength", "send the strength of one, or the amount in mg")
    spelt, value = _code(given.rxa, 14, site), Fraction(strength.text)
    mass = _factor(spelt, "mg") if spelt else None
    concentration = _factor(spelt, "mg/mL") if spelt else None
    if per_ml and concentration is not None:
        return value * concentration
    if per_ml and mass is not None:
        return value * mass / _strength_volume(given, site)
    if not per_ml and mass is not None:
        return value * mass
    raise unreadable(f"{given.where}-14", "no unit of the strength that fits", "send mg, or mg/mL for a volume", code=REQUIRED)


def _strength_volume(given: Given, site: Site) -> Fraction:
    where = f"{given.where}-23"
    found, spelt = number(given.rxa, 23, "NM", where=where), _code(given.rxa, 24, site)
    volume = _factor(spelt, "mL") if spelt else None
    if volume is None or found.sign or Fraction(found.text) <= 0:
        raise unreadable(where, "no volume that the strength is in", "send RXA-23 and RXA-24, or the strength in mg/mL", code=REQUIRED)
    return Fraction(found.text) * volume


def _code(segment: Segment, n: int, site: Site) -> str:
    found = codings(segment.raw(n).split(segment.delimiters.repetition)[0], segment.delimiters)
    return site.unit(found[0].code) if found else ""


def _factor(spelt: str, to: str) -> Fraction | None:
    try:
        return factor(spelt, to, where="unit")
    except AuctorError:
        return None


def _partial(given: Given) -> tuple[Notice, ...]:
    if given.rxa.text(20).upper() != PARTLY:
        return ()
    what, remedy = "given in part; the amount sent is taken as what was given", "confirm the amount"
    return (Notice(code="partly-given", where=f"{given.where}-20", what=what, remedy=remedy, blocks_signing=True),)


def _short(given: Given, start: When, stop: When | None) -> tuple[Notice, ...]:
    if stop is None or not 0 < _hours(start, stop) < SHORTEST_H:
        return ()
    what = "an infusion charted as less than two minutes"
    return (Notice(code="charted-as-push", where=f"{given.where}-4", what=what, remedy="confirm its length", blocks_signing=True),)
