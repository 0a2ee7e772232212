"""MLLP's frame: <VT> message <FS><CR>. Bytes go in as they arrive, whole messages come out; nothing grows without a bound."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

START, END, RETURN = b"\x0b", b"\x1c", b"\x0d"


class Fault(StrEnum):
    """What can be wrong with a frame."""

    TOO_LARGE = "larger than this listener takes"
    CUT = "a new message began before this one ended"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The bytes of one message, and what was wrong with its frame ("" when nothing); of a message that is too large, its beginning."""

    data: bytes
    fault: Fault | None = None


def framed(message: bytes) -> bytes:
    """A message in its frame."""
    return START + message + END + RETURN


@dataclass(kw_only=True)
class Framer:
    """Cuts a stream of bytes into frames of at most `most` bytes; what lies between two frames is dropped.

    >>> framer = Framer(most=100)
    >>> [f.data for f in framer.feed(framed(b"MSH|1") + framed(b"MSH|2") + b"noise")]
    [b'MSH|1', b'MSH|2']
    """

    most: int
    _held: bytearray = field(default_factory=bytearray)
    _inside: bool = False
    _over: bool = False

    @property
    def waiting(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._inside

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that end with this chunk."""
        self._held += chunk
        found = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        if not self._inside and not self._begin():
            return None
        end, again = self._held.find(END + RETURN), self._held.find(START)
        if again >= 0 and (end < 0 or again < end):
            return self._take(again, again, Fault.CUT)
        if end >= 0:
            return self._take(end, end + 2, None)
        if len(self._held) > self.most:
            self._over = True
            del self._held[self.most : -1]  # the last byte may be the FS of the end
        return None

    def _begin(self) -> bool:
        """Drop everything up to a start, and the start; without one drop all."""
        start = self._held.find(START)
        if start < 0:
            self._held.clear()
            return False
        del self._held[: start + 1]
        self._inside, self._over = True, False
        return True

    def _take(self, end: int, rest: int, fault: Fault | None) -> Frame:
        data = bytes(self._held[:end])
        if self._over or len(data) > self.most:
            data, fault = data[: self.most], Fault.TOO_LARGE
        del self._held[:rest]
        self._inside = False
        return Frame(data=data, fault=fault)
