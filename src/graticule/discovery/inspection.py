"""What the footer of one data file tells: the nouns that the file reader and discovery share.

Values only.  `storage.parquet` fills them, discovery turns them into tables; both sides may ship
them between processes, so everything here can be pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from graticule.planning.row_group import RowGroup, RowGroupSpan
from graticule.spatial.bounding_box import FileBox
from graticule.spatial.box_columns import BoxColumns
from graticule.spatial.crs import Crs


class BoxSource(StrEnum):
    """Where a file's box comes from, most trusted first."""

    NATIVE = "native"
    """Geospatial statistics of a column with the Parquet type GEOMETRY or GEOGRAPHY."""
    COVERING = "covering"
    """Statistics of the covering columns that the GeoParquet metadata name."""
    COLUMNS = "columns"
    """Statistics of coordinate columns: GeoArrow leaves, or a longitude/latitude pair."""
    COMPUTED = "computed"
    """Read from the geometries themselves."""
    NONE = "none"


class CrsSource(StrEnum):
    """Who says which reference system the coordinates are in."""

    PARQUET = "parquet"
    """The column's Parquet type."""
    GEOPARQUET = "geoparquet"
    """The GeoParquet metadata; beside a Parquet type they have to agree with it."""
    ARROW = "arrow"
    """The Arrow extension type that the writer left behind."""
    EWKB = "ewkb"
    """The SRID of every geometry, which is the same."""
    FORMAT = "format"
    """The form of the values: GeoJSON, or columns named longitude and latitude, mean WGS 84."""
    DISPUTED = "disputed"
    """Nobody: declarations differ, or coordinates are impossible in what is declared."""
    NONE = "none"
    """Nobody says anything, or that it is unknown."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many geometries of a column are null, or without a coordinate; None is not counted."""

    nulls: int | None = None
    empties: int | None = None


Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ColumnMetrics:
    """Metrics of one leaf column over the whole file; None is unknown.

    Bounds are in Iceberg's own units: days since the epoch, microseconds of the day or since the
    epoch, `Decimal`, `UUID`, otherwise the natural Python value.  They are only set when they hold
    for every row group.
    """

    type: str
    size_bytes: int
    value_count: int | None
    null_count: int | None
    lower: Any = None
    upper: Any = None


@dataclass(frozen=True, slots=True)
class GeometryInspection:
    """One geometry column, or a pair of position columns.

    `encoding` is `WKB`, `EWKB`, a GeoArrow encoding, a text (`WKT`, `GeoJSON`, `hex WKB`), `lonlat`
    for a pair, or `candidate` for values that only their name suggests to be geometries.
    `row_group_boxes` has one entry per row group.  `z` and `m` are recorded, not searched by.
    `box_columns` names columns that bound every row of the file, as far as the footer can prove.
    `declared_box` is what the GeoParquet metadata claim for the file, and proves nothing.
    """

    encoding: str
    crs: Crs
    edges: str
    types: tuple[str, ...]
    file_box: FileBox
    row_group_boxes: tuple[FileBox, ...]
    source: BoxSource
    box_columns: BoxColumns | None = None
    declared_box: FileBox | None = None
    notes: tuple[str, ...] = ()
    crs_source: CrsSource = CrsSource.NONE
    counts: Counts = Counts()
    z: Range | None = None
    m: Range | None = None

    @property
    def is_geometry(self) -> bool:
        """True if engines can use the column as a geometry."""
        return self.encoding in {"WKB", "EWKB"}


@dataclass(frozen=True, slots=True)
class FileInspection:
    """One file.  `fields` are Iceberg schema fields as JSON, without ids and all optional.

    `row_groups` are the bytes and rows of each, in order.  `field_ids` are those that the writer
    gave to top-level columns, by name; most writers give none.

    Metrics are keyed by the column's path in the Iceberg schema: `name`, `bbox.xmin`,
    `tags.element`.  `positions` is set when places stand in two plain columns and there is no
    geometry.
    """

    rows: int
    row_groups: tuple[RowGroupSpan, ...]
    split_offsets: tuple[int, ...]
    fields: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, ColumnMetrics]
    geometry: Mapping[str, GeometryInspection]
    primary_geometry: str | None
    positions: GeometryInspection | None
    created_by: str
    unsupported_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    field_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def row_group_count(self) -> int:
        return len(self.row_groups)

    def row_groups_of(self, place: GeometryInspection) -> tuple[RowGroup, ...]:
        """The row groups with the boxes of one column, or pair, of this file."""
        return tuple(
            RowGroup(ordinal, span, box)
            for ordinal, (span, box) in enumerate(
                zip(self.row_groups, place.row_group_boxes, strict=True)
            )
        )

    @property
    def place(self) -> GeometryInspection | None:
        """What a search by place goes by: the primary geometry, else the positions."""
        if self.primary_geometry is not None:
            return self.geometry[self.primary_geometry]
        return self.positions
