"""The nouns of a CDS Hooks response. `as_data` writes what was given and leaves out the rest: no null, no empty text, array or object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from auctor.errors import RecordError
from auctor.report.voice import N_

LONGEST_SUMMARY = 139  # "less than 140 characters"
NAMESPACE = UUID("8b0cf54c-8a4e-4f3e-9d2c-6a5b1f1e7d90")
REASONS_SYSTEM = "http://cds-hooks.hl7.org/CodeSystem/non-adherence-reason"


class Indicator(StrEnum):
    """How urgent a card is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class Coding:
    """A code with its display, which override reasons need."""

    system: str
    code: str
    display: str

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {"system": self.system, "code": self.code, "display": self.display}


OVERRIDE_REASONS = tuple(
    Coding(system=REASONS_SYSTEM, code=code, display=display)
    for code, display in (
        ("cds-not-applicable", N_("Does not apply to this patient")),
        ("cds-suboptimal-context", N_("Not the moment for it")),
        ("recipient-disagrees-evidence", N_("I disagree with the evidence")),
        ("recipient-concerns-outcomes", N_("I am concerned about the outcome")),
        ("does-not-align-preferences", N_("The patient prefers otherwise")),
        ("not-convenient-feasible", N_("Not feasible here")),
    )
)


@dataclass(frozen=True, kw_only=True)
class Action:
    """`create` or `update` with the whole resource, or `delete` with its id. Every action has a description."""

    type: str
    description: str
    resource: Mapping[str, Any] | None = None
    resource_id: str = ""

    def __post_init__(self) -> None:
        if self.type not in ("create", "update", "delete") or not self.description.strip():
            raise _wrong("action", "an unknown type, or no description", "say what it does")
        if (self.type == "delete") != bool(self.resource_id) or (self.type == "delete") == bool(self.resource):
            raise _wrong("action", "a resource or its id that does not fit the type", "give resource, or resource_id to delete")

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        said = {"type": self.type, "description": self.description, "resource": self.resource, "resourceId": self.resource_id}
        return _given(said)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """A set of actions that go together."""

    label: str
    uuid: str
    actions: tuple[Action, ...]
    recommended: bool = False

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        actions = [action.as_data() for action in self.actions]
        return _given({"label": self.label, "uuid": self.uuid, "isRecommended": self.recommended, "actions": actions})


@dataclass(frozen=True, kw_only=True)
class Link:
    """Where to read on: an absolute address, or a SMART app that is launched with `context`. Never launched without a click."""

    label: str
    url: str
    smart: bool = False
    context: str = ""

    def __post_init__(self) -> None:
        if self.context and not self.smart:
            raise _wrong("link", "a context for a link that launches no app", "leave it out, or make it a SMART link")
        if not self.url.startswith(("https://", "http://")):
            raise _wrong("link", "not an absolute address", "write https://...")

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        said = {"label": self.label, "url": self.url, "type": "smart" if self.smart else "absolute", "appContext": self.context}
        return _given(said | {"autolaunchable": False})


@dataclass(frozen=True, kw_only=True)
class Card:
    """One piece of guidance. With suggestions at most one may be taken. `kind` and `drug` are ours, for counting, and not sent."""

    uuid: str
    summary: str
    indicator: Indicator
    source: str
    topic: Coding
    detail: str = ""
    suggestions: tuple[Suggestion, ...] = ()
    reasons: tuple[Coding, ...] = ()
    links: tuple[Link, ...] = ()
    kind: str = ""
    drug: str = ""

    def __post_init__(self) -> None:
        if not self.summary.strip() or len(self.summary) > LONGEST_SUMMARY:
            raise _wrong("card.summary", "empty, or 140 characters or more", "shorten it")
        if sum(suggestion.recommended for suggestion in self.suggestions) > 1:
            raise _wrong("card.suggestions", "several are recommended and one may be taken", "recommend one")

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        said = {
            "uuid": self.uuid,
            "summary": self.summary,
            "detail": self.detail,
            "indicator": self.indicator.value,
            "source": {"label": self.source, "topic": self.topic.as_data()},
            "suggestions": [suggestion.as_data() for suggestion in self.suggestions],
            "selectionBehavior": "at-most-one" if self.suggestions else "",
            "overrideReasons": [reason.as_data() for reason in self.reasons],
            "links": [link.as_data() for link in self.links],
        }
        return _given(said)


def response(cards: Sequence[Card]) -> dict[str, Any]:
    """The body of a response; no card is `{"cards": []}`, which means no guidance."""
    return {"cards": [card.as_data() for card in cards]}


def name_of(*parts: str) -> str:
    """A UUID that is the same for the same parts, so that the same call gives the same bytes.

    >>> name_of("a", "b") == name_of("a", "b") != name_of("ab")
    True
    """
    return str(uuid5(NAMESPACE, "\x1f".join(parts)))


def _given(said: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if value not in (None, "", [], {}, ())}


def _wrong(where: str, what: str, remedy: str) -> RecordError:
    return RecordError(where=where, what=what, remedy=remedy)
