"""Inspections as bytes: what is known of a file's footer, kept so that it need not be read again.

The same inspection always gives the same bytes.  `CODEC_VERSION` changes with whatever changes the
meaning of an inspection: bytes of another version are none, and the file is inspected again.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final, NamedTuple
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

CODEC_VERSION: Final = 4

_COMPRESSION_LEVEL: Final = 1
"""Half the size of no compression; higher levels save a few bytes and take twice the time."""


_LENGTH_BYTES: Final = 4
SHAPES_REMEMBERED: Final = 64


class _Shape(NamedTuple):
    """What the files of one table and writer share, and what is kept of it once for all."""

    fields: tuple[Mapping[str, Any], ...]
    created_by: str
    unsupported_columns: tuple[str, ...]
    field_ids: Mapping[str, int]


def to_bytes(inspection: FileInspection) -> bytes:
    """A version byte, and two pieces of compressed JSON, of which files of one table share the
    first: about 500 bytes for ten columns and one row group.
    """
    shape = _shape_to_bytes(
        _Shape(
            inspection.fields,
            inspection.created_by,
            inspection.unsupported_columns,
            inspection.field_ids,
        )
    )
    document = [
        inspection.rows,
        inspection.row_groups,
        inspection.split_offsets,
        {path: _metrics_to_json(found) for path, found in inspection.metrics.items()},
        {name: _geometry_to_json(found) for name, found in inspection.geometry.items()},
        inspection.primary_geometry,
        None if inspection.positions is None else _geometry_to_json(inspection.positions),
        inspection.notes,
    ]
    length = len(shape).to_bytes(_LENGTH_BYTES, "little")
    return b"".join((bytes([CODEC_VERSION]), length, shape, _packed(document)))


def _packed(document: Any) -> bytes:
    text = json.dumps(document, separators=(",", ":"))
    return zlib.compress(text.encode(), _COMPRESSION_LEVEL)


def _shape_to_bytes(shape: _Shape) -> bytes:
    global _last_shape  # noqa: PLW0603 - a cache: without effect on any result
    last = _last_shape
    if last is not None and shape.fields is last[0].fields and shape == last[0]:
        return last[1]
    packed = _packed(shape)
    _last_shape = (shape, packed)
    return packed


_last_shape: tuple[_Shape, bytes] | None = None
"""Files of one table come in a row; who reads their footers hands out the same fields for all."""


def from_bytes(data: bytes) -> FileInspection:
    """The inspection that `to_bytes` was given; files of one shape share their fields.

    Raises:
        ValueError: the bytes are of another version, or damaged.
    """
    shape, document = pieces_of(data)
    try:
        return _inspection(json.loads(zlib.decompress(document)), _shape_from_bytes(shape))
    except (zlib.error, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"the inspection is damaged: {error!r}") from error


def is_readable(data: bytes) -> bool:
    """Whether `from_bytes` knows the version of these bytes."""
    return data[:1] == bytes([CODEC_VERSION])


def pieces_of(data: bytes) -> tuple[bytes, bytes]:
    """Both pieces as they are: what files of one table share, and what is of one file.

    Raises:
        ValueError: the bytes are of another version.
    """
    if not is_readable(data):
        raise ValueError("the inspection is of another version")
    begins = 1 + _LENGTH_BYTES
    ends = begins + int.from_bytes(data[1:begins], "little")
    return data[begins:ends], data[ends:]


@lru_cache(SHAPES_REMEMBERED)
def _shape_from_bytes(data: bytes) -> _Shape:
    fields, created_by, unsupported_columns, field_ids = json.loads(zlib.decompress(data))
    return _Shape(tuple(fields), created_by, tuple(unsupported_columns), field_ids)


def _inspection(document: Any, shape: _Shape) -> FileInspection:
    (
        rows,
        row_groups,
        split_offsets,
        metrics,
        geometry,
        primary_geometry,
        positions,
        notes,
    ) = document
    return FileInspection(
        rows=rows,
        row_groups=tuple(RowGroupSpan(*span) for span in row_groups),
        split_offsets=tuple(split_offsets),
        fields=shape.fields,
        metrics=_Metrics(metrics),
        geometry={name: _geometry(found) for name, found in geometry.items()},
        primary_geometry=primary_geometry,
        positions=None if positions is None else _geometry(positions),
        created_by=shape.created_by,
        unsupported_columns=shape.unsupported_columns,
        notes=tuple(notes),
        field_ids=shape.field_ids,
    )


class _Metrics(Mapping[str, ColumnMetrics]):
    """Made as they are asked for: who proposes tables asks for few, and of a million files."""

    __slots__ = ("_documents",)

    def __init__(self, documents: Mapping[str, list[Any]]) -> None:
        self._documents = documents

    def __getitem__(self, path: str) -> ColumnMetrics:
        return _metrics(self._documents[path])

    def __iter__(self) -> Iterator[str]:
        return iter(self._documents)

    def __len__(self) -> int:
        return len(self._documents)

    def __repr__(self) -> str:
        return repr(dict(self))


def fields_from_bytes(data: bytes) -> tuple[Mapping[str, Any], ...]:
    """Only the fields, without reading what is of one file.

    Raises:
        ValueError: the bytes are of another version, or damaged.
    """
    shape, _ = pieces_of(data)
    try:
        return _shape_from_bytes(shape).fields
    except (zlib.error, KeyError, TypeError, ArithmeticError) as error:
        raise ValueError(f"the inspection is damaged: {error!r}") from error


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
