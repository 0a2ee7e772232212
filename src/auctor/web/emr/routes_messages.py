"""HL7 messages that wait for a person, for an administrator: why, and read again after the site's table was completed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.permissions import Verb, may
from auctor.web.emr.interface import Interface
from auctor.web.emr.journal import Entry
from auctor.web.emr.records import NoRecord
from auctor.web.pages.rendering import page
from auctor.web.pages.visits import Sent

router = APIRouter(prefix="/admin/messages")
TITLE = "HL7 messages that wait for a person"
Operator = Annotated[Actor, may(Verb.OPERATE)]


def interface_of(request: Request) -> Interface:
    """The HL7 interface; NoRecord where none is set up."""
    found: Interface | None = request.app.state.interface
    if found is None:
        raise NoRecord(where="interface", what="no HL7 interface is set up", remedy="see docs/hl7.md")
    return found


@router.get("")
def letters(request: Request, actor: Operator) -> Response:
    """The messages that wait. No patient value is shown: why each waits says where, not what."""
    return _page(request, actor)


def _page(request: Request, actor: Actor, error: AuctorError | None = None) -> Response:
    rows = [_row(entry) for entry in interface_of(request).dead(actor)]
    shown = {"rows": rows, "counts": interface_of(request).journal.counts(), "error": error}
    return page(request, "messages.html", title=TITLE, section="admin", status=200 if error is None else 422, **shown)


def _row(entry: Entry) -> dict[str, object]:
    problems = entry.outcome.problems if entry.outcome else ()
    sender = "^".join(filter(None, (entry.application, entry.facility)))
    received = entry.received.replace("T", " ")[:16] + " UTC"
    return {"id": entry.id, "event": entry.event, "sender": sender, "control": entry.control_id, "received": received, "problems": problems}


@router.post("/{number}/replay")
def replay(request: Request, actor: Operator, number: int, sent: Sent) -> Response:
    """Read one of them again."""
    try:
        interface_of(request).replay(actor, number)
    except AuctorError as error:
        return _page(request, actor, error)
    return RedirectResponse("/admin/messages", 303)
