"""Passwords of users: what is acceptable, and how they are hashed.  Pure.

Argon2id with the parameters of RFC 9106 for servers that have other things to do (64 MiB a hash).
"""

import unicodedata
from functools import cached_property
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from graticule.domain.errors import InvalidRequest
from graticule.domain.secret import Secret

CHARACTERS_MIN: Final = 12
BYTES_MAX: Final = 1024


class PasswordHashing:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()

    def hash(self, password: Secret) -> str:
        return self._hasher.hash(_normalised(password))

    def matches(self, password: Secret, stored: str | None) -> bool:
        """Whether it is the password; as much work without a hash as with one."""
        presented = _normalised(password)
        if len(presented.encode()) > BYTES_MAX:
            presented = ""  # cannot be anybody's; the work stays the same
        try:
            found = self._hasher.verify(stored or self._nobodys, presented)
        except (VerificationError, InvalidHashError):
            return False
        return found and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash("nobody has this password")


def check_password(password: Secret, *, name: str) -> None:
    """Refuse what is guessed first: the short, and the member's own name.

    Raises:
        InvalidRequest: says the rule, never the password.
    """
    text = _normalised(password)
    if len(text) < CHARACTERS_MIN:
        raise InvalidRequest(f"a password has at least {CHARACTERS_MIN} characters")
    if len(text.encode()) > BYTES_MAX:
        raise InvalidRequest(f"a password has at most {BYTES_MAX} bytes")
    if text.strip().casefold() == name.casefold() or len(set(text)) == 1:
        raise InvalidRequest("this password is among the first that anybody would guess")


def _normalised(password: Secret) -> str:
    """Two keyboards may write the same letter differently (RFC 8265)."""
    return unicodedata.normalize("NFC", password.reveal())
