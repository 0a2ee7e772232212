"""The pages' languages as a voice (`auctor.report.voice`): what the floors below write down is said by the catalogues here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from auctor.web.pages.engine_words import translated
from auctor.web.pages.language import Language
from auctor.web.pages.words import field_name


@dataclass(frozen=True)
class PageVoice:
    """One language of the pages.

    >>> from auctor.web.pages.language import language
    >>> PageVoice(language("fr")).place("samples[1]"), PageVoice(language("fr")).day(date(2026, 3, 4), year=False)
    ('prélèvement 2', '4 mars')
    """

    language: Language

    @property
    def code(self) -> str:
        """`fr`."""
        return self.language.code

    def say(self, text: str, **values: Any) -> str:
        """The message in this language."""
        return self.language.say(text, **values)

    def local(self, text: str) -> str:
        """Its numbers."""
        return self.language.local(text)

    def engine(self, text: str) -> str:
        """A sentence of the engine; English where the catalogue lacks it."""
        return translated(text, self.language)[0]

    def place(self, where: str) -> str:
        """A field inside a sentence: `sample 2`."""
        name = field_name(where, self.language)
        return name[:1].lower() + name[1:]

    def day(self, when: date, *, year: bool) -> str:
        """`4 mars`, `4 March 2026`."""
        return self.language.long_day(when, year=year)
