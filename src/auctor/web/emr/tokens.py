"""Signed tokens of partners: only ES384 and RS384 (and the ones named), only by keys of the allow-list, each once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from auctor.errors import AuctorError
from auctor.web.emr.addresses import fetch
from auctor.web.emr.partners import CdsClient, Partners, keys_of_file

ALGORITHMS = ("ES384", "RS384")
LONGEST_S, LEEWAY_S = 300, 30
KEEP_KEYS_S, LEAST_REFETCH_S = 600.0, 30.0
MOST_REMEMBERED = 100_000
PUBLIC = {"RSA", "EC", "OKP"}  # a symmetric key has no place among public ones


class TokenRefused(AuctorError):
    """A token that is not believed; says why in general and nothing of what was in it."""

    status = 401


def refused(what: str) -> TokenRefused:
    """A refusal."""
    return TokenRefused(where="authorization", what=what, remedy="send a token as docs/cds-hooks.md says")


@dataclass(kw_only=True)
class Once:
    """Remembers identifiers until they expire; when full of live ones it refuses rather than forgets."""

    most: int = MOST_REMEMBERED
    clock: Callable[[], float] = time.time
    _until: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def first(self, name: str, until: float) -> bool:
        """Whether it is seen for the first time."""
        with self._lock:
            now = self.clock()
            if len(self._until) >= self.most:
                self._until = {key: end for key, end in self._until.items() if end > now}
            if self._until.get(name, 0.0) > now or len(self._until) >= self.most:
                return False
            self._until[name] = until
            return True


@dataclass(kw_only=True)
class Keys:
    """Key sets by address, fetched when first needed and again when a key id is new."""

    clock: Callable[[], float] = time.monotonic
    fetching: Callable[..., dict[str, Any]] = fetch
    _kept: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def at(self, url: str, kid: str) -> dict[str, Any]:
        """The key set at an address that was allowed before."""
        with self._lock:
            fetched, found = self._kept.get(url, (-1e9, {}))
            age = self.clock() - fetched
            missing = all(key.get("kid") != kid for key in found.get("keys", []))
            if age > KEEP_KEYS_S or (missing and age > LEAST_REFETCH_S):
                found = self.fetching(url, where="key set")
                self._kept[url] = (self.clock(), found)
            return found


def claims_of(token: str, keys: dict[str, Any], kid: str, *, algorithms: Collection[str]) -> dict[str, Any]:
    """The claims of a token signed by the key of this id; TokenRefused otherwise. Says nothing of what they hold."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    given = keys.get("keys")
    usable = (
        [k for k in given if isinstance(k, dict) and k.get("kty") in PUBLIC and k.get("use", "sig") == "sig"]
        if isinstance(given, list)
        else []
    )
    mine = [key for key in usable if key.get("kid") == kid]
    if len(mine) != 1:
        raise refused("signed by a key that is not known")
    try:
        found = jwt.decode(token, KeySet.import_key_set({"keys": mine}), algorithms=list(algorithms)).claims
    except (JoseError, ValueError, TypeError, KeyError):
        raise refused("not signed as it has to be") from None
    if not isinstance(found, dict):
        raise refused("holds no claims")
    return found


def header_of(token: str) -> dict[str, Any]:
    """The protected header of a compact token, unverified; TokenRefused where it is none, or where it names another algorithm."""
    from joserfc import jws
    from joserfc.errors import JoseError

    if len(token) > 8192 or token.count(".") != 2:
        raise refused("not a signed token")
    try:
        found = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError):
        raise refused("not a signed token") from None
    return dict(found)


@dataclass(kw_only=True)
class Callers:
    """Checks the tokens of CDS clients."""

    partners: Partners
    file: Path | None = None
    keys: Keys = field(default_factory=Keys)
    once: Once = field(default_factory=Once)
    clock: Callable[[], float] = time.time

    def check(self, authorization: str, *, endpoint: str) -> CdsClient:
        """The client whose token this is, for a call of this endpoint. TokenRefused for every other."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise refused("no bearer token")
        header, unverified = header_of(token.strip()), unverified_claims(token.strip())
        client = self.partners.client(str(unverified.get("iss", "")))
        if client is None:
            raise refused("from somebody who is not on the list")
        if header.get("alg") not in ALGORITHMS or header.get("typ", "JWT") != "JWT" or "crit" in header or "jwk" in header:
            raise refused("signed in a way that is not taken")
        if header.get("jku") not in (None, client.jwks_url or None):
            raise refused("its keys are elsewhere than agreed")
        kid = str(header.get("kid", ""))
        claims = claims_of(token.strip(), self._keys(client, kid), kid, algorithms=ALGORITHMS)
        self._check_claims(claims, endpoint)
        return client

    def _keys(self, client: CdsClient, kid: str) -> dict[str, Any]:
        if client.jwks_url:
            return self.keys.at(client.jwks_url, kid)
        assert self.file is not None
        return keys_of_file(client, self.file)

    def _check_claims(self, claims: dict[str, Any], endpoint: str) -> None:
        now, audience, name = self.clock(), claims.get("aud"), claims.get("jti")
        issued, expires = (_number(claims.get(key)) for key in ("iat", "exp"))
        if audience != endpoint and audience != [endpoint]:
            raise refused("for somebody else")
        if not isinstance(name, str) or not name or len(name) > 200:
            raise refused("without jti")
        if expires <= now - LEEWAY_S or issued > now + LEEWAY_S:
            raise refused("expired, or not valid yet")
        if expires - issued > LONGEST_S:
            raise refused(f"valid for more than {LONGEST_S} seconds")
        if not self.once.first(f"{claims.get('iss')}\x1f{name}", expires + LEEWAY_S):
            raise refused("used before")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise refused("without iat or exp")
    return float(value)


def unverified_claims(token: str) -> dict[str, Any]:
    """What a token says of itself, to find out whose keys to try. Believe nothing of it."""
    import base64
    import json

    body = token.split(".")[1]
    try:
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except ValueError:
        raise refused("not a signed token") from None
    if not isinstance(found, dict):
        raise refused("holds no claims")
    return found
