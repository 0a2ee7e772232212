"""Who says a text: a message with named values, in one language. English here; the application's pages bring others from their catalogues.

A message is marked with `N_` where it is written down, filled in by `Voice.say`, and looked up by itself: no sentence is taken apart again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def N_(text: str) -> str:
    """Marks a text for the catalogues where it is not translated at once."""
    return text


class Voice(Protocol):
    """One language: `say` translates a message and fills it in, `local` writes its numbers, `engine` says a sentence of a result."""

    @property
    def code(self) -> str:
        """`en`, `fr`."""
        ...

    def say(self, text: str, **values: Any) -> str:
        """The message in this language, its `%(name)s` filled in."""
        ...

    def local(self, text: str) -> str:
        """A text with its decimal points as the language writes them."""
        ...

    def engine(self, text: str) -> str:
        """A finished English sentence in this language; itself where it is not known."""
        ...

    def place(self, where: str) -> str:
        """A field path as it is called inside a sentence."""
        ...

    def day(self, when: date, *, year: bool) -> str:
        """Day and month in words, with the year or without."""
        ...


@dataclass(frozen=True)
class English:
    """The language in which everything is written down; field paths are as a case file has them.

    >>> English().say("%(n)s of 2", n=1), English().day(date(2026, 3, 4), year=False)
    ('1 of 2', '4 March')
    """

    @property
    def code(self) -> str:
        """`en`."""
        return "en"

    def say(self, text: str, **values: Any) -> str:
        """The message itself, filled in."""
        return text % values if values else text

    def local(self, text: str) -> str:
        """The text as it is."""
        return text

    def engine(self, text: str) -> str:
        """The sentence as it is."""
        return text

    def place(self, where: str) -> str:
        """The path as it is."""
        return where

    def day(self, when: date, *, year: bool) -> str:
        """`4 March`, or `4 March 2026`."""
        return f"{when.day} {MONTHS[when.month - 1]}{f' {when.year}' if year else ''}"


ENGLISH = English()


def time_of_day(when: datetime) -> str:
    """Hours and minutes; with its offset where the clocks are put back and the time comes twice.

    >>> from zoneinfo import ZoneInfo
    >>> time_of_day(datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Paris")))
    '02:30 (UTC+0200)'
    """
    twice = len({when.replace(fold=fold).utcoffset() for fold in (0, 1)}) > 1
    return f"{when:%H:%M} (UTC{when:%z})" if twice else f"{when:%H:%M}"
