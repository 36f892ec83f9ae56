"""Which data files of a table an area may touch: what engines that plan for themselves ask for.

The files are those of the snapshot's index; nothing is read but, when row groups are asked for,
footers of the files that are listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.planning.columns import specs_of
from graticule.planning.delete_files import ToldDeletes
from graticule.planning.file_listing import FileListing
from graticule.planning.file_matches import ComparedBy, Totals, match_row_groups
from graticule.planning.files import DataFileEntry
from graticule.planning.positions import Positions
from graticule.planning.row_group import RowGroup
from graticule.services.integrations.credentials import Credentials
from graticule.services.planning.area_matches import AreaMatches
from graticule.services.planning.computed_boxes import ComputedBoxes
from graticule.services.planning.footer_boxes import FooterReader, PlaceInFiles
from graticule.services.planning.placed_snapshots import FileQuery, PlacedSnapshot, PlacedSnapshots
from graticule.storage.inspection_workers import InspectionWorkers

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FoundRowGroups:
    """Those of a file's row groups that the area may touch, out of `count`."""

    kept: Sequence[RowGroup]
    count: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading the listed files takes: `deletes` are places in `delete_files`, by file."""

    entries: Sequence[DataFileEntry]
    deletes: Sequence[Sequence[int]]
    delete_files: Sequence[DataFileEntry]


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A part of the answer; `next_position` is where the next part begins, None at the end.

    What is about some of the listed files only is by their place in the listing:
    `unknown_because` why one lies anywhere, if a job has tried to find out; `row_groups` of those
    whose row groups somebody knows, if they were asked for.
    """

    of: PlacedSnapshot
    compared_by: ComparedBy
    totals: Totals
    listing: FileListing
    unknown_because: Mapping[int, str | None]
    row_groups: Mapping[int, FoundRowGroups]
    reading: Reading | None
    next_position: int | None


class FileSearch:
    def __init__(
        self,
        snapshots: PlacedSnapshots,
        matches: AreaMatches,
        computed: ComputedBoxes,
        credentials: Credentials,
        workers: InspectionWorkers,
    ) -> None:
        self._snapshots = snapshots
        self._matches = matches
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
        """The files whose geometries may meet the area: `limit` of them, from position `first` on.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        placed = self._snapshots.of(principal, catalog, identifier, query)
        matches = self._matches.of(placed.index, placed.area)
        positions, following = matches.page(first, limit)
        listing = FileListing.of(placed.index, positions)
        return FoundFiles(
            of=placed,
            compared_by=matches.compared_by if placed.reason is None else ComparedBy.NOTHING,
            totals=matches.totals,
            listing=listing,
            unknown_because=self._reasons(placed, listing),
            row_groups=self._row_groups(catalog, placed, listing) if with_row_groups else {},
            reading=_reading(placed, positions) if with_deletes else None,
            next_position=following,
        )

    def _reasons(self, placed: PlacedSnapshot, listing: FileListing) -> dict[int, str | None]:
        in_files = PlaceInFiles(placed.document, placed.place)
        paths = {at: listing.paths[at].decode() for at in listing.unknown}
        if in_files.field_id is None or not paths:
            return dict.fromkeys(paths)
        known = self._computed.files(placed.record.id, in_files.field_id, list(paths.values()))
        return {at: known[path].error if path in known else None for at, path in paths.items()}

    def _row_groups(
        self, catalog: OpenCatalog, placed: PlacedSnapshot, listing: FileListing
    ) -> dict[int, FoundRowGroups]:
        """The row groups of each file, from the index, else from its footer; of one that cannot
        be read nobody knows any.
        """
        of_index = placed.index.row_groups
        known: dict[int, Sequence[RowGroup]] = {}
        for at, position in enumerate(listing.positions.tolist()):
            rows = of_index.of_file(position)
            if rows:
                known[at] = [of_index.row(row) for row in rows]
        rest = [at for at in range(len(listing)) if at not in known]
        if rest:
            entries = placed.index.entries(listing.positions[rest], with_metrics=False)
            store = self._credentials.store_for(catalog.integration, in_background=True)
            store = store.confined(placed.record.places)
            reader = FooterReader(store, self._workers, placed.document, placed.place)
            read = reader.read(dict(zip(rest, entries, strict=True)))
            known |= {at: boxes.row_groups for at, boxes in read.items()}
        return {
            at: FoundRowGroups(match_row_groups(groups, placed.area), len(groups))
            for at, groups in known.items()
        }


def _reading(placed: PlacedSnapshot, positions: Positions) -> Reading:
    """The files with the delete files that apply to them, each delete file told once."""
    told = ToldDeletes(placed.index.deletes, specs_of(placed.document))
    entries = placed.index.entries(positions, with_metrics=False)
    return Reading(entries, [told.of(entry) for entry in entries], told.files)
