"""The boxes of files from what their manifest entries say, without looking at the files.  Pure.

All files at once: a rule is a mask, and a file that a rule knows nothing of is left to the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from graticule.iceberg.values import decode_value
from graticule.planning.file_boxes import EMPTY_CODE, OUTER_CODE, UNKNOWN_CODE, FileBoxes
from graticule.planning.file_columns import FileColumns
from graticule.planning.ragged import ByteMaps, IntMaps
from graticule.planning.table_places import TablePlace, crs_of
from graticule.spatial.bounding_box import (
    DEGREES_SLACK,
    FULL_TURN_DEG,
    LATITUDE_MAX_DEG,
    LONGITUDE_MAX_DEG,
    NO_PLACE,
    SPHERICAL_PADDING_DEG,
)
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns
from graticule.spatial.covering import HALF_TURN_DEG

Json = dict[str, Any]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_GEOSPATIAL: Final = ("geometry", "geography")
_POINT_BYTES: Final = (16, 24, 32)
"""Geometry bounds of format version 3: x, y, and z and m where they are set."""

_FORMS: Final = {
    "int": {4: "<i4"},
    "long": {8: "<i8", 4: "<i4"},
    "float": {4: "<f4"},
    "double": {8: "<f8", 4: "<f4"},
}
"""Bounds by type and length: those from before a promotion keep their first width."""


def boxes_from_manifests(
    files: FileColumns,
    partition: Sequence[Sequence[object]],
    place: TablePlace,
    document: Json,
    spec: Json | None,
) -> FileBoxes:
    """The boxes by the virtual columns, by geometry bounds, or by bounds of box or position
    columns; `partition` has the values of each field of `spec`.

    The first that knows a file's box wins; unknown when none does.
    """
    found = _virtual(len(files), partition, place, spec)
    types = leaf_types(document)
    if place.geometry is not None:
        geometry_id = place.field_ids[place.geometry]
        type_ = types.get(geometry_id, "")
        # Bounds of WKB in a binary column are its first bytes, which say nothing of its place.
        if type_.startswith(_GEOSPATIAL):
            is_geography = type_.startswith("geography")
            found.fill(_geometry_bounds(files, geometry_id, is_geography=is_geography))
    for columns in place.columns:
        if columns != FILE_BOX_COLUMNS:
            found.fill(_column_bounds(files, columns, place, types))
    if crs_of(document, metadata.current_schema(document), place).is_lonlat:
        found.forget(_are_no_degrees(found.sides))
    return FileBoxes.single(found.statuses, found.sides)


def _are_no_degrees(sides: Floats) -> Flags:
    """Whether a file is in another reference system than the table says: a frequent mislabel."""
    xmin, ymin, xmax, ymax = sides.T
    off_x = np.maximum(-xmin, xmax) > FULL_TURN_DEG + DEGREES_SLACK
    off: Flags = off_x | (np.maximum(-ymin, ymax) > LATITUDE_MAX_DEG + DEGREES_SLACK)
    return off


@dataclass(slots=True)
class _Found:
    """A status for each file, and sides where it is outer."""

    statuses: npt.NDArray[np.uint8]
    sides: Floats

    @classmethod
    def nothing(cls, count: int) -> "_Found":
        return cls(np.full(count, UNKNOWN_CODE, np.uint8), np.zeros((count, 4), np.float64))

    @classmethod
    def of(cls, sides: Sequence[Floats], *, placed: Flags, empty: Flags | None = None) -> "_Found":
        statuses = np.where(placed, OUTER_CODE, UNKNOWN_CODE).astype(np.uint8)
        if empty is not None:
            statuses[empty] = EMPTY_CODE
        return cls(statuses, np.column_stack(sides).astype(np.float64, copy=False))

    def forget(self, which: Flags) -> None:
        self.statuses[which & (self.statuses == OUTER_CODE)] = UNKNOWN_CODE

    def fill(self, other: "_Found") -> None:
        todo = (self.statuses == UNKNOWN_CODE) & (other.statuses != UNKNOWN_CODE)
        self.statuses[todo] = other.statuses[todo]
        self.sides[todo] = other.sides[todo]


def _virtual(
    count: int, partition: Sequence[Sequence[object]], place: TablePlace, spec: Json | None
) -> _Found:
    if spec is None or FILE_BOX_COLUMNS not in place.columns:
        return _Found.nothing(count)
    by_source = {
        field.get("source-id"): values
        for field, values in zip(spec.get("fields") or [], partition, strict=False)
        if field.get("transform") == "identity"
    }
    ids = [place.field_ids[name] for name in FILE_BOX_COLUMNS.names]
    if not all(field_id in by_source for field_id in ids):
        return _Found.nothing(count)
    sides = [_floats(by_source[field_id]) for field_id in ids]
    xmin, ymin, xmax, ymax = sides
    largest = max(NO_PLACE)
    # The largest numbers stand for what is not known, or is nowhere; NaN fails every comparison.
    bounded = np.logical_and.reduce([np.abs(side) < largest for side in sides])
    empty = np.logical_and.reduce(
        [side == value for side, value in zip(sides, NO_PLACE, strict=True)]
    )
    return _Found.of(sides, placed=bounded & (xmin <= xmax) & (ymin <= ymax), empty=empty)


def _floats(values: Sequence[object]) -> Floats:
    return np.array(
        [value if isinstance(value, int | float) else np.nan for value in values], np.float64
    )


def _geometry_bounds(files: FileColumns, field_id: int, *, is_geography: bool) -> _Found:
    """Bounds of a native geometry column; those of a geography may cross the antimeridian."""
    xmin, ymin = _points(files.bounds["lower_bounds"], field_id)
    xmax, ymax = _points(files.bounds["upper_bounds"], field_id)
    if is_geography:
        xmin, ymin = xmin - SPHERICAL_PADDING_DEG, ymin - SPHERICAL_PADDING_DEG
        xmax, ymax = xmax + SPHERICAL_PADDING_DEG, ymax + SPHERICAL_PADDING_DEG
    sides = (xmin, ymin, xmax, ymax)
    placed = np.logical_and.reduce([np.isfinite(side) for side in sides]) & (ymin <= ymax)
    may_cross = is_geography & (xmin <= LONGITUDE_MAX_DEG) & (xmax >= -LONGITUDE_MAX_DEG)
    return _Found.of(sides, placed=placed & ((xmin <= xmax) | may_cross))


def _points(bounds: ByteMaps, field_id: int) -> tuple[Floats, Floats]:
    """X and y; NaN where there is no bound, or a damaged one."""
    points = np.full((len(bounds.keys), 2), np.nan)
    starts, lengths = _spans(bounds, field_id)
    rows = np.flatnonzero(np.isin(lengths, _POINT_BYTES))
    points[rows] = _raw(bounds, starts[rows], _POINT_BYTES[0]).view("<f8")
    return points[:, 0], points[:, 1]


def _column_bounds(
    files: FileColumns, columns: BoxColumns, place: TablePlace, types: Mapping[int, str]
) -> _Found:
    """From bounds of box columns, or of the two columns that positions stand in."""
    ids = [place.field_ids.get(name) for name in columns.names]
    if any(field_id is None or field_id not in types for field_id in ids):
        return _Found.nothing(len(files))
    ranges = [
        _Range.of(files, field_id, types[field_id]) for field_id in ids if field_id is not None
    ]
    rows = files.numbers["record_count"]
    if columns.xmin == columns.xmax:
        return _of_positions(ranges[0], ranges[1], rows)
    geometry_id = place.field_ids.get(place.geometry or "")
    return _of_covering(ranges, rows, _NullCounts.of(files, geometry_id), is_lonlat=place.is_lonlat)


@dataclass(frozen=True, slots=True)
class _NullCounts:
    """How many values of a column are null, where that is known."""

    counts: npt.NDArray[np.int64]
    known: Flags

    @classmethod
    def of(cls, files: FileColumns, field_id: int | None) -> "_NullCounts":
        maps: IntMaps = files.counts["null_value_counts"]
        counts = np.zeros(len(files), np.int64)
        if field_id is None:
            return cls(counts, np.zeros(len(files), np.bool_))
        places = maps.places(field_id)
        known = places >= 0
        counts[known] = maps.values[places[known]]
        return cls(counts, known)

    def are(self, rows: npt.NDArray[np.int64]) -> Flags:
        are: Flags = self.known & (self.counts == rows)
        return are


@dataclass(frozen=True, slots=True)
class _Range:
    """Bounds of a column in each file, as written; NaN is not known.

    No value is below `low` or above `high`, which are NaN where that cannot be said.  Producers
    round float32 to nearest, on the wrong side half of the time; a bound that is a float32 may come
    from such a file even where the table says double.
    """

    minimum: Floats
    maximum: Floats
    low: Floats
    high: Floats
    nulls: _NullCounts

    @classmethod
    def of(cls, files: FileColumns, field_id: int, kind: str) -> "_Range":
        minimum = _numbers(files.bounds["lower_bounds"], field_id, kind)
        maximum = _numbers(files.bounds["upper_bounds"], field_id, kind)
        return cls(
            minimum,
            maximum,
            _widened(minimum, -np.inf),
            _widened(maximum, np.inf),
            _NullCounts.of(files, field_id),
        )


def _widened(values: Floats, towards: float) -> Floats:
    finite = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(over="ignore"):  # what is too large for a float32, or next to the largest
        single = finite.astype(np.float32)
        wider = np.nextafter(single, np.float32(towards)).astype(np.float64)
    widened = np.where(single.astype(np.float64) == finite, wider, finite)
    return np.where(np.isfinite(widened), widened, np.nan)


def _of_covering(
    ranges: Sequence[_Range],
    rows: npt.NDArray[np.int64],
    geometry_nulls: _NullCounts,
    *,
    is_lonlat: bool,
) -> _Found:
    """`spatial.covering.box_of_covering` for all files; the reasons are told there."""
    xmin, ymin, xmax, ymax = ranges
    nulls = xmin.nulls.counts
    counted = np.logical_and.reduce([side.nulls.are(nulls) for side in ranges])
    covers = counted & np.where(
        geometry_nulls.known,
        (nulls == geometry_nulls.counts) & (geometry_nulls.counts <= rows),
        nulls == 0,
    )
    empty = covers & xmin.nulls.are(rows) & geometry_nulls.are(rows)
    left, right, bottom, top = xmin.low, xmax.high, ymin.low, ymax.high
    contradicts = (left > right) | (xmin.maximum > xmax.maximum) | (xmin.minimum > xmax.minimum)
    known = np.isfinite(left) & np.isfinite(right) & (bottom <= top)
    if is_lonlat:
        with np.errstate(over="ignore", invalid="ignore"):
            whole = contradicts | (right - left >= HALF_TURN_DEG)
        left = np.where(whole, np.minimum(left, -LONGITUDE_MAX_DEG), left)
        right = np.where(whole, np.maximum(right, LONGITUDE_MAX_DEG), right)
    else:
        known &= ~contradicts
    return _Found.of((left, bottom, right, top), placed=covers & known, empty=empty)


def _of_positions(x: _Range, y: _Range, rows: npt.NDArray[np.int64]) -> _Found:
    """`spatial.covering.box_of_positions` for all files."""
    placed = (x.low <= x.high) & (y.low <= y.high)
    empty = x.nulls.are(rows) | y.nulls.are(rows)
    return _Found.of((x.low, y.low, x.high, y.high), placed=placed, empty=empty)


# Bounds as they are stored.


def _numbers(bounds: ByteMaps, field_id: int, kind: str) -> Floats:
    """Bounds as floats; NaN where there is none, or a damaged one."""
    numbers = np.full(len(bounds.keys), np.nan)
    starts, lengths = _spans(bounds, field_id)
    if kind not in _FORMS:
        for row in np.flatnonzero(lengths >= 0).tolist():
            data = bounds.values.data[starts[row] : starts[row] + lengths[row]]
            numbers[row] = _number(kind, data.tobytes())
        return numbers
    for length, form in _FORMS[kind].items():
        rows = np.flatnonzero(lengths == length)
        numbers[rows] = _raw(bounds, starts[rows], length).view(form)[:, 0]
    return numbers


def _number(kind: str, data: bytes) -> float:
    try:
        value = decode_value(kind, data)
    except InvalidRequest:  # a damaged bound is no bound
        return np.nan
    return float(value) if isinstance(value, int | float) else np.nan


def _spans(bounds: ByteMaps, field_id: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each file's bound begins, and its length; -1 where there is none."""
    places = bounds.places(field_id)
    if not len(bounds.values):
        return places, places
    offsets = bounds.values.offsets
    starts = offsets[np.maximum(places, 0)]
    lengths = np.where(places >= 0, offsets[np.maximum(places, 0) + 1] - starts, -1)
    return starts, lengths


def _raw(bounds: ByteMaps, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(bounds.values.data[starts[:, None] + np.arange(length)])


def leaf_types(document: Json) -> Mapping[int, str]:
    """The primitive types of the current schema by field id."""
    found: dict[int, str] = {}

    def walk(fields: Any) -> None:
        for field in fields or []:
            kind = field.get("type")
            if isinstance(kind, str):
                found[int(field["id"])] = kind
            elif isinstance(kind, dict):
                walk(kind.get("fields"))

    walk(metadata.current_schema(document).get("fields"))
    return found
