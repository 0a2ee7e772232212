"""The acknowledgement of a message: AA, AE and AR of the original mode, CA, CE and CR beside them in the enhanced one (v2.5.1, 2.9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from unicodedata import combining, normalize

from auctor.fhir.v2.facts import Problem
from auctor.fhir.v2.header import Header, header_of
from auctor.fhir.v2.message import CHARSETS, Delimiters, Message, Segment, V2Error, escape
from auctor.report.voice import ENGLISH, N_, Voice

OUR_MARKS = Delimiters()
MOST_ERRORS = 20
WORDS = {  # HL7 table 0357
    "0": "Message accepted", "100": "Segment sequence error", "101": "Required field missing", "102": "Data type error",
    "103": "Table value not found", "200": "Unsupported message type", "201": "Unsupported event code",
    "202": "Unsupported processing id", "203": "Unsupported version id", "204": "Unknown key identifier",
    "205": "Duplicate key identifier", "207": "Application internal error",
}  # fmt: skip


class Verdict(StrEnum):
    """What became of a message: taken, taken with something that could not be used, or refused (send it again, or elsewhere)."""

    ACCEPT = "A"
    ERROR = "E"
    REJECT = "R"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The verdict, its problems, and whether the message itself is kept (then the accept acknowledgement is CA whatever the verdict)."""

    verdict: Verdict
    problems: tuple[Problem, ...] = ()
    kept: bool = True


def problem_of(error: V2Error) -> Problem:
    """A refusal as it stands in an ERR segment."""
    return Problem(code=error.code, where=error.where, what=error.what, remedy=error.remedy)


def best_header(data: bytes) -> Header:
    """As much of an MSH as can be made out of any bytes, so that even a broken message is answered."""
    from auctor.fhir.v2.message import parse

    first = data.lstrip().split(b"\r")[0].split(b"\n")[0]
    try:
        return header_of(parse(first))
    except V2Error:
        pieces = first.decode("latin-1")[:2000].split("|")
        fields = tuple(piece.strip() for piece in (pieces[0], "|", *pieces[1:]))
        return header_of(Message(segments=(Segment(name="MSH", fields=fields),), charset=""))


def replies(
    header: Header, outcome: Outcome, *, at: datetime, new_id: str, receiver: str = "AUCTOR", voice: Voice = ENGLISH
) -> tuple[bytes, ...]:
    """The acknowledgements due, each the bytes of a message without its frame, in the order in which they are sent.

    `at` is the time of answering with its zone, `new_id` our own control id. In the original mode there is one. In the enhanced mode
    MSH-15 asks for the accept and MSH-16 for the application acknowledgement: AL always, ER on error, SU on success, NE never; what is
    none of these is answered always, so that a slip of the sender silences nobody.
    `voice` says what people read (MSA-3, ERR-8), in the character set of the message; codes are the same in every language.
    """
    taken = outcome.verdict is Verdict.ACCEPT
    if not header.enhanced:
        return (_acknowledge(header, f"A{outcome.verdict}", outcome, at=at, new_id=new_id, receiver=receiver, voice=voice),)
    accept = Verdict.ACCEPT if outcome.kept else outcome.verdict
    asked = [(header.accept, f"C{accept}", accept is Verdict.ACCEPT), (header.applies, f"A{outcome.verdict}", taken)]
    due = [code for wish, code, success in asked if _wanted(wish, success)]
    if not outcome.kept:  # nothing is processed: the first that is waited for says so, and no other follows
        due = due[:1]
    return tuple(
        _acknowledge(header, code, outcome, at=at, new_id=f"{new_id}.{k}", receiver=receiver, voice=voice) for k, code in enumerate(due)
    )


def _wanted(wish: str, success: bool) -> bool:
    return {"AL": True, "SU": success, "ER": not success, "NE": False, "": False}.get(wish, True)


def _acknowledge(header: Header, code: str, outcome: Outcome, *, at: datetime, new_id: str, receiver: str, voice: Voice) -> bytes:
    version = header.version if header.version.startswith("2.") and header.version[2:].replace(".", "").isdigit() else "2.5.1"
    charset = header.charset or ("" if _ascii(header) else "UNICODE UTF-8")
    trigger = header.event.split("^")[1] if "^" in header.event else ""
    event = "^".join(filter(None, ("ACK", _safe(trigger), "ACK" if trigger else "")))
    msh = ["MSH", "^~\\&", receiver, _safe(header.receiving_facility), _safe(header.application), _safe(header.facility)]
    msh += [at.strftime("%Y%m%d%H%M%S%z"), "", event, new_id, _safe(header.processing) or "P", version, "", "", "", "", "", charset]
    text = _safe(_said(outcome.problems[0], voice))[:80] if outcome.problems else ""
    lines = ["|".join(msh).rstrip("|"), "|".join(("MSA", code, _safe(header.control_id), text)).rstrip("|")]
    if _has_err(version) and code[0] == "A":
        lines += _errors(outcome.problems, voice)
    return _encoded("\r".join(lines) + "\r", CHARSETS.get(charset) or "ascii")


def _said(problem: Problem, voice: Voice) -> str:
    what, remedy = voice.engine(problem.what), voice.engine(problem.remedy)
    return voice.say(N_("%(where)s: %(what)s; %(remedy)s"), where=problem.where, what=what, remedy=remedy)


def _encoded(text: str, codec: str) -> bytes:
    """In the message's character set; a letter that it lacks without its accent."""
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        plain = (sign for sign in normalize("NFKD", text) if not combining(sign))
        return "".join(plain).encode(codec, errors="replace")


def _ascii(header: Header) -> bool:
    return all(text.isascii() for text in vars(header).values())


def _has_err(version: str) -> bool:
    """Whether ERR has the fields ERR-2 to ERR-8 of v2.5 and later."""
    return version[:3] >= "2.5"


def _errors(problems: Sequence[Problem], voice: Voice) -> Iterable[str]:
    for found in problems[:MOST_ERRORS]:
        coded = f"{found.code}^{WORDS.get(found.code, 'Application internal error')}^HL70357"
        yield f"ERR||{_place(found.where)}|{coded}|E||||{_safe(_said(found, voice))[:200]}"


def _place(where: str) -> str:
    """ERR-2, the ERL of a place such as `OBX[2]-5`: segment, which one of its name, field."""
    import re

    found = re.match(r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+))?", where)
    return "^".join((found[1], found[2] or "1", found[3] or "")).rstrip("^") if found else ""


def _safe(text: str) -> str:
    return escape(text[:250], OUR_MARKS)
