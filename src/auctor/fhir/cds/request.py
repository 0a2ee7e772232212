"""A CDS Hooks call and a feedback, checked: invariants cds-r-1 and cds-fb-1 to 3, the context of each hook, no null outside prefetch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from auctor.errors import RecordError
from auctor.fhir.cds.discovery import SERVICES, Service
from auctor.fhir.node import Node

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_USER = re.compile(r"(Practitioner|PractitionerRole|Patient|RelatedPerson)/[A-Za-z0-9\-.]{1,64}")
MOST_DRAFTS, MOST_FEEDBACK, LONGEST_COMMENT = 200, 100, 2000
_FORM = "see docs/cds-hooks.md"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a service: the hook's instance, where the patient's record is, whose, and the draft orders that are looked at.

    `selected` are the drafts that the clinician just chose (order-select), all of them for order-sign. `prefetch` is what was sent along;
    `notices` are breaches of "should" that are put up with (cds-r-2).
    """

    service: Service
    instance: str
    patient: str
    user: str
    fhir_server: str = ""
    drafts: tuple[Mapping[str, Any], ...] = ()
    prefetch: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one card: accepted with which suggestions, or overridden with which reason and comment."""

    card: str
    accepted: bool
    at: datetime
    suggestions: tuple[str, ...] = ()
    reason: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""


def read_call(raw: Any, service: Service) -> Call:
    """A call's body as parsed JSON; RecordError, which becomes a 400, for what the specification forbids."""
    top = Node.of(raw, "request")
    _no_null({key: value for key, value in top.data.items() if key != "prefetch"}, "request")
    if top.text("hook") != service.hook:
        raise _wrong("request.hook", f"not the hook {service.hook}", "call the service of this hook")
    context = top.node("context")
    if context is None:
        raise _wrong("request.context", "missing", _FORM)
    server, notices = _server(top)
    return Call(
        service=service,
        instance=_uuid(top.text("hookInstance"), "request.hookInstance"),
        patient=_matching(context, "patientId", _ID),
        user=_matching(context, "userId", _USER),
        fhir_server=server,
        drafts=_drafts(context, service),
        prefetch={key: value for key, value in (top.data.get("prefetch") or {}).items() if isinstance(value, Mapping)},
        notices=notices,
    )


def read_feedback(raw: Any) -> tuple[Verdict, ...]:
    """The entries of a feedback's body; RecordError for anything that cds-fb-1 to 3 forbid."""
    top = Node.of(raw, "request")
    _no_null(top.data, "request")
    entries = top.nodes("feedback")
    if not entries or len(entries) > MOST_FEEDBACK:
        raise _wrong("request.feedback", f"not 1 to {MOST_FEEDBACK} entries", _FORM)
    return tuple(_verdict(entry) for entry in entries)


def service_of(name: str) -> Service:
    """The service of an id; RecordError for an unknown one."""
    found = next((service for service in SERVICES if service.id == name), None)
    if found is None:
        raise _wrong("service", "no such service", "see /cds-services")
    return found


def _server(top: Node) -> tuple[str, tuple[str, ...]]:
    """The FHIR server, and cds-r-1 and cds-r-2 of its authorization. The token itself is not kept."""
    server, granted = top.text("fhirServer"), top.node("fhirAuthorization")
    if server and not re.fullmatch(r"https?://[^\s?#]{1,500}", server):
        raise _wrong("request.fhirServer", "not an address", _FORM)
    if granted is None:
        return server.rstrip("/"), ()
    if not server:
        raise _wrong("request.fhirServer", "missing beside fhirAuthorization (cds-r-1)", "send it")
    if granted.text("token_type") != "Bearer" or not granted.text("access_token") or granted.number("expires_in") is None:
        raise _wrong("request.fhirAuthorization", "not a bearer token with its lifetime", _FORM)
    unsaid = "patient/" in granted.text("scope") and not granted.text("patient")
    return server.rstrip("/"), ("cds-r-2: patient scopes, and no patient beside them",) if unsaid else ()


def _drafts(context: Node, service: Service) -> tuple[Mapping[str, Any], ...]:
    """The MedicationRequests of `draftOrders`, for order-select those of `selections`."""
    if service.hook == "patient-view":
        return ()
    bundle = context.node("draftOrders")
    if bundle is None or bundle.text("resourceType") != "Bundle":
        raise _wrong("request.context.draftOrders", "not a Bundle", _FORM)
    found = [node for entry in bundle.nodes("entry")[:MOST_DRAFTS] if (node := entry.node("resource")) is not None]
    orders = [node for node in found if node.text("resourceType") == "MedicationRequest"]
    if service.hook == "order-sign":
        return tuple(node.data for node in orders)
    chosen = context.data.get("selections")
    if not isinstance(chosen, list) or not chosen or not all(isinstance(name, str) for name in chosen):
        raise _wrong("request.context.selections", "not references to the drafts that were chosen", _FORM)
    return tuple(node.data for node in orders if f"MedicationRequest/{node.text('id')}" in chosen)


def _verdict(entry: Node) -> Verdict:
    outcome = entry.text("outcome")
    if outcome not in ("accepted", "overridden"):
        raise _wrong("feedback.outcome", "neither accepted nor overridden (cds-fb-1)", _FORM)
    taken = entry.nodes("acceptedSuggestions")
    if outcome == "accepted" and not taken:
        raise _wrong("feedback.acceptedSuggestions", "missing for an accepted card (cds-fb-2)", _FORM)
    override = entry.node("overrideReason")
    reason = override.node("reason") if override is not None else None
    comment = override.text("userComment")[:LONGEST_COMMENT] if override is not None else ""
    if override is not None and reason is None and not comment:
        raise _wrong("feedback.overrideReason", "neither a reason nor a comment (cds-fb-3)", _FORM)
    coded = {} if reason is None else {key: reason.text(key)[:200] for key in ("system", "code") if reason.text(key)}
    return Verdict(
        card=_uuid(entry.text("card"), "feedback.card"),
        accepted=outcome == "accepted",
        at=_instant(entry.text("outcomeTimestamp")),
        suggestions=tuple(_uuid(one.text("id"), "feedback.acceptedSuggestions.id") for one in taken),
        reason=coded,
        comment=comment,
    )


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as problem:
        raise _wrong("feedback.outcomeTimestamp", "not a date and time", "send ISO 8601 in UTC") from problem
    if found.tzinfo is None:
        raise _wrong("feedback.outcomeTimestamp", "a time without an offset", "send ISO 8601 in UTC")
    return found


def _uuid(text: str, where: str) -> str:
    try:
        return str(UUID(text.removeprefix("urn:uuid:")))
    except ValueError as problem:
        raise _wrong(where, "not a UUID", "send one") from problem


def _matching(context: Node, key: str, form: re.Pattern[str]) -> str:
    found = context.text(key)
    if not form.fullmatch(found):
        raise _wrong(context.at(key), "missing, or not of its form", _FORM)
    return found


def _no_null(value: Any, where: str) -> None:
    """RecordError for a null anywhere: the specification forbids it outside prefetch."""
    if value is None:
        raise _wrong(where, "null", "leave out what has no value")
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        _no_null(one, f"{where}.{key}" if isinstance(key, str) else where)


def _wrong(where: str, what: str, remedy: str) -> RecordError:
    return RecordError(where=where[:200], what=what, remedy=remedy)
