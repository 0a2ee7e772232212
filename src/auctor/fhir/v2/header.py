"""The head of a message: what kind it is, who sent it when, which acknowledgement it asks for, and which patient it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from auctor.fhir.v2.facts import Identity, Version
from auctor.fhir.v2.message import Message, Segment, V2Error, part
from auctor.fhir.v2.site import Site
from auctor.fhir.v2.values import Unreadable, unreadable, when

EVENTS = {("ORU", "R01"): "ORU^R01", ("RAS", "O17"): "RAS^O17"}
LONGEST_ID = 199
_DATE = re.compile(r"\d{8}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the acknowledgement needs of an MSH, whether or not the rest can be read."""

    application: str = ""
    facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    event: str = ""
    control_id: str = ""
    version: str = ""
    processing: str = ""
    charset: str = ""
    accept: str = ""
    applies: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a message the same one: who sent it, and its control id (MSH-3, MSH-4, MSH-10)."""
        return self.application, self.facility, self.control_id

    @property
    def enhanced(self) -> bool:
        """Whether MSH-15 or MSH-16 ask for the enhanced mode."""
        return bool(self.accept or self.applies)


def header_of(message: Message) -> Header:
    """The header as it stands; nothing is checked."""
    msh = message.header
    whole = {n: msh.delimiters.sub.join(filter(None, (msh.text(n), msh.text(n, 2)))) for n in (3, 4, 5, 6)}
    return Header(
        application=whole[3], facility=whole[4], receiving_application=whole[5], receiving_facility=whole[6],
        event="^".join(filter(None, (msh.text(9), msh.text(9, 2)))), control_id=msh.text(10), version=msh.text(12), processing=msh.text(11),
        charset=message.charset, accept=msh.text(15), applies=msh.text(16),
    )  # fmt: skip


def check_header(header: Header, site: Site) -> None:
    """V2Error, to be rejected, for a message that is not for us: its kind, its version, a training message, no control id."""
    if not header.control_id or len(header.control_id) > LONGEST_ID:
        raise _rejected("MSH-10", "no control id, or one that is too long", "send one of 1 to 199 characters", "101")
    if tuple(header.event.split("^")[:2]) not in EVENTS:
        known = header.event.split("^")[0] in ("ORU", "RAS")
        raise _rejected("MSH-9", "a kind of message that is not read here", "send ORU^R01 or RAS^O17", "201" if known else "200")
    if not re.fullmatch(r"2\.[1-8](\.[12])?", header.version):
        raise _rejected("MSH-12", "a version that is not read here", "send 2.1 to 2.8.2", "203")
    if header.processing not in site.processing:
        raise _rejected("MSH-11", "a processing id that this site does not accept", "send P, or change the site's processing", "202")


def _rejected(where: str, what: str, remedy: str, code: str) -> V2Error:
    return V2Error(where=where, what=what, remedy=remedy, code=code, fatal=True)


def sent_at(message: Message, site: Site) -> Version:
    """The version that facts of this message have before their status is known: (time of MSH-7, 0, length and text of MSH-10)."""
    try:
        sent = when(message.header, 7, where="MSH-7", site=site)
    except Unreadable as fault:
        found = fault.problem
        raise V2Error(where=found.where, what=found.what, remedy=found.remedy, code=found.code) from fault
    control = message.header.text(10)
    return sent.at, 0, len(control), control


def identity(pid: Segment, site: Site, *, where: str) -> Identity:
    """Whose: the number that one of the site's authorities assigned. Unreadable without one, or with two different ones of the same."""
    found = [_number(cx, pid) for cx in pid.repetitions(3)]
    for authority in site.authorities:
        numbers = {number for number, assigned, kind in found if authority in assigned and kind in ("", "MR", "PI", "PT")}
        if len(numbers) > 1:
            raise unreadable(f"{where}-3", "two numbers of one authority", "send the one that is in force", code="204")
        if numbers and (number := numbers.pop()):
            return Identity(authority=authority, number=number, **_person(pid))
    raise unreadable(f"{where}-3", "no number of an authority of this site", "send PID-3 with its assigning authority", code="204")


def _number(cx: str, pid: Segment) -> tuple[str, tuple[str, ...], str]:
    marks = pid.delimiters
    assigned = tuple(filter(None, (part(cx, 4, sub, marks=marks) for sub in (1, 2))))
    return part(cx, 1, marks=marks), assigned, part(cx, 5, marks=marks)


def _person(pid: Segment) -> dict[str, str]:
    born, sex = pid.text(7)[:8], pid.text(8).upper()
    return {
        "family": pid.text(5),
        "given": pid.text(5, 2),
        "birth_date": f"{born[:4]}-{born[4:6]}-{born[6:]}" if _DATE.fullmatch(born) else "",
        "sex": sex if sex in ("F", "M", "O", "U", "A", "N") else "",
    }
