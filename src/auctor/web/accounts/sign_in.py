"""Signing in: a password and where set up a second factor, a passkey alone, or the hospital's identity provider.

Every refusal reads the same, and a login that does not exist costs the same work as a wrong password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from auctor.errors import AuctorError
from auctor.web.accounts.actor import Actor
from auctor.web.accounts.passkeys import Passkey, credential_of, new_challenge, new_sign_count, request_options
from auctor.web.accounts.passwords import hashed, matches, outdated
from auctor.web.accounts.pending import Pending
from auctor.web.accounts.people import by_login, second_factors, tidy
from auctor.web.accounts.rates import Rates
from auctor.web.accounts.second_factor import accepted_step, fingerprint, recovery_fingerprint
from auctor.web.accounts.sessions import Sessions
from auctor.web.operate.logs import event
from auctor.web.store import Store, Work
from auctor.web.store.tables import Account, Credential, now

DOOR = Actor.system("sign-in")
FIRST_PASSWORD_HOLDS = timedelta(hours=72)


class SignInRefused(AuctorError):
    """Not signed in; the text is the same whatever was wrong. `account` is for the log alone."""

    status = 401

    def __init__(self, what: str = "the login, password or code is not right", *, account: Account | None = None) -> None:
        super().__init__(where="sign-in", what=what, remedy="try again, or ask your administrator")
        self.account = account.id if account is not None else "unknown"


@dataclass(frozen=True, kw_only=True)
class Browser:
    """Who knocks: the visitor cookie's value, the address and the name the browser gives itself."""

    visitor: str
    address: str
    user_agent: str


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """The door of one installation. Every way in ends in `Sessions.add`: a new token each time."""

    store: Store
    sessions: Sessions
    rates: Rates
    pending: Pending

    def password(self, login: str, password: str, browser: Browser) -> str | None:
        """The session's token, or None where a second factor is to follow. Raises `SignInRefused`, `TooMany`."""
        self.rates.check(account=tidy(login), address=browser.address)
        with self._counted(login, browser.address, "password"), self.store.read(DOOR) as reading:
            account = by_login(reading, login)
            right = matches(password, account.password_hash if account is not None else None)
            if account is None or not right or not account.active or _stale(account):
                raise SignInRefused(account=account)
            follows = second_factors(reading, account)
        if follows:
            self.pending.put("second", browser.visitor, account=account.id, login=account.login)
            return None
        fresh = hashed(password) if outdated(str(account.password_hash)) else None
        return self._opened(account.id, ("password",), browser, password_hash=fresh)

    def waiting(self, browser: Browser) -> frozenset[str]:
        """The second factors of the account whose password was just given; empty when none was, or too long ago."""
        note = self.pending.look("second", browser.visitor)
        if note is None:
            return frozenset()
        with self.store.read(DOOR) as reading:
            return second_factors(reading, reading.get(Account, note["account"]))

    def code(self, code: str, browser: Browser) -> str:
        """The session's token for a time-based or a recovery code, each good once. Raises `SignInRefused`, `TooMany`."""
        note = self.pending.look("second", browser.visitor)
        if note is None:
            raise SignInRefused("too much time has passed since the password")
        self.rates.check(account=note["login"], address=browser.address)
        with self._counted(note["login"], browser.address, "code"), self.store.work(DOOR) as work:
            account = work.get(Account, note["account"], lock=True)
            factor = self._use_code(account, code) if account.active else ""
            if not factor:
                raise SignInRefused(account=account)
            token = self._open(work, account, ("password", factor), browser)
        self.pending.take("second", browser.visitor)
        return token

    def _use_code(self, account: Account, code: str) -> str:
        """Which factor the code is, having used it up; empty for neither."""
        if account.totp_sealed:
            key = self.store.unseal(account.totp_sealed, purpose=f"totp:{account.id}")
            step = accepted_step(key, code, after=account.totp_last_step or 0)
            if step is not None:
                account.totp_last_step = step
                return "totp"
        left = list(account.recovery_hashes or ())
        if (given := recovery_fingerprint(code)) in left:
            account.recovery_hashes = [one for one in left if one != given]
            return "recovery"
        return ""

    def passkey_options(self, browser: Browser) -> dict[str, object]:
        """What the browser needs to ask for a passkey; its challenge holds for one answer of this browser."""
        challenge = new_challenge()
        self.pending.put("passkey", browser.visitor, challenge=challenge)
        return request_options(self.sessions.settings, challenge=challenge)

    def passkey(self, answer: str, browser: Browser) -> str:
        """The session's token for a passkey's answer (two factors in one: the device and what unlocks it). Raises `SignInRefused`."""
        self.rates.check(account="", address=browser.address)
        note = self.pending.take("passkey", browser.visitor)
        with self._counted("", browser.address, "passkey"), self.store.work(DOOR) as work:
            account = self._proved(work, answer, note)
            token = self._open(work, account, ("passkey",), browser)
        self.pending.take("second", browser.visitor)
        return token

    def _proved(self, work: Work, answer: str, note: dict[str, str] | None, *, login: str = "") -> Account:
        """The account, locked, whose passkey gave this answer; with `login` only that one's. Raises `SignInRefused`."""
        row = work.session.scalar(select(Credential).where(Credential.credential_id == credential_of(answer)))
        account = work.get(Account, row.account_id, lock=True) if row is not None else None
        if note is None or row is None or account is None or not account.active or login not in ("", account.login):
            raise SignInRefused(account=account)
        try:
            kept = Passkey(credential_id=row.credential_id, public_key=row.public_key, sign_count=row.sign_count)
            row.sign_count = new_sign_count(self.sessions.settings, answer, challenge=note["challenge"], passkey=kept)
        except AuctorError:
            raise SignInRefused(account=account) from None
        row.last_used_at = work.at
        return account

    def identity(self, account_id: str, browser: Browser) -> str:
        """The session's token for an account that the identity provider vouched for (`oidc`)."""
        return self._opened(account_id, ("oidc",), browser)

    def _opened(self, account_id: str, factors: tuple[str, ...], browser: Browser, *, password_hash: str | None = None) -> str:
        with self.store.work(DOOR) as work:
            account = work.get(Account, account_id, lock=True)
            if not account.active:
                raise SignInRefused
            if password_hash:
                account.password_hash = password_hash
            return self._open(work, account, factors, browser)

    def _open(self, work: Work, account: Account, factors: tuple[str, ...], browser: Browser) -> str:
        token = self.sessions.add(work, account, factors=factors, user_agent=browser.user_agent)
        work.record("sign-in", "account", account.id, after={"login": account.login, "factors": list(factors)})
        self.rates.succeeded(work, account=account.login, address=browser.address)
        event("sign-in", account=account.id, factors=",".join(factors))
        return token

    @contextmanager
    def _counted(self, login: str, address: str, factor: str) -> Iterator[None]:
        """Count and log a refusal of the block, after its transaction: the count is written in one of its own."""
        try:
            yield
        except SignInRefused as refusal:
            self.rates.failed(account=tidy(login), address=address)
            event("sign-in.refused", account=refusal.account, factor=factor)
            raise

    def confirm(self, actor: Actor, secret: str, *, address: str) -> None:
        """Ask a signed-in person once more who they are, as before a signature: by the password, or by a code of the second factor.

        Raises `SignInRefused`, `TooMany`.
        """
        self.rates.check(account=actor.login, address=address)
        with self.store.read(DOOR) as reading:
            account = reading.get(Account, str(actor.account_id))
        with self._counted(actor.login, address, "confirm"):
            if not matches(secret, account.password_hash) and not self._confirmed_by_code(actor, secret):
                raise SignInRefused("the password or code is not right", account=account)

    def confirm_passkey(self, actor: Actor, answer: str, browser: Browser) -> None:
        """The same by one of the person's own passkeys, for a challenge of this browser. Raises `SignInRefused`, `TooMany`."""
        self.rates.check(account=actor.login, address=browser.address)
        note = self.pending.take("passkey", browser.visitor)
        with self._counted(actor.login, browser.address, "passkey"), self.store.work(DOOR) as work:
            account = self._proved(work, answer, note, login=actor.login)
            work.record("account.confirm", "account", account.id, after={"factor": "passkey"})

    def confirmed_at_provider(self, token: str) -> None:
        """Remember for five minutes and one signature that the session of this token began with a new sign-in at the provider."""
        self.pending.put("confirmed", fingerprint(token))

    def is_confirmed(self, session_id: str) -> bool:
        """Whether that is so of a session."""
        return self.pending.look("confirmed", session_id) is not None

    def use_confirmed(self, session_id: str) -> bool:
        """The same, and it is used up."""
        return self.pending.take("confirmed", session_id) is not None

    def _confirmed_by_code(self, actor: Actor, code: str) -> bool:
        """Whether it is a code that is good now; it is used up."""
        with self.store.work(DOOR) as work:
            account = work.get(Account, str(actor.account_id), lock=True)
            factor = self._use_code(account, code)
            if factor:
                work.record("account.confirm", "account", account.id, after={"factor": factor})
        return bool(factor)


def _stale(account: Account) -> bool:
    """A first password that nobody used within three days."""
    given = account.password_changed_at
    return account.must_change_password and given is not None and now() - given > FIRST_PASSWORD_HOLDS
