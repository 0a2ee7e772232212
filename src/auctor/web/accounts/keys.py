"""API keys: a program acts for an account with a key that is narrowed to scopes and ends; only its SHA-256 is kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.people import actor_of
from auctor.web.accounts.permissions import Scope, Verb, demand
from auctor.web.accounts.second_factor import fingerprint
from auctor.web.accounts.touch import touch
from auctor.web.store import NotFound, Store
from auctor.web.store.tables import Account, ApiKey, now

START, PREFIX_SIGNS = "auctor_", 15
LONGEST_DAYS = 366
TOUCH = timedelta(minutes=1)
READER = Actor.system("keys")


class KeyRefused(AuctorError):
    """A key that cannot be made as asked."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of one store."""

    store: Store

    def make(self, actor: Actor, *, name: str, scopes: frozenset[Scope], days: int) -> str:
        """A new key of the actor's account; the key itself is shown this once. At most a year, at least one scope."""
        demand(actor, Verb.OWN_ACCOUNT)
        if not name.strip() or not scopes or not 1 <= days <= LONGEST_DAYS:
            what = "needs a name, at least one scope and an end"
            raise KeyRefused(where="key", what=what, remedy=f"give 1 to {LONGEST_DAYS} days and tick what the program does")
        key = START + secrets.token_urlsafe(32)
        with self.store.work(actor) as work:
            row = ApiKey(
                account_id=str(actor.account_id),
                name=name.strip(),
                prefix=key[:PREFIX_SIGNS],
                key_hash=fingerprint(key),
                scopes=sorted(scopes),
                created_at=work.at,
                expires_at=work.at + timedelta(days=days),
            )
            work.session.add(row)
            work.session.flush()
            work.record("key.make", "api_key", row.id, after={name: v for name, v in row.as_data().items() if name != "key_hash"})
        return key

    def find(self, key: str) -> Actor | None:
        """The actor of a key that holds, None for any other."""
        moment = now()
        with self.store.read(READER) as reading:
            row = reading.session.scalar(select(ApiKey).where(ApiKey.key_hash == fingerprint(key)))
            if row is None or row.revoked_at is not None or row.expires_at is None or row.expires_at <= moment:
                return None
            account = reading.session.get(Account, row.account_id)
            if account is None or not account.active:
                return None
            actor = actor_of(reading, account, channel="api", scopes=frozenset(row.scopes or ()))
        if row.last_used_at is None or moment - row.last_used_at > TOUCH:
            touch(self.store, update(ApiKey).where(ApiKey.id == row.id).values(last_used_at=moment))
        return actor

    def of(self, account_id: str) -> list[ApiKey]:
        """The account's keys that were not revoked, the latest first."""
        query = select(ApiKey).where(ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None)).order_by(ApiKey.created_at.desc())
        with self.store.read(READER) as reading:
            return list(reading.session.scalars(query))

    def revoke(self, actor: Actor, key_id: str) -> None:
        """End a key of the actor's own account at once. Raises `NotFound` for another's."""
        with self.store.work(actor) as work:
            row = work.get(ApiKey, key_id)
            if row.account_id != actor.account_id:
                raise NotFound(where="key", what="no such key of yours", remedy="open the list again")
            row.revoked_at = work.at
            work.record("key.revoke", "api_key", key_id)
