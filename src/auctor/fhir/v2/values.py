"""HL7 data types as values: times (TS, DTM), numbers (NM, SN, and numbers sent as text), codes (CE, CWE), units. Nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from auctor.errors import AuctorError, Notice
from auctor.fhir.v2.facts import Problem
from auctor.fhir.v2.message import Delimiters, Segment, part
from auctor.fhir.v2.site import Site
from auctor.units import factor

_TIME = re.compile(r"(?P<when>\d{4}(?:\d{2}){0,5})(?P<fraction>\.\d{1,6})?(?P<offset>[+-]\d{4})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_SIGNED = re.compile(r"(?P<sign>[<>]=?)?\s*(?P<number>[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12}))", re.ASCII)
DATA_TYPE, TABLE, REQUIRED = "102", "103", "101"


class Unreadable(Exception):
    """A field that cannot be used; carries the `Problem` to report."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def unreadable(where: str, what: str, remedy: str, *, code: str = DATA_TYPE) -> Unreadable:
    """An `Unreadable` of its parts."""
    return Unreadable(Problem(code=code, where=where, what=what, remedy=remedy))


class When(NamedTuple):
    """An instant with its offset, and what there is to say about how it was sent."""

    at: datetime
    notices: tuple[Notice, ...] = ()

    @property
    def text(self) -> str:
        """As a case file has it, ISO 8601 with the offset."""
        return self.at.isoformat()


class Number(NamedTuple):
    """A number as sent, `sign` one of "", "<", "<=", ">" and ">="."""

    sign: str
    text: str
    notices: tuple[Notice, ...] = ()


class Code(NamedTuple):
    """One coding of a CE or CWE."""

    code: str
    text: str
    system: str


def when(segment: Segment, n: int, *, where: str, site: Site) -> When:
    """The instant of a TS or DTM field, to the minute at least.

    A time without an offset is that of the site's zone, and says so; one that the zone skips or has twice is refused. MSH-7's offset is
    not taken for it: a sample drawn before the clocks change and sent after would move by an hour.
    """
    text, precision = segment.text(n), segment.text(n, 2)
    found = _TIME.fullmatch(text)
    if found is None:
        what = "no time" if not text else "not a time of the form YYYYMMDDHHMM[SS][+ZZZZ]"
        raise unreadable(where, what, "send it", code=REQUIRED if not text else DATA_TYPE)
    if len(found["when"]) < 12 or precision in ("Y", "L", "D", "H"):
        raise unreadable(where, "a date without hours and minutes", "send the time: it is never assumed")
    local = _local(found["when"], found["fraction"] or "", where)
    if found["offset"]:
        return When(local.replace(tzinfo=_offset(found["offset"], where)))
    notice = Notice(code="offset-absent", where=where, what=f"sent without an offset: taken as {site.time_zone}", remedy="send the offset")
    return When(_in_zone(local, site, where), (notice,))


def _local(digits: str, fraction: str, where: str) -> datetime:
    try:
        found = datetime.strptime(digits, "%Y%m%d%H%M%S" if len(digits) == 14 else "%Y%m%d%H%M")
    except ValueError as problem:
        raise unreadable(where, "a time that the calendar does not have", "correct it") from problem
    if found.year < 1900:
        raise unreadable(where, "a year before 1900", "correct it")
    return found + timedelta(microseconds=int(f"{fraction[1:]:0<6}")) if fraction else found


def _offset(text: str, where: str) -> timezone:
    minutes = int(text[1:3]) * 60 + int(text[3:])
    if minutes > 14 * 60 or int(text[3:]) > 59:
        raise unreadable(where, "an offset that no zone has", "correct it")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _in_zone(local: datetime, site: Site, where: str) -> datetime:
    first, second = (local.replace(tzinfo=site.zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        skipped = first.astimezone(UTC).astimezone(site.zone).replace(tzinfo=None) != local
        what = "a time that the clocks skip" if skipped else "a time that comes twice, the clocks being put back"
        raise unreadable(where, what, "send the offset")
    return first.replace(tzinfo=timezone(first.utcoffset() or timedelta()))


def number(segment: Segment, n: int, kind: str, *, where: str) -> Number:
    """The number of OBX-5 of type NM, SN or text; `kind` is OBX-2.

    Raises Unreadable for ranges, ratios, words, several repetitions, and types that hold no number.
    """
    if len(segment.repetitions(n)) > 1:
        raise unreadable(where, "several values in one result", "send one result a value")
    if kind == "SN":
        return _structured(segment, n, where)
    if kind not in ("NM", "ST", "TX", "FT"):
        raise unreadable(where, "a type of value that holds no number", "send it as NM or SN", code=TABLE)
    found = _SIGNED.fullmatch(segment.text(n))
    if found is None:
        raise unreadable(where, "not a number" if segment.text(n) else "no value", "send the number, or '<' and the limit as SN")
    sign = found["sign"] or ""
    odd = kind != "NM" or bool(sign)
    notice = Notice(code="number-as-text", where=where, what=f"a number read from type {kind}", remedy="send it as NM or SN")
    return Number(sign, found["number"], (notice,) if odd else ())


def _structured(segment: Segment, n: int, where: str) -> Number:
    sign, first, separator, second = (segment.text(n, k) for k in (1, 2, 3, 4))
    if separator or second or sign not in ("", "<", "<=", ">", ">=", "="):
        raise unreadable(where, "a range, a ratio or a list instead of one number", "send one number")
    if not _NUMBER.fullmatch(first):
        raise unreadable(where, "not a number", "send the number")
    return Number("" if sign == "=" else sign, first)


def codings(raw: str, marks: Delimiters) -> tuple[Code, ...]:
    """The coding and the alternate one of a CE or CWE, those with a code."""
    pairs = (Code(*(part(raw, start + k, marks=marks) for k in range(3))) for start in (1, 4))
    return tuple(found for found in pairs if found.code)


def unit(segment: Segment, n: int, to: str, *, where: str, site: Site) -> str:
    """The UCUM unit of a CE or CWE field that can be turned into `to` (moles and mass both may stand for a level)."""
    found = [site.unit(code.code) for code in codings(segment.raw(n).split(segment.delimiters.repetition)[0], segment.delimiters)]
    if not found:
        raise unreadable(where, "no unit", "send the UCUM unit: it is never assumed", code=REQUIRED)
    for text in found:
        try:
            factor(text, to, where=where, molar_mass=1.0)
        except AuctorError:
            continue
        return text
    raise unreadable(where, f"a unit that is not one of {to}", "send a UCUM unit, or add it to the site's units", code=TABLE)
