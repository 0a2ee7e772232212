"""Our own signing keys for private_key_jwt: made once, readable by their owner only, shown to partners by their public halves."""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

LONGEST_S = 240  # SMART allows five minutes
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Algorithm = Literal["RS384", "ES384"]


@dataclass(frozen=True, kw_only=True)
class OwnKeys:
    """The keys of one installation, in a file of its data folder."""

    file: Path

    def public(self) -> dict[str, Any]:
        """The public key set, as /smart/jwks.json gives it."""
        return dict(self._keys().as_dict(private=False))

    def assertion(self, *, client_id: str, audience: str, algorithm: Algorithm) -> str:
        """A signed token that says who we are: good for four minutes, for one token endpoint, with an identifier of its own."""
        from joserfc import jwt

        key = next(key for key in self._keys().keys if key.kid == algorithm.lower())
        now = int(time.time())
        claims = {"iss": client_id, "sub": client_id, "aud": audience, "iat": now, "exp": now + LONGEST_S, "jti": secrets.token_urlsafe(24)}
        return jwt.encode({"alg": algorithm, "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=[algorithm])

    def _keys(self) -> Any:
        if not self.file.exists():
            self._make()
        return _imported(self.file, self.file.stat().st_mtime_ns)

    def _make(self) -> None:
        from joserfc.jwk import ECKey, RSAKey

        ec = ECKey.generate_key("P-384", {"use": "sig", "kid": "es384", "alg": "ES384"})
        rsa = RSAKey.generate_key(3072, {"use": "sig", "kid": "rs384", "alg": "RS384"})
        made = [ec.as_dict(private=True), rsa.as_dict(private=True)]
        fresh = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            json.dump({"keys": made}, opened)
        with suppress(FileExistsError):  # another process was first: its keys hold
            os.link(fresh, self.file)
        fresh.unlink()


@lru_cache(maxsize=4)
def _imported(file: Path, changed: int) -> Any:
    """The keys of a file as it stood; checking an RSA key takes longer than signing with it."""
    from joserfc.jwk import KeySet

    return KeySet.import_key_set(json.loads(file.read_text()))
