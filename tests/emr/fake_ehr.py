"""A hospital's authorization server and FHIR endpoint on loopback: authlib's grants, PKCE, signed assertions, OpenID, and SMART's launch.

It does what SMART App Launch 2.2 asks of a server, strictly; `lies` makes it misbehave in one way at a time.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import uvicorn
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route


class Asked(OAuth2Request):
    """A request as authlib wants it."""

    def __init__(self, method: str, uri: str, fields: dict[str, str], headers: dict[str, str]) -> None:
        super().__init__(method, uri, headers=headers)
        self.payload, self._fields = BasicOAuth2Payload(fields), fields

    @property
    def args(self) -> dict[str, str]:
        return self._fields

    @property
    def form(self) -> dict[str, str]:
        return self._fields


class App(ClientMixin):
    """The one registered app."""

    def __init__(self, client_id: str, redirect_uri: str, keys: Callable[[], dict[str, Any]]) -> None:
        self.client_id, self.redirect_uri, self.keys = client_id, redirect_uri, keys

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "private_key_jwt"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code(AuthorizationCodeMixin):
    """An authorization code and what it was given for."""

    def __init__(self, request: OAuth2Request, patient: str) -> None:
        data = request.payload.data
        self.redirect_uri, self.scope, self.patient = data["redirect_uri"], data["scope"], patient
        self.code_challenge, self.code_challenge_method = data.get("code_challenge"), data.get("code_challenge_method")
        self.nonce, self.user = data.get("nonce"), request.user

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Assertion(JWTBearerClientAssertion):
    """private_key_jwt as SMART has it: RS384 or ES384, five minutes, each jti once."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, ehr: FakeEhr) -> None:
        super().__init__()
        self.ehr = ehr

    def get_audiences(self) -> list[str]:
        return [f"{self.ehr.base}/token"]

    def resolve_client_public_key(self, client: App) -> KeySet:
        return KeySet.import_key_set(client.keys())

    def process_assertion_claims(self, assertion: str, key: Any) -> Any:
        token = jwt.decode(assertion, key, algorithms=["RS384", "ES384"])
        assert token.claims["exp"] - time.time() <= 300
        self.verify_claims(token.claims)
        self.ehr.assertions.append(dict(token.header))
        return token.claims

    def validate_jti(self, claims: Any, jti: str) -> bool:
        fresh = jti not in self.ehr.jtis
        self.ehr.jtis.add(jti)
        return fresh


class Grant(AuthorizationCodeGrant):
    """Codes that are good once."""

    TOKEN_ENDPOINT_AUTH_METHODS = ["private_key_jwt"]  # noqa: RUF012

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        self.server.ehr.codes[code] = Code(request, request.patient)

    def query_authorization_code(self, code: str, client: App) -> Code | None:
        return self.server.ehr.codes.get(code)

    def delete_authorization_code(self, code: Code) -> None:
        ehr = self.server.ehr
        ehr.codes = {key: kept for key, kept in ehr.codes.items() if kept is not code}

    def authenticate_user(self, code: Code) -> str:
        return code.user


class Identity(OpenIDCode):
    """The identity token, which `lies` may forge."""

    def __init__(self, ehr: FakeEhr) -> None:
        super().__init__(require_nonce=True)
        self.ehr = ehr

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return False

    def encode_id_token(self, token: dict[str, Any], request: OAuth2Request) -> Any:
        now = int(time.time())
        claims = {
            "iss": self.ehr.base, "sub": "user-1", "aud": request.client.client_id, "iat": now, "exp": now + 300,
            "nonce": request.authorization_code.nonce, "fhirUser": f"{self.ehr.iss}/Practitioner/{request.user}",
        }  # fmt: skip
        forge = self.ehr.lies.get("identity")
        if forge is not None:
            return forge(claims, self.ehr)
        return jwt.encode({"alg": "RS256", "kid": "sig"}, claims, self.ehr.key, algorithms=["RS256"])


class Server(AuthorizationServer):
    """authlib's server over this double's state."""

    def __init__(self, ehr: FakeEhr) -> None:
        super().__init__()
        self.ehr = ehr
        self.register_client_auth_method("private_key_jwt", Assertion(ehr))
        self.register_token_generator("default", BearerTokenGenerator(lambda *_, **__: secrets.token_urlsafe(32), None, lambda *_: 3600))
        self.register_grant(Grant, [Identity(ehr), CodeChallenge(required=True)])

    def query_client(self, client_id: str) -> App | None:
        return self.ehr.app if self.ehr.app and self.ehr.app.client_id == client_id else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        token |= {"patient": request.authorization_code.patient, "need_patient_banner": True} | self.ehr.context
        self.ehr.tokens.add(token["access_token"])

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        return None

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Response:
        if isinstance(body, dict):
            return JSONResponse(body | self.ehr.lies.get("token", {}) if status == 200 else body, status)
        return Response(body or "", status, dict(headers))


class FakeEhr:
    """The double: which launches there are, who is signed in, what it did and how it lies."""

    def __init__(self, port: int) -> None:
        self.base, self.iss = f"http://localhost:{port}", f"http://localhost:{port}/fhir"
        self.key = RSAKey.generate_key(2048, {"kid": "sig", "use": "sig"})
        self.other = RSAKey.generate_key(2048, {"kid": "sig", "use": "sig"})
        self.ec = ECKey.generate_key("P-384", {"kid": "ec", "use": "sig"})
        self.app: App | None = None
        self.launches: dict[str, str] = {}
        self.codes: dict[str, Code] = {}
        self.tokens: set[str] = set()
        self.jtis: set[str] = set()
        self.assertions: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.requests: list[str] = []
        self.context: dict[str, Any] = {}
        self.lies: dict[str, Any] = {}
        self.patients: dict[str, dict[str, Any]] = {}
        self.server = Server(self)

    def launch(self, patient: str) -> str:
        """A launch from a patient's page."""
        name = secrets.token_urlsafe(12)
        self.launches[name] = patient
        return name

    def asgi(self) -> Starlette:
        """The endpoints."""
        routes = [
            Route("/fhir/.well-known/smart-configuration", self._configuration),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
            Route("/jwks", self._jwks),
            Route("/fhir/Patient/{name}", self._patient),
            Route("/elsewhere", self._elsewhere),
        ]
        return Starlette(routes=routes)

    def _note(self, request: Request) -> None:
        self.requests.append(request.url.path)

    async def _configuration(self, request: Request) -> Response:
        self._note(request)
        said = {
            "issuer": self.base, "jwks_uri": f"{self.base}/jwks", "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token", "grant_types_supported": ["authorization_code"],
            "capabilities": ["launch-ehr", "launch-standalone", "client-confidential-asymmetric", "sso-openid-connect"],
            "code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        if "configuration_response" in self.lies:
            return self.lies["configuration_response"]
        said |= self.lies.get("configuration", {})
        return JSONResponse({key: value for key, value in said.items() if value is not None})

    async def _authorize(self, request: Request) -> Response:
        self._note(request)
        fields = dict(request.query_params)
        self.asked.append(fields)
        patient = self.launches.pop(fields.get("launch", ""), "") if "launch" in fields["scope"].split() else "chosen"
        if fields.get("aud") != self.iss or not patient or fields.get("code_challenge_method") != "S256" or len(fields["state"]) < 22:
            return JSONResponse({"error": "invalid_request"}, 400)
        asked = Asked("GET", f"{self.base}/authorize?{urlencode(fields)}", fields, {})
        asked.patient = patient
        grant = self.server.get_consent_grant(asked, end_user="p1")
        answer = self.server.create_authorization_response(asked, grant_user="p1", grant=grant)
        there = answer.headers["location"] + "&" + urlencode({"iss": self.base})
        return RedirectResponse(self.lies.get("redirect", lambda text: text)(there), 302)

    async def _token(self, request: Request) -> Response:
        self._note(request)
        form = {key: str(value) for key, value in (await request.form()).items()}
        if "token_response" in self.lies:
            return self.lies["token_response"]
        return self.server.create_token_response(Asked("POST", f"{self.base}/token", form, dict(request.headers)))

    async def _jwks(self, request: Request) -> Response:
        self._note(request)
        keys = [self.key.as_dict(private=False), self.ec.as_dict(private=False)]
        return JSONResponse({"keys": self.lies.get("keys", keys)})

    async def _patient(self, request: Request) -> Response:
        self._note(request)
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        found = self.patients.get(request.path_params["name"])
        if bearer not in self.tokens or found is None:
            return JSONResponse({"resourceType": "OperationOutcome"}, 401 if bearer not in self.tokens else 404)
        return JSONResponse(found)

    async def _elsewhere(self, request: Request) -> Response:
        self._note(request)
        return JSONResponse(json.loads("{}"))


@contextmanager
def serving() -> Iterator[FakeEhr]:
    """The double on a free port of this machine, in a thread of its own."""
    import socket

    with socket.socket() as plug:
        plug.bind(("127.0.0.1", 0))
        port = plug.getsockname()[1]
    ehr = FakeEhr(port)
    server = uvicorn.Server(uvicorn.Config(ehr.asgi(), host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield ehr
    finally:
        server.should_exit = True
        thread.join(10)
