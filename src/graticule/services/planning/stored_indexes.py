"""Indexes as they are kept: beside the table, pointed to by the database, mapped from a local file.

All of it is derived from what is immutable, so losing any of it costs time and nothing else.  What
is damaged is told apart from what was never there: `index_repairs` takes it up.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read, write
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import CatalogError, NoSuchFile, NoSuchTable, UnreadableFile
from graticule.domain.spliced import Spliced
from graticule.domain.stored_index import StoredIndex
from graticule.planning.index import FileIndex
from graticule.services import meters
from graticule.services.catalog.wanted_indexes import IndexKey
from graticule.services.integrations.credentials import Credentials
from graticule.storage import index_files
from graticule.storage.index_cache import IndexCache
from graticule.storage.s3 import ObjectStore

log = structlog.get_logger(__name__)

GEO_FOLDER: Final = "geo"
INDEX_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
OTHERS_KEPT_MAX: Final = 4
"""Indexes of a table beside those of its branches and tags: of snapshots that were read lately."""
_COPIED_AT_ONCE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class UnusableIndex:
    """An index file that should be there and sound, and is not."""

    location: str
    damage: str


class StoredIndexes:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        cache: IndexCache,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._cache = cache
        self._now_ms = now_ms

    def load(self, catalog: OpenCatalog, key: IndexKey) -> FileIndex | UnusableIndex | None:
        """The index of a snapshot; None when there is none, or the store does not answer."""
        with read(self._engine) as conn:
            known = spatial_indexes_db.find(conn, key.table_id, key.snapshot_id, key.place)
        if known is None:
            return None
        if known.damage is not None:
            return UnusableIndex(known.location, known.damage)
        return self._mapped(catalog, known.location, key)

    def snapshots(self, table_id: str, place: str) -> Collection[int]:
        """The snapshots whose indexes should be there."""
        with read(self._engine) as conn:
            return set(spatial_indexes_db.snapshots(conn, table_id, place))

    def has(self, key: IndexKey) -> bool:
        """True if there is one that nobody found damaged."""
        with read(self._engine) as conn:
            known = spatial_indexes_db.find(conn, key.table_id, key.snapshot_id, key.place)
        return known is not None and known.damage is None

    def publish(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        key: IndexKey,
        index: FileIndex,
        *,
        lacks_boxes: bool = False,
    ) -> FileIndex:
        """Keep an index for all processes; the answer is the same one, mapped where it can be.

        Best effort: without a disk it stays in memory, and in read-only storage each machine
        builds its own.  `lacks_boxes` if reading its files may tell more of them.
        """
        # A fresh name each time: a damaged file must not keep its successor from being written.
        name = f"{key.snapshot_id}-{key.place}-{uuid7()}.arrow"
        about = index_files.About(key.snapshot_id, key.place)
        try:
            path = self._cache.keep(name, lambda part: index_files.write_index(part, index, about))
            mapped = index_files.map_index(path, about)
        except (OSError, UnreadableFile) as error:
            log.warning("spatial index not kept on disk", name=name, error=str(error))
            path, mapped = None, index
        if catalog.integration.read_only:
            return mapped
        at = record.location.join("metadata", GEO_FOLDER, name).uri
        try:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            store.put(
                at, index_files.encode_index(index, about) if path is None else _content(path)
            )
            try:
                before = self._point(key, at, mapped, lacks_boxes=lacks_boxes)
            except NoSuchTable:  # dropped meanwhile, so nobody would ever find the file
                before = at
            if before is not None:
                self._delete(store, [before])
        except (CatalogError, OSError) as error:
            log.warning("spatial index not stored", at=at, error=str(error))
        return mapped

    def _point(self, key: IndexKey, at: str, index: FileIndex, *, lacks_boxes: bool) -> str | None:
        """Have everybody find the index; where the one was that they found before."""
        with write(self._engine) as conn:
            return spatial_indexes_db.put(
                conn,
                table_id=key.table_id,
                snapshot_id=key.snapshot_id,
                place=key.place,
                index_location=at,
                file_count=len(index),
                unknown_count=len(index.unknown),
                lacks_boxes=lacks_boxes,
                created_at_ms=self._now_ms(),
            )

    def remove_old(
        self, catalog: OpenCatalog, record: TableRecord, *, heads: Collection[int]
    ) -> int:
        """Remove the indexes of snapshots that nobody is about to ask for; how many.

        Those of `heads` stay, and of the others the latest few.
        """
        if catalog.integration.read_only:
            return 0
        with read(self._engine) as conn:
            stored = spatial_indexes_db.of_table(conn, record.id)
        others = sorted(
            (one for one in stored if one.snapshot_id not in heads),
            key=lambda one: one.created_at_ms,
        )
        doomed = others[: max(0, len(others) - OTHERS_KEPT_MAX)]
        return self._remove(catalog, record, doomed)

    def remove_expired(
        self, catalog: OpenCatalog, record: TableRecord, *, snapshots: Collection[int]
    ) -> int:
        """Remove the indexes of snapshots that the table has no more; how many."""
        if catalog.integration.read_only:
            return 0
        with read(self._engine) as conn:
            stored = spatial_indexes_db.of_table(conn, record.id)
        doomed = [one for one in stored if one.snapshot_id not in snapshots]
        return self._remove(catalog, record, doomed)

    def remove_files(self, catalog: OpenCatalog, locations: Collection[str]) -> None:
        """Remove index files that nothing points at any more."""
        store = self._credentials.store_for(catalog.integration, in_background=True)
        self._delete(store, locations)

    def _remove(
        self, catalog: OpenCatalog, record: TableRecord, doomed: Collection[StoredIndex]
    ) -> int:
        """Objects before rows: who is cut short finds them again."""
        if not doomed:
            return 0
        self.remove_files(catalog, [one.location for one in doomed])
        with write(self._engine) as conn:
            spatial_indexes_db.remove(conn, record.id, [one.location for one in doomed])
        return len(doomed)

    def _delete(self, store: ObjectStore, locations: Collection[str]) -> None:
        store.delete(list(locations))
        for at in locations:
            self._cache.drop(_name_of(at))

    def _mapped(
        self, catalog: OpenCatalog, at: str, key: IndexKey
    ) -> FileIndex | UnusableIndex | None:
        """From the local file, else from the object beside the table."""
        name = _name_of(at)
        about = index_files.About(key.snapshot_id, key.place)
        path = self._cache.find(name)
        if path is not None:
            try:
                return index_files.map_index(path, about)
            except UnreadableFile as error:
                log.warning("cached spatial index is damaged", path=str(path), error=str(error))
                meters.INDEX_COPIES_DAMAGED.inc()
                self._cache.drop(name)
        try:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            return self._fetched(store, at, about)
        except (NoSuchFile, UnreadableFile) as error:
            log.warning("spatial index is damaged", at=at, error=error.message)
            meters.INDEXES_DAMAGED.inc()
            return UnusableIndex(at, error.message)
        except CatalogError as error:
            log.warning("spatial index cannot be read", at=at, error=error.message)
            return None

    def _fetched(self, store: ObjectStore, at: str, about: index_files.About) -> FileIndex:
        def download(part: Path) -> None:
            with store.open(at) as stream, part.open("wb") as file:
                for chunk in stream.chunks(_COPIED_AT_ONCE_BYTES):
                    file.write(chunk)

        try:
            path = self._cache.keep(_name_of(at), download)
        except OSError as error:
            log.warning("spatial index not kept on disk", at=at, error=str(error))
            data = store.get(at, size_bytes_max=INDEX_BYTES_MAX)
            return index_files.decode_index(data, about)
        try:
            return index_files.map_index(path, about)
        except UnreadableFile:
            self._cache.drop(path.name)
            raise


def _content(path: Path) -> Spliced:
    """A file, of which no more is in memory than the system wants to keep there."""
    with path.open("rb") as file:
        return Spliced([memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))])


def _name_of(at: str) -> str:
    return at.rpartition("/")[2]
