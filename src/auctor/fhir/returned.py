"""What goes back to the hospital with a result: whose, under which of our identifiers, in which standing, signed by whom."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from auctor.errors import RecordError
from auctor.fhir.when import read_when
from auctor.report.voice import ENGLISH, Voice

_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9\-._:/]{1,120}")
_URI = re.compile(r"(?:urn:[a-z0-9][a-z0-9-]{0,31}:|https?://)[A-Za-z0-9\-._~:/]{1,200}")


class Standing(StrEnum):
    """How a result stands: computed, signed, or signed in the place of an earlier one because of new data or because of an error."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"
    CORRECTED = "corrected"

    @property
    def replacing(self) -> bool:
        """Whether it takes the place of an earlier signed result."""
        return self in (Standing.AMENDED, Standing.CORRECTED)


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Who signed when, the regimen chosen (its label; "" for none), and why where a reason was needed.

    `forecast` is that of a regimen typed by hand, as result.json holds those of its candidates (by its preferred method).
    """

    by: str
    at: str
    regimen: str = ""
    reason: str = ""
    reference: str = ""
    forecast: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Return:
    """How one result is sent.

    `patient` and `sources` are references on the hospital's server (`Patient/7`, `Observation/12`); `identifier` is ours for the result,
    `at` when it was computed, `replaces` the identifier of the result whose place it takes, `system` the namespace of our identifiers.
    `voice` says the texts that people read; codes and numbers are the same in every language.
    RecordError for a final result without a signature, a preliminary one with it, and for what is no reference, time or identifier.
    """

    patient: str
    identifier: str
    at: str
    standing: Standing = Standing.PRELIMINARY
    signed: Signed | None = None
    replaces: str = ""
    sources: tuple[str, ...] = ()
    pdf: bytes = b""
    system: str = "urn:auctor:result"
    voice: Voice = ENGLISH

    def __post_init__(self) -> None:
        if (self.standing is Standing.PRELIMINARY) != (self.signed is None):
            what = "final without a signature" if self.signed is None else "preliminary with a signature"
            raise RecordError(where="standing", what=what, remedy="what nobody signed is preliminary, what somebody signed is not")
        if self.standing.replacing != bool(self.replaces):
            remedy = "say which result it replaces, or send it as final"
            raise RecordError(where="replaces", what="does not go with its standing", remedy=remedy)
        _check("patient", self.patient, re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}"))
        for k, source in enumerate(self.sources):
            _check(f"sources[{k}]", source, _REFERENCE)
        _check("identifier", self.identifier, _NAME)
        _check("replaces", self.replaces or "x", _NAME)
        _check("system", self.system, _URI)
        for name, moment in (("at", self.at), *((("signed.at", self.signed.at),) if self.signed else ())):
            read_when(moment, "", where=name)
        if self.signed is not None:
            self._check_signer(self.signed)

    def _check_signer(self, signed: Signed) -> None:
        if not signed.by.strip():
            raise RecordError(where="signed.by", what="nobody", remedy="name who signed")
        if signed.reference:
            _check("signed.reference", signed.reference, _REFERENCE)

    def key(self, part: str = "") -> str:
        """Our identifier of a part of the result."""
        return f"{self.identifier}/{part}" if part else self.identifier


def _check(where: str, text: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(text):
        raise RecordError(where=where, what="not of the form it needs", remedy="write references as Patient/7, identifiers without blanks")


def uuid_of(system: str, value: str) -> str:
    """The same UUID for the same identifier, always.

    >>> uuid_of("urn:auctor:result", "1") == uuid_of("urn:auctor:result", "1")
    True
    """
    return str(uuid5(NAMESPACE_URL, f"{system}|{value}"))


def search_of(system: str, value: str) -> str:
    """The search that finds a resource by its identifier, safe in a URL."""
    return f"identifier={quote(system, safe=':/')}%7C{quote(value, safe=':/')}"
