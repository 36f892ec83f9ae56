"""`POST /v1/oauth/tokens`: access tokens for API keys.

The specification prefers an identity provider of its own; every client tries this first.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from starlette.responses import Response

from graticule.api.endpoint import Call, json_response, without_nul
from graticule.domain.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    UnsupportedGrantType,
)

ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"


def create_token(call: Call) -> Response:
    """Client credentials, by form or by Basic header, and token exchange (RFC 8693) to renew.

    Java needs `issued_token_type` in every answer to an exchange, or its next renewal fails.
    """
    form = call.form()
    match form.get("grant_type"):
        case "client_credentials":
            client_id, client_secret = _client(call, form)
            token, expires_in_s = call.services.access_tokens.issue(
                client_id, client_secret, form.get("scope"), origin=call.principal.origin
            )
        case grant if grant == TOKEN_EXCHANGE:
            subject = form.get("subject_token")
            if not subject:
                raise InvalidRequest("`subject_token` is missing")
            token, expires_in_s = _exchange(call, form, subject)
        case None | "":
            raise InvalidRequest("`grant_type` is missing")
        case grant:
            raise UnsupportedGrantType(
                f"grant_type must be `client_credentials` or `{TOKEN_EXCHANGE}`, not `{grant}`"
            )
    return json_response(
        {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": expires_in_s,
            "issued_token_type": ACCESS_TOKEN_TYPE,
        },
        headers={"Cache-Control": "no-store"},
    )


def _exchange(call: Call, form: Mapping[str, str], subject: str) -> tuple[str, int]:
    """A new token for an old one.

    Java sends the client's own secret along once the old one has expired: that speaks for itself.
    """
    access_tokens, origin = call.services.access_tokens, call.principal.origin
    try:
        renewed: tuple[str, int] = access_tokens.exchange(subject, form.get("scope"), origin=origin)
    except InvalidGrant:
        client_id, client_secret = _client(call, form)
        if not client_id or not client_secret:
            raise
        renewed = access_tokens.issue(client_id, client_secret, form.get("scope"), origin=origin)
    return renewed


def _client(call: Call, form: Mapping[str, str]) -> tuple[str, str]:
    """Client id and secret from the Basic header (DuckDB) or the form (Java, PyIceberg)."""
    scheme, _, encoded = (call.header("authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidClient("the Basic authorization header cannot be decoded") from error
        client_id, _, client_secret = decoded.partition(":")
        # RFC 6749 has clients encode both like form fields; nothing of ours needs it, or minds.
        return without_nul(unquote_plus(client_id)), unquote_plus(client_secret)
    return form.get("client_id", ""), form.get("client_secret", "")
