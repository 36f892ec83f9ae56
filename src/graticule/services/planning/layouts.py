"""Where the files of a snapshot lie, for a map, and how well they are laid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graticule.domain.catalog import OpenCatalog
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.planning.file_matches import Totals
from graticule.planning.footprints import Footprints, footprints_of
from graticule.planning.layout import Layout, layout_of
from graticule.services.planning.area_matches import AreaMatches
from graticule.services.planning.placed_snapshots import FileQuery, PlacedSnapshot, PlacedSnapshots


@dataclass(frozen=True, slots=True)
class FoundFootprints:
    """`paths` by the positions of the shapes."""

    of: PlacedSnapshot
    totals: Totals
    footprints: Footprints
    paths: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The report of one snapshot."""

    of: PlacedSnapshot
    layout: Layout
    oversize_paths: Sequence[str]


class Layouts:
    def __init__(self, snapshots: PlacedSnapshots, matches: AreaMatches) -> None:
        self._snapshots = snapshots
        self._matches = matches

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
        placed = self._snapshots.of(principal, catalog, identifier, query)
        matches = self._matches.of(placed.index, placed.area)
        drawn = footprints_of(placed.index, matches.kept, placed.crs, limit=limit)
        positions = [shape.position for shape in drawn.shapes if shape.position is not None]
        paths = {position: placed.index.path(position) for position in positions}
        return FoundFootprints(placed, matches.totals, drawn, paths)

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
        placed = self._snapshots.of(principal, catalog, identifier, query)
        layout = layout_of(placed.index, placed.crs)
        return FoundLayout(placed, layout, [placed.index.path(at) for at in layout.oversize])
