"""A small real OpenID provider on loopback, of authlib's server side: code flow, PKCE required, RS256, keys that can be renewed.

`lies` changes what it says, so that each check of the client can be seen to hold.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
    from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
    from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
    from authlib.oauth2.rfc7636 import CodeChallenge
    from authlib.oidc.core import UserInfo
    from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "auctor", "client secret of the tests"


@dataclass
class Client(ClientMixin):
    """The one client, known by its secret and its one redirect address."""

    redirect: str
    client_id: str = CLIENT

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return self.redirect

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code:
    """An authorization code as it was granted."""

    code: str
    redirect: str
    scope: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    user: str

    def get_redirect_uri(self) -> str:
        return self.redirect

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class Provider:
    """The provider: who is signed in there, its key, and what it lies about."""

    issuer: str
    redirect: str
    user: str = "subject-1"
    lies: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    challenges: list[tuple[str, str]] = field(default_factory=list)
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1", "use": "sig"}, private=True))

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.lies.get("issuer", self.issuer),
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        return self.lies.get("keys") or {"keys": [self.key.as_dict(private=False)]}

    def renew_key(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "k2", "use": "sig"}, private=True)

    def signed(self, claims: dict[str, Any]) -> str:
        """The token as authlib made it, or as the lie says."""
        claims = claims | self.lies.get("claims", {})
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.lies.get("alg") == "none":
            import base64

            parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        if self.lies.get("alg") == "HS256":
            public = json.dumps(self.key.as_dict(private=False)).encode()
            return jwt.encode({"alg": "HS256", "kid": self.key.kid}, claims, OctKey.import_key(public))
        key = self.lies.get("key", self.key)
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, key)


class _CodeGrant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS: ClassVar = ["client_secret_basic"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data, provider = request.payload.data, self.server.provider
        provider.challenges.append((data.get("code_challenge", ""), data.get("code_challenge_method", "")))
        provider.codes[code] = Code(
            code=code,
            redirect=data["redirect_uri"],
            scope=data["scope"],
            nonce=data.get("nonce", ""),
            code_challenge=data.get("code_challenge", ""),
            code_challenge_method=data.get("code_challenge_method", ""),
            user=request.user,
        )

    def query_authorization_code(self, code: str, client: Any) -> Code | None:
        return self.server.provider.codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.server.provider.codes.pop(authorization_code.code, None)

    def authenticate_user(self, authorization_code: Code) -> str:
        return authorization_code.user


class _Identity(OpenIDCode):
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def __init__(self, provider: Provider) -> None:
        super().__init__(require_nonce=True)
        self.provider = provider

    def resolve_client_private_key(self, client: Any) -> Any:
        return self.provider.key

    def get_client_claims(self, client: Any) -> dict[str, Any]:
        return {"iss": self.provider.issuer, "aud": [client.get_client_id()], "exp": int(time.time()) + 300}

    def get_client_algorithm(self, client: Any) -> str:
        return "RS256"

    def generate_user_info(self, user: str, scope: str) -> Any:
        return UserInfo(sub=user, name=f"Name of {user}", preferred_username=user)

    def process_token(self, grant: Any, response: Any) -> Any:
        token = super().process_token(grant, response)
        if "id_token" in token:
            honest = dict(jwt.decode(token["id_token"], self.provider.key, algorithms=["RS256"]).claims)
            token["id_token"] = self.provider.signed(honest)
        return token


class _Asked(OAuth2Request):
    """A request whose fields are in the payload, whether they came in the address or the form."""

    @property
    def args(self) -> Any:
        return self.payload.data

    form = args


class _Server(AuthorizationServer):
    def __init__(self, provider: Provider) -> None:
        super().__init__()
        self.provider = provider
        self.register_token_generator("default", lambda **given: {"token_type": "Bearer", "access_token": "a", "scope": given["scope"]})
        self.register_grant(_CodeGrant, [_Identity(provider), CodeChallenge(required=True)])

    def query_client(self, client_id: str) -> Client | None:
        return Client(redirect=self.provider.redirect) if client_id == CLIENT else None

    def save_token(self, token: Any, request: Any) -> None:
        """Nothing is asked of it later."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Any) -> Any:
        if isinstance(request, OAuth2Request):
            return request
        method, uri, headers, fields = request
        made = _Asked(method, uri, headers=headers)
        made.payload = BasicOAuth2Payload(fields)
        return made

    def handle_response(self, status: int, body: Any, headers: Any) -> Any:
        return status, body, dict(headers)


@contextlib.contextmanager
def running(redirect: str) -> Iterator[Provider]:
    """The provider on a free port of this machine, until the block ends."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    provider = Provider(issuer=f"http://127.0.0.1:{http.server_port}", redirect=redirect)
    http.oidc = _Server(provider)  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Silent."""

    def do_GET(self) -> None:
        server, parts = self.server.oidc, urlsplit(self.path)  # type: ignore[attr-defined]
        if parts.path == "/.well-known/openid-configuration":
            self._say(200, server.provider.metadata(), {})
        elif parts.path == "/keys":
            self._say(200, server.provider.keys(), {})
        else:
            asked = server.create_oauth2_request(self._asked("GET", dict(parse_qsl(parts.query))))
            self._say(*server.create_authorization_response(asked, grant_user=server.provider.user))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self._say(*self.server.oidc.create_token_response(self._asked("POST", dict(parse_qsl(body)))))  # type: ignore[attr-defined]

    def _asked(self, method: str, fields: dict[str, str]) -> Any:
        return method, f"https://{self.headers['host']}{self.path}", self.headers, fields

    def _say(self, status: int, body: Any, headers: dict[str, str]) -> None:
        content = json.dumps(body).encode() if isinstance(body, dict) else str(body or "").encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
