"""The server process: where it may listen, what it says when it starts, and its orderly stop."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn

from auctor.web.app import application
from auctor.web.operate.logs import start_logging
from auctor.web.operate.memory import few_heaps
from auctor.web.operate.warming import warm
from auctor.web.settings import Settings, SettingsError, is_loopback

KEEP_ALIVE_S = 15
LONGEST_HEAD = 65_536
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all of this kind. uvicorn's own choice has older ones


def check_exposure(settings: Settings, *, plain: bool) -> None:
    """Refuse an address that others can reach, unless passwords travel encrypted to it, and a database that is not asked who it is.

    TLS here, or a proxy that says so; the database on this machine, or with `sslmode=verify-full` (its certificate is checked, by name).
    `plain` accepts the risk by name. Raises `SettingsError`.
    """
    if not plain and not _safe_database(settings.database):
        remedy = "add ?sslmode=verify-full&sslrootcert=FILE to database_url, or say --plain-http if the network is trusted"
        raise SettingsError(where="database_url", what="patients' data would travel to another machine unproven", remedy=remedy)
    behind_proxy = settings.public_url.startswith("https://") and bool(settings.proxy_addresses)
    if is_loopback(settings.host) or settings.tls_certificate or behind_proxy or plain:
        return
    remedy = "set tls_certificate and tls_key, or public_url (https) and proxy_addresses, or say --plain-http if the network is trusted"
    raise SettingsError(where="host", what="others could reach it, and passwords would travel in the clear", remedy=remedy)


def _safe_database(url: str) -> bool:
    """On this machine (a file, a socket's folder, loopback), or at a server whose certificate is checked."""
    from sqlalchemy import make_url

    found = make_url(url)
    named = found.query.get("host", ())
    hosts = [*([named] if isinstance(named, str) else named), *([found.host] if found.host else [])]
    return all(host.startswith("/") or is_loopback(host) for host in hosts) or found.query.get("sslmode") == "verify-full"


def serve(settings: Settings, *, tell: Callable[[str], None], plain: bool = False, open_browser: bool = False) -> None:
    """Listen until SIGINT or SIGTERM; what runs then is finished within `stop_seconds`, and the store let go.

    `tell` gets the address, and while there is no account the one-time token of the set-up page.
    """
    check_exposure(settings, plain=plain)
    few_heaps()
    start_logging(settings.log_level)
    app = application(settings)
    address = settings.origin
    if app.state.reception.setup.needed():
        address = f"{settings.origin}/setup"
        tell(f"No account yet. Make the first administrator, once, at {address} with the token {app.state.reception.setup.token}")
    tell(f"auctor listens on {settings.origin} (data in {settings.data_folder}); stop it with Ctrl-C")
    begin = app.state.open_clinic().engine.workers.begin
    _Server(_config(app, settings), started_at=address if open_browser else "", begin=begin).run()


def _config(app: Any, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_certificate or None,
        ssl_keyfile=settings.tls_key or None,
        ssl_ciphers=CIPHERS,
        proxy_headers=bool(settings.proxy_addresses),
        forwarded_allow_ips=list(settings.proxy_addresses),
        server_header=False,
        access_log=False,  # it would hold addresses; `Watch` writes a line without one
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.stop_seconds,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )


class _Server(uvicorn.Server):
    """uvicorn's server, which warms up, starts the workers and opens the browser once it listens."""

    def __init__(self, config: uvicorn.Config, *, started_at: str, begin: Callable[[], None]) -> None:
        super().__init__(config)
        self._started_at, self._begin = started_at, begin

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then warm up, and open the browser where it was asked for."""
        await super().startup(sockets=sockets)
        warm()
        self._begin()
        if self.started and self._started_at:
            webbrowser.open(self._started_at)
