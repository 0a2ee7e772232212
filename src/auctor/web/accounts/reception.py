"""Everything of this package over one store, as the application holds it in `app.state.reception`."""

from __future__ import annotations

from dataclasses import dataclass

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.directory import Directory
from auctor.web.accounts.identities import Identities
from auctor.web.accounts.keys import Keys
from auctor.web.accounts.oidc import Provider
from auctor.web.accounts.own import OwnAccount
from auctor.web.accounts.pending import Pending
from auctor.web.accounts.rates import Rates
from auctor.web.accounts.sessions import Sessions
from auctor.web.accounts.setup import Setup
from auctor.web.accounts.sign_in import SignIn
from auctor.web.middleware.visit import Found
from auctor.web.settings import Settings
from auctor.web.store import Store


@dataclass(frozen=True, kw_only=True)
class Reception:
    """The doorkeeper of `Visits`, and the verbs behind the account pages. `provider` is None without a configured one."""

    sessions: Sessions
    keys: Keys
    sign_in: SignIn
    own: OwnAccount
    directory: Directory
    setup: Setup
    identities: Identities
    provider: Provider | None

    @classmethod
    def over(cls, store: Store, settings: Settings) -> Reception:
        """The reception of one installation."""
        pending, sessions = Pending(), Sessions(store=store, settings=settings)
        return cls(
            sessions=sessions,
            keys=Keys(store=store),
            sign_in=SignIn(store=store, sessions=sessions, rates=Rates(store), pending=pending),
            own=OwnAccount(store=store, settings=settings, pending=pending),
            directory=Directory(store=store, oidc_issuer=settings.oidc_issuer),
            setup=Setup(store=store, breached=settings.breached_passwords),
            identities=Identities(store=store, create=settings.oidc_create_accounts),
            provider=Provider(settings=settings, pending=pending) if settings.oidc_issuer else None,
        )

    def by_cookie(self, token: str) -> Found | None:
        """The live session of a cookie."""
        return self.sessions.find(token)

    def by_key(self, key: str) -> Actor | None:
        """The program behind a bearer key."""
        return self.keys.find(key)
