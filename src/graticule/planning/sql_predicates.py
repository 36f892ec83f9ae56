"""A condition in an engine's language that holds for every row which may lie in an area.  Pure.

It names the columns that bound rows or files, so that engines which know nothing of geometries
leave out files by it.  What it keeps *may* match; the exact condition is another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import shapely

from graticule.planning.table_places import TablePlace
from graticule.spatial.bounding_box import BoundingBox
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns
from graticule.spatial.search_area import PlacedArea

LONGITUDES: Final = (-180.0, 360.0)
"""Where longitudes are written: from -180 to 180, or from 0 to 360."""

LEAST_STEP: Final = 1e-9
"""Around zero, where a step of float32 is next to nothing and takes 45 digits to write."""


class Dialect(StrEnum):
    DUCKDB = "duckdb"
    SPARK = "spark"
    TRINO = "trino"
    PYICEBERG = "pyiceberg"


_TRUE: Final = "true"
_SHAPES: Final = {
    Dialect.DUCKDB: ("ST_GeomFromWKB({})", "ST_Point({}, {})", "ST_GeomFromText('{}')"),
    Dialect.SPARK: ("ST_GeomFromWKB({})", "ST_Point({}, {})", "ST_GeomFromText('{}')"),
    Dialect.TRINO: ("ST_GeomFromBinary({})", "ST_Point({}, {})", "ST_GeometryFromText('{}')"),
}
"""A geometry of a column, of a pair of columns, and of WKT."""


@dataclass(frozen=True, slots=True)
class Predicate:
    """`exact` is None where there is none to be had.  `reason` says why nothing is left out."""

    predicate: str
    exact: str | None
    reason: str | None


def predicate_of(place: TablePlace, area: PlacedArea, dialect: Dialect) -> Predicate:
    """The conditions for an area of a table."""
    columns = _columns(place)
    if area.windows is None or columns is None:
        reason = area.reason or "no column of the table bounds rows or files"
        return Predicate(_TRUE, _exact(place, area, dialect), reason)
    is_position = columns.xmin == columns.xmax
    alternatives = [
        _within(columns, window if is_position else _widened(window), dialect)
        for window in _windows(area)
    ]
    either = " or " if dialect is Dialect.PYICEBERG else " OR "
    text = (
        alternatives[0] if len(alternatives) == 1 else either.join(f"({a})" for a in alternatives)
    )
    return Predicate(text, _exact(place, area, dialect), None)


def _columns(place: TablePlace) -> BoxColumns | None:
    """Columns of rows rather than of files: they leave out row groups as well."""
    of_rows = [columns for columns in place.columns if columns != FILE_BOX_COLUMNS]
    return next(iter(of_rows + list(place.columns)), None)


def _windows(area: PlacedArea) -> Sequence[BoundingBox]:
    """The area in every way in which longitudes are written."""
    own = area.windows or ()
    west, east = LONGITUDES
    turned = [
        window
        for window in area.search_windows or ()
        if window not in own and window.xmin <= east and window.xmax >= west
    ]
    return [*own, *turned]


def _widened(window: BoundingBox) -> BoundingBox:
    """By two steps of float32: that far columns of boxes may be rounded into what they bound."""
    return BoundingBox(
        window.xmin - _two_steps(window.xmin),
        window.ymin - _two_steps(window.ymin),
        window.xmax + _two_steps(window.xmax),
        window.ymax + _two_steps(window.ymax),
    )


def _two_steps(value: float) -> float:
    return max(2 * abs(float(np.spacing(np.float32(value)))), LEAST_STEP)


def _within(columns: BoxColumns, window: BoundingBox, dialect: Dialect) -> str:
    both = " and " if dialect is Dialect.PYICEBERG else " AND "
    return both.join(
        f"{_quoted(name, dialect)} {comparison} {_number(side)}"
        for name, comparison, side in (
            (columns.xmin, "<=", window.xmax),
            (columns.xmax, ">=", window.xmin),
            (columns.ymin, "<=", window.ymax),
            (columns.ymax, ">=", window.ymin),
        )
    )


def _number(value: float) -> str:
    """Without an exponent, which not every parser of conditions reads."""
    return np.format_float_positional(value, trim="0")


def _quoted(name: str, dialect: Dialect) -> str:
    match dialect:
        case Dialect.PYICEBERG:
            return name if name.replace(".", "_").isidentifier() else f'"{name}"'
        case Dialect.SPARK:
            return ".".join(f"`{part.replace('`', '``')}`" for part in name.split("."))
    escaped = (part.replace('"', '""') for part in name.split("."))
    return ".".join(f'"{part}"' for part in escaped)


def _exact(place: TablePlace, area: PlacedArea, dialect: Dialect) -> str | None:
    shapes = _SHAPES.get(dialect)
    if shapes is None or area.windows is None:
        return None
    of_column, of_pair, of_text = shapes
    if place.geometry is not None:
        geometry = of_column.format(_quoted(place.geometry, dialect))
    elif place.positions is not None:
        geometry = of_pair.format(*(_quoted(name, dialect) for name in place.positions))
    else:
        return None
    wkt = shapely.to_wkt(_shape(area), rounding_precision=-1)
    return f"ST_Intersects({geometry}, {of_text.format(wkt)})"


def _shape(area: PlacedArea) -> Any:
    if area.geometry is not None:
        return area.geometry
    boxes = [shapely.box(w.xmin, w.ymin, w.xmax, w.ymax) for w in area.windows or ()]
    return boxes[0] if len(boxes) == 1 else shapely.multipolygons(boxes)
