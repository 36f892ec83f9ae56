"""Keys of the key ring under the protection of AWS KMS: wrapped ones are made, and unwrapped.

Used at the start and by commands, never by requests.  The name of a key is part of what KMS checks,
so that a wrapped key cannot be relabelled.
"""

import base64
from typing import Final

from graticule.access.keyring import KEY_BYTES, WrappedKey
from graticule.domain.errors import CatalogError, Unavailable
from graticule.storage.aws_errors import translated
from graticule.storage.clients import kms_client
from graticule.storage.keys import Keys

_PURPOSE: Final = "graticule-secret-key"


class KeyWrapping:
    """KMS as `keys` sees it; `endpoint` is None for AWS's own."""

    def __init__(self, keys: Keys, *, endpoint: str | None = None) -> None:
        self._keys = keys
        self._endpoint = endpoint

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        """The key itself, which nothing may keep but memory.

        Raises:
            Unavailable: KMS does not answer, or does not unwrap it for this server.
        """
        client = kms_client(self._keys, region=wrapped.region, endpoint=self._endpoint)
        try:
            with translated("unwrapping with KMS", f"key {wrapped.name}"):
                answer = client.decrypt(
                    CiphertextBlob=wrapped.box, EncryptionContext=_context(wrapped.name)
                )
                return bytes(answer["Plaintext"])
        except CatalogError as error:
            raise Unavailable(
                f"the secret key `{wrapped.name}` could not be unwrapped: {error.message}. This "
                f"server's AWS identity needs `kms:Decrypt` in `{wrapped.region}`"
            ) from error

    def new_key(self, name: str, kms_key_arn: str, *, region: str) -> str:
        """An entry for the key ring with a fresh key that only KMS can unwrap.

        Raises:
            StorageRefused, StorageUnavailable: from KMS.
        """
        client = kms_client(self._keys, region=region, endpoint=self._endpoint)
        with translated("wrapping with KMS", f"key {name}"):
            answer = client.generate_data_key_without_plaintext(
                KeyId=kms_key_arn, NumberOfBytes=KEY_BYTES, EncryptionContext=_context(name)
            )
            box = bytes(answer["CiphertextBlob"])
        return f"{name}:kms:{region}:{base64.b64encode(box).decode()}"


def _context(name: str) -> dict[str, str]:
    return {"purpose": _PURPOSE, "name": name}
