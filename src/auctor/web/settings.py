"""What an installation may set: AUCTOR_* variables over one TOML file over defaults that need neither on one machine.

`AUCTOR_CONFIG` names the file; its keys are the fields of `Settings`, and `AUCTOR_PORT=8080` overrides `port = 8080` of it.
"""

from __future__ import annotations

import hmac
import os
import secrets
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from auctor.errors import AuctorError
from auctor.web.pages.language import LANGUAGES

SECRET_BYTES = 32


class SettingsError(AuctorError):
    """A setting that is unknown, of the wrong kind, or unsafe."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One installation. Empty text means "derived": see the properties.

    `data_folder` holds the SQLite store, the secret and the audit checkpoints. `public_url` is what people type: its scheme decides whether
    cookies are `Secure`, its host is what passkeys are bound to. `language` is that of what goes out to the hospital, and of pages
    where neither the reader nor the browser asks for one.
    """

    data_folder: Path
    database_url: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = 8571
    public_url: str = ""
    language: str = "en"
    trusted_hosts: tuple[str, ...] = ()
    proxy_addresses: tuple[str, ...] = ()
    tls_certificate: str = ""
    tls_key: str = ""
    frame_ancestors: tuple[str, ...] = ()
    session_idle_minutes: int = 30
    session_absolute_hours: int = 12
    second_factor_required: bool = False
    max_body_bytes: int = 10_000_000
    log_level: str = "INFO"
    metrics_token: str = field(default="", repr=False)
    stop_seconds: int = 30
    silent_minutes: int = 5
    engine_processes: int = 2
    oidc_name: str = "hospital sign-in"
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = field(default="", repr=False)
    oidc_create_accounts: bool = False
    partners_file: str = ""
    hl7_site_file: str = ""
    hl7_host: str = "127.0.0.1"
    hl7_port: int = 2575
    hl7_tls_certificate: str = ""
    hl7_tls_key: str = ""
    hl7_client_ca: str = ""
    secret: str = field(default="", repr=False)

    @property
    def database(self) -> str:
        """The store's SQLAlchemy URL: the one set, or SQLite in the data folder."""
        return self.database_url or f"sqlite:///{self.data_folder / 'auctor.sqlite'}"

    @property
    def origin(self) -> str:
        """Scheme, host and port that browsers show. `localhost`, not 127.0.0.1: a passkey cannot be bound to an address."""
        if self.public_url:
            parts = urlsplit(self.public_url)
            return f"{parts.scheme}://{parts.netloc}"
        scheme = "https" if self.tls_certificate else "http"
        return f"{scheme}://{'localhost' if is_loopback(self.host) else self.host}:{self.port}"

    @property
    def origins(self) -> frozenset[str]:
        """Origins a form may come from: `origin`, and the loopback spellings of it where nothing public is set."""
        if self.public_url or not is_loopback(self.host):
            return frozenset({self.origin})
        return frozenset({self.origin, self.origin.replace("localhost", "127.0.0.1"), self.origin.replace("localhost", "[::1]")})

    @property
    def https(self) -> bool:
        """Whether browsers reach the application over TLS, here or at the proxy."""
        return self.origin.startswith("https://")

    @property
    def hosts(self) -> tuple[str, ...]:
        """Values of the Host header that are answered (without port)."""
        return self.trusted_hosts or tuple(sorted({str(urlsplit(origin).hostname) for origin in self.origins}))

    def key(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose (`audit`, `sealing`, ...), derived from the installation's secret by HMAC-SHA256."""
        return hmac.digest(bytes.fromhex(self.secret), f"auctor {purpose} v1".encode(), "sha256")


def read_settings(environment: Mapping[str, str] | None = None, *, config: Path | None = None, **overrides: Any) -> Settings:
    """The settings of this machine: `overrides` (command-line options), then AUCTOR_* variables, then the TOML file, then defaults.

    Makes the data folder and the secret (mode 0600) where they are missing. Raises `SettingsError`.
    """
    environment = os.environ if environment is None else environment
    file = config or (Path(environment["AUCTOR_CONFIG"]) if environment.get("AUCTOR_CONFIG") else None)
    given = _from_file(file) if file else {}
    given |= {f.name: environment[name] for f in fields(Settings) if (name := f"AUCTOR_{f.name.upper()}") in environment}
    given |= {name: value for name, value in overrides.items() if value is not None}
    kinds = {f.name: str(f.type) for f in fields(Settings)}
    values: dict[str, Any] = {name: _read(kinds[name], value, where=name) for name, value in given.items()}
    values.setdefault("data_folder", _user_data_folder())
    settings = _checked(Settings(**values))
    settings.data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return replace(settings, secret=settings.secret or kept_secret(settings.data_folder / "secret"))


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def kept_secret(file: Path) -> str:
    """The installation's secret (64 hexadecimal digits), made on first use, readable by its owner only."""
    if not file.exists():
        fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secrets.token_hex(SECRET_BYTES))
        with suppress(FileExistsError):  # another process was first: its secret holds
            os.link(fresh, file)
        fresh.unlink()
    return _owned(file).read_text().strip()


def _owned(file: Path) -> Path:
    if file.stat().st_mode & 0o077:
        raise SettingsError(
            where=file.name, what="the secret can be read by others", remedy="chmod 600 it, and renew it if others had access"
        )
    return file


def _user_data_folder() -> Path:
    from platformdirs import user_data_dir

    return Path(user_data_dir("auctor"))


def _from_file(file: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(file.read_text())
    except OSError as error:
        raise SettingsError(where=str(file), what=(error.strerror or "cannot be read").lower(), remedy="check AUCTOR_CONFIG") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(where=str(file), what=f"not TOML ({error})", remedy="see docs/serve.md for the keys") from None
    unknown = sorted(given.keys() - {f.name for f in fields(Settings)})
    if unknown:
        raise SettingsError(where=f"{file}: {unknown[0]}", what="no such setting", remedy="see the table in docs/serve.md")
    return given


def _read(kind: str, value: Any, *, where: str) -> Any:
    """One value as its field's kind; text of a variable is read, a value of TOML only checked."""
    try:
        return _READERS[kind](value)
    except (KeyError, ValueError, TypeError):
        raise SettingsError(where=where, what=f"is not {_WORDS[kind]}", remedy="see the table in docs/serve.md") from None


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return _WORDS_OF_TRUTH[str(value).lower()]


def _names(value: Any) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else tuple(map(str, value))


def _positive(value: Any) -> int:
    if isinstance(value, bool) or (number := int(value)) != float(value) or number < 0:
        raise ValueError
    return number


_WORDS_OF_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_READERS: Mapping[str, Callable[[Any], Any]] = {"str": str, "int": _positive, "bool": _truth, "Path": Path, "tuple[str, ...]": _names}
_WORDS = {"str": "text", "int": "a whole number", "bool": "true or false", "Path": "a path", "tuple[str, ...]": "a list of names"}


def _checked(settings: Settings) -> Settings:
    if settings.secret and (len(settings.secret) < 2 * SECRET_BYTES or not _is_hex(settings.secret)):
        raise SettingsError(where="secret", what="too short or not hexadecimal", remedy="64 hexadecimal digits: openssl rand -hex 32")
    if settings.public_url and urlsplit(settings.public_url).scheme not in {"http", "https"}:
        raise SettingsError(where="public_url", what="not a web address", remedy="write https://host or https://host:port")
    if settings.language not in LANGUAGES:
        raise SettingsError(where="language", what="not a language of auctor", remedy=f"one of {', '.join(LANGUAGES)}")
    if settings.oidc_issuer and not settings.oidc_client_id:
        raise SettingsError(where="oidc_client_id", what="missing beside oidc_issuer", remedy="the identifier your provider gave auctor")
    if settings.hl7_site_file and not is_loopback(settings.hl7_host) and not settings.hl7_tls_certificate:
        what, remedy = "others could reach it, and patients would travel in the clear", "set hl7_tls_certificate and hl7_tls_key"
        raise SettingsError(where="hl7_host", what=what, remedy=remedy)
    return settings


def _is_hex(text: str) -> bool:
    return all(sign in "0123456789abcdefABCDEF" for sign in text)
