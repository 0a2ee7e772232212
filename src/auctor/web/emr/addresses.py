"""Fetching from a partner: https (http on this machine only), no redirect, a bound on size and time, JSON objects only."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from auctor.errors import RecordError
from auctor.web.settings import is_loopback

TIMEOUT_S, MOST_BYTES = 5.0, 262_144


class PartnerError(RecordError):
    """A partner that does not answer, or answers with something else than was asked."""

    status = 502


def check_address(text: str, *, where: str) -> str:
    """An absolute https address without user, query and fragment (http on this machine only); RecordError otherwise.

    >>> check_address("https://ehr.example/fhir", where="iss")
    'https://ehr.example/fhir'
    """
    try:
        parts = urlsplit(text)
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(str(parts.hostname)))
        plain = bool(parts.hostname) and not (parts.username or parts.password or parts.query or parts.fragment) and parts.port != 0
    except ValueError:
        safe = plain = False
    if not (safe and plain) or "\\" in text or any(c.isspace() or not c.isprintable() for c in text):
        raise RecordError(where=where, what="not an https address", remedy="write https://host/path")
    return text


def fetch(url: str, *, where: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """The JSON object at an address, or the answer to a form posted there. PartnerError for anything else, an error of OAuth included."""
    import httpx

    check_address(url, where=where)
    try:
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET" if form is None else "POST", url, data=form, headers={"accept": "application/json", **(headers or {})}
            ) as answer,
        ):
            body = _bounded(answer, where)
    except httpx.HTTPError:
        raise PartnerError(where=where, what="does not answer", remedy="try again; then ask who runs it") from None
    if answer.status_code != 200:
        raise PartnerError(where=where, what=f"answers with status {answer.status_code}", remedy="try again; then ask who runs it")
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise PartnerError(where=where, what="answers with something else than a JSON object", remedy="ask who runs it")
    return found


def _bounded(answer: Any, where: str) -> bytes:
    body = b""
    for chunk in answer.iter_bytes():
        body += chunk
        if len(body) > MOST_BYTES:
            raise PartnerError(where=where, what="answers with too much", remedy="ask who runs it")
    return body
