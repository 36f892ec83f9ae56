"""Positions in two plain columns of a Parquet file: where they lie, or why they are none.  No I/O.

Names only suggest a pair; its numbers have to be possible longitudes and latitudes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graticule.discovery.inspection import BoxSource, CrsSource, GeometryInspection
from graticule.spatial.bounding_box import BoxStatus, FileBox, combine
from graticule.spatial.box_columns import BoxColumns
from graticule.spatial.covering import ColumnRange, box_of_positions
from graticule.spatial.crs import CRS84

_Group = tuple[ColumnRange, ColumnRange, int]
"""The ranges of both columns in a row group, and its rows."""


@dataclass(frozen=True, slots=True)
class PositionPair:
    """The names of two columns, and what row groups say of them."""

    x: str
    y: str
    groups: Sequence[_Group]

    def inspection(self) -> GeometryInspection | None:
        """None unless the numbers are possible in every row group."""
        boxes = _boxes(self.groups)
        if boxes is None:
            return None
        return GeometryInspection(
            encoding="lonlat",
            crs=CRS84,
            crs_source=CrsSource.FORMAT,
            edges="planar",
            types=("Point",),
            file_box=combine(boxes),
            row_group_boxes=boxes,
            source=BoxSource.COLUMNS,
            box_columns=BoxColumns.of_position(self.x, self.y),
        )

    def doubt(self) -> str:
        """Why it has no inspection."""
        names = f"`{self.x}` and `{self.y}`"
        if _boxes(self.groups, is_lonlat=False) is None:
            return f"statistics do not say where {names} lie: no positions to search by"
        if _boxes([(y, x, rows) for x, y, rows in self.groups]) is not None:
            return f"{names} look swapped: as they are, they are no positions to search by"
        return f"{names} hold other numbers than longitudes and latitudes: no positions"


def _boxes(groups: Sequence[_Group], *, is_lonlat: bool = True) -> tuple[FileBox, ...] | None:
    """None unless all are known."""
    boxes = tuple(box_of_positions(x, y, rows=rows, is_lonlat=is_lonlat) for x, y, rows in groups)
    return None if any(box.status is BoxStatus.UNKNOWN for box in boxes) else boxes


def first_positions(
    pairs: Sequence[PositionPair],
) -> tuple[GeometryInspection | None, Sequence[str]]:
    """The first pair whose numbers are possible, else why none is."""
    for pair in pairs:
        found = pair.inspection()
        if found is not None:
            return found, ()
    return None, tuple(pair.doubt() for pair in pairs)
