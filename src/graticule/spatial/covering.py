"""Boxes out of the statistics of ordinary columns: coverings, flat box columns, positions.

All are claims of whoever wrote the file, so what comes out is never `exact`, and what could hide a
row is `unknown`.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from graticule.spatial.bounding_box import (
    EMPTY,
    FULL_TURN_DEG,
    LATITUDE_MAX_DEG,
    LONGITUDE_MAX_DEG,
    UNKNOWN,
    BoundingBox,
    FileBox,
    outer,
)

HALF_TURN_DEG: Final = 180.0


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """Statistics of one leaf column in one row group (or a whole file); None is not known."""

    minimum: float | None
    maximum: float | None
    null_count: int | None
    is_float32: bool = False

    @property
    def low(self) -> float | None:
        """A number that no value is below.

        Producers round float32 boxes to nearest, on the wrong side half of the time.
        """
        return _widened(self.minimum, -math.inf, self.is_float32)

    @property
    def high(self) -> float | None:
        """A number that no value is above."""
        return _widened(self.maximum, math.inf, self.is_float32)


def _widened(value: float | None, towards: float, is_float32: bool) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    if not is_float32:
        return float(value)
    with np.errstate(over="ignore"):  # the next number after the largest is infinite
        widened = float(np.nextafter(np.float32(value), np.float32(towards)))
    return widened if math.isfinite(widened) else None


def box_of_covering(
    xmin: ColumnRange,
    ymin: ColumnRange,
    xmax: ColumnRange,
    ymax: ColumnRange,
    *,
    rows: int,
    geometry_null_count: int | None,
    is_lonlat: bool,
) -> FileBox:
    """The box of a row group whose rows carry their own boxes, in a struct or in flat columns.

    A row with a geometry but no box would hide, so there must be as many nulls in the covering as
    in the geometry; when the geometry's are not counted, none.

    A row that crosses the antimeridian has xmin > xmax, which minimum and maximum can hide.  Such
    a row leaves one of two traces: the ranges contradict each other, or they span half a turn or
    more.  Then the whole turn is taken, in longitudes; elsewhere a contradiction is unknown.
    """
    if not _covers_every_row((xmin, ymin, xmax, ymax), rows, geometry_null_count):
        return UNKNOWN
    if _all_null(xmin, rows) and geometry_null_count == rows:
        return EMPTY
    left, right, bottom, top = xmin.low, xmax.high, ymin.low, ymax.high
    if left is None or right is None or bottom is None or top is None or bottom > top:
        return UNKNOWN
    contradicts = left > right or _above(xmin, xmax)
    if is_lonlat and (contradicts or right - left >= HALF_TURN_DEG):
        left, right = min(left, -LONGITUDE_MAX_DEG), max(right, LONGITUDE_MAX_DEG)
    elif contradicts:
        return UNKNOWN
    return outer(BoundingBox(left, bottom, right, top))


def box_of_positions(x: ColumnRange, y: ColumnRange, *, rows: int, is_lonlat: bool) -> FileBox:
    """The box of a row group whose rows are positions in two columns.

    Rows without x or y have no position.  For longitudes and latitudes the ranges must be possible
    ones (-180..360 and -90..90); otherwise the names mislead and nothing is known.
    """
    if _all_null(x, rows) or _all_null(y, rows):
        return EMPTY
    left, right, bottom, top = x.low, x.high, y.low, y.high
    if left is None or right is None or bottom is None or top is None:
        return UNKNOWN
    if left > right or bottom > top:
        return UNKNOWN
    if is_lonlat and not _are_degrees(x, y):
        return UNKNOWN
    return outer(BoundingBox(left, bottom, right, top))


def _covers_every_row(
    sides: tuple[ColumnRange, ...], rows: int, geometry_null_count: int | None
) -> bool:
    null_counts = {side.null_count for side in sides}
    if len(null_counts) != 1 or None in null_counts:
        return False
    (null_count,) = null_counts
    if geometry_null_count is None:
        return null_count == 0
    return null_count == geometry_null_count <= rows


def _all_null(column: ColumnRange, rows: int) -> bool:
    return column.null_count is not None and column.null_count == rows


def _above(low_side: ColumnRange, high_side: ColumnRange) -> bool:
    """True if some row must have its lower side above its upper side."""
    pairs = (
        (low_side.maximum, high_side.maximum),
        (low_side.minimum, high_side.minimum),
    )
    return any(low is not None and high is not None and low > high for low, high in pairs)


def _are_degrees(x: ColumnRange, y: ColumnRange) -> bool:
    return (
        x.minimum is not None
        and x.maximum is not None
        and y.minimum is not None
        and y.maximum is not None
        and x.minimum >= -LONGITUDE_MAX_DEG
        and x.maximum <= FULL_TURN_DEG
        and y.minimum >= -LATITUDE_MAX_DEG
        and y.maximum <= LATITUDE_MAX_DEG
    )
