"""The pages of one's own account: password, second factors, sessions, keys of programs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel

from auctor.errors import AuctorError
from auctor.web.accounts.forms import AtReception, FreshSession, OwnSession
from auctor.web.accounts.permissions import Scope, Verb, may
from auctor.web.accounts.reception import Reception
from auctor.web.accounts.second_factor import qr_svg
from auctor.web.middleware.forgery import csrf_token
from auctor.web.middleware.refusal import status_of
from auctor.web.middleware.visit import DutyFirst, Found
from auctor.web.pages.rendering import language_of, page

router = APIRouter(prefix="/account", include_in_schema=False, dependencies=[may(Verb.OWN_ACCOUNT)])
Text = Annotated[str, Form(max_length=2000)]


class NewPasskey(BaseModel):
    """What the browser's authenticator answered, as JSON text, and a name for it."""

    answer: str
    name: str = ""


@router.get("")
def account(request: Request, reception: AtReception, session: OwnSession) -> Response:
    """The state of one's factors, sessions and keys."""
    return _account(request, reception, session)


@router.post("/password")
def password(request: Request, reception: AtReception, session: OwnSession, present: Text, new: Text) -> Response:
    """A new password; the other sessions end."""
    try:
        reception.own.change_password(session.actor, present=present, new=new, session=session.session_id)
    except AuctorError as error:
        return _account(request, reception, session, error=error)
    return _done()


@router.post("/totp")
def begin_totp(request: Request, reception: AtReception, session: FreshSession) -> Response:
    """A new key for the authenticator, as a picture and as text."""
    key, uri = reception.own.begin_totp(session.actor, session=session.session_id)
    return _account(request, reception, session, totp_key=key, uri=uri)


@router.post("/totp/confirm")
def confirm_totp(request: Request, reception: AtReception, session: FreshSession, code: Text) -> Response:
    """The first code: the authenticator counts from now on."""
    try:
        codes = reception.own.confirm_totp(session.actor, code, session=session.session_id)
    except AuctorError as error:
        return _account(request, reception, session, error=error)
    return _account(request, reception, session, codes=codes)


@router.post("/totp/remove")
def remove_totp(reception: AtReception, session: FreshSession) -> Response:
    """Do without the authenticator."""
    reception.own.remove_totp(session.actor)
    return _done()


@router.post("/codes")
def codes(request: Request, reception: AtReception, session: FreshSession) -> Response:
    """New recovery codes."""
    return _account(request, reception, session, codes=reception.own.renew_codes(session.actor))


@router.post("/passkeys/options")
def passkey_options(reception: AtReception, session: FreshSession) -> dict[str, Any]:
    """What the browser needs to make a passkey."""
    return reception.own.begin_passkey(session.actor, session=session.session_id)


@router.post("/passkeys")
def add_passkey(request: Request, reception: AtReception, session: FreshSession, given: NewPasskey) -> dict[str, Any]:
    """Keep a passkey; recovery codes where it is the first factor."""
    found = reception.own.add_passkey(session.actor, given.answer, name=given.name, session=session.session_id)
    heading = language_of(request).say("Write these recovery codes down, they are shown this once:")
    return {"codes": list(found), "heading": heading}


@router.post("/passkeys/{passkey_id}/remove")
def remove_passkey(reception: AtReception, session: FreshSession, passkey_id: str) -> Response:
    """Do without a passkey."""
    reception.own.remove_passkey(session.actor, passkey_id)
    return _done()


@router.post("/sessions/end-others")
def end_others(reception: AtReception, session: FreshSession) -> Response:
    """End every other session."""
    reception.sessions.end_others(session.actor, session.session_id)
    return _done()


@router.post("/sessions/{session_id}/end")
def end_session(reception: AtReception, session: FreshSession, session_id: str) -> Response:
    """End one session."""
    reception.sessions.end(session.actor, session_id)
    return _done()


@router.post("/keys")
def make_key(
    request: Request,
    reception: AtReception,
    session: FreshSession,
    key_name: Text,
    days: Annotated[int, Form()],
    scopes: Annotated[list[Scope] | None, Form()] = None,
) -> Response:
    """A new key, shown once. A key works without a second factor, so nothing may be owed before it is made."""
    if session.duty:
        raise DutyFirst
    try:
        key = reception.keys.make(session.actor, name=key_name, scopes=frozenset(scopes or ()), days=days)
    except AuctorError as error:
        return _account(request, reception, session, error=error)
    return _account(request, reception, session, new_key=key)


@router.post("/keys/{key_id}/revoke")
def revoke_key(reception: AtReception, session: OwnSession, key_id: str) -> Response:
    """End a key."""
    reception.keys.revoke(session.actor, key_id)
    return _done()


def _done() -> Response:
    return RedirectResponse("/account", 303)


def _account(request: Request, reception: Reception, session: Found, *, uri: str = "", **shown: Any) -> Response:
    from markupsafe import Markup

    error = shown.get("error")
    context: dict[str, Any] = {
        "security": reception.own.security(session.actor),
        "sessions": reception.sessions.of(str(session.actor.account_id)),
        "session_id": session.session_id,
        "keys": reception.keys.of(str(session.actor.account_id)),
        "scopes": [(scope.value, scope.value) for scope in Scope],
        "duty": session.duty,
        "csrf_token": csrf_token(request),
        "codes": (),
        "new_key": "",
        "totp_key": "",
        "qr": Markup(qr_svg(uri)) if uri else "",
        "section": "account",
    }
    status = status_of(error) if error else 200
    return page(request, "security.html", title="Your account", status=status, **(context | shown))
