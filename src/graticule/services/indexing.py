"""The index of each snapshot: which data files it has and where in the plane they lie.

Built on first use (`snapshot_reading`); kept in memory, and beside the table for the next process
and the next snapshot.  It is derived from what is immutable, so losing it costs time and nothing
else.  A file it knows nothing about counts as lying everywhere.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read, write
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import CatalogError
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.planning.table_places import TablePlace, place_of
from graticule.services.credentials import Credentials
from graticule.services.snapshot_reading import SnapshotReader
from graticule.storage import index_files
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]
log = structlog.get_logger(__name__)

INDEXES_CACHED_BYTES_MAX: Final = 512 * 1024 * 1024
ANCESTORS_MAX: Final = 100
"""How far back an index is looked for that most of the files can be taken from."""
GEO_FOLDER: Final = "geo"


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """All live files of one snapshot."""

    snapshot_id: int
    index: FileIndex
    place: TablePlace

    @property
    def deletes(self) -> tuple[DataFileEntry, ...]:
        return self.index.deletes


class Indexing:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        workers: InspectionWorkers,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._workers = workers
        self._now_ms = now_ms
        self._guard = threading.Lock()
        self._building: dict[tuple[str, int, str], threading.Lock] = {}
        self._kept: OrderedDict[tuple[str, int, str], SnapshotFiles] = OrderedDict()
        self._kept_bytes = 0

    def files_of(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        snapshot: Json,
        *,
        schema: Json | None = None,
    ) -> SnapshotFiles:
        """The files of a snapshot: from memory, else from the stored index, else built now.

        `schema` is the one that names the place of rows; the current one unless given.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        place = place_of(document, schema or metadata.current_schema(document))
        snapshot_id = int(snapshot["snapshot-id"])
        key = (record.id, snapshot_id, place.key)
        known = self._recall(key)
        if known is not None:
            return known
        with self._guard:
            turn = self._building.setdefault(key, threading.Lock())
        with turn:
            known = self._recall(key)
            if known is None:
                known = self._load(catalog, record, snapshot_id, place)
            if known is None:
                known = self._build(catalog, record, document, snapshot, place)
                self._store(catalog, record, known)
            self._remember(key, known)
        with self._guard:
            self._building.pop(key, None)
        return known

    def _recall(self, key: tuple[str, int, str]) -> SnapshotFiles | None:
        with self._guard:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
            return known

    def _remember(self, key: tuple[str, int, str], files: SnapshotFiles) -> None:
        with self._guard:
            if key in self._kept:
                return
            self._kept[key] = files
            self._kept_bytes += files.index.size_bytes
            while self._kept_bytes > INDEXES_CACHED_BYTES_MAX and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._kept_bytes -= dropped.index.size_bytes

    def _load(
        self, catalog: OpenCatalog, record: TableRecord, snapshot_id: int, place: TablePlace
    ) -> SnapshotFiles | None:
        """The stored index; None when there is none, or it is damaged: then it is built again."""
        with read(self._engine) as conn:
            at = spatial_indexes_db.location(conn, record.id, snapshot_id, place.key)
        if at is None:
            return None
        try:
            data = self._credentials.store_for(catalog.integration, in_background=True).get(at)
            index = index_files.decode_index(data, snapshot_id=snapshot_id)
        except (CatalogError, ValueError) as error:
            log.warning("spatial index cannot be used", at=at, error=str(error))
            return None
        return SnapshotFiles(snapshot_id, index, place)

    def _build(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        snapshot: Json,
        place: TablePlace,
    ) -> SnapshotFiles:
        store = self._credentials.store_for(catalog.integration, in_background=True)
        snapshot_id = int(snapshot["snapshot-id"])
        earlier = self._earlier(catalog, record, document, snapshot_id, place)
        index = SnapshotReader(store, self._workers, document, place).index(snapshot, earlier)
        log.info(
            "snapshot indexed",
            table_id=record.id,
            snapshot_id=snapshot_id,
            files=len(index),
            unknown=len(index.unknown),
        )
        return SnapshotFiles(snapshot_id, index, place)

    def _earlier(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        snapshot_id: int,
        place: TablePlace,
    ) -> FileIndex | None:
        """The index of the nearest ancestor that has one: most of its manifests are here still."""
        with read(self._engine) as conn:
            stored = spatial_indexes_db.locations(conn, record.id, place.key)
        for ancestor_id in _ancestors(document, snapshot_id):
            known = self._recall((record.id, ancestor_id, place.key))
            if known is None and ancestor_id in stored:
                known = self._load(catalog, record, ancestor_id, place)
            if known is not None:
                return known.index
        return None

    def _store(self, catalog: OpenCatalog, record: TableRecord, files: SnapshotFiles) -> None:
        """Keep the index beside the table for other processes.  Best effort.

        In read-only storage each process builds its own.
        """
        if not files.place.key or catalog.integration.read_only:
            return
        # A fresh name each time: a damaged file must not keep its successor from being written.
        name = f"{files.snapshot_id}-{files.place.key}-{uuid7()}.arrow"
        at = record.location.join("metadata", GEO_FOLDER, name).uri
        try:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            data = index_files.encode_index(files.index, snapshot_id=files.snapshot_id)
            store.put_if_absent(at, data)
            with write(self._engine) as conn:
                spatial_indexes_db.put(
                    conn,
                    table_id=record.id,
                    snapshot_id=files.snapshot_id,
                    place=files.place.key,
                    index_location=at,
                    file_count=len(files.index),
                    unknown_count=len(files.index.unknown),
                    created_at_ms=self._now_ms(),
                )
        except CatalogError as error:
            log.warning("spatial index not stored", at=at, error=error.message)


def _ancestors(document: Json, snapshot_id: int) -> Iterator[int]:
    """The snapshots before one, nearest first; the first that expired is the last."""
    known = {snapshot["snapshot-id"]: snapshot for snapshot in metadata.snapshots(document)}
    at = snapshot_id
    for _ in range(ANCESTORS_MAX):
        parent = known.get(at, {}).get("parent-snapshot-id")
        if not isinstance(parent, int):
            return
        yield parent
        at = parent
