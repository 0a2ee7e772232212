"""What people type into a form, read strictly: numbers with the decimal sign of the page's language, clock times without a doubt.

Nothing is guessed: `1,5` on an English page is refused, for there it may be meant as fifteen or as one and a half; on a French page it is
one and a half, and the page says what was read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from auctor.errors import CaseError
from auctor.web.pages.language import N_, Language

_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_ISO = re.compile(r"([0-9]{4})-([0-9][0-9])-([0-9][0-9])[ T]([0-9][0-9]):([0-9][0-9])(?::([0-9][0-9]))?(Z|[+-][0-9][0-9]:[0-9][0-9])?")
_DAY_FIRST = re.compile(r"([0-9][0-9])/([0-9][0-9])/([0-9]{4}) ([0-9][0-9]):([0-9][0-9])()()")
MAX_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form as sent: texts by name, the language of its page and the clock of the ward.

    >>> from auctor.web.pages.language import language
    >>> form = Form(fields={"dose": " 1.5 "}, language=language("en"), zone=ZoneInfo("Europe/Paris"))
    >>> form.number("dose")
    '1.5'
    """

    fields: dict[str, str]
    language: Language
    zone: ZoneInfo

    def text(self, name: str, *, most: int = MAX_LENGTH) -> str:
        """A text without surrounding space, "" when it is missing; CaseError beyond `most` signs or with a control character."""
        found = self.fields.get(name, "").strip()
        if len(found) > most:
            raise CaseError(where=name, what=N_("too long"), remedy=self.language.say("use at most %(most)s signs", most=most))
        if any(ord(sign) < 32 and sign not in "\n\r\t" for sign in found):
            raise CaseError(where=name, what=N_("holds a sign that cannot be printed"), remedy=N_("type it again"))
        return found

    def required(self, name: str, *, most: int = MAX_LENGTH) -> str:
        """The same; CaseError when it is empty."""
        found = self.text(name, most=most)
        if not found:
            raise CaseError(where=name, what=N_("missing"), remedy=N_("fill it in"))
        return found

    def on(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.fields

    def number(self, name: str) -> str:
        """A number as plain text with a decimal point; CaseError for anything else, with what to write instead."""
        return read_number(self.required(name), self.language, where=name)

    def quantity(self, name: str, unit: str | None = None) -> str:
        """A number and its unit, `'6.8 ng/mL'`, from the fields `name` and `name_unit` (or the unit given); a unit is required."""
        number = self.number(name)
        return f"{number} {unit or self.required(f'{name}_unit')}"

    def maybe_quantity(self, name: str, unit: str | None = None) -> str | None:
        """The same, or None when the number is empty."""
        return self.quantity(name, unit) if self.text(name) else None

    def moment(self, name: str) -> str:
        """A date and time of day as ISO 8601 with its offset; CaseError where it is not one instant."""
        return read_moment(self.required(name), self.language, self.zone, where=name).isoformat()

    def maybe_moment(self, name: str) -> str | None:
        """The same, or None when it is empty."""
        return self.moment(name) if self.text(name) else None


def read_number(text: str, language: Language, *, where: str) -> str:
    """One number as plain text.

    >>> from auctor.web.pages.language import language
    >>> read_number("1,5", language("fr"), where="dose")
    '1.5'
    >>> read_number("1,5", language("en"), where="dose")
    Traceback (most recent call last):
    auctor.errors.CaseError: dose: a comma in a number; write 1.5 with a decimal point, and thousands without a separator
    """
    if _PLAIN.fullmatch(text):
        return text.removeprefix("+")
    if _COMMA.fullmatch(text) and language.comma:
        return text.replace(",", ".").removeprefix("+")
    if _COMMA.fullmatch(text):
        remedy = language.say("write %(better)s with a decimal point, and thousands without a separator", better=text.replace(",", "."))
        raise CaseError(where=where, what=N_("a comma in a number"), remedy=remedy)
    raise CaseError(where=where, what=N_("not a plain number"), remedy=N_("write digits only, for example 1250 or 6.8"))


def read_moment(text: str, language: Language, zone: ZoneInfo, *, where: str) -> datetime:
    """One instant from `2026-03-04 08:00` (day first on a French page: `04/03/2026 08:00`) on the ward's clock, or with its offset.

    CaseError for another form, a date that does not exist, and a time that the clocks skip or show twice.

    >>> from auctor.web.pages.language import language
    >>> read_moment("2026-07-04 08:00", language("en"), ZoneInfo("Europe/Paris"), where="at").isoformat()
    '2026-07-04T08:00:00+02:00'
    """
    found = _ISO.fullmatch(text)
    day_first = _DAY_FIRST.fullmatch(text) if language.comma else None
    if not found and not day_first:
        remedy = N_("write year-month-day hour:minute, for example 2026-03-04 08:00")
        raise CaseError(where=where, what=N_("not a date and time"), remedy=remedy)
    parts = (found or day_first).groups()  # type: ignore[union-attr]
    year, month, day = parts[:3] if found else parts[2::-1]
    try:
        local = datetime(int(year), int(month), int(day), int(parts[3]), int(parts[4]), int(parts[5] or 0))
    except ValueError:
        raise CaseError(where=where, what=N_("a date or time that does not exist"), remedy=N_("check day, month and hour")) from None
    if parts[6]:
        return datetime.fromisoformat(f"{local.isoformat()}{parts[6].replace('Z', '+00:00')}").astimezone(zone)
    return _placed(local, zone, where)


def _placed(local: datetime, zone: ZoneInfo, where: str) -> datetime:
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    skipped = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local
    what = N_("a time that the clocks skip") if skipped else N_("a time that comes twice, the clocks being put back")
    raise CaseError(where=where, what=what, remedy=N_("add the offset, for example 2026-10-25 02:30+01:00"))
