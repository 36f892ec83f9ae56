"""Page tokens: opaque, signed, and bound to the list they continue."""

import base64
import binascii
import hashlib
import hmac
import json
from typing import Final

from graticule.domain.errors import InvalidPageToken

_SIGNATURE_BYTES: Final = 16


class PageTokens:
    """Issues and reads page tokens with a key that all replicas share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, of: str, after: str) -> str:
        """A token for the part of list `of` that begins after the key `after`."""
        payload = json.dumps([of, after]).encode()
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def read(self, token: str, *, of: str) -> str:
        """The key after which to go on.

        Raises:
            InvalidPageToken: not issued by this server, or for another list.
        """
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError) as error:
            raise InvalidPageToken("the page token is not one of this server") from error
        signature, payload = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise InvalidPageToken("the page token is not one of this server")
        issued_for, after = json.loads(payload)
        if issued_for != of:
            raise InvalidPageToken("the page token belongs to another list")
        return str(after)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
