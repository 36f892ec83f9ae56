"""What the footer of one data file tells: the nouns that the file reader and discovery share.

Values only.  `storage.parquet` fills them, discovery turns them into tables; both sides may ship
them between processes, so everything here can be pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

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
    METADATA = "metadata"
    """The `bbox` in the GeoParquet metadata, which edits of the file do not keep true."""
    NONE = "none"


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

    `encoding` is `WKB`, `EWKB`, a GeoArrow encoding, `lonlat` for a pair, or `candidate` for bytes
    that only their name suggests to be geometries.  `row_group_boxes` has one entry per row group.
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

    @property
    def is_geometry(self) -> bool:
        """True if engines can use the column as a geometry."""
        return self.encoding in {"WKB", "EWKB"}


@dataclass(frozen=True, slots=True)
class FileInspection:
    """One file.  `fields` are Iceberg schema fields as JSON, without ids and all optional.

    Metrics are keyed by the column's path in the Iceberg schema: `name`, `bbox.xmin`,
    `tags.element`.  `positions` is set when places stand in two plain columns and there is no
    geometry.
    """

    rows: int
    row_group_count: int
    split_offsets: tuple[int, ...]
    fields: tuple[Mapping[str, Any], ...]
    metrics: Mapping[str, ColumnMetrics]
    geometry: Mapping[str, GeometryInspection]
    primary_geometry: str | None
    positions: GeometryInspection | None
    created_by: str
    unsupported_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> GeometryInspection | None:
        """What a search by place goes by: the primary geometry, else the positions."""
        if self.primary_geometry is not None:
            return self.geometry[self.primary_geometry]
        return self.positions
