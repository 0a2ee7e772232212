"""What an import found: facts with their sources, what was left out and why, what somebody has to answer. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from auctor.errors import Notice, RecordError

Body = Mapping[str, Any]


class Question(RecordError):
    """A resource that could matter and cannot be used as it stands: somebody has to say. `draft` is what is known of the entry."""

    def __init__(self, code: str, *, where: str, what: str, remedy: str, draft: Body | None = None) -> None:
        super().__init__(where=where, what=what, remedy=remedy)
        self.code, self.draft = code, dict(draft or {})


class LeftOut(Exception):
    """A resource that is not for this course; `code` is a machine name, `what` says why."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


@dataclass(frozen=True, kw_only=True)
class Source:
    """The resource a fact came from: `reference` (`Observation/7`), its version, when the server last changed it, its status."""

    reference: str
    version: str = ""
    updated: str = ""
    status: str = ""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One entry of a case file from one or several resources.

    `kind` is dose, sample, covariate or current; `body` the entry (a covariate has `name` beside it); `label` what the record called it
    (trough, peak); `assumed` marks what was ordered and not recorded as given; `issued` when the laboratory released it.
    """

    kind: str
    body: Body
    sources: tuple[Source, ...]
    label: str = ""
    assumed: bool = False
    issued: str = ""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Left:
    """A resource that was not used: which, a machine name, and why."""

    source: str
    code: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Open:
    """A question: what is missing or doubtful (`notice`), for a fact of which kind, and what is known of its entry."""

    notice: Notice
    kind: str
    draft: Body = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who the record is about. It stays in `fhir` and `web`: the case document carries the course's label alone.

    `identifiers` are (system, value), `sex` male, female, other, unknown or "".
    """

    reference: str
    name: str
    born: date | None
    sex: str
    identifiers: tuple[tuple[str, str], ...]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Everything that one record gave for one course; `withdrawn` are resources entered in error, whose facts must be taken back."""

    identity: Identity
    facts: tuple[Fact, ...]
    left: tuple[Left, ...]
    questions: tuple[Open, ...]
    withdrawn: tuple[str, ...]

    def of(self, kind: str) -> tuple[Fact, ...]:
        """The facts of one kind."""
        return tuple(fact for fact in self.facts if fact.kind == kind)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """The warnings of all facts and of the identity."""
        return (*self.identity.notices, *(notice for fact in self.facts for notice in fact.notices))


def question_of(error: RecordError | Any, kind: str) -> Open:
    """A refusal as a question; the code of one that has none is its kind of error."""
    code = getattr(error, "code", "") or {"UnitError": "unit", "CaseError": "implausible"}.get(type(error).__name__, "malformed")
    notice = Notice(code=code, where=error.where, what=error.what, remedy=error.remedy, blocks_signing=True)
    return Open(notice=notice, kind=kind, draft=getattr(error, "draft", {}))
