"""The twelve invariants of CDS Hooks 3.0 (HL7/cds-hooks, input/fsh/invariants), each as a predicate over JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Data = dict[str, Any]


def _suggestions(body: Data) -> Iterator[Data]:
    yield from (s for card in body["cards"] for s in card.get("suggestions", []))


def _actions(body: Data) -> Iterator[Data]:
    yield from (a for s in _suggestions(body) for a in s.get("actions", []))
    yield from body.get("systemActions", [])


def _links(body: Data) -> Iterator[Data]:
    yield from (link for card in body["cards"] for link in card.get("links", []))


def _at_most_one_recommended(card: Data) -> bool:
    recommended = sum(bool(s.get("isRecommended")) for s in card.get("suggestions", []))
    return card.get("selectionBehavior") != "at-most-one" or recommended <= 1


def _cards(rule: Callable[[Data], bool]) -> Callable[[Data], bool]:
    return lambda body: all(map(rule, body["cards"]))


REQUEST: dict[str, Callable[[Data], bool]] = {
    "cds-r-1": lambda body: "fhirAuthorization" not in body or "fhirServer" in body,
    "cds-r-2": lambda body: "patient/" not in body.get("fhirAuthorization", {}).get("scope", "") or "patient" in body["fhirAuthorization"],
}
RESPONSE: dict[str, Callable[[Data], bool]] = {
    "cds-resp-1": _cards(_at_most_one_recommended),
    "cds-resp-2": lambda body: all(a["type"] != "delete" or ("resourceId" in a and "resource" not in a) for a in _actions(body)),
    "cds-resp-3": lambda body: all(link["type"] == "smart" or "appContext" not in link for link in _links(body)),
    "cds-resp-4": _cards(lambda card: all("display" in reason for reason in card.get("overrideReasons", []))),
    "cds-resp-5": lambda body: all("description" in a for s in _suggestions(body) for a in s.get("actions", [])),
    "cds-resp-6": _cards(lambda card: "suggestions" not in card or "selectionBehavior" in card),
    "cds-resp-7": lambda body: all(s.get("actionSelectionBehavior", "all") in ("all", "any", "at-most-one") for s in _suggestions(body)),
}
FEEDBACK: dict[str, Callable[[Data], bool]] = {
    "cds-fb-1": lambda entry: entry.get("outcome") in ("accepted", "overridden"),
    "cds-fb-2": lambda entry: entry.get("outcome") != "accepted" or "acceptedSuggestions" in entry,
    "cds-fb-3": lambda entry: "overrideReason" not in entry or bool({"reason", "userComment"} & entry["overrideReason"].keys()),
}
