"""The box of a file from what its manifest entry says, without looking at the file.  Pure."""

import struct
from collections.abc import Mapping
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from graticule.iceberg.values import decode_value
from graticule.planning.files import DataFileEntry
from graticule.services.table_places import TablePlace
from graticule.spatial.bounding_box import (
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    FileBox,
    from_partition_values,
    outer,
)
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns
from graticule.spatial.covering import ColumnRange, box_of_covering, box_of_positions

Json = dict[str, Any]

_POINT_BYTES: Final = frozenset({16, 24, 32})
"""Geometry bounds of format version 3: x, y, and z and m where they are set."""


def box_from_manifest(
    entry: DataFileEntry, place: TablePlace, document: Json, specs: Mapping[int, Json]
) -> FileBox:
    """The box by the virtual columns, by geometry bounds, or by bounds of box or position columns.

    The first that knows one wins; unknown when none does.
    """
    virtual = _virtual(entry, place, specs.get(entry.spec_id))
    if virtual.status is not BoxStatus.UNKNOWN:
        return virtual
    if place.geometry is not None:
        bounds = _geometry_bounds(entry, place.field_ids[place.geometry])
        if bounds.status is not BoxStatus.UNKNOWN:
            return bounds
    types = _types(document)
    for columns in place.columns:
        if columns != FILE_BOX_COLUMNS:
            found = _column_bounds(entry, columns, place, types)
            if found.status is not BoxStatus.UNKNOWN:
                return found
    return UNKNOWN


def _virtual(entry: DataFileEntry, place: TablePlace, spec: Json | None) -> FileBox:
    if spec is None or FILE_BOX_COLUMNS not in place.columns:
        return UNKNOWN
    by_source = {
        field.get("source-id"): value
        for field, value in zip(spec.get("fields") or [], entry.partition, strict=False)
        if field.get("transform") == "identity"
    }
    ids = [place.field_ids[name] for name in FILE_BOX_COLUMNS.names]
    if not all(field_id in by_source for field_id in ids):
        return UNKNOWN
    return from_partition_values([by_source[field_id] for field_id in ids])


def _geometry_bounds(entry: DataFileEntry, field_id: int) -> FileBox:
    """Bounds of a native geometry column.  A wrapped one (geography) is left to the footer."""
    lower, upper = entry.lower_bounds.get(field_id), entry.upper_bounds.get(field_id)
    if lower is None or upper is None:
        return UNKNOWN
    if len(lower) not in _POINT_BYTES or len(upper) not in _POINT_BYTES:
        return UNKNOWN
    (xmin, ymin), (xmax, ymax) = struct.unpack_from("<2d", lower), struct.unpack_from("<2d", upper)
    return _box(xmin, ymin, xmax, ymax)


def _column_bounds(
    entry: DataFileEntry, columns: BoxColumns, place: TablePlace, types: Mapping[int, str]
) -> FileBox:
    """From bounds of box columns, or of the two columns that positions stand in."""
    x0, y0, x1, y1 = (
        _column_range(entry, place.field_ids.get(name), types) for name in columns.names
    )
    if x0 is None or y0 is None or x1 is None or y1 is None:
        return UNKNOWN
    rows = entry.record_count
    if columns.xmin == columns.xmax:
        return box_of_positions(x0, y0, rows=rows, is_lonlat=False)
    geometry_id = place.field_ids.get(place.geometry or "")
    return box_of_covering(
        x0,
        y0,
        x1,
        y1,
        rows=rows,
        geometry_null_count=None
        if geometry_id is None
        else entry.null_value_counts.get(geometry_id),
        is_lonlat=place.is_lonlat,
    )


def _column_range(
    entry: DataFileEntry, field_id: int | None, types: Mapping[int, str]
) -> ColumnRange | None:
    """Bounds of a column as a range; None where they cannot be read."""
    if field_id is None or field_id not in types:
        return None
    kind = types[field_id]
    return ColumnRange(
        minimum=_number(kind, entry.lower_bounds.get(field_id)),
        maximum=_number(kind, entry.upper_bounds.get(field_id)),
        null_count=entry.null_value_counts.get(field_id),
        is_float32=kind == "float",
    )


def _number(kind: str, data: bytes | None) -> float | None:
    if data is None:
        return None
    try:
        value = decode_value(kind, data)
    except InvalidRequest:  # a damaged bound is no bound
        return None
    return float(value) if isinstance(value, int | float) else None


def _box(xmin: float, ymin: float, xmax: float, ymax: float) -> FileBox:
    if not (xmin <= xmax and ymin <= ymax):
        return UNKNOWN
    box = BoundingBox(xmin, ymin, xmax, ymax)
    return outer(box) if box.is_finite else UNKNOWN


def _types(document: Json) -> Mapping[int, str]:
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
