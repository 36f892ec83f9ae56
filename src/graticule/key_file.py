"""The file with the server's own key ring, made on first start.  Whoever reads it reads secrets."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from graticule.access.keyring import Keyring, WrappedKey, new_key
from graticule.domain.errors import Unavailable


def read_key_file(file: Path, *, unwrap: Callable[[WrappedKey], bytes]) -> Keyring:
    """The key ring in a file; `unwrap` opens keys that KMS has wrapped.

    Raises:
        Unavailable: the file is damaged or cannot be read, or `unwrap` fails.
    """
    try:
        return Keyring.parse(file.read_text("ascii"), unwrap=unwrap)
    except OSError as error:
        raise Unavailable(f"the key file `{file}` cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Unavailable(
            f"the key file `{file}` is damaged ({error}); put back a copy, because what was "
            "sealed with its key cannot be read without it"
        ) from error


def make_key_file(file: Path) -> None:
    """Make the file, for its owner only, as a whole or not at all; of two that try, one wins."""
    draft = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"k1:{new_key()}\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
