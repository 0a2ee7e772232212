"""A page's language: its messages from the .po catalogues, its numbers and dates. English texts are the message identifiers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from auctor.report.voice import N_

__all__ = ["N_", "Language", "language", "preferred"]

CATALOGUES = Path(__file__).parent / "locale"
LANGUAGES = {"en": "English", "fr": "Français"}
_DATES = {"en": "%Y-%m-%d %H:%M", "fr": "%d/%m/%Y %H:%M"}
_DAYS = {"en": "%Y-%m-%d", "fr": "%d/%m/%Y"}


@dataclass(frozen=True, kw_only=True)
class Language:
    """One language: `say` translates, the others write numbers and times as its readers do.

    >>> fr = language("fr")
    >>> fr.number(1234.5, 5), language("en").number(6.8)
    ('1234,5', '6.8')
    """

    code: str
    messages: dict[str, str]

    def say(self, text: str, **values: Any) -> str:
        """The message in this language (English where the catalogue lacks it), its `%(name)s` filled in."""
        found = self.messages.get(text) or text
        return found % values if values else found

    @property
    def comma(self) -> bool:
        """Whether decimals are written with a comma."""
        return self.code == "fr"

    def local(self, text: str) -> str:
        """Numbers inside a text that was written with decimal points: only the sign changes, never a digit.

        >>> language("fr").local("90 % interval 1.25–3.5")
        '90 % interval 1,25–3,5'
        """
        import re

        return re.sub(r"(?<=\d)\.(?=\d)", ",", text) if self.comma else text

    def number(self, value: float | None, digits: int = 3) -> str:
        """A number to that many significant digits without an exponent and without a thousands separator; an en dash for none."""
        if value is None:
            return "–"
        return self.local(_plain(value, digits))

    def moment(self, time: datetime | None, zone: tzinfo | None = None) -> str:
        """A date and time of day on the clock of `zone`: ISO order in English, day first in French."""
        if time is None:
            return "–"
        return (time if zone is None else time.astimezone(zone)).strftime(_DATES[self.code])

    def short_day(self, value: Any) -> str:
        """Day and month for an axis, without a doubt about which is which: `Mar 4`, `4 mars`."""
        from babel.dates import format_skeleton

        return str(format_skeleton("MMMd", value, locale=self.code))

    def long_day(self, value: date, *, year: bool) -> str:
        """Day and month in words: `4 March`, `le 4 mars` without its article; with the year where asked.

        >>> from datetime import date
        >>> language("en").long_day(date(2026, 3, 4), year=False), language("fr").long_day(date(2026, 3, 1), year=True)
        ('4 March', '1er mars 2026')
        """
        from babel.dates import format_date

        ordinal = "'er'" if self.code == "fr" and value.day == 1 else ""
        return str(format_date(value, f"d{ordinal} MMMM" + " y" * year, locale=self.code))

    def day(self, value: Any) -> str:
        """A date."""
        return "–" if value is None else str(value.strftime(_DAYS[self.code]))


def _plain(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@cache
def language(code: str) -> Language:
    """The language of a code, English for an unknown one; its catalogue is read once.

    >>> language("xx").code
    'en'
    """
    known = code if code in LANGUAGES else "en"
    return Language(code=known, messages=_catalogue(known))


def _catalogue(code: str) -> dict[str, str]:
    from babel.messages.pofile import read_po

    with (CATALOGUES / code / "messages.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file, locale=code) if m.id and m.string}


def preferred(cookie: str | None, accepted: str | None, otherwise: str = "en") -> str:
    """The code to use: what the reader chose, else the first language of the browser that there is, else the installation's.

    >>> preferred(None, "fr-CH,fr;q=0.9,en;q=0.8"), preferred("en", "fr"), preferred(None, "de")
    ('fr', 'en', 'en')
    """
    if cookie in LANGUAGES:
        return cookie
    asked = [part.split(";")[0].strip()[:2].casefold() for part in (accepted or "").split(",")]
    return next((code for code in asked if code in LANGUAGES), otherwise)
