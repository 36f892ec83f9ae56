"""The snapshot that somebody asks about, and the area that he means among its coordinates.

What searches, maps and reports answer about is found here; what they answer is their own matter.
"""

from dataclasses import dataclass
from typing import Any, Final

from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import InvalidRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.planning.index import FileIndex
from graticule.planning.sql_predicates import Dialect, Predicate, predicate_of
from graticule.planning.table_places import TablePlace, crs_of
from graticule.services.catalog.tables import Tables
from graticule.services.catalog.wanted_indexes import Table, WantedIndex
from graticule.services.planning.indexing import Indexing
from graticule.spatial.crs import Crs
from graticule.spatial.search_area import PlacedArea, SearchArea

Json = dict[str, Any]

NO_PLACE: Final = (
    "the table has neither a geometry column nor a pair of positions that is known to the catalog"
)
_NO_FILES: Final = FileIndex.from_entries([], [])


@dataclass(frozen=True, slots=True)
class FileQuery:
    """Of which files.  No snapshot and no ref mean the current snapshot, no area everywhere."""

    area: SearchArea | None = None
    column: str | None = None
    snapshot_id: int | None = None
    ref: str | None = None


@dataclass(frozen=True, slots=True)
class PlacedSnapshot:
    """A snapshot's files, and the area among their coordinates; a new table has no snapshot."""

    record: TableRecord
    document: Json
    snapshot_id: int | None
    index: FileIndex
    place: TablePlace
    crs: Crs
    area: PlacedArea | None

    @property
    def column(self) -> str | None:
        """The geometry column that the boxes are of."""
        return self.place.geometry

    @property
    def reason(self) -> str | None:
        """Why nothing can be left out."""
        if self.area is None:
            return None
        return self.area.reason if self.place.key else NO_PLACE


class PlacedSnapshots:
    def __init__(self, tables: Tables, indexing: Indexing) -> None:
        self._tables = tables
        self._indexing = indexing

    def of(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
    ) -> PlacedSnapshot:
        """The files of the snapshot that is meant.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        table = Table(catalog, *self._tables.open(principal, catalog, identifier))
        snapshot = _snapshot(table.document, query)
        if snapshot is None:
            snapshot_id, index, place = None, _NO_FILES, table.place(column=query.column)
        else:
            found = self._indexing.files_of(WantedIndex.of(table, snapshot, column=query.column))
            snapshot_id, index, place = found.snapshot_id, found.index, found.place
        crs = crs_of(table.document, metadata.current_schema(table.document), place)
        area = None if query.area is None else query.area.placed_on(crs)
        return PlacedSnapshot(table.record, table.document, snapshot_id, index, place, crs, area)

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
