"""Sessions: a random token in the browser, its SHA-256 in the store, an idle and an absolute end, and a list to end others from."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update

from auctor.web.accounts.actor import Actor
from auctor.web.accounts.people import actor_of, second_factors
from auctor.web.accounts.second_factor import fingerprint
from auctor.web.accounts.touch import touch
from auctor.web.middleware.visit import Found
from auctor.web.settings import Settings
from auctor.web.store import NotFound, Reading, Store, Work
from auctor.web.store.tables import Account, Session, now

TOUCH = timedelta(minutes=1)
READER = Actor.system("sessions")
STRONG = frozenset({"totp", "recovery", "passkey", "oidc"})


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """The sessions of one store."""

    store: Store
    settings: Settings

    def add(self, work: Work, account: Account, *, factors: tuple[str, ...], user_agent: str) -> str:
        """A new session in a unit of work that records the sign-in; the token for the cookie, which is kept nowhere."""
        token = secrets.token_urlsafe(32)
        work.session.add(
            Session(
                id=fingerprint(token),
                account_id=account.id,
                csrf=fingerprint(f"forms {token}"),
                factors=list(factors),
                user_agent="".join(sign for sign in user_agent if sign.isprintable())[:200],
                created_at=work.at,
                seen_at=work.at,
                expires_at=work.at + timedelta(hours=self.settings.session_absolute_hours),
            )
        )
        return token

    def find(self, token: str) -> Found | None:
        """The live session of a token, None where it is unknown or over; using it puts its idle end off."""
        moment = now()
        with self.store.read(READER) as reading:
            row = reading.session.get(Session, fingerprint(token))
            account = reading.session.get(Account, row.account_id) if row is not None and self._lives(row, moment) else None
            if row is None or account is None or not account.active:
                return None
            found = self._found(reading, row, account, moment)
        if moment - row.seen_at > TOUCH:
            touch(self.store, update(Session).where(Session.id == row.id).values(seen_at=moment))
        return found

    def _lives(self, row: Session, moment: datetime) -> bool:
        idle = timedelta(minutes=self.settings.session_idle_minutes)
        return row.ended_at is None and moment < row.expires_at and moment < row.seen_at + idle

    def _found(self, reading: Reading, row: Session, account: Account, moment: datetime) -> Found:
        factors = tuple(row.factors or ())
        duty = "password" if account.must_change_password else ""
        if not duty and self.settings.asks_second_factor and not STRONG & {*factors, *second_factors(reading, account)}:
            duty = "second-factor"
        return Found(
            actor=actor_of(reading, account, channel="page"),
            session_id=row.id,
            locale=account.locale,
            factors=factors,
            age_s=(moment - row.created_at).total_seconds(),
            duty=duty,
        )

    def of(self, account_id: str) -> list[Session]:
        """The account's live sessions, the latest first."""
        moment = now()
        with self.store.read(READER) as reading:
            rows = reading.session.scalars(select(Session).where(Session.account_id == account_id).order_by(Session.created_at.desc()))
            return [row for row in rows if self._lives(row, moment)]

    def end(self, actor: Actor, session_id: str) -> None:
        """End one session of the actor's own account. Raises `NotFound` for another's."""
        with self.store.work(actor) as work:
            row = work.get(Session, session_id)
            if row.account_id != actor.account_id:
                raise NotFound(where="session", what="no such session of yours", remedy="open the list again")
            if row.ended_at is None:
                row.ended_at = work.at
                work.record("session.end", "account", str(actor.account_id), after={"session": session_id[:12]})

    def end_others(self, actor: Actor, keep: str) -> None:
        """End every session of the actor's account but one."""
        with self.store.work(actor) as work:
            ended = end_all(work, str(actor.account_id), keep=keep)
            work.record("session.end_others", "account", str(actor.account_id), after={"ended": ended})


def end_all(work: Work, account_id: str, *, keep: str = "") -> int:
    """Within a unit of work: end the account's sessions; how many were open."""
    rows = work.session.scalars(
        select(Session).where(Session.account_id == account_id, Session.ended_at.is_(None), Session.id != keep)
    ).all()
    for row in rows:
        row.ended_at = work.at
    return len(rows)
