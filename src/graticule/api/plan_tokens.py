"""Tokens of scan plans: what was asked, signed, for whichever replica is asked next.

Nothing of a plan is kept anywhere: its id and its tasks say it all, until they expire.
"""

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable
from typing import Any, Final

from graticule.domain.errors import InvalidPageToken

Json = dict[str, Any]

PLAN_LIFETIME_S: Final = 6 * 3600
"""A reader with few executors fetches the last of its plan tasks hours after the first."""
STATE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a token after it is inflated: no larger request is ever accepted."""
_SIGNATURE_BYTES: Final = 16


class PlanTokens:
    """Issues and reads tokens with a key that all replicas share."""

    def __init__(self, key: bytes, *, now_ms: Callable[[], int]) -> None:
        self._key = key
        self._now_ms = now_ms

    def issue(self, of: str, state: Json) -> str:
        """A token that gives `state` back to whoever asks about the same `of`."""
        until_s = self._now_ms() // 1000 + PLAN_LIFETIME_S
        payload = zlib.compress(
            json.dumps([of, until_s, state], separators=(",", ":")).encode(), level=1
        )
        return base64.urlsafe_b64encode(self._sign(payload) + payload).decode().rstrip("=")

    def read(self, token: str, *, of: str) -> Json:
        """What the token was issued with.

        Raises:
            InvalidPageToken: not issued by this server, for something else, or too long ago.
        """
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError) as error:
            raise InvalidPageToken("not a token of this server") from error
        signature, payload = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)):
            raise InvalidPageToken("not a token of this server")
        text = zlib.decompressobj().decompress(payload, STATE_BYTES_MAX)
        issued_for, until_s, state = json.loads(text)
        if issued_for != of:
            raise InvalidPageToken("the token belongs to another plan")
        if until_s * 1000 <= self._now_ms():
            raise InvalidPageToken("the plan has expired")
        return dict(state)

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
