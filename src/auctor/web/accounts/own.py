"""One's own account: password, authenticator app, recovery codes, passkeys. Ward and role are the administrator's."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.passkeys import creation_options, new_challenge, registered
from auctor.web.accounts.passwords import checked, hashed, matches
from auctor.web.accounts.pending import Pending
from auctor.web.accounts.people import passkeys_of, second_factors, shown
from auctor.web.accounts.permissions import Verb, demand
from auctor.web.accounts.second_factor import accepted_step, new_recovery_codes, new_totp_key, recovery_fingerprint, totp_uri
from auctor.web.accounts.sessions import end_all
from auctor.web.settings import Settings
from auctor.web.store import NotFound, Store, Work
from auctor.web.store.tables import Account, Credential


class OwnAccountError(AuctorError):
    """A change of one's own account that cannot be made."""


@dataclass(frozen=True, kw_only=True)
class Security:
    """What the page on one's own account shows."""

    login: str
    name: str
    has_password: bool
    must_change: bool
    totp: bool
    recovery_left: int
    passkeys: tuple[Credential, ...]
    linked: bool


@dataclass(frozen=True, kw_only=True)
class OwnAccount:
    """The verbs. `session` is the identifier of the actor's present session, which stays when others end."""

    store: Store
    settings: Settings
    pending: Pending

    def security(self, actor: Actor) -> Security:
        """The state of the actor's factors."""
        demand(actor, Verb.OWN_ACCOUNT)
        with self.store.read(actor) as reading:
            account = reading.get(Account, str(actor.account_id))
            return Security(
                login=account.login,
                name=account.name,
                has_password=account.password_hash is not None,
                must_change=account.must_change_password,
                totp=account.totp_sealed is not None,
                recovery_left=len(account.recovery_hashes or ()),
                passkeys=tuple(passkeys_of(reading, account.id)),
                linked=account.oidc_subject is not None,
            )

    def change_password(self, actor: Actor, *, present: str, new: str, session: str) -> None:
        """A new password instead of the present one; every other session ends. Raises `PasswordRefused`, `OwnAccountError`."""
        demand(actor, Verb.OWN_ACCOUNT)
        with self.store.work(actor) as work:
            account = _own(work, actor)
            if not matches(present, account.password_hash):
                raise OwnAccountError(where="present password", what="is not right", remedy="type it again, or ask for a reset")
            if present == new:
                raise OwnAccountError(where="password", what="is the old one", remedy="choose another")
            set_password(account, new, work, breached=self.settings.breached_passwords)
            end_all(work, account.id, keep=session)
            work.record("account.password", "account", account.id)

    def begin_totp(self, actor: Actor, *, session: str) -> tuple[str, str]:
        """A new authenticator key (base32) and its otpauth address, kept for five minutes until a first code confirms it."""
        demand(actor, Verb.OWN_ACCOUNT)
        key = new_totp_key()
        self.pending.put("totp", session, key=key)
        return key, totp_uri(key, account=actor.login)

    def confirm_totp(self, actor: Actor, code: str, *, session: str) -> tuple[str, ...]:
        """Set the authenticator up by its first right code; the recovery codes where none were left. Raises `OwnAccountError`."""
        demand(actor, Verb.OWN_ACCOUNT)
        note = self.pending.look("totp", session)
        step = accepted_step(note["key"], code, after=0) if note else None
        if note is None or step is None:
            raise OwnAccountError(where="code", what="is not right or too late", remedy="scan the picture again and type the code it shows")
        with self.store.work(actor) as work:
            account = _own(work, actor)
            before = shown(account)
            account.totp_sealed = self.store.seal(note["key"], purpose=f"totp:{account.id}")
            account.totp_last_step = step
            codes = () if account.recovery_hashes else _new_codes(account)
            work.record("account.totp", "account", account.id, before=before, after=shown(account))
        self.pending.take("totp", session)
        return codes

    def remove_totp(self, actor: Actor) -> None:
        """Do without the authenticator."""
        demand(actor, Verb.OWN_ACCOUNT)
        with self.store.work(actor) as work:
            account = _own(work, actor)
            before = shown(account)
            account.totp_sealed = account.totp_last_step = None
            self._tidy_codes(work, account)
            work.record("account.totp_remove", "account", account.id, before=before, after=shown(account))

    def renew_codes(self, actor: Actor) -> tuple[str, ...]:
        """Ten new recovery codes, shown this once; the old ones are void. Raises `OwnAccountError` without a second factor."""
        demand(actor, Verb.OWN_ACCOUNT)
        with self.store.work(actor) as work:
            account = _own(work, actor)
            if not second_factors(work, account):
                remedy = "set up an authenticator or a passkey first"
                raise OwnAccountError(where="recovery codes", what="no second factor to recover", remedy=remedy)
            codes = _new_codes(account)
            work.record("account.recovery_codes", "account", account.id)
        return codes

    def begin_passkey(self, actor: Actor, *, session: str) -> dict[str, object]:
        """What the browser needs to make a passkey for this account."""
        demand(actor, Verb.OWN_ACCOUNT)
        challenge = new_challenge()
        self.pending.put("new-passkey", session, challenge=challenge)
        with self.store.read(actor) as reading:
            account = reading.get(Account, str(actor.account_id))
            have = [one.credential_id for one in passkeys_of(reading, account.id)]
        person = {"account_id": account.id, "login": account.login, "name": account.name}
        return creation_options(self.settings, **person, challenge=challenge, have=have)

    def add_passkey(self, actor: Actor, answer: str, *, name: str, session: str) -> tuple[str, ...]:
        """Keep the passkey of an answer; the recovery codes where none were left. Raises `PasskeyRefused`, `OwnAccountError`."""
        demand(actor, Verb.OWN_ACCOUNT)
        note = self.pending.take("new-passkey", session)
        if note is None:
            raise OwnAccountError(where="passkey", what="too late", remedy="start again")
        passkey = registered(self.settings, answer, challenge=note["challenge"])
        with self.store.work(actor) as work:
            account = _own(work, actor)
            row = Credential(
                account_id=account.id,
                credential_id=passkey.credential_id,
                public_key=passkey.public_key,
                sign_count=passkey.sign_count,
                transports=list(passkey.transports),
                name=name.strip()[:200] or "passkey",
            )
            work.session.add(row)
            codes = () if account.recovery_hashes else _new_codes(account)
            work.record("account.passkey", "account", account.id, after={"name": row.name})
        return codes

    def remove_passkey(self, actor: Actor, passkey_id: str) -> None:
        """Do without one of one's passkeys. Raises NotFound for another's."""
        demand(actor, Verb.OWN_ACCOUNT)
        with self.store.work(actor) as work:
            row = work.get(Credential, passkey_id)
            if row.account_id != actor.account_id:
                raise NotFound(where="passkey", what="no such passkey of yours", remedy="open the list again")
            work.session.delete(row)
            work.session.flush()
            self._tidy_codes(work, _own(work, actor))
            work.record("account.passkey_remove", "account", row.account_id, before={"name": row.name})

    def _tidy_codes(self, work: Work, account: Account) -> None:
        """Recovery codes go with the last factor that they recover."""
        others = work.session.scalar(select(Credential.id).where(Credential.account_id == account.id).limit(1))
        if account.totp_sealed is None and others is None:
            account.recovery_hashes = None


def set_password(account: Account, new: str, work: Work, *, breached: str) -> None:
    """Within a unit of work: a password that keeps the rules, and is the person's own. Raises `PasswordRefused`."""
    account.password_hash = hashed(checked(new, about=(account.login, *account.name.split()), breached=breached))
    account.password_changed_at, account.must_change_password = work.at, False


def _own(work: Work, actor: Actor) -> Account:
    return work.get(Account, str(actor.account_id), lock=True)


def _new_codes(account: Account) -> tuple[str, ...]:
    codes = new_recovery_codes()
    account.recovery_hashes = [recovery_fingerprint(code) for code in codes]
    return codes
