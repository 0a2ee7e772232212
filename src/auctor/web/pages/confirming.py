"""Before a signature: the signer says once more who they are, by password, code, passkey, or a new sign-in at the hospital's provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.forms import browser_of, reception_of
from auctor.web.middleware.visit import Visit
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank


def confirmation(request: Request, actor: Actor, sent: Blank) -> Callable[[], None]:
    """What to call at the moment of signing; it raises when nothing is given or what is given is wrong."""
    door, browser = reception_of(request).sign_in, browser_of(request)

    def ask() -> None:
        if sent["passkey"]:
            door.confirm_passkey(actor, sent["passkey"], browser)
        elif sent["password"] or sent["code"]:
            door.confirm(actor, sent["password"] or sent["code"], address=browser.address)
        elif not door.use_confirmed(_session(request)):
            raise CaseError(where="password", what=N_("missing"), remedy=N_("say once more who you are: a signature needs it"))

    return ask


def ways(request: Request, actor: Actor) -> dict[str, Any]:
    """How this person can say so: `password`, `code`, `passkey`, the name of the `provider`; `confirmed` when they just did there."""
    reception = reception_of(request)
    security = reception.own.security(actor)
    return {
        "password": security.has_password,
        "code": security.totp,
        "passkey": bool(security.passkeys),
        "provider": request.app.state.settings.oidc_name if reception.provider and security.linked else "",
        "confirmed": reception.sign_in.is_confirmed(_session(request)),
    }


def _session(request: Request) -> str:
    visit: Visit = request.state.visit
    return "" if visit.found is None else visit.found.session_id
