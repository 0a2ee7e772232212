"""SMART App Launch 2.2 as a confidential client: from an allowed FHIR server to a patient, a user and a token. No HTTP of our own here.

Nothing is fetched before the server is found on the list of partners. Codes are exchanged with PKCE (S256) and a signed assertion; the
identity token is checked for its signature, issuer, audience, time and nonce.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from auctor.errors import AuctorError
from auctor.web.emr.addresses import PartnerError, check_address, fetch
from auctor.web.emr.own_keys import ASSERTION, OwnKeys
from auctor.web.emr.partners import Partners, SmartServer
from auctor.web.emr.tokens import LEEWAY_S, Keys, TokenRefused, claims_of, header_of

IDENTITY_ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
OLDEST_IDENTITY_S, LONGEST_TOKEN_S = 600, 24 * 3600
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_USER = re.compile(r"(Practitioner|PractitionerRole|Person)/[A-Za-z0-9\-.]{1,64}")
KEEP_S = 600.0


class LaunchRefused(AuctorError):
    """A launch that is not believed, or that did not come to its end; it carries nothing of what was sent."""

    status = 403


def refused(what: str) -> LaunchRefused:
    """A refusal."""
    return LaunchRefused(where="launch", what=what, remedy="start auctor again from the hospital record, or tell who runs it")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a server says of itself at .well-known/smart-configuration, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    capabilities: frozenset[str]
    names_itself: bool  # RFC 9207: its answers carry `iss`


@dataclass(frozen=True, kw_only=True)
class Note:
    """What is kept between sending the browser off and its coming back; good once."""

    iss: str
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What a launch gave: whose record, who looks at it, and the token, which never leaves the server."""

    iss: str
    patient: str
    encounter: str
    user: str
    issuer: str
    subject: str
    scopes: frozenset[str]
    context: str
    expires_at: float
    access_token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SmartClient:
    """auctor as a SMART app of its partners. `redirect_uri` is the one address that a server sends the browser back to."""

    partners: Partners
    own: OwnKeys
    redirect_uri: str
    fetching: Callable[..., dict[str, Any]] = fetch
    keys: Keys = field(default_factory=Keys)
    clock: Callable[[], float] = time.time
    _known: dict[str, tuple[float, Configuration]] = field(default_factory=dict)

    def begin(self, iss: str, launch: str | None) -> tuple[str, Note]:
        """Where to send the browser, and what to keep: an EHR launch with its `launch` value, a standalone one with None."""
        server = self._server(iss)
        if launch is not None and not 0 < len(launch) <= 4096:
            raise refused("without a launch value")
        found = self.configuration(server)
        wanted = "launch-ehr" if launch is not None else "launch-standalone"
        if wanted not in found.capabilities:
            raise refused(f"the server does not offer {wanted}")
        note = Note(iss=server.iss, state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))
        asked = {
            "response_type": "code", "client_id": server.client_id, "redirect_uri": self.redirect_uri, "state": note.state,
            "scope": _scope(server, standalone=launch is None), "aud": server.iss, "nonce": note.nonce,
            "code_challenge": challenge(note.verifier), "code_challenge_method": "S256", **({} if launch is None else {"launch": launch}),
        }  # fmt: skip
        return f"{found.authorization_endpoint}?{urlencode(asked)}", note

    def finish(self, note: Note, answer: Mapping[str, str]) -> Granted:
        """Exchange the code of an answer that came back with this note's state. LaunchRefused for anything else."""
        server = self._server(note.iss)
        found = self.configuration(server)
        if answer.get("state") != note.state:
            raise refused("the answer belongs to another launch")
        if answer.get("iss", found.issuer) != found.issuer or (found.names_itself and "iss" not in answer):
            raise refused("the answer comes from another server")
        code = answer.get("code", "")
        if "error" in answer or not 0 < len(code) <= 4096:
            raise refused("the server did not authorize it")
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri, "code_verifier": note.verifier}
        return self._granted(server, found, note, self._tokens(server, found, form))

    def configuration(self, server: SmartServer) -> Configuration:
        """The server's configuration, kept for ten minutes."""
        until, known = self._known.get(server.iss, (0.0, None))
        if known is None or until < time.monotonic():
            raw = self.fetching(f"{server.iss}/.well-known/smart-configuration", where="smart-configuration")
            known = read_configuration(raw)
            self._known[server.iss] = (time.monotonic() + KEEP_S, known)
        return known

    def _server(self, iss: str) -> SmartServer:
        server = self.partners.server(iss) if len(iss) <= 500 else None
        if server is None:
            raise refused("from a server that is not on the list")
        return server

    def _tokens(self, server: SmartServer, found: Configuration, form: dict[str, str]) -> dict[str, Any]:
        assertion = self.own.assertion(client_id=server.client_id, audience=found.token_endpoint, algorithm=server.algorithm)
        said = {**form, "client_assertion_type": ASSERTION, "client_assertion": assertion}
        try:
            return self.fetching(found.token_endpoint, where="token endpoint", form=said)
        except PartnerError:
            raise refused("the server did not take the code") from None

    def _granted(self, server: SmartServer, found: Configuration, note: Note, raw: dict[str, Any]) -> Granted:
        token, kind, lasts = raw.get("access_token"), raw.get("token_type"), raw.get("expires_in")
        if not isinstance(token, str) or not token or not isinstance(kind, str) or kind.lower() != "bearer":
            raise refused("the server gave no bearer token")
        if isinstance(lasts, bool) or not isinstance(lasts, int | float) or not 0 < lasts <= LONGEST_TOKEN_S:
            raise refused("the server gave a token without a fair lifetime")
        patient, scopes = raw.get("patient"), frozenset(str(raw.get("scope", "")).split())
        if not isinstance(patient, str) or not _ID.fullmatch(patient) or not any(scope.startswith("patient/") for scope in scopes):
            raise refused("the server gave no patient")
        claims = self._identity(server, found, note, raw.get("id_token"))
        return Granted(
            iss=server.iss,
            patient=patient,
            encounter=_matching(raw.get("encounter")),
            user=_user(claims.get("fhirUser"), server.iss),
            issuer=found.issuer,
            subject=str(claims["sub"]),
            scopes=scopes,
            context=raw["appContext"] if isinstance(raw.get("appContext"), str) and len(raw["appContext"]) <= 2000 else "",
            expires_at=self.clock() + float(lasts),
            access_token=token,
        )

    def _identity(self, server: SmartServer, found: Configuration, note: Note, token: Any) -> dict[str, Any]:
        """The claims of an identity token that holds."""
        if not isinstance(token, str) or not token:
            raise refused("the server gave no identity")
        try:
            header = header_of(token)
            if header.get("alg") not in IDENTITY_ALGORITHMS or "crit" in header or "jwk" in header or "jku" in header:
                raise refused("its identity is signed in a way that is not taken")
            kid = str(header.get("kid", ""))
            claims = claims_of(token, self.keys.at(found.jwks_uri, kid), kid, algorithms=IDENTITY_ALGORITHMS)
        except (TokenRefused, PartnerError):
            raise refused("its identity does not hold") from None
        self._check_identity(claims, found, server, note)
        return claims

    def _check_identity(self, claims: dict[str, Any], found: Configuration, server: SmartServer, note: Note) -> None:
        now, audience = self.clock(), claims.get("aud")
        several = audience if isinstance(audience, list) else [audience]
        if claims.get("iss") != found.issuer:
            raise refused("its identity is another issuer's")
        if server.client_id not in several or (len(several) > 1 and claims.get("azp") != server.client_id):
            raise refused("its identity is for somebody else")
        expires, issued = claims.get("exp"), claims.get("iat")
        if not all(isinstance(t, int | float) and not isinstance(t, bool) for t in (expires, issued)):
            raise refused("its identity has no time")
        if float(expires or 0) <= now - LEEWAY_S or not now - OLDEST_IDENTITY_S < float(issued or 0) < now + LEEWAY_S:
            raise refused("its identity is too old, or not valid yet")
        if not isinstance(claims.get("nonce"), str) or not secrets.compare_digest(claims["nonce"].encode(), note.nonce.encode()):
            raise refused("its identity belongs to another launch")
        if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255:
            raise refused("its identity names nobody")


def challenge(verifier: str) -> str:
    """PKCE's S256 of a verifier (RFC 7636, appendix B is the example).

    >>> challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def read_configuration(raw: dict[str, Any]) -> Configuration:
    """A smart-configuration document; LaunchRefused without S256, without signed assertions, or with an address that is not https."""
    methods, ways = raw.get("code_challenge_methods_supported"), raw.get("token_endpoint_auth_methods_supported")
    if not isinstance(methods, list) or "S256" not in methods:
        raise refused("the server does not offer PKCE with S256")
    if isinstance(ways, list) and "private_key_jwt" not in ways:
        raise refused("the server does not take signed assertions")
    capabilities = raw.get("capabilities")
    return Configuration(
        issuer=_address(raw, "issuer"),
        authorization_endpoint=_address(raw, "authorization_endpoint"),
        token_endpoint=_address(raw, "token_endpoint"),
        jwks_uri=_address(raw, "jwks_uri"),
        capabilities=frozenset(map(str, capabilities)) if isinstance(capabilities, list) else frozenset(),
        names_itself=raw.get("authorization_response_iss_parameter_supported") is True,
    )


def _address(raw: dict[str, Any], key: str) -> str:
    try:
        return check_address(str(raw.get(key, "")), where=key)
    except AuctorError:
        raise refused(f"the server names no usable {key}") from None


def _scope(server: SmartServer, *, standalone: bool) -> str:
    wanted = server.scopes.split()
    return " ".join("launch/patient" if standalone and scope == "launch" else scope for scope in wanted)


def _matching(value: Any) -> str:
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def _user(value: Any, iss: str) -> str:
    """`Practitioner/7`, from an address of the same server or a relative one. A patient does not use auctor."""
    text = value.removeprefix(f"{iss}/") if isinstance(value, str) else ""
    if not _USER.fullmatch(text):
        raise refused("the user is no practitioner of this server")
    return text
