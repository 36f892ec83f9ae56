"""The box of a file from what its manifest entry says, without looking at the file.  Pure."""

import struct
from collections.abc import Mapping
from typing import Any, Final

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
    """From bounds of box columns, which must have a value for every row: a row without a box may
    lie anywhere.  A row without a position lies nowhere.
    """
    values = []
    is_position = columns.xmin == columns.xmax
    sides = (entry.lower_bounds, entry.lower_bounds, entry.upper_bounds, entry.upper_bounds)
    for name, bounds in zip(columns.names, sides, strict=True):
        field_id = place.field_ids.get(name)
        data = bounds.get(field_id) if field_id is not None else None
        if field_id is None or data is None:
            return UNKNOWN
        if not is_position and entry.null_value_counts.get(field_id) != 0:
            return UNKNOWN
        value = decode_value(types[field_id], data)
        if not isinstance(value, int | float):
            return UNKNOWN
        values.append(float(value))
    return _box(*values)


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
