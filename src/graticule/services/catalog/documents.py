"""Table metadata documents: from memory, else from the database's copy, else from the store.

A metadata file never changes while a table points at it, so what is kept for a row and a location
stays right; only the pointer in the row says which one is current, and that is read afresh.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Engine

from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.domain import waiting
from graticule.domain.catalog import StorageIntegration, TableRecord
from graticule.domain.errors import NoSuchFile
from graticule.domain.spliced import Content
from graticule.iceberg import metadata
from graticule.services.integrations.credentials import Credentials
from graticule.storage.metadata_files import MetadataFiles

Json = dict[str, Any]
Value = TypeVar("Value")
Kept = TypeVar("Kept", bytes, Content)

CACHED_BYTES_MAX: Final = 64 * 1024 * 1024
PARSED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Parsed documents take some ten times their encoded size in memory."""

_SPELT_IN_MANY_WAYS: Final = (b"geometry", b"geography")


class _ByteBoundedCache(Generic[Value]):
    """Least recently used values, bounded by the encoded size of what they stand for."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._entries: OrderedDict[str, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: str, value: Value, size_bytes: int) -> None:
        if size_bytes > self._bytes_max:
            return
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (value, size_bytes)
            self._bytes += size_bytes
            while self._bytes > self._bytes_max:
                _, (_, dropped) = self._entries.popitem(last=False)
                self._bytes -= dropped


class Documents:
    """Reads metadata documents; commits and creates put theirs in."""

    def __init__(self, engine: Engine, files: MetadataFiles, credentials: Credentials) -> None:
        self._engine = engine
        self._files = files
        self._credentials = credentials
        self._encoded: _ByteBoundedCache[Content] = _ByteBoundedCache(CACHED_BYTES_MAX)
        self._refs_only: _ByteBoundedCache[bytes] = _ByteBoundedCache(CACHED_BYTES_MAX)
        self._parsed: _ByteBoundedCache[Json] = _ByteBoundedCache(PARSED_BYTES_MAX)

    def encoded(self, record: TableRecord, integration: StorageIntegration) -> bytes:
        """The current metadata document of a table or view, as clients get it.

        Raises:
            NoSuchFile: neither the database nor the store has it.
        """
        return bytes(
            self._through(self._encoded, _key(record), lambda: self._fetch(record, integration))
        )

    def refs_only(self, record: TableRecord, integration: StorageIntegration) -> bytes:
        """The same with only the snapshots that a branch or tag names (`snapshots=refs`)."""
        return self._through(
            self._refs_only,
            _key(record),
            lambda: metadata.encode(metadata.refs_only(self.parsed(record, integration))),
        )

    def parsed(self, record: TableRecord, integration: StorageIntegration) -> Json:
        """The document as JSON.  Shared between threads: never to be changed in place."""
        known = self._parsed.get(_key(record))
        if known is None:
            waiting.announce()
            data = self.encoded(record, integration)
            known = metadata.decode(data)
            self._parsed.put(_key(record), known, len(data))
        return known

    def keep(self, record: TableRecord, document: Json, encoded: Content) -> None:
        """Remember a document that was just written, so that the next reader has it at hand."""
        self._encoded.put(_key(record), encoded, len(encoded))
        self._parsed.put(_key(record), document, len(encoded))

    def read_file(self, metadata_location: str, integration: StorageIntegration) -> bytes:
        """A metadata document from the store, whether or not a table points at it.

        What another catalog wrote may spell geometry types in ways that not every client reads.
        The file stays as it is; everybody is given the spelling that all of them read.

        Raises:
            NoSuchFile: it is not there, in the words that clients look for.
            InvalidRequest: it is not a metadata document.
        """
        try:
            data = self._files.read(self._credentials.store_for(integration), metadata_location)
        except NoSuchFile as error:
            raise NoSuchFile(
                f"Failed to open input stream for file: {metadata_location}"
            ) from error
        lower = data.lower()
        if not any(name in lower for name in _SPELT_IN_MANY_WAYS):
            return data
        document = metadata.decode(data)
        canonical = metadata.with_canonical_types(document)
        return data if canonical == document else metadata.encode(canonical)

    def _fetch(self, record: TableRecord, integration: StorageIntegration) -> bytes:
        with read(self._engine) as conn:
            copy = tables_db.read_document(conn, record.id, record.metadata_location)
        if copy is not None:
            return copy
        return self.read_file(record.metadata_location, integration)

    @staticmethod
    def _through(cache: _ByteBoundedCache[Kept], key: str, produce: Callable[[], Kept]) -> Kept:
        value = cache.get(key)
        if value is None:
            waiting.announce()
            value = produce()
            cache.put(key, value, len(value))
        return value


def _key(record: TableRecord) -> str:
    """Of the row too: a file that another catalog wrote may be another one when it is registered
    again, and the same URI on two stores is two files.
    """
    return f"{record.id} {record.metadata_location}"
