"""SMART backend services: an access token for a signed assertion (private_key_jwt), discovered, kept until it is about to expire."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import httpx

from auctor.errors import RecordError
from auctor.fhir.node import parse_resource
from auctor.web.emr.remote import Failed, NotAllowed, Refused, Server, TooSlow, Unreachable

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFETIME_S = 240  # of the assertion; SMART allows five minutes
EARLY_S = 30
ALGORITHMS = ("RS384", "ES384")
_MOST = 1_000_000


class BackendToken:
    """The access token of one server."""

    def __init__(self, server: Server, http: httpx.Client) -> None:
        if server.algorithm not in ALGORITHMS:
            raise NotAllowed(where="algorithm", what="not an algorithm of SMART", remedy=f"use {' or '.join(ALGORITHMS)}")
        self._server, self._http = server, http
        self._url, self._token, self._until = server.token_url, "", 0.0

    def header(self, end: float) -> dict[str, str]:
        """The Authorization header; a new token where there is none for long enough. Refused where the server gives none."""
        if time.monotonic() > self._until - EARLY_S:
            self._renew(end)
        return {"Authorization": f"Bearer {self._token}"}

    def _renew(self, end: float) -> None:
        url = self._url or self._discovered(end)
        form = {
            "grant_type": "client_credentials", "scope": self._server.scope, "client_assertion_type": ASSERTION,
            "client_assertion": assertion(self._server, url),
        }  # fmt: skip
        answer = self._exchange("POST", url, end, form)
        token, seconds = answer.get("access_token"), answer.get("expires_in", 300)
        if not isinstance(token, str) or not token or isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Refused(where="token", what="no access token in the answer", remedy="check the registration of this client")
        self._url, self._token, self._until = url, token, time.monotonic() + float(seconds)

    def _discovered(self, end: float) -> str:
        found = self._exchange("GET", f"{self._server.base}/.well-known/smart-configuration", end, None)
        return self._server.own_host(str(found.get("token_endpoint", "")), where="smart-configuration")

    def _exchange(self, method: str, url: str, end: float, form: dict[str, str] | None) -> dict[str, Any]:
        try:
            answer = self._http.request(method, url, data=form, headers={"Accept": "application/json"}, timeout=_left(end, self._server))
        except httpx.TimeoutException as problem:
            raise TooSlow(where="token", what="no answer in time", remedy="try again") from problem
        except httpx.HTTPError as problem:
            raise Unreachable(where="token", what="no connection", remedy="check the token endpoint and the network") from problem
        if answer.status_code >= 500:
            raise Failed(where="token", what=f"the server failed ({answer.status_code})", remedy="try again later")
        if answer.status_code != 200 or len(answer.content) > _MOST:
            raise Refused(where="token", what=f"refused ({answer.status_code})", remedy="check the client, its key and its scopes")
        try:
            return parse_resource(answer.content, "token")
        except RecordError as problem:
            raise Refused(where="token", what="not JSON", remedy="check the token endpoint") from problem


def _left(end: float, server: Server) -> float:
    return max(0.1, min(server.timeout_s, end - time.monotonic()))


def assertion(server: Server, audience: str) -> str:
    """A signed JWT that says who we are to one endpoint, once (`jti`), for four minutes."""
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey

    now = int(time.time())
    claims = {"iss": server.client_id, "sub": server.client_id, "aud": audience, "iat": now, "exp": now + LIFETIME_S, "jti": uuid4().hex}
    header = {"alg": server.algorithm, "typ": "JWT", **({"kid": server.key_id} if server.key_id else {})}
    kind = RSAKey if server.algorithm.startswith("RS") else ECKey
    try:
        given: Any = json.loads(server.private_key) if server.private_key.lstrip().startswith("{") else server.private_key
        return jwt.encode(header, claims, kind.import_key(given), algorithms=list(ALGORITHMS))
    except (JoseError, ValueError, TypeError) as problem:
        raise NotAllowed(where="private_key", what="cannot sign with it", remedy=f"give a private key for {server.algorithm}") from problem
