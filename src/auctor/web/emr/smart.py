"""Being launched from the hospital record: /smart/launch, /smart/open, /smart/callback and our public keys. Tokens stay on the server.

Every launch opens a session of its own and ends the browser's earlier one, so that the record's change of patient ends the earlier
patient's pages: their forms and fragments are refused from then on. The browser is sent to our own pages only.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.forms import AtReception, Knocking, set_session
from auctor.web.accounts.oidc import Identity
from auctor.web.accounts.pending import Pending
from auctor.web.accounts.second_factor import fingerprint
from auctor.web.emr.cds_hooks import partners_of
from auctor.web.emr.own_keys import OwnKeys
from auctor.web.emr.smart_client import Granted, Note, SmartClient, refused
from auctor.web.middleware.visit import cookie, session_cookie
from auctor.web.pages.visits import clinic_of
from auctor.web.service.charts import OpenCourse, open_courses

CALLBACK = "/smart/callback"
MOST_CONTEXTS = 10_000

router = APIRouter(prefix="/smart", include_in_schema=False)


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """What each session was launched with; one patient a session, forgotten when the token ends or the session is replaced."""

    _kept: OrderedDict[str, Granted] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, session: str, granted: Granted) -> None:
        """Keep a session's context."""
        with self._lock:
            self._kept[session] = granted
            while len(self._kept) > MOST_CONTEXTS:
                self._kept.popitem(last=False)

    def of(self, session: str) -> Granted | None:
        """The context of a session, None without one or when its token ended."""
        with self._lock:
            found = self._kept.get(session)
            if found is not None and found.expires_at <= time.time():
                found = self._kept.pop(session, None) and None
        return found

    def end(self, session: str) -> None:
        """Forget a session's context and its token."""
        with self._lock:
            self._kept.pop(session, None)


@dataclass(frozen=True, kw_only=True)
class Patients:
    """Whom each session was launched for, as long as the session may last: a page of anybody else says so."""

    _kept: OrderedDict[str, str] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, session: str, patient: str) -> None:
        """Keep a session's patient (the store's identifier, "" where the store does not know the patient)."""
        with self._lock:
            self._kept[session] = patient
            while len(self._kept) > MOST_CONTEXTS:
                self._kept.popitem(last=False)

    def of(self, session: str) -> str | None:
        """The patient of a session, None for one that was not launched."""
        with self._lock:
            return self._kept.get(session)


@dataclass(frozen=True, kw_only=True)
class Launches:
    """The SMART client of the application, what waits for an answer, what sessions were launched with and for whom."""

    client: SmartClient
    pending: Pending = field(default_factory=Pending)
    contexts: Contexts = field(default_factory=Contexts)
    patients: Patients = field(default_factory=Patients)


def launches_of(request: Request) -> Launches:
    """The launches of the application, made on first use."""
    state = request.app.state
    if not hasattr(state, "smart_launches"):
        own = OwnKeys(file=state.settings.data_folder / "smart-keys.json")
        client = SmartClient(partners=partners_of(request), own=own, redirect_uri=f"{state.settings.origin}{CALLBACK}")
        state.smart_launches = Launches(client=client)
    found: Launches = state.smart_launches
    return found


def context_of(request: Request) -> Granted | None:
    """What this request's session was launched with, None for a session that was opened by hand."""
    visit = request.state.visit
    return launches_of(request).contexts.of(visit.found.session_id) if visit.found else None


@router.get("/jwks.json")
def jwks(request: Request) -> Response:
    """Our public keys, for partners that take signed assertions."""
    return JSONResponse(launches_of(request).client.own.public(), headers={"cache-control": "max-age=3600"})


@router.get("/launch")
def launch(request: Request, iss: str = "", launch: str = "") -> Response:
    """From the hospital record: on to its authorization server."""
    return _sent_off(request, iss, launch)


@router.get("/open")
def standalone(request: Request, iss: str = "") -> Response:
    """From a bookmark: on to the authorization server, which asks for the patient."""
    return _sent_off(request, iss, None)


@router.get("/callback")
def callback(request: Request, reception: AtReception, browser: Knocking) -> Response:
    """Back from the authorization server: a new session for this patient, and on to the course."""
    launches = launches_of(request)
    note = _note(request, launches)
    granted = launches.client.finish(note, _single(request))
    identity = Identity(issuer=granted.issuer, subject=granted.subject, login=granted.user, name=granted.user)
    token = reception.sign_in.identity(reception.identities.account_of(identity), browser)
    found = reception.sessions.find(token)
    if found is None:
        raise refused("the account may not sign in")
    courses = _courses(request, granted, found.actor)
    answer = RedirectResponse(_onward(granted, courses), 303)
    if request.state.visit.found is not None:
        launches.contexts.end(request.state.visit.found.session_id)
    set_session(request, answer, token)
    launches.contexts.put(fingerprint(token), granted)
    launches.patients.put(fingerprint(token), courses[0].patient if courses else "")
    request.app.state.launched_for = launches.patients.of
    return answer


def _sent_off(request: Request, iss: str, launch: str | None) -> Response:
    launches, settings = launches_of(request), request.app.state.settings
    there, note = launches.client.begin(iss, launch)
    holder = _holder(request) or secrets.token_urlsafe(32)
    kept = {"iss": note.iss, "nonce": note.nonce, "verifier": note.verifier}
    launches.pending.put(f"smart {note.state}", holder, **kept)
    answer = RedirectResponse(there, 302, {"cache-control": "no-store", "referrer-policy": "no-referrer"})
    answer.headers.append("set-cookie", cookie(settings, _cookie(request), holder, seconds=600))
    return answer


def _note(request: Request, launches: Launches) -> Note:
    """What was kept for this answer's state in this browser; taken, so that an answer is good once."""
    state = request.query_params.get("state", "")
    kept = launches.pending.take(f"smart {state}", _holder(request)) if 0 < len(state) <= 200 else None
    if kept is None:
        raise refused("the answer does not belong to a launch of this browser")
    return Note(state=state, **kept)


def _single(request: Request) -> dict[str, str]:
    """The parameters of the answer; one that comes twice is refused (RFC 6749, 3.1)."""
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise refused("a parameter comes twice")
    return dict(pairs)


def _cookie(request: Request) -> str:
    return f"{session_cookie(request.app.state.settings)}-launch"


def _holder(request: Request) -> str:
    found = request.cookies.get(_cookie(request), "")
    return found if len(found) >= 40 else ""


def _courses(request: Request, granted: Granted, actor: Actor) -> tuple[OpenCourse, ...]:
    """The open courses of the launch's patient, within the wards of the server and of the actor."""
    server = launches_of(request).client.partners.server(granted.iss)
    seen = actor if server is None or "*" in server.wards else _narrowed(actor, frozenset(server.wards))
    return open_courses(clinic_of(request), seen, _names(request, granted)) if seen.roles else ()


def _onward(granted: Granted, courses: tuple[OpenCourse, ...]) -> str:
    """The course that the card or the patient points to, else the work list: always a page of ours."""
    wanted = _course_of(granted.context)
    chosen = next((course for course in courses if course.course == wanted), courses[0] if len(courses) == 1 else None)
    if chosen is not None:
        return f"/courses/{chosen.course}"
    return f"/patients/{courses[0].patient}" if courses else "/work"


def _narrowed(actor: Actor, wards: frozenset[str]) -> Actor:
    from dataclasses import replace

    return replace(actor, wards=wards if "*" in actor.wards else actor.wards & wards)


def _names(request: Request, granted: Granted) -> tuple[tuple[str, str], ...]:
    """By which numbers the store may know the patient: the server's own, and those of the Patient resource where it can be read."""
    client = launches_of(request).client
    resource: dict[str, Any] | None = None
    try:
        bearer = {"authorization": f"Bearer {granted.access_token}", "accept": "application/fhir+json"}
        resource = client.fetching(f"{granted.iss}/Patient/{granted.patient}", where="patient", headers=bearer)
    except AuctorError:
        resource = None
    return client.partners.names(granted.iss, granted.patient, resource)


def _course_of(context: str) -> str:
    try:
        found = json.loads(context) if context else {}
    except ValueError:
        return ""
    course = found.get("course") if isinstance(found, dict) else None
    return course if isinstance(course, str) else ""
