"""How a receiver knows that a webhook is ours: Standard Webhooks signatures.  Pure.

The three headers and the signed text are those of https://www.standardwebhooks.com, so receivers
can use the libraries that exist for it.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Final

from graticule.domain.secret import Secret

SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> Secret:
    """A fresh secret in the form receivers configure: `whsec_` and base64."""
    return Secret(SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def signed_headers(
    secret: Secret, *, delivery_id: str, at_s: int, body: bytes
) -> Mapping[str, str]:
    """`webhook-id` stays the same when a delivery is tried again; the time does not."""
    key = base64.b64decode(secret.reveal().removeprefix(SECRET_PREFIX))
    signed = f"{delivery_id}.{at_s}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
