"""A hospital's FHIR server: where it is, what may be reached, how long and how much; and the refusals when it answers otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from auctor.errors import AuctorError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class RemoteError(AuctorError):
    """The hospital's record did not answer as it should. What was read before is not fresh, and nothing of a half answer is used."""

    exit_code = 5


class NotAllowed(RemoteError):
    """An address that the installation does not list, or a link of the server that leads away from it."""


class Unreachable(RemoteError):
    """No connection."""


class TooSlow(RemoteError):
    """No whole answer in time. A write may have arrived: sending it again is safe."""


class Failed(RemoteError):
    """The server says that it failed (5xx), or that it is too busy (429)."""


class Refused(RemoteError):
    """The server refuses: no such patient, no right, a resource that it does not accept (4xx)."""


class Incomplete(RemoteError):
    """An answer that is cut, is no FHIR, or is fewer pages than the server announced."""


class TooLarge(RemoteError):
    """More bytes or pages than are read."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """One server. `allowed` are the base URLs that the installation lists; `base_url` has to be one of them.

    `client_id` and `private_key` (PEM or JWK text) for SMART backend services, with `key_id`, `algorithm` RS384 or ES384, and the token's
    URL where it is not discovered. `timeout_s` bounds one wait, `deadline_s` one whole answer with all its pages.
    """

    base_url: str
    allowed: tuple[str, ...]
    client_id: str = ""
    private_key: str = field(default="", repr=False)
    key_id: str = ""
    algorithm: str = "RS384"
    token_url: str = ""
    scope: str = "system/*.rs"
    timeout_s: float = 10.0
    deadline_s: float = 30.0
    max_bytes: int = 20_000_000
    max_pages: int = 100
    page_size: int = 200

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if self.base_url.rstrip("/") not in {url.rstrip("/") for url in self.allowed}:
            raise NotAllowed(where="base_url", what="not a server that this installation lists", remedy="have an administrator add it")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise NotAllowed(where="base_url", what="not https", remedy="use https; http is for this machine alone")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise NotAllowed(where="base_url", what="more than scheme, host, port and path", remedy="leave the rest out")

    @property
    def base(self) -> str:
        """Without a last slash."""
        return self.base_url.rstrip("/")

    def own(self, url: str, *, where: str) -> str:
        """A link of the server, if it stays under the base URL; NotAllowed for any other, which is never fetched."""
        if url.startswith((f"{self.base}/", f"{self.base}?")) and ".." not in url:
            return url
        raise NotAllowed(where=where, what="a link that leads away from the server", remedy="have the server's base URL corrected")

    def own_host(self, url: str, *, where: str) -> str:
        """The same for the token endpoint, which may lie beside the base URL but on its host."""
        here, there = urlsplit(self.base_url), urlsplit(url)
        if (here.scheme, here.netloc) == (there.scheme, there.netloc) or url == self.token_url:
            return url
        raise NotAllowed(where=where, what="a token endpoint on another host", remedy="set token_url, if that is where it is")
