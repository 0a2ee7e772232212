"""Keys derived from the installation's secret: what is kept sealed in the database, and what signs the checkpoints."""

from __future__ import annotations

import hashlib
import hmac

from auctor.web.store.errors import StoreError

SHORTEST = 32


class Sealer:
    """Seals short texts (a TOTP secret) with AES-256-GCM under a key that is not in the database.

    `purpose` is bound to the sealed text: what was sealed for one account does not open for another.

    >>> sealer = Sealer(b"not a real secret, only 32 bytes!")
    >>> sealer.open(sealer.seal("JBSWY3DP", purpose="totp:a1"), purpose="totp:a1")
    'JBSWY3DP'
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SHORTEST:
            raise StoreError(where="secret", what=f"shorter than {SHORTEST} bytes", remedy="make one: openssl rand -base64 48")
        self._secret = secret

    def key(self, use: str) -> bytes:
        """A key of 32 bytes for one use."""
        return hmac.new(self._secret, f"auctor {use}".encode(), hashlib.sha256).digest()

    def seal(self, text: str, *, purpose: str) -> str:
        """The text as a compact JWE."""
        from joserfc import jwe
        from joserfc.jwk import OctKey

        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM", "kid": purpose}, text.encode(), OctKey.import_key(self.key("seal")))

    def open(self, sealed: str, *, purpose: str) -> str:
        """The text again; StoreError when the secret is another, or it was sealed for another purpose, or changed."""
        from joserfc import jwe
        from joserfc.errors import JoseError
        from joserfc.jwk import OctKey

        try:
            found = jwe.decrypt_compact(sealed, OctKey.import_key(self.key("seal")))
        except (JoseError, ValueError) as problem:
            raise _unsealed() from problem
        if found.headers().get("kid") != purpose or found.plaintext is None:
            raise _unsealed()
        return found.plaintext.decode()


def _unsealed() -> StoreError:
    return StoreError(where="secret", what="a sealed text does not open", remedy="use the secret the store was made with, or seal it anew")
