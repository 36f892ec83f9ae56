"""Inspections as bytes: what is known of a file's footer, kept so that it need not be read again.

The same inspection always gives the same bytes.  `CODEC_VERSION` changes with whatever changes the
meaning of an inspection: bytes of another version are none, and the file is inspected again.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from graticule.discovery.inspection import (
    BoxSource,
    ColumnMetrics,
    Counts,
    CrsSource,
    FileInspection,
    GeometryInspection,
)
from graticule.planning.row_group import RowGroupSpan
from graticule.spatial.bounding_box import BoundingBox, BoxStatus, FileBox
from graticule.spatial.box_columns import BoxColumns
from graticule.spatial.crs import Crs

CODEC_VERSION: Final = 3

_COMPRESSION_LEVEL: Final = 1
"""Half the size of no compression; higher levels save a few bytes and take twice the time."""


def to_bytes(inspection: FileInspection) -> bytes:
    """A version byte and compressed JSON: about 500 bytes for ten columns and one row group."""
    document = [
        inspection.rows,
        inspection.row_groups,
        inspection.split_offsets,
        inspection.fields,
        {path: _metrics_to_json(found) for path, found in inspection.metrics.items()},
        {name: _geometry_to_json(found) for name, found in inspection.geometry.items()},
        inspection.primary_geometry,
        None if inspection.positions is None else _geometry_to_json(inspection.positions),
        inspection.created_by,
        inspection.unsupported_columns,
        inspection.notes,
        inspection.field_ids,
    ]
    text = json.dumps(document, separators=(",", ":"))
    return bytes([CODEC_VERSION]) + zlib.compress(text.encode(), _COMPRESSION_LEVEL)


def from_bytes(data: bytes) -> FileInspection:
    """The inspection that `to_bytes` was given.

    Raises:
        ValueError: the bytes are of another version, or damaged.
    """
    if data[:1] != bytes([CODEC_VERSION]):
        raise ValueError("the inspection was kept by another version")
    try:
        document = json.loads(zlib.decompress(data[1:]))
        return _inspection(document)
    except (zlib.error, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"the inspection is damaged: {error!r}") from error


def _inspection(document: Any) -> FileInspection:
    (
        rows,
        row_groups,
        split_offsets,
        fields,
        metrics,
        geometry,
        primary_geometry,
        positions,
        created_by,
        unsupported_columns,
        notes,
        field_ids,
    ) = document
    return FileInspection(
        rows=rows,
        row_groups=tuple(RowGroupSpan(*span) for span in row_groups),
        split_offsets=tuple(split_offsets),
        fields=tuple(fields),
        metrics={path: _metrics(found) for path, found in metrics.items()},
        geometry={name: _geometry(found) for name, found in geometry.items()},
        primary_geometry=primary_geometry,
        positions=None if positions is None else _geometry(positions),
        created_by=created_by,
        unsupported_columns=tuple(unsupported_columns),
        notes=tuple(notes),
        field_ids=field_ids,
    )


def _metrics_to_json(found: ColumnMetrics) -> list[Any]:
    bounds = [
        str(bound) if isinstance(bound, Decimal | UUID) else bound
        for bound in (found.lower, found.upper)
    ]
    return [found.type, found.size_bytes, found.value_count, found.null_count, *bounds]


def _metrics(document: list[Any]) -> ColumnMetrics:
    type_, size_bytes, value_count, null_count, *bounds = document
    read = _BOUND_READERS.get(type_.partition("(")[0])
    if read is not None:
        bounds = [None if bound is None else read(bound) for bound in bounds]
    return ColumnMetrics(type_, size_bytes, value_count, null_count, *bounds)


_BOUND_READERS: Final[Mapping[str, Callable[[str], Any]]] = {"decimal": Decimal, "uuid": UUID}
"""Of types whose values JSON has no form of its own for."""


def _geometry_to_json(found: GeometryInspection) -> list[Any]:
    return [
        found.encoding,
        found.crs.identifier,
        found.edges,
        found.types,
        _box_to_json(found.file_box),
        [_box_to_json(box) for box in found.row_group_boxes],
        found.source,
        None if found.box_columns is None else found.box_columns.names,
        None if found.declared_box is None else _box_to_json(found.declared_box),
        found.notes,
        found.crs_source,
        astuple(found.counts),
        found.z,
        found.m,
    ]


def _geometry(document: list[Any]) -> GeometryInspection:
    (
        encoding,
        crs,
        edges,
        types,
        file_box,
        row_group_boxes,
        source,
        box_columns,
        declared_box,
        notes,
        crs_source,
        counts,
        z,
        m,
    ) = document
    return GeometryInspection(
        encoding=encoding,
        crs=Crs(crs),
        edges=edges,
        types=tuple(types),
        file_box=_box(file_box),
        row_group_boxes=tuple(map(_box, row_group_boxes)),
        source=BoxSource(source),
        box_columns=None if box_columns is None else BoxColumns(*box_columns),
        declared_box=None if declared_box is None else _box(declared_box),
        notes=tuple(notes),
        crs_source=CrsSource(crs_source),
        counts=Counts(*counts),
        z=None if z is None else (z[0], z[1]),
        m=None if m is None else (m[0], m[1]),
    )


def _box_to_json(box: FileBox) -> list[Any]:
    return [box.status, *(astuple(part) for part in box.boxes)]


def _box(document: list[Any]) -> FileBox:
    status, *parts = document
    return FileBox(BoxStatus(status), tuple(BoundingBox(*part) for part in parts))
