"""Before a signature: the signer says once more who they are, by password or by a code of the second factor."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request

from auctor.errors import CaseError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.forms import browser_of, reception_of
from auctor.web.pages.language import N_
from auctor.web.pages.rendering import Blank


def confirmation(request: Request, actor: Actor, sent: Blank) -> Callable[[], None]:
    """What to call at the moment of signing; it raises when neither is given or what is given is wrong."""
    door, address = reception_of(request).sign_in, browser_of(request).address

    def ask() -> None:
        if not sent["password"]:
            raise CaseError(where="password", what=N_("missing"), remedy=N_("enter it again: a signature needs it"))
        door.confirm(actor, sent["password"], address=address)

    return ask
