"""API keys and access tokens: their forms, and how they are checked.  Pure.

An API key is a client id and a secret.  Clients that speak OAuth2 exchange the pair for an access
token; others send both at once as a bearer token, `<client id>.<secret>`.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from graticule.domain.errors import Unauthenticated
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Role, Scope

SECRET_BYTES: Final = 32
CLIENT_ID_BYTES: Final = 10
ISSUER: Final = "graticule"
MEMBER: Final = "member:"
"""Begins the subject of an access token that stands for a member, not for an API key."""
CLOCK_SKEW_MS: Final = 60_000
"""Replicas sign and verify for each other; their clocks may differ by this much."""

_ALGORITHM: Final = "HS256"
_BEARER_KEY: Final = re.compile(r"(gk_[a-z2-7]{16})\.(gs_[A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when its secret is known."""

    client_id: str
    client_secret: Secret

    @property
    def credential(self) -> str:
        """`<client id>:<client secret>`, as Iceberg clients take it in `credential`.  Secret!"""
        return f"{self.client_id}:{self.client_secret.reveal()}"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says."""

    subject: str
    """The client id of an API key, or `member:`, the id of a member, `:` and an issuer's name."""
    scopes: frozenset[Scope]
    expires_at_ms: int
    role_max: Role = Role.ADMIN
    """The member may have a greater role by now; this token does not."""


def new_key(random: Callable[[int], bytes] = secrets.token_bytes) -> NewKey:
    client_id = base64.b32encode(random(CLIENT_ID_BYTES)).decode().lower()
    return NewKey(f"gk_{client_id}", new_secret("gs_", random))


def new_secret(prefix: str, random: Callable[[int], bytes] = secrets.token_bytes) -> Secret:
    """256 random bits as text, after a prefix that says what it opens."""
    text = base64.urlsafe_b64encode(random(SECRET_BYTES)).decode().rstrip("=")
    return Secret(f"{prefix}{text}")


def hash_secret(secret: str) -> str:
    """What is stored.  The secret has 256 random bits, so one SHA-256 is enough; there is nothing
    to guess that a slow hash would slow down.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_matches(secret: str, secret_hash: str) -> bool:
    """Constant-time comparison of a presented secret with what is stored."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)


def split_bearer_key(token: str) -> tuple[str, str] | None:
    """Client id and secret of a bearer token in key form; None when it is something else."""
    match = _BEARER_KEY.fullmatch(token)
    return (match[1], match[2]) if match else None


def issue(
    subject: str,
    scopes: frozenset[Scope],
    *,
    now_ms: int,
    lifetime_s: int,
    key: bytes,
    role_max: Role = Role.ADMIN,
) -> str:
    """Sign an access token for an API key or a member, whose end is the token's end too."""
    now_s = now_ms // 1000
    claims = {
        "iss": ISSUER,
        "sub": subject,
        "role": role_max.value,
        "scope": " ".join(sorted(scopes)),
        "iat": now_s,
        "exp": now_s + lifetime_s,
    }
    return jwt.encode(claims, key, algorithm=_ALGORITHM)


def verify(token: str, *, now_ms: int, keys: Sequence[bytes]) -> Claims:
    """Check the signature against any of the keys, then issuer and times.

    Raises:
        Unauthenticated: not our token, tampered with, expired, or from the future.
    """
    claims = _signed_claims(token, keys)
    try:
        scopes = frozenset(Scope(scope) for scope in claims["scope"].split())
        role_max = Role(claims.get("role", Role.ADMIN))
        read = Claims(str(claims["sub"]), scopes, int(claims["exp"]) * 1000, role_max)
        issued_at_ms = int(claims["iat"]) * 1000
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise Unauthenticated("the access token lacks what this server writes into one") from error
    if read.expires_at_ms <= now_ms:
        raise Unauthenticated("the access token has expired; get a new one")
    if issued_at_ms > now_ms + CLOCK_SKEW_MS:
        raise Unauthenticated(
            "the access token was issued in the future; check the servers' clocks"
        )
    return read


def _signed_claims(token: str, keys: Sequence[bytes]) -> dict[str, Any]:
    # Times are checked by the caller with its own clock, not by the library with the system's.
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
    for key in keys:
        try:
            return jwt.decode(token, key, algorithms=[_ALGORITHM], issuer=ISSUER, options=options)
        except jwt.InvalidSignatureError:
            continue
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("the access token is not one of this server") from error
    raise Unauthenticated("the access token is not one of this server")


def parse_scopes(requested: str | None, granted: frozenset[Scope]) -> frozenset[Scope]:
    """Narrow the scopes of a key to those a token request names.

    Engines send words of their own (`catalog`, `PRINCIPAL_ROLE:ALL`, `sign`) that mean nothing
    here: a request without any word of ours gets all that the key has.  Never more than granted.
    """
    ours = frozenset(scope for scope in Scope if scope.value in (requested or "").split())
    return granted & ours if ours else granted
