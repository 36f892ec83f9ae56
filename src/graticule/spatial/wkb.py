"""WKB as raw bytes: what the headers of values say, and the coordinates of what is laid out alike.

Points, and lines and polygons of as many vertices each, are read through views, many times faster
than any walk along the bytes.  Other geometries are somebody else's to walk.  ISO WKB and EWKB, Z
and M, of points both byte orders.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int32] | npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

POINT_LAYOUTS_MAX: Final = 4
"""Different headers (byte order, SRID, Z, M) of points that the fast path tries in one chunk."""

HEADER_BYTES: Final = 5
COUNT_BYTES: Final = 4
SRID_BYTES: Final = 4
ORDINATE_BYTES: Final = 8
POINT_BYTES_MAX: Final = HEADER_BYTES + SRID_BYTES + 4 * ORDINATE_BYTES

POINT, LINESTRING, POLYGON, COLLECTION = 1, 2, 3, 7
_EWKB_Z, _EWKB_M, _EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
_EWKB_FLAGS: Final = _EWKB_Z | _EWKB_M | _EWKB_SRID
_TYPE_NAMES: Final = (
    *("Point", "LineString", "Polygon", "MultiPoint"),
    *("MultiLineString", "MultiPolygon", "GeometryCollection"),
)
_DIMENSIONS: Final = ("", " Z", " M", " ZM")


@dataclass(frozen=True, slots=True)
class Header:
    """The type number of one value, taken apart."""

    kind: int
    has_z: bool
    has_m: bool
    has_srid: bool
    is_extended: bool

    @classmethod
    def parse(cls, raw: int) -> "Header | None":
        """ISO adds 1000, 2000 or 3000 for Z, M and ZM; EWKB sets the three highest bits."""
        iso, kind = divmod(raw & ~_EWKB_FLAGS, 1000)
        if iso > 3 or not POINT <= kind <= COLLECTION:
            return None
        return cls(
            kind,
            bool(raw & _EWKB_Z) or iso in {1, 3},
            bool(raw & _EWKB_M) or iso in {2, 3},
            bool(raw & _EWKB_SRID),
            bool(raw & _EWKB_FLAGS),
        )

    @property
    def ordinates(self) -> int:
        """Of a vertex."""
        return 2 + self.has_z + self.has_m

    @property
    def type_name(self) -> str:
        return type_name(self.kind + 1000 * (self.has_z + 2 * self.has_m))


def type_name(code: int) -> str:
    """Of an ISO type number, such as 1003 for `Polygon Z`."""
    dimension, kind = divmod(code, 1000)
    if not POINT <= kind <= COLLECTION or dimension >= len(_DIMENSIONS):
        return "Unknown"
    return _TYPE_NAMES[kind - 1] + _DIMENSIONS[dimension]


@dataclass(frozen=True, slots=True)
class Points:
    """The coordinates of points of one layout; `srids` are those of EWKB, 0 for none."""

    header: Header
    srids: AbstractSet[int]
    x: Floats
    y: Floats


def values_of_one_length(
    offsets: Offsets, data: Bytes, *, nulls: Bools | None = None
) -> Bytes | None:
    """The values of a chunk as the rows of a table, nothing copied; None if they differ in length.

    Value i is `data[offsets[i]:offsets[i + 1]]`.  Null slots must be without bytes, as Arrow
    writers leave them.
    """
    lengths = offsets[1:] - offsets[:-1]
    if nulls is not None:
        if lengths[nulls].any():
            return None
        lengths = lengths[~nulls]
    if not len(lengths):
        return np.zeros((0, 1), np.uint8)
    size = int(lengths[0])
    if not size or bool((lengths != size).any()):
        return None
    return data[int(offsets[0]) : int(offsets[-1])].reshape(-1, size)


def read_points(rows: Bytes) -> list[Points] | None:
    """The points of values of one length; None if they are not points throughout."""
    if not len(rows):
        return []
    size = rows.shape[1]
    if not HEADER_BYTES + 2 * ORDINATE_BYTES <= size <= POINT_BYTES_MAX:
        return None
    found: list[Points] = []
    for _ in range(POINT_LAYOUTS_MAX):
        header, layout = _point_layout(rows[0, :HEADER_BYTES].tobytes())
        if layout is None or header is None or layout.itemsize != size:
            return None
        points = rows.view(layout)[:, 0]
        # One comparison of the header as a whole would need a sixth kind of integer.
        same = (points["order"] == points["order"][0]) & (points["type"] == points["type"][0])
        if same.all():
            found.append(_points(points, header))
            return found
        found.append(_points(points[same], header))
        rows = rows[~same]
    return None


def _points(points: Any, header: Header) -> Points:
    srids = frozenset(_distinct(points["srid"])) if header.has_srid else frozenset({0})
    return Points(header, srids, points["x"], points["y"])


@lru_cache(maxsize=64)
def _point_layout(first: bytes) -> "tuple[Header | None, np.dtype[np.void] | None]":
    """Of a point that begins with these bytes; there are few, and most chunks share one."""
    if first[0] > 1:
        return None, None
    order = "<" if first[0] else ">"
    header = Header.parse(int.from_bytes(first[1:], "little" if first[0] else "big"))
    if header is None or header.kind != POINT:
        return header, None
    fields: list[Any] = [("order", "u1"), ("type", f"{order}u4")]
    fields += [("srid", f"{order}u4")] if header.has_srid else []
    ordinates = ("x", "y", "z", "m")[: header.ordinates]
    fields += [(name, f"{order}f8") for name in ordinates]
    return header, np.dtype(fields)


@dataclass(frozen=True, slots=True)
class Vertices:
    """The vertices of a chunk whose lines, or polygons of one ring, all have as many.

    `numbers` has a row for each value: x, y and perhaps more of one vertex after the other.
    """

    header: Header
    srid: int
    numbers: Floats


def read_vertices(rows: Bytes) -> Vertices | None:
    """The vertices of values of one length, if only coordinates differ from value to value; None if
    more does, or if somebody else has to walk along them.
    """
    count, size = rows.shape
    if not count or size < _LAYOUT_BYTES:
        return None
    layout = _vertex_layout(rows[0, :_LAYOUT_BYTES].tobytes(), size)
    if layout is None or not _are_same(rows, layout.first_byte):
        return None
    return Vertices(layout.header, layout.srid, rows[:, layout.first_byte :].view("<f8"))


@dataclass(frozen=True, slots=True)
class _VertexLayout:
    header: Header
    srid: int
    first_byte: int


_LAYOUT_BYTES: Final = HEADER_BYTES + SRID_BYTES + 2 * COUNT_BYTES


@lru_cache(maxsize=1024)
def _vertex_layout(first: bytes, size: int) -> _VertexLayout | None:
    """Of a value of so many bytes that begins with these."""
    if first[0] != 1:
        return None
    header = Header.parse(int.from_bytes(first[1:HEADER_BYTES], "little"))
    if header is None or header.kind not in {LINESTRING, POLYGON}:
        return None
    counts_at = HEADER_BYTES + SRID_BYTES * header.has_srid
    srid = int.from_bytes(first[HEADER_BYTES:counts_at], "little")
    at = counts_at + COUNT_BYTES * (2 if header.kind == POLYGON else 1)
    *rings, vertices = (
        int.from_bytes(first[start : start + COUNT_BYTES], "little")
        for start in range(counts_at, at, COUNT_BYTES)
    )
    is_whole = size == at + vertices * header.ordinates * ORDINATE_BYTES
    return _VertexLayout(header, srid, at) if is_whole and vertices and rings in ([], [1]) else None


def _are_same(rows: Bytes, length: int) -> bool:
    """Whether all rows begin with the same bytes, which are compared eight at a time."""
    for at in {*range(0, length - 7, 8), length - 8}:
        words = rows[:, at : at + 8].view("<u8")[:, 0]
        if not (words == words[0]).all():
            return False
    return True


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of a chunk say; `empties` counts the values that end after their header, as
    lines and polygons without a coordinate do.
    """

    headers: AbstractSet[Header]
    srids: AbstractSet[int]
    empties: int


def read_headers(offsets: Offsets, data: Bytes, *, nulls: Bools | None = None) -> Headers | None:
    """The headers of all values, which nobody has walked; None if one is no header."""
    starts, ends = offsets[:-1], offsets[1:]
    if nulls is not None:
        starts, ends = starts[~nulls], ends[~nulls]
    if not len(starts):
        return Headers(frozenset(), frozenset(), 0)
    lengths = ends - starts
    if bool((lengths < HEADER_BYTES + COUNT_BYTES).any()):
        return None
    big = data[starts] == 0
    raws = _uint32(data, starts + 1, big)
    by_raw = {raw: Header.parse(raw) for raw in _distinct(raws)}
    headers = [header for header in by_raw.values() if header is not None]
    if len(headers) != len(by_raw):
        return None
    has_srid = (raws & _EWKB_SRID) != 0
    srids = set[int]()
    if not has_srid.all():
        srids.add(0)
    if has_srid.any():
        if bool((lengths[has_srid] < HEADER_BYTES + SRID_BYTES + COUNT_BYTES).any()):
            return None
        at = starts[has_srid] + HEADER_BYTES
        srids.update(_distinct(_uint32(data, at, big[has_srid])))
    shortest = HEADER_BYTES + COUNT_BYTES + SRID_BYTES * has_srid
    empties = int(np.count_nonzero(lengths == shortest))
    return Headers(frozenset(headers), frozenset(srids), empties)


def _uint32(data: Bytes, at: Offsets, big: Bools) -> npt.NDArray[np.uint32]:
    # A number begins at every byte: a view that overlaps itself spares gathering four bytes each.
    everywhere = np.ndarray((len(data) - COUNT_BYTES + 1,), "<u4", data, 0, (1,))
    numbers: npt.NDArray[np.uint32] = everywhere[at]
    return np.where(big, numbers.byteswap(), numbers) if big.any() else numbers


def _distinct(numbers: npt.NDArray[np.uint32]) -> list[int]:
    """Most often there is one, and sorting would take longer than all the rest."""
    if bool((numbers == numbers[0]).all()):
        return [int(numbers[0])]
    found: list[int] = np.unique(numbers).tolist()
    return found
