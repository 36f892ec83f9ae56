"""Which data files of a table an area may touch: what engines that plan for themselves ask for.

The files are those of the snapshot's index; nothing is read but, when row groups are asked for,
footers of the files that are listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.planning.columns import specs_of, unpartitioned
from graticule.planning.delete_files import DeleteFiles
from graticule.planning.file_matches import (
    ComparedBy,
    Totals,
    match_files,
    match_row_groups,
)
from graticule.planning.files import DataFileEntry
from graticule.planning.row_group import RowGroup
from graticule.planning.sql_predicates import Dialect, Predicate, predicate_of
from graticule.planning.table_places import crs_of
from graticule.services.computed_boxes import ComputedBoxes
from graticule.services.credentials import Credentials
from graticule.services.footer_boxes import FooterReader, PlaceInFiles
from graticule.services.indexing import Indexing, SnapshotFiles
from graticule.services.tables import Tables
from graticule.services.wanted_indexes import Table, WantedIndex
from graticule.spatial.bounding_box import BoxStatus, FileBox
from graticule.spatial.crs import UNKNOWN_CRS, Crs
from graticule.spatial.search_area import PlacedArea, SearchArea
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Of which files.  No snapshot and no ref mean the current snapshot, no area everywhere."""

    area: SearchArea | None = None
    column: str | None = None
    snapshot_id: int | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class PlacedSnapshot:
    """A snapshot's files, and the area among their coordinates."""

    table_id: str
    document: Json
    files: SnapshotFiles
    crs: Crs
    area: PlacedArea | None

    @property
    def reason(self) -> str | None:
        """Why nothing can be left out."""
        if self.area is None:
            return None
        return self.area.reason if self.files.place.key else NO_PLACE


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file that the area may touch.

    `unknown_because` is why it lies anywhere, if a job has tried to find out.  `row_groups` are
    those that it may touch, None when they were not asked for or nobody can tell; `deletes` are
    places in the answer's `delete_files`.
    """

    entry: DataFileEntry
    box: FileBox
    unknown_because: str | None = None
    row_groups: Sequence[RowGroup] | None = None
    row_group_count: int | None = None
    deletes: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A part of the answer.  `reason` says why nothing was left out; `next_first` is where the next
    part begins, None at the end.
    """

    snapshot_id: int | None
    column: str | None
    positions: tuple[str, str] | None
    crs: Crs
    compared_by: ComparedBy
    reason: str | None
    totals: Totals
    files: Sequence[FoundFile]
    delete_files: Sequence[DataFileEntry]
    next_first: int | None
    document: Json


NO_PLACE: Final = (
    "the table has neither a geometry column nor a pair of positions that is known to the catalog"
)


class FileSearch:
    def __init__(
        self,
        tables: Tables,
        indexing: Indexing,
        computed: ComputedBoxes,
        credentials: Credentials,
        workers: InspectionWorkers,
    ) -> None:
        self._tables = tables
        self._computed = computed
        self._indexing = indexing
        self._credentials = credentials
        self._workers = workers

    def find(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
        *,
        first: int = 0,
        limit: int,
        with_row_groups: bool = False,
        with_deletes: bool = False,
    ) -> FoundFiles:
        """The files whose geometries may meet the area, `limit` of them from the `first` on.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        placed = self.placed(principal, catalog, identifier, query)
        if placed is None:
            return _nothing()
        matches = match_files(placed.files.index, placed.area)
        listed = matches.kept[first : first + limit].tolist()
        files = self._with_reasons(placed, [_file(placed, position) for position in listed])
        delete_files: Sequence[DataFileEntry] = ()
        if with_deletes:
            files, delete_files = _with_deletes(files, placed)
        if with_row_groups:
            files = self._with_row_groups(catalog, placed, dict(zip(listed, files, strict=True)))
        following = first + limit
        return FoundFiles(
            snapshot_id=placed.files.snapshot_id,
            column=placed.files.place.geometry,
            positions=placed.files.place.positions,
            crs=placed.crs,
            compared_by=matches.compared_by if placed.reason is None else ComparedBy.NOTHING,
            reason=placed.reason,
            totals=matches.totals,
            files=files,
            delete_files=delete_files,
            next_first=following if following < len(matches.kept) else None,
            document=placed.document,
        )

    def placed(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
    ) -> PlacedSnapshot | None:
        """The files of the snapshot that is meant; None for a table that has none yet.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        record, document = self._tables.open(principal, catalog, identifier)
        snapshot = _snapshot(document, query)
        if snapshot is None:
            return None
        table = Table(catalog, record, document)
        files = self._indexing.files_of(WantedIndex.of(table, snapshot, column=query.column))
        crs = crs_of(document, metadata.current_schema(document), files.place)
        area = None if query.area is None else query.area.placed_on(crs)
        return PlacedSnapshot(record.id, document, files, crs, area)

    def predicate(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
        dialect: Dialect,
    ) -> Predicate:
        """A condition by which an engine leaves out files of the area.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: no area; or the table has no such snapshot, ref or geometry column.
        """
        record, document = self._tables.open(principal, catalog, identifier)
        if query.area is None:
            raise InvalidRequest("a predicate is about an area: give a `bbox` or a `geometry`")
        _snapshot(document, query)
        place = Table(catalog, record, document).place(column=query.column)
        crs = crs_of(document, metadata.current_schema(document), place)
        return predicate_of(place, query.area.placed_on(crs), dialect)

    def _with_reasons(self, placed: PlacedSnapshot, files: list[FoundFile]) -> list[FoundFile]:
        in_files = PlaceInFiles(placed.document, placed.files.place)
        unknown = [f.entry.path for f in files if f.box.status is BoxStatus.UNKNOWN]
        if in_files.field_id is None or not unknown:
            return files
        known = self._computed.files(placed.table_id, in_files.field_id, unknown)
        return [
            replace(file, unknown_because=known[file.entry.path].error)
            if file.entry.path in known
            else file
            for file in files
        ]

    def _with_row_groups(
        self, catalog: OpenCatalog, placed: PlacedSnapshot, files: Mapping[int, FoundFile]
    ) -> list[FoundFile]:
        """Each file with its row groups, from the index, else from its footer; of one that cannot
        be read nobody knows any.
        """
        of_index = placed.files.index.row_groups
        known: dict[int, Sequence[RowGroup]] = {}
        for position in files:
            rows = of_index.of_file(position)
            if rows:
                known[position] = [of_index.row(at) for at in rows]
        rest = {at: file.entry for at, file in files.items() if at not in known}
        if rest:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            reader = FooterReader(store, self._workers, placed.document, placed.files.place)
            known |= {at: boxes.row_groups for at, boxes in reader.read(rest).items()}
        return [
            file
            if at not in known
            else replace(
                file,
                row_groups=match_row_groups(known[at], placed.area),
                row_group_count=len(known[at]),
            )
            for at, file in files.items()
        ]


def _file(placed: PlacedSnapshot, position: int) -> FoundFile:
    index = placed.files.index
    return FoundFile(index.entry(position, with_metrics=False), index.file_box(position))


def _snapshot(document: Json, query: FileQuery) -> Json | None:
    if query.snapshot_id is not None and query.ref is not None:
        raise InvalidRequest("a snapshot is named by its id or by a ref, not by both")
    if query.snapshot_id is not None:
        snapshot = metadata.snapshot_by_id(document, query.snapshot_id)
        if snapshot is None:
            raise InvalidRequest(f"the table has no snapshot {query.snapshot_id}")
        return snapshot
    if query.ref is not None:
        snapshot = metadata.snapshot_for_ref(document, query.ref)
        if snapshot is None:
            raise InvalidRequest(f"the table has no branch or tag `{query.ref[:200]}`")
        return snapshot
    return metadata.current_snapshot(document)


def _with_deletes(
    files: Sequence[FoundFile], placed: PlacedSnapshot
) -> tuple[list[FoundFile], list[DataFileEntry]]:
    """The files with the delete files that apply to them, each delete file told once."""
    deletes = placed.files.deletes
    specs = specs_of(placed.document)
    applying = DeleteFiles(deletes, unpartitioned_specs=unpartitioned(specs))
    places: dict[int, int] = {}
    told: list[DataFileEntry] = []
    found = []
    for file in files:
        references = []
        for position in applying.of(file.entry):
            if position not in places:
                places[position] = len(told)
                told.append(deletes[position])
            references.append(places[position])
        found.append(replace(file, deletes=references))
    return found, told


def _nothing() -> FoundFiles:
    return FoundFiles(
        snapshot_id=None,
        column=None,
        positions=None,
        crs=UNKNOWN_CRS,
        compared_by=ComparedBy.NOTHING,
        reason=None,
        totals=Totals(),
        files=(),
        delete_files=(),
        next_first=None,
        document={},
    )
