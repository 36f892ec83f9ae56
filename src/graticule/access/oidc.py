"""Tokens of identity providers: what a signature must be like, and what claims mean.  Pure.

Only asymmetric algorithms: a public key can never be taken for the secret of an HMAC.
"""

from collections.abc import Mapping
from typing import Any, Final

import jwt

from graticule.access.tokens import CLOCK_SKEW_MS, parse_scopes
from graticule.domain.errors import Unauthenticated
from graticule.domain.issuer import Identity, Issuer
from graticule.domain.tenancy import ALL_SCOPES, Role

Json = Mapping[str, Any]

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
KEYS_MAX: Final = 64
RSA_BITS_MIN: Final = 2048
NAME_CHARACTERS_MAX: Final = 128

_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})


class SigningKeys:
    """The keys an issuer signs with, as its JWKS has them."""

    def __init__(self, document: Any) -> None:
        """Keep what can verify a signature, and pass over the rest.

        Raises:
            ValueError: not a JWKS.
        """
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("no list of keys")  # noqa: TRY004 - the document is wrong
        self._keys = [key for entry in listed[:KEYS_MAX] if (key := _usable(entry)) is not None]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key a token names; a token that names none may mean the only one."""
        if kid is None:
            fitting = [key for key in self._keys if _fits(key, algorithm)]
            return fitting[0] if len(fitting) == 1 else None
        return next(
            (key for key in self._keys if key.key_id == kid and _fits(key, algorithm)), None
        )


def _usable(entry: Any) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("kty") not in _KEY_TYPES:
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") not in ALGORITHMS:
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if entry["kty"] == "RSA" and key.key.key_size < RSA_BITS_MIN:
        return None
    return key


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """RSA keys without `alg` may sign with any algorithm of their kind."""
    declared = key._jwk_data.get("alg")  # noqa: SLF001 - the library guesses where there is none
    if declared is not None:
        return bool(declared == algorithm)
    if key.key_type == "RSA":
        return algorithm.startswith(("RS", "PS"))
    return key.algorithm_name == algorithm


def header_of(token: str) -> tuple[str | None, str]:
    """Key id and algorithm that a token names, before anything of it is believed.

    Raises:
        Unauthenticated: no JWT, or an algorithm that is not allowed, such as `none`.
    """
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise Unauthenticated(_NOT_OURS) from error
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS or "crit" in header:
        raise Unauthenticated(_NOT_OURS)
    return kid if isinstance(kid, str) else None, algorithm


def issuer_url_of(token: str) -> str | None:
    """Who a JWT says it is from, to know whose keys to verify it with; None if it is no JWT."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        return None
    url = claims.get("iss")
    return url if isinstance(url, str) else None


def verified_claims(
    token: str, key: jwt.PyJWK, issuer: Issuer, *, audiences: tuple[str, ...], now_ms: int
) -> Json:
    """The claims of a token whose signature, issuer, audience and times are right.

    Raises:
        Unauthenticated: any of them is not.
    """
    _, algorithm = header_of(token)
    # Times are checked with our own clock below.
    options: Any = {
        "verify_exp": False,
        "verify_iat": False,
        "verify_nbf": False,
        "require": ["iss", "sub", "aud", "exp", "iat"],
    }
    try:
        claims: Json = jwt.decode(
            token,
            key.key,
            algorithms=[algorithm],
            audience=list(audiences),
            issuer=issuer.url,
            options=options,
        )
    except jwt.InvalidAudienceError as error:
        raise Unauthenticated(
            f"the token of `{issuer.name}` is for another audience than this server"
        ) from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise Unauthenticated(_NOT_OURS) from error
    expires_at_ms, issued_at_ms = _ms(claims, "exp"), _ms(claims, "iat")
    not_before_ms = _ms(claims, "nbf") if "nbf" in claims else 0
    if expires_at_ms + CLOCK_SKEW_MS <= now_ms:
        raise Unauthenticated("the token has expired; get a new one")
    if max(issued_at_ms, not_before_ms) > now_ms + CLOCK_SKEW_MS:
        raise Unauthenticated("the token is not valid yet; check the clocks")
    return claims


def _ms(claims: Json, name: str) -> int:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise Unauthenticated(_NOT_OURS)
    return int(value * 1000)


def identity_of(claims: Json, issuer: Issuer) -> Identity:
    """What verified claims say of somebody.

    Raises:
        Unauthenticated: no subject, no organisation where one is needed, or no role here.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > 255:
        raise Unauthenticated(_NOT_OURS)
    organisation = None
    if issuer.organisation_claim is not None:
        found = _texts(claims, issuer.organisation_claim)
        if len(found) != 1:
            raise Unauthenticated(
                f"`{issuer.name}` does not say in `{issuer.organisation_claim}` which organisation "
                "you belong to"
            )
        organisation = found[0]
    scope = claims.get("scope")
    return Identity(
        subject=subject,
        name=_name(claims, issuer, subject),
        organisation=organisation,
        role=_role(claims, issuer),
        scopes=parse_scopes(scope if isinstance(scope, str) else None, ALL_SCOPES),
        issued_at_ms=_ms(claims, "iat"),
        expires_at_ms=_ms(claims, "exp"),
    )


def _role(claims: Json, issuer: Issuer) -> Role | None:
    if issuer.role_claim is None:
        return None
    values = set(_texts(claims, issuer.role_claim))
    if values & set(issuer.admin_values):
        return Role.ADMIN
    if not issuer.user_values or values & set(issuer.user_values):
        return Role.USER
    raise Unauthenticated(f"`{issuer.name}` gives you no role here; ask an admin")


def _name(claims: Json, issuer: Issuer, subject: str) -> str:
    for claim in (issuer.name_claim, "preferred_username", "email", "name"):
        for text in _texts(claims, claim):
            shown = "".join(c for c in text if c.isprintable() and c != "/").strip()
            if shown:
                return shown[:NAME_CHARACTERS_MAX].strip()
    return f"user {subject}"[:NAME_CHARACTERS_MAX].replace("/", "-")


def _texts(claims: Json, path: str) -> list[str]:
    """The texts at a claim, whose name may itself have dots (a URL), or lead into objects."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    listed = value if isinstance(value, list) else [value]
    return [text for text in listed if isinstance(text, str)]


_NOT_OURS: Final = "the token is not one that this server accepts"
