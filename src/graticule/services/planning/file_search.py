"""Which data files of a table an area may touch: what engines that plan for themselves ask for.

The files are those of the snapshot's index; nothing is read but, when row groups are asked for,
footers of the files that are listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.planning.columns import specs_of
from graticule.planning.delete_files import ToldDeletes
from graticule.planning.file_matches import (
    ComparedBy,
    Totals,
    match_files,
    match_row_groups,
)
from graticule.planning.files import DataFileEntry
from graticule.planning.row_group import RowGroup
from graticule.services.integrations.credentials import Credentials
from graticule.services.planning.computed_boxes import ComputedBoxes
from graticule.services.planning.footer_boxes import FooterReader, PlaceInFiles
from graticule.services.planning.placed_snapshots import FileQuery, PlacedSnapshot, PlacedSnapshots
from graticule.spatial.bounding_box import BoxStatus, FileBox
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]


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
    """A part of the answer; `next_first` is where the next part begins, None at the end."""

    of: PlacedSnapshot
    compared_by: ComparedBy
    totals: Totals
    files: Sequence[FoundFile]
    delete_files: Sequence[DataFileEntry]
    next_first: int | None


class FileSearch:
    def __init__(
        self,
        snapshots: PlacedSnapshots,
        computed: ComputedBoxes,
        credentials: Credentials,
        workers: InspectionWorkers,
    ) -> None:
        self._snapshots = snapshots
        self._computed = computed
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
        placed = self._snapshots.of(principal, catalog, identifier, query)
        matches = match_files(placed.index, placed.area)
        listed = matches.kept[first : first + limit]
        boxes = placed.index.file_boxes(listed)
        entries = placed.index.entries(listed, with_metrics=False)
        files = [FoundFile(entry, box) for entry, box in zip(entries, boxes, strict=True)]
        files = self._with_reasons(placed, files)
        delete_files: Sequence[DataFileEntry] = ()
        if with_deletes:
            files, delete_files = _with_deletes(files, placed)
        if with_row_groups:
            by_position = dict(zip(listed.tolist(), files, strict=True))
            files = self._with_row_groups(catalog, placed, by_position)
        following = first + limit
        return FoundFiles(
            of=placed,
            compared_by=matches.compared_by if placed.reason is None else ComparedBy.NOTHING,
            totals=matches.totals,
            files=files,
            delete_files=delete_files,
            next_first=following if following < len(matches.kept) else None,
        )

    def _with_reasons(self, placed: PlacedSnapshot, files: list[FoundFile]) -> list[FoundFile]:
        in_files = PlaceInFiles(placed.document, placed.place)
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
        of_index = placed.index.row_groups
        known: dict[int, Sequence[RowGroup]] = {}
        for position in files:
            rows = of_index.of_file(position)
            if rows:
                known[position] = [of_index.row(at) for at in rows]
        rest = {at: file.entry for at, file in files.items() if at not in known}
        if rest:
            store = self._credentials.store_for(catalog.integration, in_background=True)
            reader = FooterReader(store, self._workers, placed.document, placed.place)
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


def _with_deletes(
    files: Sequence[FoundFile], placed: PlacedSnapshot
) -> tuple[list[FoundFile], list[DataFileEntry]]:
    """The files with the delete files that apply to them, each delete file told once."""
    told = ToldDeletes(placed.index.deletes, specs_of(placed.document))
    return [replace(file, deletes=told.of(file.entry)) for file in files], told.files
