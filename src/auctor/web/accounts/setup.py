"""First start: while there is no account, a token that `auctor serve` printed makes one administrator, once."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from threading import Lock

from sqlalchemy import func, select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor, Role
from auctor.web.accounts.own import set_password
from auctor.web.accounts.people import shown, tidy
from auctor.web.store import Store
from auctor.web.store.tables import Account

INSTALLER = Actor.system("setup")


class SetupRefused(AuctorError):
    """The first administrator cannot be made this way."""

    status = 403


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The one-time door. Its token lives in this process only: another start prints another one."""

    store: Store
    breached: str = ""
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    _one: Lock = field(default_factory=Lock, repr=False)

    def needed(self) -> bool:
        """Whether there is no account yet."""
        with self.store.read(INSTALLER) as reading:
            return not reading.session.scalar(select(func.count()).select_from(Account))

    def check(self) -> None:
        """Raise `SetupRefused` when an account exists."""
        if not self.needed():
            raise SetupRefused(where="setup", what="an account exists", remedy="sign in")

    def make(self, token: str, *, login: str, name: str, password: str) -> str:
        """The first account, an administrator; its identifier. Raises `SetupRefused`, `PasswordRefused`."""
        self.check()
        if not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            raise SetupRefused(where="token", what="is not right", remedy="copy the one that `auctor serve` printed when it started")
        if not tidy(login) or any(sign.isspace() for sign in tidy(login)):
            raise SetupRefused(where="login", what="not one word", remedy="choose a login without blanks")
        with self._one, self.store.work(INSTALLER) as work:
            self.check()
            account = Account(login=tidy(login), name=name.strip() or tidy(login), roles=[Role.ADMINISTRATOR.value])
            set_password(account, password, work, breached=self.breached)
            work.session.add(account)
            work.session.flush()
            work.record("setup", "account", account.id, after=shown(account))
        return account.id
