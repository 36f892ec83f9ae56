"""Where the files of a snapshot lie, for a map, and how well they are laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.planning.file_matches import Totals, match_files
from graticule.planning.footprints import Footprints, footprints_of
from graticule.planning.index import FileIndex
from graticule.planning.layout import Layout, layout_of
from graticule.services.file_search import FileQuery, FileSearch
from graticule.spatial.crs import UNKNOWN_CRS, Crs


@dataclass(frozen=True, slots=True)
class FoundFootprints:
    """`paths` by the positions of the shapes; `reason` says why nothing was left out."""

    snapshot_id: int | None
    column: str | None
    reason: str | None
    totals: Totals
    footprints: Footprints
    paths: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The report of one snapshot."""

    snapshot_id: int | None
    column: str | None
    crs: Crs
    layout: Layout
    oversize_paths: Sequence[str]


class Layouts:
    def __init__(self, search: FileSearch) -> None:
        self._search = search

    def footprints(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
        *,
        limit: int,
    ) -> FoundFootprints:
        """The boxes of the files that the area may touch, in `limit` shapes at most.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        placed = self._search.placed(principal, catalog, identifier, query)
        if placed is None:
            nothing = footprints_of(_EMPTY, np.zeros(0, np.int64), UNKNOWN_CRS, limit=limit)
            return FoundFootprints(None, None, None, Totals(), nothing, {})
        index = placed.files.index
        matches = match_files(index, placed.area)
        drawn = footprints_of(index, matches.kept, placed.crs, limit=limit)
        positions = [shape.position for shape in drawn.shapes if shape.position is not None]
        return FoundFootprints(
            snapshot_id=placed.files.snapshot_id,
            column=placed.files.place.geometry,
            reason=placed.reason,
            totals=matches.totals,
            footprints=drawn,
            paths={position: index.path(position) for position in positions},
        )

    def layout(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        query: FileQuery,
    ) -> FoundLayout:
        """How well a snapshot is laid out for windows.

        Raises:
            NoSuchTable: the table is not there.
            InvalidRequest: it has no such snapshot, ref or geometry column.
        """
        placed = self._search.placed(principal, catalog, identifier, query)
        if placed is None:
            return FoundLayout(None, None, UNKNOWN_CRS, layout_of(_EMPTY, UNKNOWN_CRS), ())
        index = placed.files.index
        layout = layout_of(index, placed.crs)
        return FoundLayout(
            snapshot_id=placed.files.snapshot_id,
            column=placed.files.place.geometry,
            crs=placed.crs,
            layout=layout,
            oversize_paths=[index.path(position) for position in layout.oversize],
        )


_EMPTY = FileIndex.from_entries([], [])
