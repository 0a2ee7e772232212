"""The MLLP listener: frames from sockets to the receiver, and its answers back. Bounded in size, time and connections; TLS where asked."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from auctor.web.emr.framing import Frame, Framer, framed
from auctor.web.emr.receiver import Receiver

_LOG = logging.getLogger("auctor.hl7")
CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one listener puts up with: bytes of a message, connections, seconds without a byte within a message and between two."""

    most_bytes: int = 2_000_000
    most_connections: int = 64
    within_s: float = 30.0
    idle_s: float = 3600.0
    writing_s: float = 30.0


def tls(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate; with `client_ca` only senders with a certificate of that authority are heard."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass(kw_only=True)
class Listener:
    """Listens on one address until stopped. Messages of all connections are received one after another."""

    receiver: Receiver
    host: str = "127.0.0.1"
    port: int = 2575
    bounds: Bounds = field(default_factory=Bounds)
    security: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> int:
        """Begin to listen, after what was left of the last run is processed; the port (a free one where 0 was asked)."""
        await asyncio.to_thread(self.receiver.resume)
        self._server = await asyncio.start_server(self._connected, self.host, self.port, ssl=self.security)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        """Take no more connections, let a message that is being received be answered, and close."""
        if self._server is not None:
            self._server.close()
        async with self._turn:
            for task in self._open:
                task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self.bounds.most_connections:
            _LOG.warning("connection refused: %d are open", len(self._open))
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.CancelledError):
                await self._converse(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer, clock = Framer(most=self.bounds.most_bytes), asyncio.get_running_loop().time
        begun = clock()
        while True:
            patience = begun + self.bounds.within_s - clock() if framer.waiting else self.bounds.idle_s
            chunk = await asyncio.wait_for(reader.read(CHUNK), patience)
            if not chunk:
                return
            frames = framer.feed(chunk)
            begun = clock() if frames or not framer.waiting else begun
            for frame in frames:
                await self._answer(frame, writer)

    async def _answer(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        async with self._turn:
            answers = await asyncio.shield(asyncio.to_thread(self.receiver.receive, frame))
            for answer in answers:
                writer.write(framed(answer))
        await asyncio.wait_for(writer.drain(), self.bounds.writing_s)
