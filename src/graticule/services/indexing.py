"""The index of each snapshot: which data files it has and where in the plane they lie.

Built on first use from the snapshot's manifests and, for files they say nothing of, from footers;
kept in memory, and beside the table for the next process.  It is derived from what is immutable, so
losing it costs time and nothing else.  A file it knows nothing about counts as lying everywhere.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read, write
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import CatalogError, NoSuchFile, UnreadableFile
from graticule.iceberg import metadata
from graticule.planning.files import DATA, DataFileEntry
from graticule.planning.index import FileIndex
from graticule.services.credentials import Credentials
from graticule.services.entry_boxes import box_from_manifest
from graticule.services.table_places import TablePlace, place_of
from graticule.spatial.bounding_box import UNKNOWN, BoxStatus, FileBox
from graticule.storage import index_files
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.manifests import read_manifest, read_manifest_list
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]
log = structlog.get_logger(__name__)

INDEXES_CACHED_BYTES_MAX: Final = 512 * 1024 * 1024
FOOTERS_PER_INDEX_MAX: Final = 2_000
"""Files whose footers are read when a snapshot is first planned; the rest stay unknown."""
FETCHES_AT_ONCE: Final = 16
GEO_FOLDER: Final = "geo"


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """All live files of one snapshot."""

    snapshot_id: int
    index: FileIndex
    deletes: tuple[DataFileEntry, ...]
    place: TablePlace


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
        return SnapshotFiles(snapshot_id, index, (), place)

    def _build(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        snapshot: Json,
        place: TablePlace,
    ) -> SnapshotFiles:
        store = self._credentials.store_for(catalog.integration, in_background=True)
        entries = read_snapshot(store, snapshot)
        data = [entry for entry in entries if entry.content == DATA]
        deletes = tuple(entry for entry in entries if entry.content != DATA)
        specs = {int(spec["spec-id"]): spec for spec in metadata.partition_specs(document)}
        boxes = [box_from_manifest(entry, place, document, specs) for entry in data]
        if place.geometry is not None:
            self._read_footers(store, place.geometry, data, boxes)
        index = FileIndex.from_entries(data, boxes)
        unknown = sum(box.status is BoxStatus.UNKNOWN for box in boxes)
        log.info(
            "snapshot indexed",
            table_id=record.id,
            snapshot_id=snapshot["snapshot-id"],
            files=len(data),
            unknown=unknown,
        )
        return SnapshotFiles(int(snapshot["snapshot-id"]), index, deletes, place)

    def _read_footers(
        self,
        store: ObjectStore,
        geometry: str,
        entries: Sequence[DataFileEntry],
        boxes: list[FileBox],
    ) -> None:
        """Ask the files themselves where manifests say nothing; what cannot be read is unknown."""
        todo = [
            position
            for position, box in enumerate(boxes)
            if box.status is BoxStatus.UNKNOWN and entries[position].file_format == "parquet"
        ][:FOOTERS_PER_INDEX_MAX]

        def footer_box(position: int) -> FileBox:
            entry = entries[position]
            with suppress(CatalogError):
                inspection = self._workers.inspect(
                    lambda offset, length: store.get(entry.path, range=(offset, length)),
                    entry.size_bytes,
                )
                found = inspection.geometry.get(geometry)
                if found is not None:
                    return found.file_box
            return UNKNOWN

        if todo:
            with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
                for position, box in zip(todo, pool.map(footer_box, todo), strict=True):
                    boxes[position] = box

    def _store(self, catalog: OpenCatalog, record: TableRecord, files: SnapshotFiles) -> None:
        """Keep the index beside the table for other processes.  Best effort.

        A snapshot with delete files is not stored: the index holds data files only.  In read-only
        storage each process builds its own.
        """
        if files.deletes or not files.place.key or catalog.integration.read_only:
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


def read_snapshot(store: ObjectStore, snapshot: Json) -> list[DataFileEntry]:
    """All live files of a snapshot, manifests fetched side by side.

    Raises:
        NoSuchFile: a manifest is gone.
        UnreadableFile: one is not what it should be.
    """
    at = snapshot.get("manifest-list")
    if not isinstance(at, str):
        raise UnreadableFile(
            "the snapshot has no manifest list; format version 1 files are too old"
        )
    try:
        manifests = [m for m in read_manifest_list(store.get(at), of=at) if m.may_hold_live_files]
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            fetched = pool.map(lambda manifest: store.get(manifest.path), manifests)
            return [
                entry
                for manifest, data in zip(manifests, fetched, strict=True)
                for entry in read_manifest(data, manifest)
            ]
    except NoSuchFile as error:
        raise NoSuchFile(f"the snapshot cannot be planned: {error.message}") from error
