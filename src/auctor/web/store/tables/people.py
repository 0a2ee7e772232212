"""Who uses auctor: wards, accounts with their factors, sessions, keys of programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from auctor.web.store.tables.columns import AccountId, At, Data, Digest, Id, Name, Table, Word, Words, now


class Ward(Table):
    """A ward: its `id` is the short name that the administrator gives it, without blanks or commas."""

    __tablename__ = "ward"
    __table_args__ = (CheckConstraint("id NOT LIKE '%,%' AND id NOT LIKE '% %' AND id <> '*' AND id <> ''", name="short_name"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[Name]
    active: Mapped[bool] = mapped_column(default=True)


class Account(Table):
    """A person who signs in. `roles` is a list of `Role` values; `totp_sealed` comes from `Store.seal`, never plain."""

    __tablename__ = "account"
    __table_args__ = (UniqueConstraint("oidc_issuer", "oidc_subject"),)

    id: Mapped[Id]
    login: Mapped[Name] = mapped_column(unique=True)
    name: Mapped[Name]
    roles: Mapped[Data]
    password_hash: Mapped[Words | None]
    password_changed_at: Mapped[At | None]
    must_change_password: Mapped[bool] = mapped_column(default=False)
    totp_sealed: Mapped[Words | None]
    totp_last_step: Mapped[int | None]
    recovery_hashes: Mapped[Data | None]
    oidc_issuer: Mapped[str | None] = mapped_column(String(400))
    oidc_subject: Mapped[str | None] = mapped_column(String(255))
    active: Mapped[bool] = mapped_column(default=True)
    locale: Mapped[Word] = mapped_column(default="en")
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[At | None]
    created_at: Mapped[At] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(default=1)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 (SQLAlchemy declares it so)


class AccountWard(Table):
    """An account sees the patients of a ward."""

    __tablename__ = "account_ward"

    account_id: Mapped[AccountId] = mapped_column(primary_key=True)
    ward_id: Mapped[str] = mapped_column(String(40), ForeignKey("ward.id"), primary_key=True)


class Credential(Table):
    """A WebAuthn authenticator of an account; identifier and public key in base64url."""

    __tablename__ = "webauthn_credential"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    credential_id: Mapped[str] = mapped_column(String(1400), unique=True)
    public_key: Mapped[Words]
    sign_count: Mapped[int] = mapped_column(default=0)
    transports: Mapped[Data | None]
    name: Mapped[Name]
    created_at: Mapped[At] = mapped_column(default=now)
    last_used_at: Mapped[At | None]


class Session(Table):
    """A signed-in browser; `id` is the SHA-256 of the cookie's token, so that a copy of this table opens nothing.

    `state` holds what a sign-in under way needs (an OIDC nonce, a WebAuthn challenge); `account_id` is empty until it is done.
    """

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str | None] = mapped_column(String(32), ForeignKey("account.id"), index=True)
    csrf: Mapped[Digest]
    factors: Mapped[Data | None]
    state: Mapped[Data | None]
    user_agent: Mapped[Name] = mapped_column(default="")
    created_at: Mapped[At] = mapped_column(default=now)
    seen_at: Mapped[At] = mapped_column(default=now)
    expires_at: Mapped[At]
    ended_at: Mapped[At | None]


class ApiKey(Table):
    """A key of a program that acts for an account; only its SHA-256 is kept, `prefix` tells keys apart on a page."""

    __tablename__ = "api_key"

    id: Mapped[Id]
    account_id: Mapped[AccountId] = mapped_column(index=True)
    name: Mapped[Name]
    prefix: Mapped[Word]
    key_hash: Mapped[Digest] = mapped_column(unique=True)
    scopes: Mapped[Data | None]
    created_at: Mapped[At] = mapped_column(default=now)
    expires_at: Mapped[At | None]
    last_used_at: Mapped[At | None]
    revoked_at: Mapped[At | None]


class SignInFailure(Table):
    """Failed sign-ins of late under one key: a digest of login, address or both under the installation's secret, which says neither."""

    __tablename__ = "sign_in_failure"

    key: Mapped[Digest] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[At] = mapped_column(index=True)


_RESOLVED = (datetime, Any)  # names that SQLAlchemy looks up in this module when it reads the annotations
