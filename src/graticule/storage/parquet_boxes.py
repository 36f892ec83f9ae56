"""Where the rows of a Parquet file lie, as far as its footer proves it.  No data page is read.

What is trusted, per row group and in this order: native geospatial statistics, then statistics of
covering columns, then statistics of coordinates.  The `bbox` of the GeoParquet metadata is only
reported, and noted where it is wrong: it survives edits.  What is not certain is unknown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graticule.discovery.inspection import (
    BoxSource,
    Counts,
    CrsSource,
    GeometryInspection,
    Range,
)
from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import (
    DEGREES_SLACK,
    EMPTY,
    FULL_TURN_DEG,
    LATITUDE_MAX_DEG,
    SPHERICAL_PADDING_DEG,
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    FileBox,
    combine,
    exact,
    outer,
    union_of,
    windows_of,
)
from graticule.spatial.box_columns import BoxColumns, find_box_columns, find_position_columns
from graticule.spatial.covering import ColumnRange, box_of_covering, box_of_positions
from graticule.spatial.crs import UNKNOWN_CRS, Crs
from graticule.spatial.geoparquet import GeoMetadata
from graticule.spatial.wkb import type_name
from graticule.storage.arrow_types import FileSchema, Leaf
from graticule.storage.parquet_geometry import (
    CANDIDATE,
    CANDIDATE_NAMES,
    DeclaredGeometry,
    declared_geometries,
)
from graticule.storage.parquet_metrics import ChunkStatistics
from graticule.storage.parquet_positions import PositionPair
from graticule.storage.row_groups import RowGroups

_POINT_TYPES: Final = frozenset({"Point", "MultiPoint"})
Statistics = Mapping[str, Sequence[ChunkStatistics]]


class BoxReader:
    """Reads the boxes of one file: first says which statistics it needs, then uses them."""

    def __init__(
        self,
        row_groups: RowGroups,
        schema: FileSchema,
        geo: GeoMetadata | None,
        key_values: Mapping[str, str],
    ) -> None:
        self._row_groups = row_groups
        self._group_rows = row_groups.rows
        self._leaves = {leaf.path: leaf for leaf in schema.leaves}
        self._geo = geo
        plain = [leaf.path for leaf in schema.leaves if _is_coordinate(leaf)]
        self._boxes = find_box_columns(plain)
        self._positions = find_position_columns(path for path in plain if "." not in path)
        self.columns = declared_geometries(schema, geo, key_values)

    @property
    def declares_any(self) -> bool:
        """Whether a column is certainly a geometry; a candidate is not."""
        return any(column.encoding != CANDIDATE for column in self.columns)

    @property
    def needed_statistics(self) -> set[str]:
        """Paths of leaf columns whose statistics per row group `inspect` looks at."""
        needed = {name for box in self._boxes for name in box.names}
        for column in self.columns:
            needed.add(column.name)
            covering = column.covering
            needed.update(covering.names if covering else ())
            needed.update(_native_leaves(column, self._leaves) or ())
        if not self.declares_any:
            needed.update(name for pair in self._positions for name in pair)
        return needed

    def inspect(self, statistics: Statistics) -> dict[str, GeometryInspection]:
        return {column.name: self._inspect(column, statistics) for column in self.columns}

    def primary(self) -> str | None:
        """The column that a search means when it names none."""
        names = [column.name for column in self.columns if column.encoding != CANDIDATE]
        if self._geo is not None and self._geo.primary_column in names:
            return self._geo.primary_column
        preferred = [name for name in names if name.lower() in CANDIDATE_NAMES]
        return next(iter(preferred + names), None)

    def position_pairs(self, statistics: Statistics) -> list[PositionPair]:
        """Plain columns that are named like positions; none beside a certain geometry."""
        if self.declares_any:
            return []
        return [
            PositionPair(
                x,
                y,
                [
                    (self._range(x, statistics, group), self._range(y, statistics, group), rows)
                    for group, rows in enumerate(self._group_rows)
                ],
            )
            for x, y in self._positions
        ]

    def _inspect(self, column: DeclaredGeometry, statistics: Statistics) -> GeometryInspection:
        notes: list[str] = []
        native = self._native_boxes(column)
        boxes, types = native.boxes, native.types
        file_box, source = combine(boxes), BoxSource.NATIVE
        box_columns: BoxColumns | None = None
        # Vertices do not bound edges that bulge, and only reading shows what a candidate is.
        vertices_suffice = column.edges == "planar" or _are_points(types or column.types)
        if not vertices_suffice:
            notes.append(f"edges are {column.edges}: only native statistics bound them")
        elif column.encoding != CANDIDATE:
            box_columns = self._box_columns(column, statistics, boxes, file_box)
            if file_box.status is BoxStatus.UNKNOWN:
                source = self._fill_gaps(boxes, column, box_columns, statistics)
                file_box = combine(boxes)
        crs = checked_crs(column.crs, file_box, boxes, notes)
        declared_box = column.geo.bbox if column.geo is not None else None
        notes += declared_box_note(declared_box, file_box)
        return GeometryInspection(
            encoding=column.encoding,
            crs=crs,
            crs_source=CrsSource.DISPUTED if crs != column.crs else column.crs_source,
            edges=column.edges,
            types=types or column.types,
            file_box=file_box,
            row_group_boxes=tuple(boxes),
            source=source if file_box.status is not BoxStatus.UNKNOWN else BoxSource.NONE,
            box_columns=box_columns,
            declared_box=declared_box,
            notes=tuple(notes),
            counts=Counts(_whole(statistics.get(column.name, ())).null_count),
            z=native.z,
            m=native.m,
        )

    def _fill_gaps(
        self,
        boxes: list[FileBox],
        column: DeclaredGeometry,
        box_columns: BoxColumns | None,
        statistics: Statistics,
    ) -> BoxSource:
        """Replace unknown boxes by the next best ones; answers the least trusted source used."""
        least = BoxSource.NATIVE
        for group, box in enumerate(boxes):
            if box.status is not BoxStatus.UNKNOWN:
                continue
            if box_columns is not None:
                boxes[group] = self._covering_box(column, box_columns, statistics, group)
                least = BoxSource.COVERING if least is BoxSource.NATIVE else least
            if boxes[group].status is BoxStatus.UNKNOWN:
                boxes[group] = self._coordinate_box(column, statistics, group)
                least = BoxSource.COLUMNS
        return least

    def _native_boxes(self, column: DeclaredGeometry) -> "_Native":
        groups = range(len(self._group_rows))
        if column.leaf is None or not column.leaf.is_geospatial:
            return _Native([UNKNOWN if rows else EMPTY for rows in self._group_rows])
        boxes, codes = [], set[int]()
        heights, measures = _Ranges(), _Ranges()
        for group in groups:
            if not self._group_rows[group]:
                boxes.append(EMPTY)
                continue
            found = self._row_groups.place(column.leaf, group)
            if found is None:
                boxes.append(UNKNOWN)
                codes.add(0)
                continue
            codes.update(found.types or (0,))
            heights.add(found.zmin, found.zmax)
            measures.add(found.mmin, found.mmax)
            boxes.append(_native_box(found.xmin, found.ymin, found.xmax, found.ymax, column=column))
        # A row group that does not say may hold any type.
        types = () if 0 in codes else tuple(type_name(code) for code in sorted(codes))
        return _Native(boxes, types, heights.range, measures.range)

    def _covering_box(
        self, column: DeclaredGeometry, columns: BoxColumns, statistics: Statistics, group: int
    ) -> FileBox:
        xmin, ymin, xmax, ymax = (self._range(n, statistics, group) for n in columns.names)
        geometry = statistics.get(column.name)
        return box_of_covering(
            xmin,
            ymin,
            xmax,
            ymax,
            rows=self._group_rows[group],
            geometry_null_count=geometry[group].null_count if geometry else None,
            is_lonlat=column.crs.is_lonlat,
        )

    def _coordinate_box(
        self, column: DeclaredGeometry, statistics: Statistics, group: int
    ) -> FileBox:
        leaves = _native_leaves(column, self._leaves)
        if leaves is None:
            return UNKNOWN
        x, y = (self._range(path, statistics, group) for path in leaves)
        values = statistics[leaves[0]][group].value_count
        return box_of_positions(x, y, rows=values, is_lonlat=False)

    def _box_columns(
        self,
        column: DeclaredGeometry,
        statistics: Statistics,
        native: Sequence[FileBox],
        native_file_box: FileBox,
    ) -> BoxColumns | None:
        """Columns that bound each row: those declared, else those named after the geometry.

        As a whole they have to bound the file, and to contain what native statistics prove.
        """
        candidates = [] if column.covering is None else [column.covering]
        for columns in self._boxes:
            stem = columns.xmin[:-4].rstrip("_.").lower()
            if stem == f"{column.name}_bbox".lower() or (stem == "bbox" and self._is_only(column)):
                candidates.append(columns)
        # Engines prune best on columns that are not part of a struct.
        candidates.sort(key=lambda columns: any("." in name for name in columns.names))
        proven = native_file_box.extent
        if candidates and proven is None:
            proven = union_of(box for file_box in native for box in file_box.boxes)
        for columns in candidates:
            if not all(name in statistics for name in columns.names):
                continue
            extent = self._covering_extent(column, columns, statistics)
            if extent is not None and (proven is None or extent.contains(proven)):
                return columns
        return None

    def _is_only(self, column: DeclaredGeometry) -> bool:
        return [each for each in self.columns if each.encoding != CANDIDATE] == [column]

    def _covering_extent(
        self, column: DeclaredGeometry, columns: BoxColumns, statistics: Statistics
    ) -> BoundingBox | None:
        geometry = _whole(statistics.get(column.name, ()))
        xmin, ymin, xmax, ymax = (
            self._column_range(name, _whole(statistics[name])) for name in columns.names
        )
        return box_of_covering(
            xmin,
            ymin,
            xmax,
            ymax,
            rows=sum(self._group_rows),
            geometry_null_count=geometry.null_count,
            is_lonlat=column.crs.is_lonlat,
        ).extent

    def _range(self, path: str, statistics: Statistics, group: int) -> ColumnRange:
        return self._column_range(path, statistics[path][group])

    def _column_range(self, path: str, chunk: ChunkStatistics) -> ColumnRange:
        leaf = self._leaves[path]
        if leaf.physical not in {"FLOAT", "DOUBLE"}:
            return ColumnRange(None, None, None)
        return ColumnRange(
            chunk.lower, chunk.upper, chunk.null_count, is_float32=leaf.physical == "FLOAT"
        )


@dataclass(frozen=True, slots=True)
class _Native:
    """What geospatial statistics say, the boxes per row group."""

    boxes: list[FileBox]
    types: tuple[str, ...] = ()
    z: Range | None = None
    m: Range | None = None


@dataclass(slots=True)
class _Ranges:
    """The range of heights, or measures, of the row groups that have some."""

    range: Range | None = None

    def add(self, low: float | None, high: float | None) -> None:
        if low is not None and high is not None and low <= high:
            before = self.range or (low, high)
            self.range = (min(before[0], low), max(before[1], high))


def _whole(chunks: Sequence[ChunkStatistics]) -> ChunkStatistics:
    """Of all row groups together; unknown in one is unknown in all, unless it holds no value."""
    if not chunks:
        return ChunkStatistics(0, None, None, None)
    values = sum(chunk.value_count for chunk in chunks)
    counts = [chunk.null_count for chunk in chunks]
    nulls = None if None in counts else sum(count or 0 for count in counts)
    filled = [chunk for chunk in chunks if chunk.value_count not in (0, chunk.null_count)]
    lows = [chunk.lower for chunk in filled]
    highs = [chunk.upper for chunk in filled]
    if None in lows or None in highs or not filled:
        return ChunkStatistics(values, nulls, None, None)
    return ChunkStatistics(values, nulls, min(lows), max(highs))


def _is_coordinate(leaf: Leaf) -> bool:
    return leaf.type in {"float", "double"} and not leaf.repeated


def _native_leaves(column: DeclaredGeometry, leaves: Mapping[str, Leaf]) -> tuple[str, str] | None:
    """Paths of the x and y leaves of a GeoArrow encoding; None if they are interleaved."""
    if column.leaf is not None:
        return None
    below = [path for path in leaves if path.startswith(f"{column.name}.")]
    x = [path for path in below if path.endswith(".x")]
    y = [path for path in below if path.endswith(".y")]
    return (x[0], y[0]) if len(x) == len(y) == 1 else None


def _native_box(
    xmin: float | None,
    ymin: float | None,
    xmax: float | None,
    ymax: float | None,
    *,
    column: DeclaredGeometry,
) -> FileBox:
    """Nothing but nulls, nothing but empty geometries and never computed all look the same here."""
    if xmin is None or ymin is None or xmax is None or ymax is None:
        return UNKNOWN
    if not all(map(math.isfinite, (xmin, ymin, xmax, ymax))) or ymin > ymax:
        return UNKNOWN
    if column.edges != "planar":
        xmin, ymin = xmin - SPHERICAL_PADDING_DEG, ymin - SPHERICAL_PADDING_DEG
        xmax, ymax = xmax + SPHERICAL_PADDING_DEG, ymax + SPHERICAL_PADDING_DEG
    if xmin <= xmax:
        box = BoundingBox(xmin, ymin, xmax, ymax)
        return exact(box) if column.edges == "planar" else outer(box)
    # Parquet lets both types cross the antimeridian, which only longitudes can.
    if not column.crs.is_lonlat:
        return UNKNOWN
    try:
        return outer(*windows_of(xmin, ymin, xmax, ymax))
    except InvalidRequest:
        return UNKNOWN


def checked_crs(crs: Crs, file_box: FileBox, boxes: Sequence[FileBox], notes: list[str]) -> Crs:
    """Coordinates in metres under a CRS of degrees are a frequent mislabel: believe neither."""
    if not crs.is_lonlat:
        return crs
    extent = file_box.extent or union_of(part for box in boxes for part in box.boxes)
    if extent is None or (
        max(-extent.ymin, extent.ymax) <= LATITUDE_MAX_DEG + DEGREES_SLACK
        and max(-extent.xmin, extent.xmax) <= FULL_TURN_DEG + DEGREES_SLACK
    ):
        return crs
    notes.append(f"coordinates are no degrees, although the CRS is {crs}")
    return UNKNOWN_CRS


def declared_box_note(declared: FileBox | None, found: FileBox) -> list[str]:
    """What there is to say of a `bbox` in the GeoParquet metadata beside the true one."""
    if declared is None or not declared.boxes or found.status is not BoxStatus.EXACT:
        return []
    inside = all(any(outside.contains(box) for outside in declared.boxes) for box in found.boxes)
    return [] if inside else ["the `bbox` of the GeoParquet metadata does not hold all geometries"]


def _are_points(types: Sequence[str]) -> bool:
    return bool(types) and all(kind.split(" ")[0] in _POINT_TYPES for kind in types)
