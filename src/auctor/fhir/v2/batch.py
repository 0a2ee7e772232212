"""A batch or a file of messages (HL7 v2.5.1, 2.10.3): cut into its messages, counted, and answered by one batch of acknowledgements.

    [FHS] { [BHS] { MSH ... } [BTS] } [FTS]

A message of a batch is the bytes that it would be alone, so that each is handled, and known again, as if it came alone. A batch without its
trailer is told, though the grammar allows it: only the trailer shows that a transfer was not cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from auctor.fhir.v2.ack import OUR_MARKS
from auctor.fhir.v2.facts import Problem
from auctor.fhir.v2.header import Header
from auctor.fhir.v2.message import Delimiters, Segment, escape

LONGEST_COMMENT = 80  # BTS-2, FTS-2
_LINE = re.compile(rb"[\r\n]")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The messages of one batch as they stand, and what is wrong with its envelope. `header` is None for messages outside BHS and BTS."""

    header: Header | None
    messages: tuple[bytes, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Transmission:
    """All batches of one transmission; `header` is that of FHS, None for a batch that came without a file around it."""

    header: Header | None
    batches: tuple[Batch, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def first(self) -> Header:
        """The outermost header: who sent it, and its control id."""
        return self.header or next((batch.header for batch in self.batches if batch.header), Header())

    @property
    def every_problem(self) -> tuple[Problem, ...]:
        """What is wrong with the envelopes; nothing about what the messages say."""
        return (*(problem for batch in self.batches for problem in batch.problems), *self.problems)

    def refused(self, problem: Problem) -> Transmission:
        """The same with no message in it, for a transmission that is not whole."""
        batches = tuple(replace(batch, messages=(), problems=()) for batch in self.batches[:1])
        return replace(self, batches=batches, problems=(problem,))


def is_batch(data: bytes) -> bool:
    r"""Whether bytes without a frame begin a batch or a file.

    >>> is_batch(b"BHS|^~\\&|LAB"), is_batch(b"MSH|^~\\&|LAB")
    (True, False)
    """
    return re.match(rb"\s*(?:FHS|BHS)(?![A-Za-z0-9])", data) is not None


def split(data: bytes) -> Transmission:
    """The transmission in its messages. Never raises: what is wrong with an envelope is a problem of it."""
    cut = _Cut()
    for name, piece in _pieces(data.lstrip()):
        cut.take(name, piece)
    return cut.ended()


def _pieces(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The envelope's lines and the messages between them, each with its name.

    A line with the batch's own delimiters where a header has them begins a message too, whatever its name: a header that is damaged must
    not make a message the continuation of the one before. Lines after an envelope's are a message without its header.
    """
    damaged = rb"[^\r\n]{3}" + re.escape(data[3:8]) if len(data) >= 8 else rb"MSH\|"
    starts = re.compile(rb"(?:\A|(?<=[\r\n]))(?:(FHS|BHS|BTS|FTS|MSH)(?![A-Za-z0-9])|" + damaged + rb")")
    found = [(match.start(), (match[1] or b"MSH").decode()) for match in starts.finditer(data)]
    for k, (start, name) in enumerate(found):
        piece = data[start : found[k + 1][0] if k + 1 < len(found) else len(data)]
        line, rest = (piece, b"") if name == "MSH" else _first_line(piece)
        yield name, line
        if rest.strip():
            yield "MSH", rest.lstrip(b"\r\n")


def _first_line(piece: bytes) -> tuple[bytes, bytes]:
    end = _LINE.search(piece)
    return (piece, b"") if end is None else (piece[: end.start()], piece[end.start() :])


@dataclass(kw_only=True)
class _Cut:
    """The state of going through the pieces."""

    header: Header | None = None
    batches: list[Batch] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    batch: Header | None = None
    open: bool = False
    ends: bool = False

    def take(self, name: str, piece: bytes) -> None:
        """Go on by one piece."""
        if name == "MSH":
            self.messages.append(piece)
            self.open = True
        elif name == "BHS":
            self._close(None)
            self.batch, self.open = _header(piece), True
        elif name == "BTS":
            self._close(piece)
        elif name == "FTS":
            self._close(None)
            self.problems += _miscounted("FTS", piece, len(self.batches))
            self.ends = True
        elif self.header is None and not self.batches and not self.open:
            self.header = _header(piece)
        else:
            self.problems.append(_problem("FHS", "a second one", "send one file at a time"))

    def ended(self) -> Transmission:
        """The transmission ends."""
        self._close(None)
        if self.header is not None and not self.ends:
            self.problems.append(_problem("FTS", "not there, so it may have been cut", "send it again whole"))
        return Transmission(header=self.header, batches=tuple(self.batches), problems=tuple(self.problems))

    def _close(self, trailer: bytes | None) -> None:
        """One batch ends, by its trailer or by what comes next."""
        problems = () if trailer is None else _miscounted("BTS", trailer, len(self.messages))
        if trailer is None and self.batch is not None:
            problems = (_problem("BTS", "not there, so it may have been cut", "send it again whole"),)
        if self.open or trailer is not None:
            self.batches.append(Batch(header=self.batch, messages=tuple(self.messages), problems=tuple(problems)))
        self.batch, self.messages, self.open = None, [], False


def _miscounted(name: str, line: bytes, found: int) -> tuple[Problem, ...]:
    """What a trailer's count says against what came; a trailer without a count says nothing."""
    said = _segment(line).text(1)
    if not said:
        return ()
    if not said.isascii() or not said.isdigit():
        return (_problem(f"{name}-1", "not a count", "send the number of what is inside"),)
    return () if int(said[:9]) == found else (_problem(f"{name}-1", f"{int(said[:9])} announced, {found} came", "send what is missing"),)


def _problem(where: str, what: str, remedy: str) -> Problem:
    return Problem(code="100", where=where, what=what, remedy=remedy)


def _header(line: bytes) -> Header:
    """BHS or FHS as a header: fields 3 to 6 as those of MSH, field 11 the control id."""
    found = _segment(line)
    return Header(
        application=found.text(3), facility=found.text(4), receiving_application=found.text(5), receiving_facility=found.text(6),
        event=found.name, control_id=found.text(11)[:199],
    )  # fmt: skip


def _segment(line: bytes) -> Segment:
    """A line of the envelope; BHS and FHS say their delimiters themselves, the trailers have the usual separator or that of their line."""
    text = line.decode("ascii", errors="replace").strip("\x00 ")
    name, mark = text[:3], text[3:4] or "|"
    pieces = text.split(mark)
    fields = (name, mark, *pieces[1:]) if name in ("BHS", "FHS") else tuple(pieces)
    return Segment(name=name, fields=fields, delimiters=Delimiters(field=mark))


def answer(transmission: Transmission, replies: Sequence[Sequence[bytes]], *, at: datetime, new_id: str, receiver: str = "AUCTOR") -> bytes:
    """One batch (in a file where one came) of the acknowledgements of each message, in order; `replies` holds those of each batch.

    BHS-12 and FHS-12 name what is answered; the comment of a trailer says what is wrong with the envelope.
    """
    lines: list[bytes] = []
    for k, (batch, acknowledged) in enumerate(zip(transmission.batches, replies, strict=True)):
        header = batch.header or transmission.first
        lines.append(_begin("BHS", header, batch.header, at=at, new_id=f"{new_id}.B{k}", receiver=receiver))
        lines += acknowledged
        lines.append(_end("BTS", len(acknowledged), batch.problems if transmission.header else transmission.every_problem))
    if transmission.header is not None:
        begin = _begin("FHS", transmission.header, transmission.header, at=at, new_id=new_id, receiver=receiver)
        lines = [begin, *lines, _end("FTS", len(transmission.batches), transmission.problems)]
    return b"".join(lines)


def _begin(name: str, to: Header, answered: Header | None, *, at: datetime, new_id: str, receiver: str) -> bytes:
    fields = [
        name,
        "^~\\&",
        receiver,
        to.receiving_facility,
        to.application,
        to.facility,
        at.strftime("%Y%m%d%H%M%S%z"),
        "",
        "",
        "",
        new_id,
    ]
    said = [*fields[:2], *(escape(text[:250], OUR_MARKS) for text in [*fields[2:], answered.control_id if answered else ""])]
    return ("|".join(said).rstrip("|") + "\r").encode("ascii", errors="replace")


def _end(name: str, count: int, problems: Sequence[Problem]) -> bytes:
    comment = escape("; ".join(map(str, problems)), OUR_MARKS)[:LONGEST_COMMENT]
    return ("|".join((name, str(count), comment)).rstrip("|") + "\r").encode("ascii", errors="replace")
