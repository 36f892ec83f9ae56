"""The index of each snapshot: which data files it has and where in the plane they lie.

Built on first use (`snapshot_reading`) or by a job after a commit; kept in memory, and for other
processes and the next snapshot in `stored_indexes`.  It is derived from what is immutable, so
losing it costs time and nothing else.  A file it knows nothing about counts as lying everywhere.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

import structlog

from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.planning.table_places import TablePlace, place_of
from graticule.services.credentials import Credentials
from graticule.services.snapshot_reading import SnapshotReader, box_rules
from graticule.services.stored_indexes import IndexKey, StoredIndexes
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]
log = structlog.get_logger(__name__)

INDEXES_CACHED_BYTES_MAX: Final = 512 * 1024 * 1024
ANCESTORS_MAX: Final = 100
"""How far back an index is looked for that most of the files can be taken from."""
_RULES_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """All live files of one snapshot, or all that a range of snapshots added."""

    snapshot_id: int
    index: FileIndex
    place: TablePlace

    @property
    def deletes(self) -> tuple[DataFileEntry, ...]:
        return self.index.deletes


@dataclass(frozen=True, slots=True)
class Table:
    """A table as one request or job found it.  The document is shared: never to be changed."""

    catalog: OpenCatalog
    record: TableRecord
    document: Json

    def place(self, schema: Json | None = None, column: str | None = None) -> TablePlace:
        """Where its rows are, in a schema (the current one) and by a geometry column (the usual).

        Raises:
            InvalidRequest: `column` is none of the table, or holds no geometries.
        """
        return place_of(self.document, schema or metadata.current_schema(self.document), column)


class Indexing:
    def __init__(
        self, stored: StoredIndexes, credentials: Credentials, workers: InspectionWorkers
    ) -> None:
        self._stored = stored
        self._credentials = credentials
        self._workers = workers
        self._guard = threading.Lock()
        self._building: dict[IndexKey, threading.Lock] = {}
        self._kept: OrderedDict[IndexKey, SnapshotFiles] = OrderedDict()
        self._kept_bytes = 0

    def files_of(
        self,
        table: Table,
        snapshot: Json,
        *,
        schema: Json | None = None,
        column: str | None = None,
    ) -> SnapshotFiles:
        """The files of a snapshot: from memory, else from the stored index, else built now.

        `schema` is the one that names the place of rows; the current one unless given.  `column`
        is a geometry column to go by, when it is not the usual one.

        Raises:
            InvalidRequest: `column` is none of the table, or holds no geometries.
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        place = table.place(schema, column)
        key = _key(table, snapshot, place)
        known = self._recall(key)
        if known is not None:
            return known
        with self._guard:
            turn = self._building.setdefault(key, threading.Lock())
        with turn:
            known = self._recall(key)
            if known is None:
                known = self._load(table, key, place) or self._build(table, snapshot, key, place)
                self._remember(key, known)
        with self._guard:
            self._building.pop(key, None)
        return known

    def files_added(
        self, table: Table, snapshots: Sequence[Json], *, schema: Json | None = None
    ) -> SnapshotFiles:
        """The data files that these snapshots added, in their order; kept in memory only.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        place = table.place(schema)
        key = _key(table, snapshots[-1], place)
        key = replace(key, place=f"{key.place}, added from {snapshots[0]['snapshot-id']} on")
        known = self._recall(key)
        if known is None:
            index = self._reader(table, place).added(snapshots)
            known = SnapshotFiles(key.snapshot_id, index, place)
            self._remember(key, known)
        return known

    def is_at_hand(self, table: Table, snapshot: Json, *, schema: Json | None = None) -> bool:
        """True if a plan would not have to build the index first."""
        place = table.place(schema)
        key = _key(table, snapshot, place)
        return self._recall(key) is not None or (bool(place.key) and self._stored.has(key))

    def manifests_to_read(self, table: Table, snapshot: Json, *, schema: Json | None = None) -> int:
        """How many manifests building the index would have to read.  Asks the store for the list.

        Raises:
            NoSuchFile: the manifest list is gone.
            UnreadableFile: it is not what it should be.
        """
        place = table.place(schema)
        key = _key(table, snapshot, place)
        earlier = self._earlier(table, key, place)
        return self._reader(table, place).unknown_manifest_count(snapshot, earlier)

    def keep_in_step(self, table: Table) -> FileIndex | None:
        """Index the current snapshot, and let go of indexes that are of no more use.

        Reads the manifests that no earlier index knows.  None for a table without a snapshot, or
        without a place: that one is planned by its manifests' bounds.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        current = metadata.current_snapshot(table.document)
        index = None
        if current is not None and table.place().key:
            index = self.files_of(table, current).index
        ids = {int(one["snapshot-id"]) for one in metadata.snapshots(table.document)}
        heads = {int(ref["snapshot-id"]) for ref in metadata.refs(table.document).values()}
        if current is not None:
            heads.add(int(current["snapshot-id"]))
        self._stored.remove_expired(table.catalog, table.record, snapshots=ids)
        self._stored.remove_old(table.catalog, table.record, heads=heads)
        return index

    def _recall(self, key: IndexKey) -> SnapshotFiles | None:
        with self._guard:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
            return known

    def _remember(self, key: IndexKey, files: SnapshotFiles) -> None:
        with self._guard:
            if key in self._kept:
                return
            self._kept[key] = files
            self._kept_bytes += files.index.size_bytes
            while self._kept_bytes > INDEXES_CACHED_BYTES_MAX and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._kept_bytes -= dropped.index.size_bytes

    def _load(self, table: Table, key: IndexKey, place: TablePlace) -> SnapshotFiles | None:
        if not place.key:
            return None
        index = self._stored.load(table.catalog, key)
        return None if index is None else SnapshotFiles(key.snapshot_id, index, place)

    def _build(
        self, table: Table, snapshot: Json, key: IndexKey, place: TablePlace
    ) -> SnapshotFiles:
        earlier = self._earlier(table, key, place)
        index = self._reader(table, place).index(snapshot, earlier)
        log.info(
            "snapshot indexed",
            table_id=table.record.id,
            snapshot_id=key.snapshot_id,
            files=len(index),
            unknown=len(index.unknown),
        )
        if place.key:
            index = self._stored.publish(table.catalog, table.record, key, index)
        return SnapshotFiles(key.snapshot_id, index, place)

    def _reader(self, table: Table, place: TablePlace) -> SnapshotReader:
        store = self._credentials.store_for(table.catalog.integration, in_background=True)
        return SnapshotReader(store, self._workers, table.document, place)

    def _earlier(self, table: Table, key: IndexKey, place: TablePlace) -> FileIndex | None:
        """The index of the nearest ancestor that has one: most of its manifests are here still."""
        stored = self._stored.snapshots(key.table_id, key.place)
        for ancestor_id in _ancestors(table.document, key.snapshot_id):
            at = replace(key, snapshot_id=ancestor_id)
            known = self._recall(at)
            if known is None and ancestor_id in stored:
                known = self._load(table, at, place)
            if known is not None:
                return known.index
        return None


def _key(table: Table, snapshot: Json, place: TablePlace) -> IndexKey:
    """Table, snapshot, and what boxes are of and how they are found, of which there are many."""
    rules = blake2b(box_rules(place, table.document).encode(), digest_size=_RULES_BYTES)
    of = f"{place.key}-{rules.hexdigest()}" if place.key else rules.hexdigest()
    return IndexKey(table.record.id, int(snapshot["snapshot-id"]), of)


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
