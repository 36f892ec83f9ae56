"""Read the files of a snapshot out of storage into an index.

Manifests never change, so what an earlier index took from one is taken over: columns and boxes.
The others are read as columns and, for files they say nothing of, footers.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from graticule.domain.errors import InvalidLocation, NoSuchFile, UnreadableFile
from graticule.iceberg import metadata
from graticule.planning.entry_boxes import boxes_from_manifests
from graticule.planning.file_boxes import FileBoxes
from graticule.planning.file_columns import FileColumns
from graticule.planning.files import DataFileEntry
from graticule.planning.index import FileIndex, Source
from graticule.planning.row_groups import RowGroups
from graticule.planning.table_places import TablePlace
from graticule.services.catalog.wanted_indexes import box_rules
from graticule.services.planning.computed_boxes import Found, told
from graticule.services.planning.footer_boxes import FooterBoxes, FooterReader
from graticule.services.planning.process_memory import MANY_FILES, give_back
from graticule.spatial.bounding_box import BoxStatus
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.manifest_columns import ManifestFiles, read_manifests
from graticule.storage.manifests import Manifest, read_manifest_list
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]
T = TypeVar("T")

FOOTERS_PER_INDEX_MAX: Final = 2_000
"""Files whose footers are read when a snapshot is first planned; the rest stay unknown."""
FOOTERS_AT_ONCE: Final = 256
"""Between two looks at whether the index is still wanted."""
FETCHES_AT_ONCE: Final = 16
MANIFESTS_AT_ONCE: Final = 64
"""Fetched before they are decoded; more would only fill the memory."""


def never_stop() -> None:
    """For who waits for an answer."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Files of one manifest, as they lie among those of an earlier index or of a batch."""

    columns: FileColumns
    boxes: FileBoxes
    row_groups: RowGroups
    first: int
    last: int
    source: Source


def _nothing(_columns: FileColumns, _positions: Iterable[int]) -> Found:
    return {}


class SnapshotReader:
    """Reads snapshots of one table; boxes are of its `place`.

    `go_on` is called between steps, and ends the reading by what it raises.
    """

    def __init__(
        self,
        store: ObjectStore,
        workers: InspectionWorkers,
        document: Json,
        place: TablePlace,
        *,
        go_on: Callable[[], None] = never_stop,
        computed: Callable[[FileColumns, Iterable[int]], Found] = _nothing,
    ) -> None:
        """`computed` is what was read in files at these positions, by a job."""
        self._store = store
        self._go_on = go_on
        self._computed = computed
        self._document = document
        self._place = place
        self._footers = FooterReader(store, workers, document, place)
        self._rules = box_rules(place, document)

    def index(self, snapshot: Json, earlier: FileIndex | None) -> FileIndex:
        """The index of a snapshot; files are in the order of its manifests whatever was known.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        runs: dict[int, _Run]
        with _named_in_errors():
            manifests = self._manifests(snapshot)
            known = {} if earlier is None else _runs_by_source(earlier)
            keys = [self._source_key(manifest) for manifest in manifests]
            fresh = [at for at, key in enumerate(keys) if key not in known]
            runs = {at: known[key] for at, key in enumerate(keys) if key in known}
            deletes: list[DataFileEntry] = []
            for files in self._read([manifests[at] for at in fresh]):
                deletes += files.deletes
                self._go_on()
                ours, fresh = fresh[: len(files.counts)], fresh[len(files.counts) :]
                runs |= zip(ours, self._runs(files, [keys[at] for at in ours]), strict=True)
        return self._assembled([runs.pop(at) for at in range(len(manifests))], deletes)

    def added(self, snapshots: Sequence[Json]) -> FileIndex:
        """The index of the data files that some snapshots added, whatever became of them since.

        Raises:
            NoSuchFile: a manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        with _named_in_errors(), ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            manifests = [
                manifest
                for snapshot, listed in zip(
                    snapshots, pool.map(self._manifests, snapshots), strict=True
                )
                for manifest in listed
                if manifest.added_snapshot_id == snapshot["snapshot-id"]
                and not manifest.holds_deletes
                and manifest.added_files_count != 0
            ]
            runs = []
            for files in self._read(manifests):
                (run, *_) = self._runs(replace(files, counts=(len(files.columns),)), [b""])
                runs += [
                    replace(run, first=first, last=last, source=(b"", last - first))
                    for first, last in _stretches(files.added)
                ]
        return self._assembled(runs, [])

    def unknown_manifest_count(self, snapshot: Json, earlier: FileIndex | None) -> int:
        """How many manifests `index` would have to read.

        Raises:
            NoSuchFile: the manifest list is gone.
            UnreadableFile: it is not what it should be.
        """
        with _named_in_errors():
            manifests = self._manifests(snapshot)
        known = set() if earlier is None else {key for key, _ in earlier.sources}
        return sum(self._source_key(manifest) not in known for manifest in manifests)

    def _manifests(self, snapshot: Json) -> list[Manifest]:
        at = snapshot.get("manifest-list")
        if not isinstance(at, str):
            raise UnreadableFile(
                "the snapshot has no manifest list; format version 1 files are too old"
            )
        listed = read_manifest_list(self._get(at), of=at)
        return [manifest for manifest in listed if manifest.may_hold_live_files]

    def _read(self, manifests: Sequence[Manifest]) -> Iterator[ManifestFiles]:
        """The files of manifests in order, which are fetched side by side."""
        pool = ThreadPoolExecutor(FETCHES_AT_ONCE)
        try:
            for start in range(0, len(manifests), MANIFESTS_AT_ONCE):
                some = manifests[start : start + MANIFESTS_AT_ONCE]
                fetched = pool.map(lambda manifest: self._get(manifest.path), some)
                yield from read_manifests(self._going_on(zip(some, fetched, strict=True)))
        finally:
            pool.shutdown(cancel_futures=True)

    def _get(self, at: str) -> bytes:
        try:
            return self._store.get(at)
        except InvalidLocation as error:
            raise UnreadableFile(error.message) from error

    def _going_on(self, steps: Iterable[T]) -> Iterator[T]:
        for step in steps:
            self._go_on()
            yield step

    def _runs(self, files: ManifestFiles, keys: Sequence[bytes]) -> Iterator[_Run]:
        spec = metadata.partition_spec_by_id(self._document, files.spec_id)
        boxes = boxes_from_manifests(
            files.columns, files.partition, self._place, self._document, spec
        )
        columns = files.columns.narrowed()  # all batches are in memory at once
        first = 0
        for key, count in zip(keys, files.counts, strict=True):
            # Delete files are not kept by manifest: whoever holds some is read again.
            source = (b"" if files.deletes else key, count)
            yield _Run(columns, boxes, RowGroups.none(), first, first + count, source)
            first += count

    def _source_key(self, manifest: Manifest) -> bytes:
        """Everything that the files and boxes of a manifest follow from, as one key."""
        if manifest.holds_deletes:
            return b""
        what = [
            *(manifest.path, manifest.size_bytes, manifest.spec_id),
            *(manifest.sequence_number, manifest.first_row_id, manifest.entry_count),
        ]
        return json.dumps([*what, self._rules]).encode()

    def _assembled(self, runs: list[_Run], deletes: Sequence[DataFileEntry]) -> FileIndex:
        """Empties the list: whatever is in the index need not be in memory twice."""
        sources = [run.source for run in runs]
        pieces = list(_merged(runs))
        runs.clear()
        boxes = FileBoxes.concatenated(
            [piece.boxes.between(piece.first, piece.last) for piece in pieces]
        )
        row_groups = RowGroups.concatenated(
            [
                (piece.row_groups.between(piece.first, piece.last), piece.last - piece.first)
                for piece in pieces
            ]
        )
        are_many = sum(count for _, count in sources) >= MANY_FILES
        columns = FileColumns.concatenated(
            _columns_of(pieces), give_back=give_back if are_many else never_stop
        )
        index = FileIndex.build(
            columns, boxes, sources=sources, deletes=deletes, row_groups=row_groups
        )
        computed = self._computed(columns, index.lacking.tolist())
        index = told(index, computed)
        return told(index, self._footers_of_unknown(index, computed))

    def _footers_of_unknown(self, index: FileIndex, asked: Found) -> Mapping[int, FooterBoxes]:
        """Ask the files themselves where manifests say nothing; what cannot be read is unknown."""
        if self._place.geometry is None:
            return {}
        todo: dict[int, DataFileEntry] = {}
        for position in index.unknown.tolist():
            if len(todo) == FOOTERS_PER_INDEX_MAX:
                break
            entry = index.entry(position, with_metrics=False)
            if entry.file_format == "parquet" and position not in asked:
                todo[position] = entry
        found: dict[int, FooterBoxes] = {}
        positions = list(todo)
        for start in range(0, len(positions), FOOTERS_AT_ONCE):
            self._go_on()
            some = positions[start : start + FOOTERS_AT_ONCE]
            found |= self._footers.read({at: todo[at] for at in some})
        return {
            at: footer
            for at, footer in found.items()
            if footer.file_box.status is not BoxStatus.UNKNOWN
        }


@contextmanager
def _named_in_errors() -> Iterator[None]:
    """A table without its manifests is there all the same: say what is gone."""
    try:
        yield
    except NoSuchFile as error:
        raise NoSuchFile(f"the snapshot cannot be planned: {error.message}") from error


def _stretches(flags: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Where the flags are set without a gap: from, and to before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _runs_by_source(index: FileIndex) -> dict[bytes, _Run]:
    runs = {}
    first = 0
    for key, count in index.sources:
        if key:
            last = first + count
            runs[key] = _Run(
                index.columns, index.places, index.row_groups, first, last, (key, count)
            )
        first += count
    return runs


def _columns_of(pieces: list[_Run]) -> Iterator[FileColumns]:
    """Of each piece, which is let go of."""
    while pieces:
        piece = pieces.pop(0)
        yield piece.columns.between(piece.first, piece.last)


def _merged(runs: Sequence[_Run]) -> Iterator[_Run]:
    """Runs that lie side by side already, as one."""
    whole: _Run | None = None
    for run in runs:
        if whole is not None and whole.columns is run.columns and whole.last == run.first:
            whole = replace(run, first=whole.first)
            continue
        if whole is not None:
            yield whole
        whole = run
    if whole is not None:
        yield whole
