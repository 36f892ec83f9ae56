"""The index of each snapshot: which data files it has and where in the plane they lie.

Built on first use (`snapshot_reading`) or by a job after a commit; kept in memory, and for other
processes and the next snapshot in `stored_indexes`.  It is derived from what is immutable, so
losing it costs time and nothing else.  A file it knows nothing about counts as lying everywhere.

A stored index that turns out to be damaged is repaired by a job.  Who met it answers by one of its
own, built from manifests and kept in memory only, until the repaired one is there.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex
from graticule.planning.table_places import TablePlace
from graticule.services.catalog.box_orders import BoxOrders, are_wanted
from graticule.services.catalog.wanted_indexes import IndexKey, Table, WantedIndex
from graticule.services.integrations.credentials import Credentials
from graticule.services.planning.computed_boxes import ComputedBoxes, told
from graticule.services.planning.footer_boxes import PlaceInFiles
from graticule.services.planning.index_repairs import IndexRepairs
from graticule.services.planning.process_memory import MANY_FILES, give_back
from graticule.services.planning.snapshot_reading import SnapshotReader, never_stop
from graticule.services.planning.stored_indexes import StoredIndexes, UnusableIndex
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]
log = structlog.get_logger(__name__)

INDEXES_CACHED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of memory of their own; what is mapped from files has next to none."""
INDEXES_CACHED_MAX: Final = 256
COMPARED_EVERY_S: Final = 5.0
"""How soon an index in memory takes up what a job has read in files meanwhile."""
ANCESTORS_MAX: Final = 100
"""How far back an index is looked for that most of the files can be taken from."""


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """All live files of one snapshot, or all that a range of snapshots added.

    `is_makeshift` while the index that should have been there is being repaired.
    """

    snapshot_id: int
    index: FileIndex
    place: TablePlace
    is_makeshift: bool = False
    generation: int = 0
    """Of what was read in files: what is newer is not in the index yet."""

    @property
    def deletes(self) -> tuple[DataFileEntry, ...]:
        return self.index.deletes


class Indexing:
    def __init__(
        self,
        stored: StoredIndexes,
        repairs: IndexRepairs,
        *,
        computed: ComputedBoxes,
        orders: BoxOrders,
        credentials: Credentials,
        workers: InspectionWorkers,
    ) -> None:
        self._stored = stored
        self._orders = orders
        self._computed = computed
        self._repairs = repairs
        self._credentials = credentials
        self._workers = workers
        self._guard = threading.Lock()
        self._building: dict[IndexKey, threading.Lock] = {}
        self._kept: OrderedDict[IndexKey, SnapshotFiles] = OrderedDict()
        self._kept_bytes = 0
        self._compared_at: dict[IndexKey, float] = {}

    def files_of(self, wanted: WantedIndex) -> SnapshotFiles:
        """The files of a snapshot: from memory, else from the stored index, else built now.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        return self._in_step(wanted, self._files_of(wanted))

    def take_up(self, wanted: WantedIndex) -> None:
        """Put all that was read in its files into an index, for everybody to find.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        files = self._in_step(wanted, self._files_of(wanted), at_once=True)
        if files.is_makeshift:  # the repaired index will have it
            return
        table = wanted.table
        index = self._stored.publish(
            table.catalog, table.record, wanted.key, files.index, lacks_boxes=False
        )
        self._remember(wanted.key, replace(files, index=index))

    def _files_of(self, wanted: WantedIndex) -> SnapshotFiles:
        known = self._recall(wanted.key)
        if known is not None and not known.is_makeshift:
            return known
        with self._turn(wanted.key):
            known = self._recall(wanted.key)
            if known is not None and not known.is_makeshift:
                return known
            found = self._load(wanted)
            if isinstance(found, SnapshotFiles):
                return found
            if known is not None:  # not repaired yet
                return known
            if found is None or not self._repairs.order(wanted, found):
                return self._build(wanted)
            made = SnapshotFiles(wanted.key.snapshot_id, self._read(wanted), wanted.place, True)
            self._remember(wanted.key, made)
            return made

    def files_added(
        self, table: Table, snapshots: Sequence[Json], *, schema: Json | None = None
    ) -> SnapshotFiles:
        """The data files that these snapshots added, in their order; kept in memory only.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        wanted = WantedIndex.of(table, snapshots[-1], schema=schema)
        key = wanted.key
        key = replace(key, place=f"{key.place}, added from {snapshots[0]['snapshot-id']} on")
        known = self._recall(key)
        if known is None:
            index = self._reader(wanted).added(snapshots)
            known = SnapshotFiles(key.snapshot_id, index, wanted.place)
            self._remember(key, known)
        return known

    def is_at_hand(self, wanted: WantedIndex) -> bool:
        """True if a plan would not have to build the index first; one that is damaged is none."""
        if self._recall(wanted.key) is not None:
            return True
        found = self._load(wanted)
        if isinstance(found, UnusableIndex):
            self._repairs.order(wanted, found)
        return isinstance(found, SnapshotFiles)

    def lacks_boxes(self, table: Table, place: TablePlace, index: FileIndex) -> bool:
        """Whether reading files, which may be done, can tell more of them than was found so far."""
        if place.geometry is None or not len(index.lacking):
            return False
        if not are_wanted(table.catalog.catalog.properties, metadata.properties(table.document)):
            return False
        in_files = PlaceInFiles(table.document, place)
        return any(True for _ in self._computed.unread(table.record.id, in_files, index))

    def manifests_to_read(self, wanted: WantedIndex) -> int:
        """How many manifests building the index would have to read.  Asks the store for the list.

        Raises:
            NoSuchFile: the manifest list is gone.
            UnreadableFile: it is not what it should be.
        """
        reader = self._reader(wanted)
        return reader.unknown_manifest_count(wanted.snapshot, self._earlier(wanted))

    def store(
        self, wanted: WantedIndex, *, go_on: Callable[[], None] = never_stop
    ) -> SnapshotFiles:
        """Have the index stored for everybody, built anew unless it is there and sound.

        `go_on` is called between steps, and ends the work by what it raises.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        with self._turn(wanted.key):
            known = self._recall(wanted.key)
            if known is not None and not known.is_makeshift and self._stored.has(wanted.key):
                return known
            found = self._load(wanted)
            if isinstance(found, SnapshotFiles):
                return found
            if found is not None:
                self._repairs.order(wanted, found)  # nothing is repaired unseen
            return self._build(wanted, go_on=go_on)

    def keep_in_step(
        self, table: Table, *, go_on: Callable[[], None] = never_stop
    ) -> FileIndex | None:
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
            index = self.store(WantedIndex.of(table, current), go_on=go_on).index
        ids = {int(one["snapshot-id"]) for one in metadata.snapshots(table.document)}
        heads = {int(ref["snapshot-id"]) for ref in metadata.refs(table.document).values()}
        if current is not None:
            heads.add(int(current["snapshot-id"]))
        self._stored.remove_expired(table.catalog, table.record, snapshots=ids)
        self._stored.remove_old(table.catalog, table.record, heads=heads)
        return index

    @contextmanager
    def _turn(self, key: IndexKey) -> Iterator[None]:
        """One builds, and who comes meanwhile finds it built."""
        with self._guard:
            turn = self._building.setdefault(key, threading.Lock())
        try:
            with turn:
                yield
        finally:
            with self._guard:
                self._building.pop(key, None)

    def _in_step(
        self, wanted: WantedIndex, known: SnapshotFiles, *, at_once: bool = False
    ) -> SnapshotFiles:
        """With what was read in files since the index was made; asked for now and then."""
        if wanted.place.geometry is None:
            return known
        now_s = time.monotonic()
        with self._guard:
            due_s = self._compared_at.get(wanted.key, -math.inf) + COMPARED_EVERY_S
            if now_s < due_s and not at_once:
                return known
            self._compared_at[wanted.key] = now_s
        generation = self._computed.generation(wanted.key.table_id)
        if generation == known.generation:
            return known
        found = self._computed.of_files(
            wanted.key.table_id,
            PlaceInFiles(wanted.table.document, wanted.place),
            known.index.columns,
            known.index.lacking.tolist(),
            since=known.generation,
        )
        files = replace(known, index=told(known.index, found), generation=generation)
        self._remember(wanted.key, files)
        return files

    def _recall(self, key: IndexKey) -> SnapshotFiles | None:
        with self._guard:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
            return known

    def _remember(self, key: IndexKey, files: SnapshotFiles) -> None:
        with self._guard:
            before = self._kept.pop(key, None)
            if before is not None:
                self._kept_bytes -= before.index.size_bytes
            self._kept[key] = files
            self._kept_bytes += files.index.size_bytes
            while len(self._kept) > 1 and (
                self._kept_bytes > INDEXES_CACHED_BYTES_MAX or len(self._kept) > INDEXES_CACHED_MAX
            ):
                dropped_key, dropped = self._kept.popitem(last=False)
                self._compared_at.pop(dropped_key, None)
                self._kept_bytes -= dropped.index.size_bytes

    def _load(self, wanted: WantedIndex) -> SnapshotFiles | UnusableIndex | None:
        if not wanted.is_kept:
            return None
        found = self._stored.load(wanted.table.catalog, wanted.key)
        if not isinstance(found, FileIndex):
            return found
        files = SnapshotFiles(wanted.key.snapshot_id, found, wanted.place)
        self._remember(wanted.key, files)
        return files

    def _build(
        self, wanted: WantedIndex, *, go_on: Callable[[], None] = never_stop
    ) -> SnapshotFiles:
        generation = self._computed.generation(wanted.key.table_id)
        index = self._read(wanted, go_on=go_on)
        go_on()
        if wanted.is_kept:
            table = wanted.table
            lacks_boxes = self.lacks_boxes(table, wanted.place, index)
            index = self._stored.publish(
                table.catalog, table.record, wanted.key, index, lacks_boxes=lacks_boxes
            )
            if lacks_boxes and table.catalog.integration.read_only:
                # No index is stored there, by which others would notice, and nothing is committed.
                self._orders.order(table.record.id, table.catalog.catalog.organisation_id)
            if len(index) >= MANY_FILES:
                give_back()  # it was in memory, and is mapped now
        files = SnapshotFiles(wanted.key.snapshot_id, index, wanted.place, generation=generation)
        self._remember(wanted.key, files)
        return files

    def _read(self, wanted: WantedIndex, *, go_on: Callable[[], None] = never_stop) -> FileIndex:
        earlier = self._earlier(wanted)
        index = self._reader(wanted, go_on=go_on).index(wanted.snapshot, earlier)
        log.info(
            "snapshot indexed",
            table_id=wanted.key.table_id,
            snapshot_id=wanted.key.snapshot_id,
            files=len(index),
            unknown=len(index.unknown),
        )
        return index

    def _reader(
        self, wanted: WantedIndex, *, go_on: Callable[[], None] = never_stop
    ) -> SnapshotReader:
        integration = wanted.table.catalog.integration
        store = self._credentials.store_for(integration, in_background=True)
        store = store.confined(wanted.table.record.places)
        document, place = wanted.table.document, wanted.place
        in_files = PlaceInFiles(document, place)
        computed = partial(self._computed.of_files, wanted.key.table_id, in_files)
        return SnapshotReader(store, self._workers, document, place, go_on=go_on, computed=computed)

    def _earlier(self, wanted: WantedIndex) -> FileIndex | None:
        """The index of the nearest ancestor that has one: most of its manifests are here still."""
        stored = self._stored.snapshots(wanted.key.table_id, wanted.key.place)
        for ancestor_id in _ancestors(wanted.table.document, wanted.key.snapshot_id):
            key = wanted.at(ancestor_id)
            known = self._recall(key)
            if known is not None:
                return known.index
            if wanted.is_kept and ancestor_id in stored:
                found = self._stored.load(wanted.table.catalog, key)
                if isinstance(found, FileIndex):
                    self._remember(key, SnapshotFiles(ancestor_id, found, wanted.place))
                    return found
        return None


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
