"""What a client gets of a table: its document, and how to reach its files."""

import hashlib
from dataclasses import dataclass
from typing import Final, Self

from graticule.domain.catalog import TableRecord
from graticule.domain.identifiers import TableIdentifier
from graticule.services.catalog.table_storage import VendedStorage

ALL_SNAPSHOTS: Final = "all"


@dataclass(frozen=True, slots=True)
class Held:
    """What a client has of a table already, as `If-None-Match` says (RFC 9110 section 13.1.2)."""

    etags: frozenset[str] = frozenset()
    is_anything: bool = False
    """It sent `*`: whatever there is now, it wants none."""

    def has(self, etag: str, storage: VendedStorage) -> bool:
        """True if the client needs nothing.

        `*` does not say how old the client's credential is, so whoever is handed one, gets it.
        """
        return etag in self.etags or (self.is_anything and not storage.tag)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A table of which the client holds the current state."""

    etag: str


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """A table as a client gets it.  `metadata_location` is None for a staged create."""

    identifier: TableIdentifier
    metadata_location: str | None
    document: bytes
    storage: VendedStorage
    etag: str

    @classmethod
    def of(
        cls,
        record: TableRecord,
        document: bytes,
        storage: VendedStorage,
        *,
        is_staged: bool = False,
    ) -> Self:
        """The table of a record, with the whole of its document."""
        at = None if is_staged else record.metadata_location
        etag = etag_of(record, storage=storage)
        return cls(record.identifier, at, document, storage, etag)


def etag_of(
    record: TableRecord, *, snapshots: str = ALL_SNAPSHOTS, storage: VendedStorage | None = None
) -> str:
    """Changes with the metadata, its representation and the credential that came with it.

    So no client keeps a table beyond the life of the credential it has for it.
    """
    vended = storage.tag if storage is not None else ""
    text = f"{record.id}|{record.metadata_location}|{snapshots}|{vended}|{record.identifier}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
