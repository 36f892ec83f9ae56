"""The box of a WKB column, from its raw Arrow buffers.

Points are read through a structured view.  Everything else is walked token by token, all values of
a chunk in step, which yields runs of coordinates; geometry libraries would build objects first.

A box must be certain, so one value that cannot be read makes the whole box unknown: truncated or
trailing bytes, text, curves (they leave the box of their vertices).  ISO WKB and EWKB, both byte
orders, Z and M are read; only x and y are used.  NaN ordinates are skipped one by one, infinite
ones make the box unknown.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graticule.spatial.bounding_box import EMPTY, UNKNOWN, BoundingBox, FileBox, exact

Offsets = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

CHUNK_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bounds the walker's working memory, which is a small multiple of the chunk."""

CHUNK_VALUES_MAX: Final = 1 << 18
POINT_LAYOUTS_MAX: Final = 4
"""Different headers (byte order, SRID, Z, M) of points that the fast path tries in one chunk."""

SCALAR_WALK_VALUES_MAX: Final = 64
"""Fewer unfinished values than this are walked one by one: a step in numpy costs some 50 µs."""

HEADER_BYTES: Final = 5
COUNT_BYTES: Final = 4
SRID_BYTES: Final = 4
ORDINATE_BYTES: Final = 8

_POINT, _LINESTRING, _POLYGON = 1, 2, 3
_COLLECTIONS: Final = (4, 5, 6, 7)
_EWKB_Z, _EWKB_M, _EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
_EWKB_FLAGS: Final = _EWKB_Z | _EWKB_M | _EWKB_SRID


def box_of_wkb(offsets: Offsets, data: Bytes, *, valid: Bools | None = None) -> FileBox:
    """The box of the values `data[offsets[i]:offsets[i + 1]]` where `valid` holds (or all).

    Only nulls, or only geometries without coordinates: empty.  Otherwise exact, or unknown.
    """
    offsets = np.asarray(offsets, dtype=np.int64)
    data = np.asarray(data, dtype=np.uint8)
    if len(offsets) < 2:
        return EMPTY
    if offsets[0] < 0 or offsets[-1] > len(data) or bool((np.diff(offsets) < 0).any()):
        return UNKNOWN
    extent = _Extent()
    try:
        for first, last in _chunks(offsets):
            part = offsets[first : last + 1]
            nulls = None if valid is None or valid[first:last].all() else ~valid[first:last]
            if not _add_points(extent, part, data, nulls):
                starts, ends = part[:-1], part[1:]
                if nulls is not None:
                    starts, ends = starts[~nulls], ends[~nulls]
                _add_geometries(extent, starts, ends, data)
    except _MalformedError:
        return UNKNOWN
    return extent.file_box()


class _MalformedError(Exception):
    pass


@dataclass(slots=True)
class _Extent:
    xmin: float = math.inf
    ymin: float = math.inf
    xmax: float = -math.inf
    ymax: float = -math.inf

    def add(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
        self.xmin, self.xmax = _stretch(self.xmin, self.xmax, x)
        self.ymin, self.ymax = _stretch(self.ymin, self.ymax, y)

    def file_box(self) -> FileBox:
        # A dimension without any number has no geometry that intersects anything.
        if self.xmin > self.xmax or self.ymin > self.ymax:
            return EMPTY
        return exact(BoundingBox(self.xmin, self.ymin, self.xmax, self.ymax))


def _stretch(lowest: float, highest: float, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    if not len(values):
        return lowest, highest
    low, high = float(values.min()), float(values.max())
    if math.isnan(low):  # min and max are much faster than fmin and fmax, and NaN is rare
        low, high = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
        if math.isnan(low):
            return lowest, highest
    if math.isinf(low) or math.isinf(high):
        raise _MalformedError
    return min(lowest, low), max(highest, high)


def _chunks(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """Ranges of values of limited bytes and number; a huge value is a chunk of its own."""
    first, count = 0, len(offsets) - 1
    while first < count:
        limit = int(offsets[first]) + CHUNK_BYTES_MAX
        fitting = int(np.searchsorted(offsets, limit, side="right")) - 1
        last = min(max(fitting, first + 1), first + CHUNK_VALUES_MAX, count)
        yield first, last
        first = last


# Points.


def _add_points(extent: _Extent, offsets: Offsets, data: Bytes, nulls: Bools | None) -> bool:
    """Add a chunk in which all values are points of one length; False, and nothing, if it is not.

    Null slots must be without bytes, as Arrow writers leave them.
    """
    lengths = np.diff(offsets)
    if nulls is not None:
        if lengths[nulls].any():
            return False
        lengths = lengths[~nulls]
    if not len(lengths):
        return True
    size = int(lengths[0])
    if not HEADER_BYTES + 2 * ORDINATE_BYTES <= size <= 64 or bool((lengths != size).any()):
        return False
    rows = data[int(offsets[0]) : int(offsets[-1])].reshape(-1, size)
    found = []
    for _ in range(POINT_LAYOUTS_MAX):
        layout = _point_layout(rows[0])
        if layout is None or layout.itemsize != size:
            return False
        points = rows.view(layout)[:, 0]
        # One comparison of the header as a whole would need a sixth kind of integer.
        same = (points["order"] == points["order"][0]) & (points["type"] == points["type"][0])
        if same.all():
            found.append(points)
            for points in found:
                extent.add(points["x"], points["y"])
            return True
        found.append(points[same])
        rows = rows[~same]
    return False


def _point_layout(row: Bytes) -> "np.dtype[np.void] | None":
    if row[0] > 1:
        return None
    order = "<" if row[0] else ">"
    raw = int(row[1:HEADER_BYTES].view(f"{order}u4")[0])
    header = _Header.parse(raw)
    if header is None or header.kind != _POINT:
        return None
    fields: list[Any] = [("order", "u1"), ("type", f"{order}u4")]
    fields += [("srid", "u4")] if header.has_srid else []
    fields += [(name, f"{order}f8") for name in ("x", "y", "z", "m")[: header.dimensions]]
    return np.dtype(fields)


@dataclass(frozen=True, slots=True)
class _Header:
    kind: int
    dimensions: int
    has_srid: bool

    @classmethod
    def parse(cls, raw: int) -> "_Header | None":
        """ISO adds 1000, 2000 or 3000 for Z, M and ZM; EWKB sets the three highest bits."""
        iso, kind = divmod(raw & ~_EWKB_FLAGS, 1000)
        if iso > 3 or not _POINT <= kind <= _COLLECTIONS[-1]:
            return None
        has_z = bool(raw & _EWKB_Z) or iso in {1, 3}
        has_m = bool(raw & _EWKB_M) or iso in {2, 3}
        return cls(kind, 2 + has_z + has_m, bool(raw & _EWKB_SRID))


# Everything else.
#
# WKB is a stream of tokens that describe themselves: a header announces one position, a number of
# positions, of rings or of further geometries.  So the only state is where one is and how many
# rings and geometries are still to come; which collection they belong to does not matter.


def _add_geometries(extent: _Extent, starts: Offsets, ends: Offsets, data: Bytes) -> None:
    runs = _Runs(data)
    _Walk(starts, ends, data, runs).run()
    runs.add_to(extent)


class _Runs:
    """Runs of coordinates, collected per layout: (byte order, dimensions)."""

    def __init__(self, data: Bytes) -> None:
        self._data = np.ascontiguousarray(data).data
        self._runs: dict[tuple[str, int], list[memoryview]] = {}

    def add(self, order: str, dimensions: int, start: int, end: int) -> None:
        self._runs.setdefault((order, dimensions), []).append(self._data[start:end])

    def add_many(self, order: str, dimensions: int, starts: Offsets, ends: Offsets) -> None:
        data = self._data
        self._runs.setdefault((order, dimensions), []).extend(
            [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        )

    def add_to(self, extent: _Extent) -> None:
        for (order, dimensions), runs in self._runs.items():
            # Copying the runs together is cheaper than gathering numbers that are not aligned.
            ordinates = np.frombuffer(b"".join(runs), dtype=f"{order}f8")
            positions = ordinates.reshape(-1, dimensions)
            extent.add(positions[:, 0], positions[:, 1])


class _Walk:
    """All values in step, each array holding one number per unfinished value."""

    def __init__(self, starts: Offsets, ends: Offsets, data: Bytes, runs: _Runs) -> None:
        self.data = data
        self.runs = runs
        self.at = starts.astype(np.int64)
        self.end = ends.astype(np.int64)
        count = len(starts)
        self.geometries = np.ones(count, np.int64)
        self.rings = np.zeros(count, np.int64)
        self.big = np.zeros(count, np.bool_)
        self.dimensions = np.zeros(count, np.int64)

    def run(self) -> None:
        while len(self.at) > SCALAR_WALK_VALUES_MAX:
            in_ring = self.rings > 0
            if in_ring.any():
                self._read_rings(np.flatnonzero(in_ring))
            if not in_ring.all():
                self._read_headers(np.flatnonzero(~in_ring))
            self._drop_finished()
        for row in range(len(self.at)):
            self._walk_one(row)

    def _read_rings(self, rows: Offsets) -> None:
        self._read_run(rows, self._read_counts(rows))
        self.rings[rows] -= 1

    def _read_headers(self, rows: Offsets) -> None:
        self._need(rows, HEADER_BYTES)
        order = self.data[self.at[rows]]
        if bool((order > 1).any()):
            raise _MalformedError
        self.big[rows] = order == 0
        self.at[rows] += 1
        raw = self._read_counts(rows)
        iso, kind = np.divmod(raw & ~_EWKB_FLAGS, 1000)
        if bool(((iso > 3) | (kind < _POINT) | (kind > _COLLECTIONS[-1])).any()):
            raise _MalformedError
        has_z = ((raw & _EWKB_Z) != 0) | (iso == 1) | (iso == 3)
        has_m = ((raw & _EWKB_M) != 0) | (iso >= 2)
        self.dimensions[rows] = 2 + has_z.astype(np.int64) + has_m
        self.at[rows[(raw & _EWKB_SRID) != 0]] += SRID_BYTES
        self.geometries[rows] -= 1

        points = rows[kind == _POINT]
        if len(points):
            self._read_run(points, np.ones(len(points), np.int64))
        lines = rows[kind == _LINESTRING]
        if len(lines):
            self._read_run(lines, self._read_counts(lines))
        polygons = rows[kind == _POLYGON]
        if len(polygons):
            self.rings[polygons] = self._read_counts(polygons)
        collections = rows[kind > _POLYGON]
        if len(collections):
            self.geometries[collections] += self._read_counts(collections)

    def _read_counts(self, rows: Offsets) -> Offsets:
        self._need(rows, COUNT_BYTES)
        at = self.at[rows]
        self.at[rows] = at + COUNT_BYTES
        quads = self.data[at[:, None] + np.arange(COUNT_BYTES)]
        counts: npt.NDArray[np.uint32] = quads.view("<u4")[:, 0]
        big = self.big[rows]
        if big.any():
            counts = np.where(big, counts.byteswap(), counts)
        return np.asarray(counts, dtype=np.int64)

    def _read_run(self, rows: Offsets, counts: Offsets) -> None:
        starts = self.at[rows]
        stops = starts + counts * self.dimensions[rows] * ORDINATE_BYTES
        if bool((stops > self.end[rows]).any()):
            raise _MalformedError
        self.at[rows] = stops
        layout = self.dimensions[rows] * 2 + self.big[rows]
        for code in np.unique(layout).tolist():
            same = layout == code
            order = ">" if code % 2 else "<"
            self.runs.add_many(order, code // 2, starts[same], stops[same])

    def _need(self, rows: Offsets, size: int) -> None:
        if bool((self.at[rows] + size > self.end[rows]).any()):
            raise _MalformedError

    def _drop_finished(self) -> None:
        finished = (self.geometries == 0) & (self.rings == 0)
        if not finished.any():
            return
        if bool((self.at != self.end)[finished].any()):
            raise _MalformedError  # trailing bytes
        going = ~finished
        self.at, self.end = self.at[going], self.end[going]
        self.geometries, self.rings = self.geometries[going], self.rings[going]
        self.big, self.dimensions = self.big[going], self.dimensions[going]

    def _walk_one(self, row: int) -> None:
        """The same walk for one value, in plain Python."""
        at, end = int(self.at[row]), int(self.end[row])
        value = np.ascontiguousarray(self.data[at:end]).data
        base, size, at = at, end - at, 0
        geometries, rings = int(self.geometries[row]), int(self.rings[row])
        order, dimensions = ">" if self.big[row] else "<", int(self.dimensions[row])
        try:
            while rings or geometries:
                count = 0
                if rings:
                    rings -= 1
                    (count,) = struct.unpack_from(f"{order}I", value, at)
                    at += COUNT_BYTES
                else:
                    geometries -= 1
                    if value[at] > 1:
                        raise _MalformedError
                    order = "<" if value[at] else ">"
                    (raw,) = struct.unpack_from(f"{order}I", value, at + 1)
                    header = _Header.parse(raw)
                    if header is None:
                        raise _MalformedError
                    dimensions = header.dimensions
                    at += HEADER_BYTES + (SRID_BYTES if header.has_srid else 0)
                    if header.kind == _POINT:
                        count = 1
                    else:
                        (announced,) = struct.unpack_from(f"{order}I", value, at)
                        at += COUNT_BYTES
                        if header.kind == _LINESTRING:
                            count = announced
                        elif header.kind == _POLYGON:
                            rings = announced
                        else:
                            geometries += announced
                stop = at + count * dimensions * ORDINATE_BYTES
                if stop > size:
                    raise _MalformedError
                if count:
                    self.runs.add(order, dimensions, base + at, base + stop)
                at = stop
        except (struct.error, IndexError) as error:
            raise _MalformedError from error
        if at != size:
            raise _MalformedError
