"""Idempotency-Key: a POST that is sent again with its key is done once, and answered alike.

The key is a row in the transaction of the verb itself, beside its one audit entry: either both are there or neither, whenever the process
or the connection dies. The row holds what was made (identifiers), never what was sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from pydantic import StringConstraints
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import select

from auctor.web.accounts.actor import EVERY_WARD, Actor
from auctor.web.api.problems import Reused
from auctor.web.middleware.visit import CurrentActor
from auctor.web.pages.visits import AtClinic
from auctor.web.service.clinic import Clinic
from auctor.web.store import Store, StoreError, Work
from auctor.web.store.audit import Entry
from auctor.web.store.tables import Message

CHANNEL = "api"
READER = Actor.system("api", wards=frozenset({EVERY_WARD}))
Key = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")] | SkipJsonSchema[None],
    Header(
        alias="Idempotency-Key",
        description="a name of your own for this request: sent again with it, it is done once",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One request of one account: its key, and the SHA-256 of what was asked."""

    account: str
    key: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class MarkedStore(Store):
    """A store whose unit of work also keeps the mark of the request."""

    mark: Mark

    @classmethod
    def over(cls, store: Store, mark: Mark) -> MarkedStore:
        """The same store, with the mark."""
        return cls(**{field.name: getattr(store, field.name) for field in fields(Store)}, mark=mark)

    @contextmanager
    def work(self, actor: Actor) -> Iterator[Work]:
        """As `Store.work`; StoreError where the same key came at the same time, and then nothing was written."""
        with super().work(actor) as work:
            yield work
            if work.entry is not None:
                work.session.add(self._row(work, work.entry))

    def _row(self, work: Work, entry: Entry) -> Message:
        made = json.dumps(made_by(entry))
        key = {"channel": CHANNEL, "sender": self.mark.account, "control_id": self.mark.key, "digest": self.mark.digest}
        return Message(**key, state="done", ack=made, ward_id=entry.ward, received_at=work.at, done_at=work.at)


def made_by(entry: Entry) -> list[str]:
    """Identifiers of what a verb made or changed."""
    added = entry.after.get("facts") if isinstance(entry.after, dict) else None
    return [str(fact["id"]) for fact in added] if added else [entry.object_id]


@dataclass(frozen=True, kw_only=True)
class Once:
    """Does a verb once for each key."""

    clinic: Clinic
    response: Response
    mark: Mark | None

    def do(self, verb: Callable[[Clinic], Any]) -> list[str]:
        """What the verb made; with a known key, what it made then. Raises `Reused` where the key was another request's."""
        if self.mark is None:
            return _listed(verb(self.clinic))
        known = self._known(self.mark)
        if known is not None:
            return known
        try:
            return _listed(verb(replace(self.clinic, store=MarkedStore.over(self.clinic.store, self.mark))))
        except StoreError:
            known = self._known(self.mark)  # the same request came twice at the same time, and the other one was first
            if known is None:
                raise
            return known

    def _known(self, mark: Mark) -> list[str] | None:
        mine = (Message.channel == CHANNEL, Message.sender == mark.account, Message.control_id == mark.key)
        with self.clinic.store.read(READER) as reading:
            row = reading.session.scalar(select(Message).where(*mine))
        if row is None:
            return None
        if row.digest != mark.digest:
            raise Reused(where="Idempotency-Key", what="used for another request", remedy="take a new key for each request")
        self.response.headers["idempotency-replayed"] = "true"
        return [str(one) for one in json.loads(row.ack or "[]")]


def _listed(made: str | Sequence[str]) -> list[str]:
    return [made] if isinstance(made, str) else list(made)


async def _digest(request: Request) -> str:
    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return hashlib.sha256(asked).hexdigest()


async def _once(request: Request, response: Response, clinic: AtClinic, actor: CurrentActor, key: Key = None) -> Once:
    if key is None:
        return Once(clinic=clinic, response=response, mark=None)
    return Once(clinic=clinic, response=response, mark=Mark(account=str(actor.account_id), key=key, digest=await _digest(request)))


AtOnce = Annotated[Once, Depends(_once)]
