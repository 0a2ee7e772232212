"""A message in the vertical-bar encoding, cut at its own delimiters: character set, segments, fields, escape sequences.

Nothing here knows what a field means. HL7 v2.5.1 chapter 2 is followed, and its usual breaches are put up with: line feeds for carriage
returns, trailing blanks, a segment that ends early.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from auctor.errors import AuctorError

MAX_SEGMENTS = 20_000
NULL = '""'  # an explicit "nothing", HL7 v2.5.1 section 2.5.3
CHARSETS = {
    "": "", "ASCII": "ascii", "UNICODE UTF-8": "utf-8", "UTF-8": "utf-8", "UNICODE": "utf-8",
    **{f"8859/{n}": f"iso8859_{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 15)},
}  # fmt: skip
_ESCAPED = re.compile(r"[^\\]{1,64}")


class V2Error(AuctorError):
    """A message that cannot be used: `code` is that of HL7 table 0357, `place` the ERL of the field, `fatal` when it is to be rejected.

    >>> V2Error(where="MSH-9", what="not given", remedy="send it", code="101").code
    '101'
    """

    def __init__(self, *, where: str, what: str, remedy: str, code: str, fatal: bool = False) -> None:
        super().__init__(where=where, what=what, remedy=remedy)
        self.code, self.fatal = code, fatal


class Delimiters(NamedTuple):
    """The five characters of MSH-1 and MSH-2."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    sub: str = "&"


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One segment; `fields[n]` is the raw text of field n, so that `fields[0]` is the name."""

    name: str
    fields: tuple[str, ...]
    delimiters: Delimiters = field(default_factory=Delimiters)

    def raw(self, n: int) -> str:
        """Field n as it stands, "" where the segment ends before it or where it is an explicit null."""
        found = self.fields[n].strip() if n < len(self.fields) else ""
        return "" if found == NULL else found

    def repetitions(self, n: int) -> tuple[str, ...]:
        """The repetitions of field n that are not empty, as they stand."""
        return tuple(part for part in self.raw(n).split(self.delimiters.repetition) if part)

    def text(self, n: int, component: int = 1, sub: int = 1) -> str:
        """A component of the first repetition of field n, escape sequences resolved."""
        return part(self.raw(n).split(self.delimiters.repetition)[0], component, sub, marks=self.delimiters)


@dataclass(frozen=True, kw_only=True)
class Message:
    """The segments of a message in order, the first an MSH."""

    segments: tuple[Segment, ...]
    charset: str

    @property
    def header(self) -> Segment:
        """The MSH segment."""
        return self.segments[0]


def part(text: str, component: int, sub: int = 1, *, marks: Delimiters) -> str:
    r"""A component, and of it a subcomponent, of one repetition; escape sequences resolved; "" where there is none.

    >>> part(r"A\T\B^C&D", 2, 2, marks=Delimiters()), part(r"A\T\B^C&D", 1, marks=Delimiters())
    ('D', 'A&B')
    """
    found = _nth(_nth(text, marks.component, component), marks.sub, sub)
    return "" if found == NULL else unescape(found, marks).strip()


def _nth(text: str, mark: str, n: int) -> str:
    pieces = text.split(mark)
    return pieces[n - 1] if n <= len(pieces) else ""


def unescape(text: str, marks: Delimiters) -> str:
    r"""Escape sequences resolved; one that is unknown stands for a character that cannot be shown.

    >>> unescape(r"5 \X6d\mol\F\L", Delimiters())
    '5 mmol|L'
    """
    if marks.escape not in text:
        return text
    pieces = text.split(marks.escape)
    if len(pieces) % 2 == 0:  # an escape character without its second
        return text
    return "".join(piece if k % 2 == 0 else _character(piece, marks) for k, piece in enumerate(pieces))


def _character(code: str, marks: Delimiters) -> str:
    known = {"F": marks.field, "S": marks.component, "T": marks.sub, "R": marks.repetition, "E": marks.escape, ".br": "\n"}
    if code in known:
        return known[code]
    if code in ("H", "N") or code.startswith((".", "Z")):
        return ""
    if re.fullmatch(r"X(?:[0-9A-Fa-f]{2}){1,64}", code):
        return bytes.fromhex(code[1:]).decode("utf-8", errors="replace")
    return "\N{REPLACEMENT CHARACTER}"


def escape(text: str, marks: Delimiters) -> str:
    r"""Text as the content of a field: delimiters escaped, control characters dropped.

    >>> print(escape("a|b", Delimiters()))
    a\F\b
    """
    codes = {marks.escape: "E", marks.field: "F", marks.component: "S", marks.sub: "T", marks.repetition: "R"}
    return "".join(f"{marks.escape}{codes[c]}{marks.escape}" if c in codes else c for c in text if c.isprintable())


def parse(data: bytes, *, charset: str = "") -> Message:
    """Bytes without the frame to a message; `charset` (an HL7 name of table 0211) holds where MSH-18 is empty and bytes are not ASCII.

    Raises V2Error when there is no MSH, the delimiters are not five different ones, or the characters cannot be read.
    """
    marks = _delimiters(data)
    text, used = _decoded(data, marks, charset)
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if len(lines) > MAX_SEGMENTS:
        raise V2Error(
            where="message", what=f"more than {MAX_SEGMENTS} segments", remedy="send fewer results a message", code="100", fatal=True
        )
    return Message(segments=tuple(_segment(line, marks) for line in lines), charset=used)


def _delimiters(data: bytes) -> Delimiters:
    start = data.lstrip()[:9].decode("latin-1")
    if not start.startswith("MSH") or len(start) < 8:
        raise V2Error(where="MSH", what="the message does not begin with one", remedy="send MSH|^~\\&|...", code="100", fatal=True)
    found = start[3] + start[4:8]
    if len(set(found)) < 5 or any(c.isalnum() or c.isspace() or not c.isprintable() or not c.isascii() for c in found):
        raise V2Error(where="MSH-2", what="not five different delimiters", remedy="send MSH|^~\\&|...", code="102", fatal=True)
    return Delimiters(found[0], found[1], found[2], found[3], found[4])


def _decoded(data: bytes, marks: Delimiters, charset: str) -> tuple[str, str]:
    first = re.split(rb"[\r\n]", data.lstrip(), maxsplit=1)[0].decode("latin-1")
    declared = _segment(first, marks).text(18)
    name = declared or ("" if data.isascii() else charset)
    if name not in CHARSETS or (not name and not data.isascii()):
        what = "no character set, and characters beyond ASCII" if not name else "a character set that is not supported"
        raise V2Error(where="MSH-18", what=what, remedy="send UNICODE UTF-8, or set the site's charset", code="103")
    try:
        return data.decode(CHARSETS[name] or "ascii").strip(), name
    except UnicodeDecodeError as problem:
        raise V2Error(where="MSH-18", what="bytes that are not of this character set", remedy="correct MSH-18", code="102") from problem


def _segment(line: str, marks: Delimiters) -> Segment:
    pieces = line.strip("\x00 ").split(marks.field)
    fields = (pieces[0], marks.field, *pieces[1:]) if pieces[0] == "MSH" else tuple(pieces)
    return Segment(name=pieces[0], fields=fields, delimiters=marks)
