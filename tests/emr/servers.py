"""Real servers on loopback for tests: sekmet-fhir as the hospital, a proxy of our own that breaks its answers, and our rest-hook."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import ECKey

CLIENT = "auctor"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_key() -> tuple[str, dict[str, Any]]:
    """A private key as PEM, and the JWKS that a server is given of it."""
    key = ECKey.generate_key("P-384", {"kid": "k1", "alg": "ES384", "use": "sig"})
    return key.as_pem(private=True).decode(), {"keys": [key.as_dict(private=False)]}


@contextmanager
def sekmet(folder: Path, jwks: dict[str, Any] | None, *, simulator: bool = False) -> Iterator[str]:
    """A running sekmet-fhir; its base URL. With a JWKS it wants SMART backend tokens, without one nothing."""
    port = free_port()
    auth = {"types": ["none"]}
    if jwks is not None:
        auth = {"types": ["smart"], "smart_clients": [{"client_id": CLIENT, "jwks": jwks, "scopes": "system/*.cruds"}]}
    base = f"http://127.0.0.1:{port}/fhir"
    settings = {
        "base_url": base,
        "host": "127.0.0.1",
        "port": port,
        "data_dir": str(folder),
        "server_auth": auth,
        "simulator": {"enabled": simulator},
    }
    config = folder / "settings.yaml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    command = [str(Path(sys.executable).with_name("sekmet")), "serve", "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=os.environ | {"SEKMET_CONFIG": str(config)})
        try:
            wait_for(lambda: httpx.get(f"{base}/metadata", timeout=5, trust_env=False).status_code < 500, f"sekmet: {folder / 'log.txt'}")
            yield base
        finally:
            process.terminate()
            process.wait(timeout=20)


def wait_for(condition: Any, what: str, seconds: float = 60.0) -> None:
    """Poll until true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise TimeoutError(what)


class FaultProxy:
    """Passes requests on to a server and, when told, breaks the answers; `fault` says how, "" not at all."""

    def __init__(self, target: str) -> None:
        self.fault, self.target, self.seen = "", target, 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                proxy.answer(self)

            do_POST = do_GET

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}/fhir"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen += 1
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        path = handler.path.removeprefix("/fhir")
        headers = {k: v for k, v in handler.headers.items() if k.lower() in ("accept", "content-type", "authorization", "if-none-exist")}
        got = httpx.request(handler.command, self.target + path, content=body, headers=headers, timeout=20, trust_env=False)
        content = got.content.replace(self.target.encode(), self.base.encode())
        with suppress(BrokenPipeError, ConnectionResetError):  # the client gave up, as it should
            self._send(handler, got.status_code, content, path)

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: bytes, path: str) -> None:
        paged = path.startswith("/Observation?")
        if self.fault == "status":
            status, content = 500, b"{}"
        elif self.fault == "busy":
            status, content = 429, b"{}"
        elif self.fault == "redirect":
            status, content = 302, b""
        elif self.fault == "slow":
            time.sleep(1.5)
        elif self.fault == "drop":
            handler.connection.close()
            return
        elif self.fault == "html":
            content = b"<html>"
        elif self.fault in ("circle", "away", "short", "huge") and paged:
            content = self._page(json.loads(content), path)
        handler.send_response(status)
        if self.fault == "redirect":
            handler.send_header("Location", "http://169.254.169.254/")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if self.fault == "trickle":
            for k in range(0, 40):
                handler.wfile.write(content[k : k + 1])
                time.sleep(0.1)
        handler.wfile.write(content[: len(content) // 2] if self.fault == "cut" else content)

    def _page(self, page: dict[str, Any], path: str) -> bytes:
        if self.fault == "circle":
            page["link"] = [{"relation": "next", "url": self.base + path}]
        elif self.fault == "away":
            page["link"] = [{"relation": "next", "url": "http://169.254.169.254/latest"}]
        elif self.fault == "huge":
            page["filler"] = "x" * 3_000_000
        else:
            page["entry"], page["link"] = page["entry"][:1], []
        return json.dumps(page).encode()
