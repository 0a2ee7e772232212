"""Which account an identity of the provider is: the one linked to it, or a new one without roles where the installation allows it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.oidc import Identity
from auctor.web.accounts.people import by_login, shown, tidy
from auctor.web.store import Store
from auctor.web.store.tables import Account

DOOR = Actor.system("identity")


class UnknownIdentity(AuctorError):
    """The provider vouched for a person who has no account here."""

    status = 403


@dataclass(frozen=True, kw_only=True)
class Identities:
    """Accounts by (issuer, subject), never by a name or address, which a provider may give to somebody else later."""

    store: Store
    create: bool = False

    def account_of(self, identity: Identity) -> str:
        """The identifier of the account. Raises `UnknownIdentity`."""
        with self.store.read(DOOR) as reading:
            found = reading.session.scalar(
                select(Account).where(Account.oidc_issuer == identity.issuer, Account.oidc_subject == identity.subject)
            )
        if found is not None:
            return found.id
        if not self.create:
            remedy = "give your administrator this subject to link: " + identity.subject
            raise UnknownIdentity(where="hospital sign-in", what="you have no account in auctor", remedy=remedy)
        return self._made(identity)

    def _made(self, identity: Identity) -> str:
        """A new account that sees and may do nothing until an administrator gives it roles and wards."""
        with self.store.work(DOOR) as work:
            login = tidy(identity.login)
            if by_login(work, login) is not None:
                login = tidy(f"{login}#{identity.subject}")
            account = Account(
                login=login[:200],
                name=identity.name[:200],
                roles=[],
                oidc_issuer=identity.issuer,
                oidc_subject=identity.subject,
            )
            work.session.add(account)
            work.session.flush()
            work.record("account.add", "account", account.id, after=shown(account))
        return account.id
