"""Table metadata files: written once under a fresh name, read whole, deleted when orphaned.

The name tells the compression: `….gz.metadata.json` and `….metadata.json.gz` are gzip.
"""

import gzip
import zlib
from typing import Final

from graticule.domain.errors import StorageRefused
from graticule.domain.spliced import Content
from graticule.storage.s3 import ObjectStore

METADATA_SIZE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of the document itself, not of its compressed form."""

CONTENT_TYPE: Final = "application/json"

_GZIP_NAMES: Final = (".gz.metadata.json", ".metadata.json.gz")
_GZIP_LEVEL: Final = 6
_GZIP_WINDOW: Final = zlib.MAX_WBITS | 16


class MetadataFiles:
    """Reads and writes metadata documents as bytes; what they say is the business of `iceberg`."""

    def __init__(self, *, size_bytes_max: int = METADATA_SIZE_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max

    def write(self, store: ObjectStore, location: str, data: Content) -> None:
        """Write a file whose name is its own (`iceberg.metadata.next_metadata_file_name`).

        Raises:
            WriteOutcomeUnknown: no answer came; the file may be there.
            StorageRefused: the store said no, or the document is too large.
        """
        self._check_size(location, len(data))
        # A fixed time keeps equal documents equal bytes, by which a write is known again whose
        # answer was lost.
        stored = gzip.compress(bytes(data), _GZIP_LEVEL, mtime=0) if is_gzip(location) else data
        store.put(location, stored, CONTENT_TYPE)

    def read(self, store: ObjectStore, location: str) -> bytes:
        """The document, uncompressed.

        Raises:
            NoSuchFile: the file is not there.
            StorageRefused: not allowed, not gzip although its name says so, or too large.
        """
        stored = store.get(location, size_bytes_max=self._size_bytes_max)
        return self._decompressed(location, stored) if is_gzip(location) else stored

    def delete(self, store: ObjectStore, location: str) -> None:
        """Delete the file; one that is not there is fine."""
        store.delete([location])

    def _decompressed(self, location: str, stored: bytes) -> bytes:
        inflate = zlib.decompressobj(_GZIP_WINDOW)
        try:
            # A few kilobytes can unfold to gigabytes: stop one byte past the limit.
            data = inflate.decompress(stored, self._size_bytes_max + 1)
        except zlib.error as error:
            raise StorageRefused(f"`{location}` is not the gzip file that its name says") from error
        self._check_size(location, len(data))
        if not inflate.eof:
            raise StorageRefused(f"`{location}` is cut off: its gzip stream does not end")
        return data

    def _check_size(self, location: str, size_bytes: int) -> None:
        if size_bytes > self._size_bytes_max:
            raise StorageRefused(
                f"the metadata document at `{location}` is larger than "
                f"{self._size_bytes_max} bytes; expire snapshots to make it smaller"
            )


def is_gzip(location: str) -> bool:
    return location.endswith(_GZIP_NAMES)
