"""The CDS Hooks endpoints: discovery, the services and their feedback. A signed token for each call; a hard cap on time; never a 500."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from auctor.data.document import parse_json
from auctor.errors import AuctorError
from auctor.fhir.cds.cards import Card, response
from auctor.fhir.cds.discovery import discovery
from auctor.fhir.cds.outcome import operation_outcome
from auctor.fhir.cds.request import Call, read_call, read_feedback, service_of
from auctor.fhir.cds.services import Desk
from auctor.web.accounts.actor import Actor, Role
from auctor.web.emr.desk import Answers
from auctor.web.emr.partners import CdsClient, Partners, read_partners
from auctor.web.emr.tokens import Callers
from auctor.web.pages.language import language, preferred
from auctor.web.pages.visits import clinic_of
from auctor.web.pages.voice import PageVoice
from auctor.web.service.feedback import keep_feedback, keep_shown

_LOG = logging.getLogger("auctor.cds")
CAP_S = 10.0
NOTHING: dict[str, Any] = {"cards": []}

router = APIRouter(prefix="/cds-services", include_in_schema=False)


@router.get("")
def discover(request: Request) -> Response:
    """What services there are; open to anybody, as the specification has it."""
    voice = _voice(request)
    return JSONResponse(discovery(voice), headers=_spoken(voice))


@router.post("/{name}")
async def call(request: Request, name: str) -> Response:
    """One call of a service: its cards, no cards when time runs out, 412 when the data cannot be had."""

    def work(body: bytes) -> dict[str, Any]:
        client = _caller(request, f"/cds-services/{name}")
        found = read_call(parse_json(body.decode()), service_of(name))
        _check_server(found, client)
        partners = partners_of(request)
        names = partners.names(found.fhir_server or client.fhir_servers[0], found.patient, found.prefetch.get("patient"))
        cards = answers_of(request).answer(found, _actor(client), names, _voice(request))
        _remember(request, client, found, cards)
        return response(cards)

    answer = await _answered(request, work, late=NOTHING)
    answer.headers.update(_spoken(_voice(request)))
    return answer


@router.post("/{name}/feedback")
async def feedback(request: Request, name: str) -> Response:
    """What became of cards; kept before it is answered."""

    def work(body: bytes) -> None:
        client = _caller(request, f"/cds-services/{name}/feedback")
        service, verdicts = service_of(name), read_feedback(parse_json(body.decode()))
        keep_feedback(clinic_of(request), _actor(client), service.id, verdicts)

    return await _answered(request, work, late=None)


def _remember(request: Request, client: CdsClient, found: Call, cards: Sequence[Card]) -> None:
    """Keep that cards were shown; where that fails, they are shown all the same."""
    try:
        keep_shown(clinic_of(request), _actor(client), found.service.id, cards)
    except (AuctorError, SQLAlchemyError) as error:
        _LOG.warning("cards shown and not counted: %s", type(error).__name__)


def answers_of(request: Request) -> Answers:
    """The services of the application, made on first use."""
    state = request.app.state
    if not hasattr(state, "cds_answers"):
        desk = Desk(launch=f"{state.settings.origin}/smart/launch")
        state.cds_answers = Answers(clinic=clinic_of(request), desk=desk, intervals=state.intervals)
    found: Answers = state.cds_answers
    return found


def partners_of(request: Request) -> Partners:
    """The partners of this installation."""
    return read_partners(_file(request))


def _voice(request: Request) -> PageVoice:
    """The language that the caller asks for (Accept-Language), else the installation's."""
    own = request.app.state.settings.language
    return PageVoice(language(preferred(None, request.headers.get("accept-language"), own)))


def _spoken(voice: PageVoice) -> dict[str, str]:
    return {"content-language": voice.code, "vary": "Accept-Language"}


def _file(request: Request) -> Path | None:
    named = request.app.state.settings.partners_file
    return Path(named) if named else None


def _caller(request: Request, path: str) -> CdsClient:
    state = request.app.state
    if not hasattr(state, "cds_callers"):
        state.cds_callers = Callers(partners=partners_of(request), file=_file(request))
    found: CdsClient = state.cds_callers.check(request.headers.get("authorization", ""), endpoint=f"{state.settings.origin}{path}")
    return found


def _actor(client: CdsClient) -> Actor:
    """A CDS client as an actor that reads the patients of its wards."""
    return Actor(
        account_id=None, login=f"cds:{client.issuer}"[:200], roles=frozenset({Role.VIEWER}), wards=frozenset(client.wards), channel="fhir"
    )


def _check_server(found: Call, client: CdsClient) -> None:
    """A client speaks for its own FHIR servers only."""
    from auctor.web.emr.tokens import refused

    if found.fhir_server and found.fhir_server not in [server.rstrip("/") for server in client.fhir_servers]:
        raise refused("for a FHIR server that is not this client's")


async def _answered(request: Request, work: Callable[[bytes], Any], *, late: Any) -> Response:
    """Run the work within the cap; refusals become an OperationOutcome, the unforeseen too (412), and running out of time says nothing."""
    cap = getattr(request.app.state, "cds_cap_s", CAP_S)
    voice = _voice(request)
    try:
        body = await request.body()
        found = await asyncio.wait_for(run_in_threadpool(work, body), cap)
    except TimeoutError:
        _LOG.warning("a CDS call took more than %g s", cap)
        if late is not None:
            return JSONResponse(late)
        return _outcome(voice, 412, where="feedback", what="not kept in time", remedy="send it again")
    except AuctorError as error:
        return _outcome(voice, _status(error), where=error.where, what=error.what, remedy=error.remedy)
    except (ValueError, RecursionError):
        return _outcome(voice, 400, where="request", what="not JSON in UTF-8", remedy="see docs/cds-hooks.md")
    except Exception as error:
        _LOG.error("a CDS call failed: %s", type(error).__name__)
        return _outcome(voice, 412, where="service", what="cannot answer now", remedy="go on without it; tell who runs auctor")
    return JSONResponse(found) if found is not None else Response(status_code=200)


def _status(error: AuctorError) -> int:
    from auctor.errors import RecordError

    named = getattr(error, "status", None)
    if named in (401, 403, 412):
        return int(named)
    if error.where == "service":
        return 404
    return 400 if type(error) is RecordError and error.where.startswith(("request", "feedback")) else 412


def _outcome(voice: PageVoice, status: int, *, where: str, what: str, remedy: str) -> Response:
    headers = _spoken(voice) | ({"www-authenticate": "Bearer"} if status == 401 else {})
    return JSONResponse(operation_outcome(status, where=where, what=voice.engine(what), remedy=voice.engine(remedy)), status, headers)
