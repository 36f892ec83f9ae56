"""The server's own secrets: sealing what is stored, and deriving keys for what is signed.  Pure.

Sealing is AES-256-GCM.  The key's name and the place a value belongs to are authenticated with it,
so a sealed value that is moved to another row, or relabelled, does not open.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from graticule.domain.errors import Unavailable
from graticule.domain.secret import Secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

_VERSION: Final = "v1"
_SEPARATOR: Final = re.compile(r"\s*[,\n]\s*")
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A key as a key management service gave it out: only that can unwrap it."""

    name: str
    region: str
    box: bytes


Unwrap = Callable[[WrappedKey], bytes]


def _cannot_unwrap(wrapped: WrappedKey) -> bytes:
    raise ValueError(f"key `{wrapped.name}` is wrapped, and there is nothing to unwrap it with")


@dataclass(frozen=True, slots=True)
class Keyring:
    """Named 256-bit keys.  The first seals and signs; all of them open and verify."""

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)

    @classmethod
    def from_keys(cls, keys: Sequence[tuple[str, bytes]]) -> Self:
        """Check and build; the newest key comes first.

        Raises:
            ValueError: no key, a bad or doubled name, or a key that is not 32 bytes long.
        """
        if not keys:
            raise ValueError("a key ring needs at least one key")
        if len({name for name, _ in keys}) != len(keys):
            raise ValueError("two keys of the key ring have the same name")
        for name, key in keys:
            if not _KEY_NAME.fullmatch(name):
                raise ValueError(f"key name `{name}` must be letters, digits, _ or -")
            if len(key) != KEY_BYTES:
                raise ValueError(f"key `{name}` has {len(key)} bytes instead of {KEY_BYTES}")
        return cls(tuple(keys))

    @classmethod
    def parse(cls, text: str, *, unwrap: Unwrap = _cannot_unwrap) -> Self:
        """Read `name:base64` or `name:kms:region:base64`, by commas or lines, the newest key first.

        Raises:
            ValueError: as `from_keys`, or not in that form.  Never quotes a key.
        """
        keys = []
        for entry in _SEPARATOR.split(text.strip()):
            name, colon, rest = entry.partition(":")
            if not colon:
                raise ValueError("write a key ring as `name:base64`, several joined by commas")
            match rest.split(":"):
                case [encoded]:
                    keys.append((name, _decoded(name, encoded)))
                case ["kms", region, encoded]:
                    wrapped = WrappedKey(name, region, _decoded(name, encoded))
                    keys.append((name, unwrap(wrapped)))
                case _:
                    raise ValueError(f"key `{name}` is neither base64 nor `kms:region:base64`")
        return cls.from_keys(keys)

    @classmethod
    def check_text(cls, text: str) -> None:
        """Check the form of a key ring without unwrapping its keys.

        Raises:
            ValueError: as for `parse`.
        """
        cls.parse(text, unwrap=lambda _: bytes(KEY_BYTES))

    def seal(
        self,
        plain: Secret,
        *,
        bound_to: str,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> str:
        """Encrypt for storage at the place `bound_to` names, such as `table:row id:column`."""
        name, key = self.keys[0]
        nonce = random(NONCE_BYTES)
        box = AESGCM(_derive(key, "sealing")).encrypt(
            nonce, plain.reveal().encode(), _bound(name, bound_to)
        )
        return f"{_VERSION}.{name}.{base64.urlsafe_b64encode(nonce + box).decode()}"

    def open(self, sealed: str, *, bound_to: str) -> Secret:
        """The inverse of `seal`.

        Raises:
            Unavailable: sealed with a key this ring does not hold, moved, or damaged.
        """
        version, _, rest = sealed.partition(".")
        name, _, encoded = rest.partition(".")
        key = dict(self.keys).get(name)
        if version != _VERSION or key is None:
            raise Unavailable(
                f"a stored secret was sealed with the key `{name}`, which this server does not "
                "have; add it to GRATICULE_SECRET_KEYS"
            )
        try:
            box = base64.urlsafe_b64decode(encoded)
            plain = AESGCM(_derive(key, "sealing")).decrypt(
                box[:NONCE_BYTES], box[NONCE_BYTES:], _bound(name, bound_to)
            )
        except (InvalidTag, ValueError) as error:
            raise Unavailable(
                f"a stored secret does not open with the key `{name}`: it was damaged or moved, "
                "or the key is another one of the same name"
            ) from error
        return Secret(plain.decode())

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, such as signing access tokens; from the newest key."""
        return _derive(self.keys[0][1], purpose)

    def derive_all(self, purpose: str) -> tuple[bytes, ...]:
        """As `derive`, from every key: what older keys signed stays valid while they are here."""
        return tuple(_derive(key, purpose) for _, key in self.keys)


def new_key(random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A fresh key in the form that `Keyring.parse` reads after its name."""
    return base64.b64encode(random(KEY_BYTES)).decode()


def _decoded(name: str, encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"key `{name}` is not base64") from error


def _derive(key: bytes, purpose: str) -> bytes:
    info = f"graticule {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _bound(name: str, bound_to: str) -> bytes:
    return f"{name}|{bound_to}".encode()
