"""Accounts as the rest of this package reads them: the actor of an account, what an audit entry shows of it, finding one by its login."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from auctor.web.accounts.actor import Actor, Role
from auctor.web.store import Reading
from auctor.web.store.tables import Account, AccountWard, Credential, Ward

SECRET_COLUMNS = ("password_hash", "totp_sealed", "recovery_hashes")


def tidy(login: str) -> str:
    """A login as it is kept and compared: trimmed, without regard to case.

    >>> tidy(" Ada@Example ")
    'ada@example'
    """
    return login.strip().casefold()


def by_login(reading: Reading, login: str) -> Account | None:
    """The account of a login, active or not."""
    return reading.session.scalar(select(Account).where(Account.login == tidy(login)))


def wards_of(reading: Reading, account_id: str) -> frozenset[str]:
    """The identifiers of the wards that are in use and that the account sees."""
    query = select(AccountWard.ward_id).join(Ward, Ward.id == AccountWard.ward_id).where(AccountWard.account_id == account_id, Ward.active)
    return frozenset(reading.session.scalars(query))


def actor_of(reading: Reading, account: Account, *, channel: str, scopes: frozenset[str] | None = None) -> Actor:
    """Who the account is when it acts."""
    roles = frozenset(Role(role) for role in account.roles)
    wards = wards_of(reading, account.id)
    who = {"account_id": account.id, "login": account.login, "name": account.name}
    return Actor(**who, roles=roles, wards=wards, channel=channel, scopes=scopes)


def passkeys_of(reading: Reading, account_id: str) -> list[Credential]:
    """The account's passkeys, oldest first."""
    return list(reading.session.scalars(select(Credential).where(Credential.account_id == account_id).order_by(Credential.created_at)))


def second_factors(reading: Reading, account: Account) -> frozenset[str]:
    """Which second factors are set up: `totp`, `passkey`; `recovery` where one of the two is and codes are left."""
    found = {"totp"} if account.totp_sealed else set()
    found |= {"passkey"} if passkeys_of(reading, account.id) else set()
    return frozenset(found | ({"recovery"} if found and account.recovery_hashes else set()))


def shown(account: Account) -> dict[str, Any]:
    """The account as an audit entry shows it: whether secrets are set, never what they are."""
    data = account.as_data()
    return {name: bool(value) if name in SECRET_COLUMNS else value for name, value in data.items()}
