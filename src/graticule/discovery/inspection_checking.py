"""Inspections that somebody else encoded: taken only if a file could have said them.

Pure.  Whoever inspected elsewhere may be mistaken, or lie.  What is refused here would otherwise
fail much later, and every time anew: when tables are proposed, or their manifests written.
"""

import json
import zlib
from typing import Any, Final

import msgspec

from graticule.discovery.inspection import FileInspection, GeometryInspection
from graticule.discovery.inspection_codec import from_bytes, pieces_of
from graticule.domain.errors import InvalidRequest
from graticule.iceberg.values import encode_value

DOCUMENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one inspection, unpacked: as much as the largest footer that is read."""
SHAPE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Of what files of one table share, unpacked; less, since some of these are remembered."""
TYPE_DEPTH_MAX: Final = 100

_Bound = bool | int | float | str | None
_Pair = tuple[float, float]
_Box = list[str | tuple[float, float, float, float]]
_Metrics = tuple[str, int, int | None, int | None, _Bound, _Bound]
_Geometry = tuple[
    str,
    str | None,
    str,
    list[str],
    _Box,
    list[_Box],
    str,
    list[str] | None,
    _Box | None,
    list[str],
    str,
    tuple[int | None, int | None],
    _Pair | None,
    _Pair | None,
]
_Shape = tuple[list[dict[str, Any]], str, list[str], dict[str, int]]
_Document = tuple[
    int,
    list[tuple[int, int, int]],
    list[int],
    dict[str, _Metrics],
    dict[str, _Geometry],
    str | None,
    _Geometry | None,
    list[str],
]
"""The two pieces that `inspection_codec.to_bytes` writes, by position."""


def checked(data: bytes, size_bytes: int) -> FileInspection:
    """The inspection of a file of `size_bytes`.

    Raises:
        ValueError: not one that this version writes, or one that contradicts itself or the size.
    """
    shape, document = pieces_of(data)
    try:
        _check_form(shape, _Shape, SHAPE_BYTES_MAX)
        _check_form(document, _Document, DOCUMENT_BYTES_MAX)
        found = from_bytes(data)
        _check_sense(found, size_bytes)
    except (InvalidRequest, msgspec.ValidationError, zlib.error, RecursionError) as error:
        raise ValueError(f"the inspection is none: {error}") from error
    return found


def _check_form(packed: bytes, form: Any, bytes_max: int) -> None:
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(packed, bytes_max)
    if not unpacking.eof or unpacking.unused_data:
        raise ValueError(f"the inspection is cut short, or longer than {bytes_max} bytes unpacked")
    piece = json.loads(text)
    msgspec.convert(piece, type=form)
    if b"\\ud" in text:  # half a surrogate pair is a ValueError
        json.dumps(piece, ensure_ascii=False).encode()


def _check_sense(found: FileInspection, size_bytes: int) -> None:
    numbers = [found.rows, *found.split_offsets, *found.field_ids.values()]
    numbers += [number for span in found.row_groups for number in span]
    for metrics in found.metrics.values():
        counts = (metrics.size_bytes, metrics.value_count, metrics.null_count)
        numbers += [count for count in counts if count is not None]
        for bound in (metrics.lower, metrics.upper):
            if bound is not None:
                encode_value(metrics.type, bound)
    if any(number < 0 for number in numbers):
        raise ValueError("the inspection has a negative count")
    if any(span.offset > size_bytes for span in found.row_groups):
        raise ValueError("the inspection has a row group beyond the end of the file")
    if sum(span.rows for span in found.row_groups) != found.rows:
        raise ValueError("the rows of the inspection's row groups are not its rows")
    names = [_checked_field(field, 0) for field in found.fields]
    if len(set(names)) != len(names):
        raise ValueError("the inspection has two columns of one name")
    places = [*found.geometry.values(), *([found.positions] if found.positions else [])]
    for place in places:
        _check_place(place, found)
    if found.primary_geometry is not None and found.primary_geometry not in found.geometry:
        raise ValueError("the inspection's primary geometry is none of its geometries")


def _check_place(place: GeometryInspection, found: FileInspection) -> None:
    if len(place.row_group_boxes) != len(found.row_groups):
        raise ValueError("the inspection does not have a box for each row group")


def _checked_field(field: Any, depth: int) -> str:
    """The name of a field as `storage.arrow_types` describes it."""
    if not isinstance(field, dict) or field.keys() != {"name", "required", "type"}:
        raise ValueError("the inspection has a field without name, type, or `required`")
    if not isinstance(field["name"], str) or field["required"] is not False:
        raise ValueError("the inspection has a field that is no column of a file")
    _check_type(field["type"], depth)
    return field["name"]


def _check_type(type_: Any, depth: int) -> None:
    if depth > TYPE_DEPTH_MAX:
        raise ValueError("the inspection has a type that is nested too deeply")
    match type_:
        case str():
            return
        case {"type": "struct", "fields": list(fields), **rest} if not rest:
            for field in fields:
                _checked_field(field, depth + 1)
        case {"type": "list", "element": element, "element-required": False, **rest} if not rest:
            _check_type(element, depth + 1)
        case {
            "type": "map",
            "key": key,
            "value": value,
            "value-required": False,
            **rest,
        } if not rest:
            _check_type(key, depth + 1)
            _check_type(value, depth + 1)
        case _:
            raise ValueError("the inspection has a type that is none")
