"""A small but real OpenID Connect provider on loopback: discovery, keys that rotate, code + PKCE.

It signs in whoever `person` says without asking, and checks what a provider checks.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

CLIENT_ID = "graticule tests"
CLIENT_SECRET = "s3cret: with + and %"
AUDIENCE = "https://maps.example"


@dataclass
class Provider:
    url: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "ana-1"})
    """Who signs in: claims."""
    answers: dict[str, Any] = field(default_factory=dict)
    """By path: a status, or a document to answer instead."""
    asked: list[str] = field(default_factory=list)
    spoil_nonce: bool = False
    keys: dict[str, Any] = field(default_factory=dict)
    """Private keys by id, the newest last."""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    now_s: float | None = None

    def rotate(self, *, keep_old: bool = False, kind: str = "EC") -> None:
        if not keep_old:
            self.keys.clear()
        key = (
            ec.generate_private_key(ec.SECP256R1())
            if kind == "EC"
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )
        self.keys[secrets.token_hex(4)] = key

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self._jwk(kid, key) for kid, key in self.keys.items()]}

    @staticmethod
    def _jwk(kid: str, key: Any) -> dict[str, Any]:
        if isinstance(key, rsa.RSAPrivateKey):
            shown = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        else:
            shown = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**shown, "kid": kid, "use": "sig"}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.now_s if self.now_s is not None else time.time())
        given = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            **self.person,
            **changes,
        }
        return {name: value for name, value in given.items() if value is not ...}

    def token(self, *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token of whoever `person` is; `...` leaves a claim out."""
        kid, key = list(self.keys.items())[-1]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(
            self.claims(**changes), key, algorithm=algorithm, headers={"kid": kid} | (headers or {})
        )

    def _authorise(self, query: dict[str, str]) -> str:
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        answer = urlencode({"code": code, "state": query["state"], "iss": self.url})
        return f"{query['redirect_uri']}?{answer}"

    def _redeem(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(pair[0]), unquote_plus(pair[2])) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        nonce = "another" if self.spoil_nonce else asked["nonce"]
        return 200, {"id_token": self.token(aud=CLIENT_ID, nonce=nonce), "token_type": "Bearer"}

    def get(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        match path:
            case "/.well-known/openid-configuration":
                return 200, {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/authorize",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                }
            case "/keys":
                return 200, self.jwks()
            case "/authorize":
                return 302, self._authorise(query)
            case _:
                return 404, {}


@contextmanager
def providing() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            self._answer(parts.path, lambda: provider.get(parts.path, query))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            authorization = self.headers.get("Authorization", "")
            self._answer("/token", lambda: provider._redeem(form, authorization))

        def _answer(self, path: str, usual: Any) -> None:
            provider.asked.append(path)
            instead = provider.answers.get(path)
            if isinstance(instead, int):
                status, answer = instead, {}
            else:
                status, answer = (200, instead) if instead is not None else usual()
            body = b"" if isinstance(answer, str) else json.dumps(answer).encode()
            self.send_response(status)
            if isinstance(answer, str):
                self.send_header("Location", answer)
            elif 300 <= status < 400:
                self.send_header("Location", f"{provider.url}/keys")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    provider.rotate()
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield provider
    server.shutdown()
    server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with providing() as running:
        yield running
