"""OpenID Connect: sign-in at the hospital's provider by the code flow with PKCE, state and nonce (authlib, joserfc)."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from auctor.errors import AuctorError
from auctor.web.accounts.pending import Pending
from auctor.web.settings import Settings, is_loopback

CALLBACK = "/sign-in/oidc/callback"
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
TIMEOUT_S, KEEP_S, LEEWAY_S = 10.0, 600.0, 30
ANEW_S = 300 + LEEWAY_S  # as long as the note of a sign-in is kept


class IdentityRefused(AuctorError):
    """The identity provider, or what came back from it, cannot be trusted. Says which check failed, not what the token held."""

    status = 401


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Whom the provider vouched for: the pair that identifies a person for ever, and names for people to read.

    `fresh`: auctor asked the provider to have the person sign in anew, and the provider says when that was.
    """

    issuer: str
    subject: str
    login: str
    name: str
    fresh: bool = False


@dataclass
class _Kept:
    """The provider's description and keys, fetched again after ten minutes."""

    until: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The one configured provider. `begin` sends the browser there, `finish` reads what it brings back."""

    settings: Settings
    pending: Pending
    _kept: _Kept = field(default_factory=_Kept)

    def begin(self, visitor: str, *, onward: str, again: bool = False) -> str:
        """The address to send the browser to; state, nonce and verifier are kept for this browser, for five minutes.

        With `again` the provider has the person sign in anew, whoever is signed in there (prompt=login, max_age=0).
        """
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        with self._client() as client:
            anew = {"prompt": "login", "max_age": "0"} if again else {}
            if self.settings.oidc_acr:
                anew["acr_values"] = " ".join(self.settings.oidc_acr)
            url, _ = client.create_authorization_url(
                self._metadata()["authorization_endpoint"], state=state, code_verifier=verifier, nonce=nonce, **anew
            )
        self.pending.put("oidc", visitor, state=state, nonce=nonce, verifier=verifier, onward=onward, again=again)
        return str(url)

    def finish(self, visitor: str, answer: Mapping[str, str]) -> tuple[Identity, str]:
        """The identity behind the answer's code, and where the person was going. Raises `IdentityRefused`; an answer is good once.

        Where `oidc_acr` names classes of authentication, the provider has to say that it was one of them.
        """
        note = self.pending.take("oidc", visitor)
        if note is None or not hmac.compare_digest(answer.get("state", "").encode(), note["state"].encode()):
            raise _refused("the answer does not belong to a sign-in of this browser")
        if answer.get("iss", self.settings.oidc_issuer) != self.settings.oidc_issuer:
            raise _refused("the answer comes from another provider")
        if "error" in answer or not answer.get("code"):
            raise _refused("the provider did not sign you in")
        token = self._id_token(answer["code"], note["verifier"])
        claims = self._checked(token, note["nonce"])
        if note["again"] and not _just_now(claims.get("auth_time")):
            raise _refused("the provider did not have you sign in anew")
        if self.settings.oidc_acr and claims.get("acr") not in self.settings.oidc_acr:
            raise _refused("the provider did not have you sign in as strongly as is asked here")
        login, fresh = str(claims.get("preferred_username") or claims["sub"]), bool(note["again"])
        names = {"login": login, "name": str(claims.get("name") or login)}
        return Identity(issuer=self.settings.oidc_issuer, subject=str(claims["sub"]), fresh=fresh, **names), note["onward"]

    def _client(self) -> Any:
        from authlib.integrations.httpx_client import OAuth2Client

        return OAuth2Client(
            client_id=self.settings.oidc_client_id,
            client_secret=self.settings.oidc_client_secret or None,
            token_endpoint_auth_method="client_secret_basic" if self.settings.oidc_client_secret else "none",
            redirect_uri=self.settings.origin + CALLBACK,
            scope="openid profile",
            code_challenge_method="S256",
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def _id_token(self, code: str, verifier: str) -> str:
        import httpx
        from authlib.common.errors import AuthlibBaseError

        try:
            with self._client() as client:
                answer = client.fetch_token(
                    self._metadata()["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=verifier
                )
        except (AuthlibBaseError, httpx.HTTPError, ValueError):
            raise _refused("the provider did not accept the code") from None
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise _refused("the provider gave no identity")
        return token

    def _checked(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of a token with a right signature, issuer, audience, time and nonce."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        client = self.settings.oidc_client_id
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": self.settings.oidc_issuer},
            sub={"essential": True},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = dict(jwt.decode(token, self._keys(token), algorithms=ALGORITHMS).claims)
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise _refused(f"its token does not hold ({type(error).__name__})") from None
        audience = claims["aud"]
        if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client:
            raise _refused("its token is for somebody else")
        return claims

    def _keys(self, token: str) -> Any:
        """The provider's public keys; fetched again at once where the token names one that is not among them (keys are renewed)."""
        from joserfc import jws
        from joserfc.jwk import KeySet

        asked = jws.extract_compact(token.encode()).headers().get("kid")
        metadata = self._metadata()
        known = self._kept.keys.get("keys", [])
        if not known or (asked is not None and all(key.get("kid") != asked for key in known)):
            self._kept.keys = _fetched(metadata["jwks_uri"])
        return KeySet.import_key_set({"keys": [key for key in self._kept.keys.get("keys", []) if _signs(key)]})

    def _metadata(self) -> dict[str, Any]:
        if time.monotonic() > self._kept.until:
            found = _fetched(self.settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration")
            if found.get("issuer") != self.settings.oidc_issuer:
                raise _refused("the provider names itself differently than it is configured")
            self._kept.metadata, self._kept.keys = found, {}
            self._kept.until = time.monotonic() + KEEP_S
        return self._kept.metadata


def _fetched(url: str) -> dict[str, Any]:
    """A JSON object by https (http on this machine only), without following redirects."""
    import httpx

    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(str(parts.hostname))):
        raise _refused("an address of the provider is not https")
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        answer.raise_for_status()
        found = answer.json()
    except (httpx.HTTPError, ValueError):
        raise _refused("the provider does not answer") from None
    if not isinstance(found, dict):
        raise _refused("the provider's answer is not understood")
    return found


def _just_now(auth_time: object) -> bool:
    """Whether the person's sign-in at the provider lies within the last minutes: since the browser was sent there, give or take a clock."""
    return isinstance(auth_time, int | float) and time.time() - ANEW_S <= auth_time <= time.time() + LEEWAY_S


def _signs(key: dict[str, Any]) -> bool:
    """Whether a key may check signatures. A symmetric one has no place among public keys: whoever knows it could sign with it."""
    return key.get("kty") in {"RSA", "EC", "OKP"} and key.get("use", "sig") == "sig"


def _refused(what: str) -> IdentityRefused:
    return IdentityRefused(where="hospital sign-in", what=what, remedy="start the sign-in again, or ask your administrator")
