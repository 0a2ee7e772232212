"""FHIR client: a patient's record as one whole Bundle or a typed refusal, a result written once, a subscription to new levels.

Nothing is cached. A record is read to its last page or not at all; every answer is bounded in time and size, every link is checked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from auctor.errors import RecordError
from auctor.fhir.bundle import read_record
from auctor.fhir.node import parse_resource
from auctor.web.emr.backend_token import BackendToken
from auctor.web.emr.remote import Failed, Incomplete, NotAllowed, Refused, Server, TooLarge, TooSlow, Unreachable

JSON = "application/fhir+json"
TYPES = {
    "Observation": ("Observation:specimen",),
    "MedicationAdministration": ("MedicationAdministration:medication",),
    "MedicationRequest": ("MedicationRequest:medication",),
    "Procedure": (),
}
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_BUSY = 429

Resource = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LiveRecord:
    """A patient's record as the server had it at `read_at` (when the reading began): a Bundle for `auctor.fhir.read.read_bundle`."""

    bundle: Resource
    read_at: datetime
    pages: int


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a transaction became: (status, location) of each entry, in its order."""

    entries: tuple[tuple[str, str], ...]

    @property
    def created(self) -> int:
        """How many entries were not there before."""
        return sum(status.startswith("201") for status, _ in self.entries)


class FhirClient:
    """One server's client; use it as a context manager. Every method raises the RemoteErrors of `auctor.web.emr.remote`."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._http = httpx.Client(timeout=server.timeout_s, follow_redirects=False, trust_env=False, headers={"Accept": JSON})
        self._token = BackendToken(server, self._http) if server.client_id else None

    def __enter__(self) -> FhirClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def patient_record(self, patient: str, *, since: str = "") -> LiveRecord:
        """Patient, procedures, and administrations, orders and observations (from the day `since` on) with the products they name.

        `patient` is the id on the server. All pages or none: a record that is not whole is refused, never used in part.
        """
        if not _ID.fullmatch(patient) or (since and not _DAY.fullmatch(since)):
            raise RecordError(
                where="patient", what="not an id, or not a day", remedy="give the server's id of the patient, a day as 2026-03-01"
            )
        read_at, end = datetime.now(UTC), time.monotonic() + self.server.deadline_s
        entries = [
            {"fullUrl": f"{self.server.base}/Patient/{patient}", "resource": self._get(f"{self.server.base}/Patient/{patient}", end)}
        ]
        pages = 1
        for kind, includes in TYPES.items():
            asked = [("patient", patient), ("_count", str(self.server.page_size)), *(("_include", name) for name in includes)]
            asked += [(_DATES[kind], f"ge{since}")] if since and kind in _DATES else []
            found, n = self._all_pages(f"{self.server.base}/{kind}?{urlencode(asked)}", end)
            entries, pages = entries + found, pages + n
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": _unique(entries)}
        read_record(bundle).patient()  # the server answered about this patient alone
        return LiveRecord(bundle=bundle, read_at=read_at, pages=pages)

    def find_patient(self, system: str, value: str) -> str:
        """The id of the one patient with an identifier; Refused for none and for several."""
        end = time.monotonic() + self.server.deadline_s
        url = f"{self.server.base}/Patient?identifier={quote(system, safe='')}%7C{quote(value, safe='')}"
        found = [e["resource"]["id"] for e in self._all_pages(url, end)[0] if e.get("resource", {}).get("resourceType") == "Patient"]
        if len(found) != 1:
            what = "no patient with that number" if not found else "several patients with that number"
            raise Refused(where="Patient", what=what, remedy="check the number and whose it is")
        return str(found[0])

    def write(self, transaction: Mapping[str, Any]) -> Written:
        """A transaction of `auctor.fhir.report_bundle`: all of it is there afterwards, or a refusal. Sending it again is safe."""
        answer = self._send("POST", self.server.base, transaction)
        entries = answer.get("entry", [])
        n = len(transaction["entry"])
        if answer.get("resourceType") != "Bundle" or not isinstance(entries, list) or len(entries) != n:
            raise Incomplete(where="transaction", what="not one answer an entry", remedy="send it again: nothing is written twice")
        answers = [entry.get("response", {}) for entry in entries if isinstance(entry, dict)]
        statuses = tuple((str(a.get("status", "")), str(a.get("location", ""))) for a in answers)
        if not all(status.startswith("2") for status, _ in statuses):
            raise Refused(where="transaction", what="an entry was not accepted", remedy="see the server's own log")
        return Written(entries=statuses)

    def subscribe(self, patient: str, endpoint: str, secret: str) -> str:
        """The id of a rest-hook Subscription that calls `endpoint` with the secret when an Observation of a patient is new or changed.

        It carries no resource: what is new is read from the server, not believed from a call. Asked for twice, it is there once.
        """
        criteria = f"Observation?patient={patient}"
        channel = {"type": "rest-hook", "endpoint": endpoint, "header": [f"Authorization: Bearer {secret}"]}
        wanted = {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "new or corrected levels",
            "criteria": criteria,
            "channel": channel,
        }
        once = {"If-None-Exist": urlencode({"url": endpoint, "criteria": criteria})}
        return str(self._send("POST", f"{self.server.base}/Subscription", wanted, once).get("id", ""))

    def subscription_status(self, name: str) -> str:
        """requested, active, error or off."""
        end = time.monotonic() + self.server.deadline_s
        return str(self._get(f"{self.server.base}/Subscription/{quote(name, safe='')}", end).get("status", ""))

    def _all_pages(self, url: str, end: float) -> tuple[list[Resource], int]:
        """The entries of every page; Incomplete where the pages run in a circle or hold fewer matches than announced."""
        entries: list[Resource] = []
        seen: set[str] = set()
        total = None
        while url:
            if url in seen or len(seen) >= self.server.max_pages:
                kind, what = (Incomplete, "pages in a circle") if url in seen else (TooLarge, f"more than {self.server.max_pages} pages")
                raise kind(where="Bundle.link", what=what, remedy="ask for fewer days")
            seen.add(url)
            page = self._get(url, end)
            found, url, announced = _page(page, self.server)
            entries, total = entries + found, total if announced is None else announced
        matches = sum(entry.get("search", {}).get("mode", "match") == "match" for entry in entries)
        if total is not None and matches < total:
            raise Incomplete(where="Bundle.total", what="fewer resources than the server announced", remedy="read it again")
        return entries, len(seen)

    def _get(self, url: str, end: float) -> Resource:
        return self._answer("GET", url, end, content=None, headers={})

    def _send(self, method: str, url: str, resource: Mapping[str, Any], more: Mapping[str, str] | None = None) -> Resource:
        content = json.dumps(resource, ensure_ascii=False, allow_nan=False).encode()
        end = time.monotonic() + self.server.deadline_s
        return self._answer(method, url, end, content=content, headers={"Content-Type": JSON, **(more or {})})

    def _answer(self, method: str, url: str, end: float, *, content: bytes | None, headers: Mapping[str, str]) -> Resource:
        """One exchange to a JSON object; the place in errors is the path without its query, which may name a patient's number."""
        where = f"{method} {url.removeprefix(self.server.base).partition('?')[0] or '/'}"
        allowed = self._token.header(end) if self._token is not None else {}
        try:
            with self._http.stream(method, url, content=content, headers={**headers, **allowed}) as answer:
                _check_status(answer.status_code, where)
                body = b"".join(_bounded(answer, end, self.server.max_bytes, where))
        except httpx.TimeoutException as problem:
            raise TooSlow(where=where, what="no answer in time", remedy="try again; what was read before is not fresh") from problem
        except (httpx.ConnectError, httpx.UnsupportedProtocol) as problem:
            raise Unreachable(where=where, what="no connection", remedy="check the server and the network") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise Incomplete(where=where, what="the answer broke off", remedy="try again") from problem
        return _json(body, where)


_DATES = {"Observation": "date", "MedicationAdministration": "effective-time", "MedicationRequest": "authoredon"}


def _page(page: Resource, server: Server) -> tuple[list[Resource], str, int | None]:
    """Entries, the next page's URL ("" for the last), and the announced number of matches."""
    entries, links, total = page.get("entry", []), page.get("link", []), page.get("total")
    if page.get("resourceType") != "Bundle" or not isinstance(entries, list) or not isinstance(links, list):
        raise Incomplete(where="Bundle", what="not a page of results", remedy="check that the base URL is a FHIR server's")
    if not all(isinstance(item, dict) for item in [*entries, *links]):
        raise Incomplete(where="Bundle", what="an entry or a link of another kind", remedy="have the server corrected")
    following = [link.get("url") for link in links if link.get("relation") == "next"]
    url = server.own(str(following[0]), where="Bundle.link") if following else ""
    return entries, url, total if isinstance(total, int) and not isinstance(total, bool) else None


def _unique(entries: list[Resource]) -> list[Resource]:
    """Products and specimens that several searches brought, once."""
    kept: dict[str, Resource] = {}
    for k, entry in enumerate(entries):
        resource = entry.get("resource", {})
        name = f"{resource.get('resourceType')}/{resource.get('id')}" if resource.get("id") else f"entry {k}"
        kept.setdefault(name, {key: entry[key] for key in ("fullUrl", "resource") if key in entry})
    return list(kept.values())


def _check_status(status: int, where: str) -> None:
    if status >= 500 or status == _BUSY:
        raise Failed(where=where, what=f"the server failed ({status})", remedy="try again later; what was read before is not fresh")
    if status >= 400:
        raise Refused(
            where=where, what=f"the server refused ({status})", remedy="check the patient, the rights of this client and the resource"
        )
    if status >= 300:
        raise NotAllowed(where=where, what=f"the server points elsewhere ({status})", remedy="correct its base URL")


def _bounded(answer: httpx.Response, end: float, most: int, where: str) -> Iterator[bytes]:
    """The body piece by piece; TooLarge, or TooSlow for one that only trickles."""
    size = 0
    for piece in answer.iter_bytes():
        size += len(piece)
        if size > most:
            raise TooLarge(where=where, what=f"more than {most} bytes", remedy="ask for fewer days")
        if time.monotonic() > end:
            raise TooSlow(where=where, what="no whole answer in time", remedy="try again; what was read before is not fresh")
        yield piece


def _json(body: bytes, where: str) -> Resource:
    try:
        return parse_resource(body, where)
    except RecordError as problem:
        raise Incomplete(where=where, what="not FHIR JSON, or cut off", remedy="try again; check the base URL") from problem
