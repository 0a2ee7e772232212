"""Administration: accounts with roles and wards, first and reset passwords, wards. Each verb leaves one audit entry."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import EVERY_WARD, Actor, Role
from auctor.web.accounts.passwords import hashed
from auctor.web.accounts.people import by_login, shown, tidy, wards_of
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.accounts.sessions import end_all
from auctor.web.store import Reading, Store, StoreError, Work
from auctor.web.store.sealing import Sealer
from auctor.web.store.tables import Account, AccountWard, Credential, Ward

FIRST_BYTES = 18  # of a first password: 144 bits


class DirectoryError(AuctorError):
    """An account or ward that cannot be made or changed as asked."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """An account as the administration shows it."""

    id: str
    login: str
    name: str
    roles: tuple[Role, ...]
    wards: tuple[str, ...]
    active: bool
    totp: bool
    passkeys: int
    oidc_subject: str


@dataclass(frozen=True, kw_only=True)
class Directory:
    """The accounts and wards of one store."""

    store: Store
    oidc_issuer: str = ""

    def people(self, actor: Actor) -> tuple[Person, ...]:
        """Every account by login."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.read(actor) as reading:
            return tuple(_person(reading, account) for account in reading.session.scalars(select(Account).order_by(Account.login)))

    def person(self, actor: Actor, account_id: str) -> Person:
        """One account. Raises NotFound."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.read(actor) as reading:
            return _person(reading, reading.get(Account, account_id))

    def find(self, actor: Actor, login: str) -> Person:
        """The account of a login. Raises `DirectoryError`."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.read(actor) as reading:
            account = by_login(reading, login)
            if account is None:
                raise DirectoryError(where="login", what="no such account", remedy="auctor account list shows them")
            return _person(reading, account)

    def add(
        self, actor: Actor, *, login: str, name: str, roles: Iterable[str], wards: Iterable[str] = (), oidc_subject: str = ""
    ) -> tuple[str, str]:
        """A new account; its identifier and first password, shown this once and good for three days.

        With `oidc_subject` the person signs in at the hospital's provider and there is no password (empty text).
        """
        demand(actor, Verb.MANAGE_ACCOUNTS)
        first = "" if oidc_subject else secrets.token_urlsafe(FIRST_BYTES)
        with self.store.work(actor) as work:
            if by_login(work, _login(login)) is not None:
                raise DirectoryError(where="login", what="is taken", remedy="choose another, or open that account again")
            account = Account(login=tidy(login), name=name.strip() or tidy(login), roles=_roles(roles))
            if oidc_subject:
                account.oidc_issuer, account.oidc_subject = self.oidc_issuer, oidc_subject
            else:
                _set_first(account, first, work)
            work.session.add(account)
            work.session.flush()
            _put_wards(work, account.id, wards)
            work.record("account.add", "account", account.id, after=shown(account) | {"wards": sorted(wards)})
        return account.id, first

    def change(self, actor: Actor, account_id: str, *, name: str, roles: Iterable[str], wards: Iterable[str], reason: str = "") -> None:
        """New name, roles and wards; where roles or wards change, every session of the account ends, so that none keeps the old ones."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.work(actor) as work:
            account = work.get(Account, account_id, lock=True)
            before = shown(account) | {"wards": sorted(wards_of(work, account_id))}
            account.name, account.roles = name.strip() or account.name, _roles(roles)
            _put_wards(work, account_id, wards)
            _keep_an_administrator(work, before["roles"])
            after = shown(account) | {"wards": sorted(set(wards))}
            if (before["roles"], before["wards"]) != (after["roles"], after["wards"]):
                end_all(work, account_id)
            work.record("account.change", "account", account_id, before=before, after=after, reason=reason)

    def set_active(self, actor: Actor, account_id: str, active: bool, *, reason: str = "") -> None:
        """Close an account, ending its sessions and stopping its keys, or open it again. It is never deleted: the audit trail names it."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.work(actor) as work:
            account = work.get(Account, account_id, lock=True)
            before, account.active = account.active, active
            _keep_an_administrator(work, account.roles)
            if not active:
                end_all(work, account_id)
            verb = "account.enable" if active else "account.disable"
            work.record(verb, "account", account_id, before={"active": before}, after={"active": active}, reason=reason)

    def end_sessions(self, actor: Actor, account_id: str) -> int:
        """Sign an account out everywhere; how many sessions were open."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.work(actor) as work:
            work.get(Account, account_id)
            ended = end_all(work, account_id)
            work.record("session.end_all", "account", account_id, after={"ended": ended})
        return ended

    def reseal(self, actor: Actor, old: Sealer) -> int:
        """Seal every authenticator key anew that `old` opens, after the installation's secret was renewed; how many were.

        Raises StoreError, and changes nothing, where one opens with neither secret.
        """
        demand(actor, Verb.MANAGE_ACCOUNTS)
        with self.store.work(actor) as work:
            sealed = work.session.scalars(select(Account).where(Account.totp_sealed.is_not(None)).with_for_update()).all()
            renewed = [account for account in sealed if self._resealed(account, old)]
            work.record("account.reseal", "store", "accounts", after={"resealed": len(renewed)})
        return len(renewed)

    def _resealed(self, account: Account, old: Sealer) -> bool:
        purpose = f"totp:{account.id}"
        try:
            self.store.unseal(str(account.totp_sealed), purpose=purpose)
        except StoreError:
            account.totp_sealed = self.store.seal(old.open(str(account.totp_sealed), purpose=purpose), purpose=purpose)
            return True
        return False

    def reset(self, actor: Actor, account_id: str, *, factors: bool = False, reason: str = "") -> str:
        """A new first password, shown this once; every session ends. Second factors stay, unless `factors`: they were lost too."""
        demand(actor, Verb.MANAGE_ACCOUNTS)
        first = secrets.token_urlsafe(FIRST_BYTES)
        with self.store.work(actor) as work:
            account = work.get(Account, account_id, lock=True)
            before = shown(account)
            _set_first(account, first, work)
            if factors:
                account.totp_sealed = account.totp_last_step = account.recovery_hashes = None
                work.session.execute(delete(Credential).where(Credential.account_id == account_id))
            end_all(work, account_id)
            work.record(
                "account.reset_all" if factors else "account.reset",
                "account",
                account_id,
                before=before,
                after=shown(account),
                reason=reason,
            )
        return first

    def wards(self, actor: Actor) -> tuple[Ward, ...]:
        """Every ward, those in use first."""
        demand(actor, Verb.MANAGE_WARDS)
        with self.store.read(actor) as reading:
            return tuple(reading.session.scalars(select(Ward).order_by(Ward.active.desc(), Ward.id)))

    def add_ward(self, actor: Actor, ward_id: str, name: str) -> None:
        """A new ward; its short name stays."""
        demand(actor, Verb.MANAGE_WARDS)
        short = ward_id.strip()
        if not short or not short.isprintable() or len(short) > 40 or short == EVERY_WARD or set(short) & set(", /?#%"):
            raise DirectoryError(where="ward", what="not a short name", remedy="up to 40 letters and digits, such as 'icu' or 'renal-2'")
        with self.store.work(actor) as work:
            if work.session.get(Ward, short) is not None:
                raise DirectoryError(where="ward", what="is there already", remedy="choose another short name")
            work.session.add(Ward(id=short, name=name.strip() or short))
            work.record("ward.add", "ward", short, ward=short, after={"name": name.strip() or short})

    def change_ward(self, actor: Actor, ward_id: str, *, name: str, active: bool) -> None:
        """Rename a ward, or take it out of use (its patients are then nobody's to see until it is used again)."""
        demand(actor, Verb.MANAGE_WARDS)
        with self.store.work(actor) as work:
            ward = work.get(Ward, ward_id, lock=True)
            before = ward.as_data()
            ward.name, ward.active = name.strip() or ward.name, active
            work.record("ward.change", "ward", ward_id, ward=ward_id, before=before, after=ward.as_data())


def _person(reading: Reading, account: Account) -> Person:
    passkeys = reading.session.scalars(select(Credential.id).where(Credential.account_id == account.id)).all()
    wards = reading.session.scalars(select(AccountWard.ward_id).where(AccountWard.account_id == account.id).order_by(AccountWard.ward_id))
    return Person(
        id=account.id,
        login=account.login,
        name=account.name,
        roles=tuple(role for role in Role if role in account.roles),
        wards=tuple(wards),
        active=account.active,
        totp=bool(account.totp_sealed),
        passkeys=len(passkeys),
        oidc_subject=account.oidc_subject or "",
    )


def _login(text: str) -> str:
    login = tidy(text)
    if not login or len(login) > 200 or not login.isprintable() or any(sign.isspace() for sign in login) or login.startswith("system:"):
        raise DirectoryError(where="login", what="not a login", remedy="one word of printable signs")
    return login


def _roles(roles: Iterable[str]) -> list[str]:
    try:
        return sorted({Role(role).value for role in roles})
    except ValueError:
        raise DirectoryError(where="roles", what="no such role", remedy=f"choose among {', '.join(Role)}") from None


def _set_first(account: Account, password: str, work: Work) -> None:
    account.password_hash, account.password_changed_at, account.must_change_password = hashed(password), work.at, True


def _put_wards(work: Work, account_id: str, wards: Iterable[str]) -> None:
    """Make the account's wards these. Raises `DirectoryError` for one that does not exist."""
    wanted, have = set(wards), set(work.session.scalars(select(AccountWard.ward_id).where(AccountWard.account_id == account_id)))
    for ward in sorted(wanted - have):
        if work.session.get(Ward, ward) is None:
            raise DirectoryError(where="wards", what="no such ward", remedy="add the ward first: auctor ward add")
        work.session.add(AccountWard(account_id=account_id, ward_id=ward))
    for ward in have - wanted:
        work.session.delete(work.get(AccountWard, (account_id, ward)))


def _keep_an_administrator(work: Work, before: Iterable[str]) -> None:
    """Raise `DirectoryError` where the change of an account with these roles would leave no administrator."""
    if Role.ADMINISTRATOR not in before:
        return
    work.session.flush()
    active = work.session.scalars(select(Account).where(Account.active))
    if not any(Role.ADMINISTRATOR in account.roles for account in active):
        raise DirectoryError(where="roles", what="nobody would be left to administer", remedy="make another account administrator first")
