"""The engine's own sentences in the reader's language: interpretations, how a method computes, notices, refusals of the readers.

Results and errors hold English sentences, and a stored result never changes. Each sentence was made from a message with named values; the
catalogue `locale/fr/engine.po` has those messages, a sentence is recognised by them, and its values are put into the translation: names
and units as they are, numbers as the language writes them, sentences inside sentences translated in turn. What is not recognised
stays English and is marked so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from markupsafe import Markup

from auctor.web.pages.language import CATALOGUES, Language
from auctor.web.pages.language import language as language_of_code

PLACE = re.compile(r"%\((\w+)\)s")
_PATH = re.compile(r"(?:covariates|samples|doses|model)[\[.][\w\[\].]+")
_ORDINAL = re.compile(r"([\d.]+)(?:st|nd|rd|th)")
LONGEST, MOST_PARTS = 1200, 12  # signs, and parts of a text: longer ones are no sentences of ours
_COUNTS, _DIGITS = {"dose", "every", "over", "tenths", "median"}, r"[-+\d.]+|–"  # places where only a number can stand
_SPAN = re.compile(r"([-\d.]+) to ([-\d.]+(?: \S+)?)")
_NUMBERS = re.compile(r"[-+−<>~]?\s?[\d.]+(?:[-–][\d.]+)?(?: ?(?:%|\S{1,12}))?")


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of the catalogue: what a sentence made from it looks like, and its translation."""

    pattern: re.Pattern[str]
    translation: str
    literals: tuple[str, ...]

    @property
    def weight(self) -> int:
        """How much of a sentence it fixes: the message that fixes most is tried first."""
        return sum(map(len, self.literals))


@dataclass(frozen=True)
class Spoken:
    """The engine's messages of one language. `name_of` says a path (`samples[1].value`) as people do."""

    language: Language
    plain: dict[str, str]
    made: tuple[Message, ...]
    name_of: Callable[[str], str]

    def sentence(self, text: str) -> str | None:
        """A text that is one message with its values, or sentences one after the other; None where a part is not known."""
        return _sentence(self.language.code, text)

    def look_up(self, text: str) -> str | None:
        """The same, not remembered."""
        if text in self.plain:
            return self.plain[text]
        if len(text) > LONGEST:
            return None
        return self._several(text, ". ", ". ") or self._several(text, "; ", " ; ") or self._message(text) or self._after_name(text)

    def _message(self, text: str) -> str | None:
        """The text as one message with its values, which are said in turn."""
        for message in self.made:
            found = message.pattern.fullmatch(text) if all(part in text for part in message.literals) else None
            if found:
                return message.translation % {name: self.value(part) for name, part in found.groupdict().items()}
        return None

    def value(self, text: str) -> str:
        """What stands in a sentence: another one, a list, a path, a number, or a name."""
        if _PATH.fullmatch(text):
            return self.name_of(text)
        if ordinal := _ORDINAL.fullmatch(text):
            return f"{self.language.local(ordinal[1])}e"
        if _NUMBERS.fullmatch(text):
            return self.language.local(text)
        if span := _SPAN.fullmatch(text):
            return self.language.local(f"{span[1]} {self.plain['to']} {span[2]}")
        parts = [self.sentence(part) for part in text.split(", ")]
        listed = ", ".join(part for part in parts if part is not None) if None not in parts else None
        return listed or self.sentence(text) or self.language.local(text)

    def _several(self, text: str, separator: str, joined: str) -> str | None:
        """The text cut at the separator into two parts that are both known, the first one as long as can be."""
        stop = separator[0] if separator[0] == "." else ""
        cuts = [m.start() for m in re.finditer(re.escape(separator), text)]
        for cut in reversed(cuts if len(cuts) <= MOST_PARTS else ()):
            head, tail = self.sentence(text[:cut] + stop), self.sentence(text[cut + len(separator) :])
            if head is not None and tail is not None:
                return f"{head.removesuffix(stop) if stop else head}{joined}{tail}"
        return None

    def _after_name(self, text: str) -> str | None:
        """`name: sentence`."""
        head, sign, tail = text.partition(": ")
        said = self.sentence(tail) if sign else None
        return None if said is None else f"{self.value(head)} : {said}"


@lru_cache(maxsize=4096)
def _sentence(code: str, text: str) -> str | None:
    speaker = spoken(code)
    return None if speaker is None else speaker.look_up(text)


@cache
def spoken(code: str) -> Spoken | None:
    """The messages of a language; None for English, which the engine speaks."""
    from auctor.web.pages.words import field_name

    if code == "en":
        return None
    language = language_of_code(code)
    known = catalogue(code) | language.messages
    made = [_message(text, said) for text, said in catalogue(code).items() if PLACE.search(text)]
    plain = {text: said for text, said in known.items() if not PLACE.search(text)}
    return Spoken(language, plain, tuple(sorted(made, key=lambda m: -m.weight)), lambda where: field_name(where, language))


@cache
def catalogue(code: str) -> dict[str, str]:
    """The engine's messages of one language as they are in the tree."""
    from babel.messages.pofile import read_po

    with (CATALOGUES / code / "engine.po").open("rb") as file:
        return {str(m.id): str(m.string) for m in read_po(file, locale=code) if m.id}


def _message(text: str, translation: str) -> Message:
    parts = PLACE.split(text.replace("%%", "%"))
    names: list[str] = []
    pattern = ""
    for k, part in enumerate(parts):
        if k % 2 == 0:
            pattern += re.escape(part)
        else:
            pattern += f"(?P={part})" if part in names else f"(?P<{part}>{_DIGITS if part in _COUNTS else '.+?'})"
            names.append(part)
    return Message(pattern=re.compile(pattern, re.S), translation=translation, literals=tuple(filter(None, parts[::2])))


def translated(text: str, language: Language) -> tuple[str, str]:
    """A sentence of the engine and the language it is in now.

    >>> from auctor.web.pages.language import language
    >>> translated("5 mg every 12 h: not above zero", language("fr"))[1]
    'fr'
    """
    found = _sentence(language.code, text)
    return (text, "en") if found is None else (found, language.code)


def engine(text: str, language: Language) -> Markup:
    """The same for a template: a part that stays English on another page is marked as such."""
    said, code = translated(text, language)
    return Markup("{}").format(said) if code == language.code else Markup('<span lang="{}">{}</span>').format(code, said)
