"""Geometries of a column, as Arrow arrays of WKB or of text: where they lie and what they are.

A box must be certain, so one value that cannot be read makes it unknown: cut bytes, words, curves
(they leave the box of their vertices), infinite coordinates.  Values are read in bulk; only where
that fails are they looked at one by one, to say how many are bad.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import shapely
from geoarrow.c.kernel import AggregateFunction
from geoarrow.c.lib import GeoArrowCException

from graticule.discovery.inspection import Counts
from graticule.spatial.bounding_box import (
    UNKNOWN,
    BoundingBox,
    BoxStatus,
    FileBox,
    outer,
)
from graticule.spatial.extent import Extent
from graticule.spatial.great_circles import SphericalExtent
from graticule.spatial.wkb import (
    COLLECTION,
    LINESTRING,
    POLYGON,
    Bytes,
    Header,
    read_headers,
    read_points,
    read_vertices,
    type_name,
    values_of_one_length,
)

SAMPLE_VALUES: Final = 1_000
PARSE_SHARE_MIN: Final = 0.99
"""Of a sample, for a column to be taken for geometries: fewer, and some only happen to look so."""

NESTING_MAX: Final = 200

BULGE_STEP_MAX_DEG: Final = 1.0
BULGE_PADDING_DEG: Final = 0.002
"""A great circle leaves its end points' latitudes by at most 0.0011° in a degree of longitude."""
BULGE_LATITUDE_MAX_DEG: Final = 89.0
BULGE_SPAN_MAX_DEG: Final = 180.0

SPHERICAL: Final = "spherical"
_TRUSTED_KINDS: Final = {LINESTRING, POLYGON}
_POLYGON_ID: Final = 3
"""Of GEOS, which counts from 0 and has rings between lines and polygons."""

_SRID_PREFIX: Final = re.compile(r"\s*SRID\s*=\s*(\d{1,9})\s*;", re.IGNORECASE)


class Form(StrEnum):
    """How geometries are written in a column."""

    WKB = "WKB"
    HEX_WKB = "hex WKB"
    WKT = "WKT"
    GEOJSON = "GeoJSON"


@dataclass(slots=True)
class GeometryValues:
    """Everything that was read of a row group, array after array."""

    form: Form = Form.WKB
    edges: str = "planar"
    extent: Extent = field(default_factory=Extent)
    types: set[str] = field(default_factory=set)
    srids: set[int] = field(default_factory=set)
    """Of EWKB and EWKT; 0 stands for values that have none."""
    is_extended: bool = False
    nulls: int = 0
    empties: int = 0
    bad: int = 0
    """Values that are no geometries; once there is one, the rest is not read."""
    on_sphere: SphericalExtent = field(default_factory=SphericalExtent)
    """Of great circles."""
    bulges: bool = False
    """Of other edges that are not straight: true if one may leave the box of its vertices by more
    than the padding.
    """
    has_edges: bool = False

    @property
    def counts(self) -> Counts:
        return Counts(self.nulls, self.empties)

    def file_box(self) -> FileBox:
        """Exact for planar edges; for others outer, or unknown when there is no certain box."""
        if self.bad or self.bulges:
            return UNKNOWN
        if self.edges == SPHERICAL and self.has_edges:
            return self.on_sphere.file_box()
        found = self.extent.file_box()
        if self.edges == "planar" or not self.has_edges or found.status is not BoxStatus.EXACT:
            return found
        (box,) = found.boxes
        if max(-box.ymin, box.ymax) >= BULGE_LATITUDE_MAX_DEG:
            return UNKNOWN
        return outer(
            BoundingBox(
                box.xmin, box.ymin - BULGE_PADDING_DEG, box.xmax, box.ymax + BULGE_PADDING_DEG
            )
        )

    def add(self, array: Any) -> None:
        """An array of binary or text, whichever the form asks for."""
        self.nulls += array.null_count
        if self.bad or len(array) == array.null_count:
            return
        match self.form:
            case Form.WKB:
                self._add_wkb(array)
            case Form.HEX_WKB:
                self._add_hex(array)
            case Form.WKT | Form.GEOJSON:
                self._add_text(array)

    def add_alike(self, rows: Bytes) -> bool:
        """WKB of one length, a value a row.  False, and nothing is added, unless it is laid out
        alike so far that nobody has to walk along it.
        """
        points = read_points(rows)
        if points is not None:
            for layout in points:
                self._meet(layout.header)
                self.srids |= layout.srids
                has_nan = self.extent.add(layout.x, layout.y)
                if self.edges == SPHERICAL:
                    self.on_sphere.add_points(layout.x, layout.y)
                if has_nan:
                    self.empties += int(np.count_nonzero(np.isnan(layout.x) | np.isnan(layout.y)))
            return True
        vertices = read_vertices(rows) if self.edges == "planar" else None
        if vertices is None:
            return False
        self._meet(vertices.header)
        self.srids.add(vertices.srid)
        self.extent.add_vertices(vertices.numbers, vertices.header.ordinates)
        return True

    def _add_hex(self, array: Any) -> None:
        texts = array.drop_null().to_pylist()
        try:
            values = pa.array([bytes.fromhex(text) for text in texts], pa.large_binary())
        except ValueError:
            self.bad += sum(not _is_hex(text) for text in texts)
            return
        self._add_wkb(values)

    def _add_text(self, array: Any) -> None:
        texts = array.drop_null().to_pylist()
        if self.form is Form.WKT:
            found = [_SRID_PREFIX.match(text) for text in texts]
            self.srids.update(0 if match is None else int(match[1]) for match in found)
            texts = [
                text if match is None else text[match.end() :]
                for text, match in zip(texts, found, strict=True)
            ]
        else:
            self.srids.add(0)
        shapes = _parsed(texts, self.form)
        if self._are_good(shapes):
            kinds = shapely.get_type_id(shapes)
            dimensions = shapely.has_z(shapes) + 2 * shapely.has_m(shapes)
            codes = np.where(kinds <= 1, kinds + 1, kinds) + 1000 * dimensions
            self.types |= {type_name(int(code)) for code in np.unique(codes)}
            self.has_edges |= bool(((kinds != 0) & (kinds != 4)).any())
            self._add_shapes(shapes)

    def _add_wkb(self, array: Any) -> None:
        offsets, data, nulls = _buffers(array)
        rows = values_of_one_length(offsets, data, nulls=nulls)
        if rows is not None and self.add_alike(rows):
            return
        headers = read_headers(offsets, data, nulls=nulls)
        bounds = None if headers is None else _bounds(array)
        if headers is None or bounds is None:
            self.bad += max(1, _count_bad(array))
            return
        for header in headers.headers:
            self._meet(header)
        self.srids |= headers.srids
        # The kernel does not notice when a part of a geometry is cut, and tells nothing of edges.
        kinds = {header.kind for header in headers.headers}
        if not kinds <= _TRUSTED_KINDS or self.edges != "planar":
            shapes = _shapes_of_wkb(array)
            if self._are_good(shapes):
                self._add_shapes(shapes)
            return
        self.empties += headers.empties
        self.extent.add_bounds(*bounds)

    def _meet(self, header: Header) -> None:
        self.types.add(header.type_name)
        self.is_extended |= header.is_extended
        self.has_edges |= header.type_name.split(" ")[0] not in {"Point", "MultiPoint"}

    def _are_good(self, shapes: Any) -> bool:
        self.bad += int(np.count_nonzero(_are_bad(shapes)))
        return not self.bad

    def _add_shapes(self, shapes: Any) -> None:
        self.empties += int(np.count_nonzero(shapely.is_empty(shapes)))
        coordinates = shapely.get_coordinates(shapes)
        self.extent.add(coordinates[:, 0], coordinates[:, 1])
        if self.edges == SPHERICAL:
            lines, are_rings = _lines_of(shapes)
            coordinates, line = shapely.get_coordinates(lines, return_index=True)
            x, y = coordinates.T
            self.on_sphere.add_lines(x, y, line, are_rings=are_rings)
        elif self.edges != "planar":
            self.bulges |= _may_bulge(_lines_of(shapes)[0])


def form_of(array: Any) -> Form | None:
    """How the values of a column nobody has declared are written, by the first of them; None if
    they do not read as geometries.
    """
    sample = array.drop_null()[:SAMPLE_VALUES]
    if not len(sample):
        return None
    if pa.types.is_binary(sample.type) or pa.types.is_large_binary(sample.type):
        return Form.WKB if _is_most(len(sample) - _count_bad(sample), sample) else None
    texts = sample.to_pylist()
    first = texts[0].lstrip()[:1]
    if first == "0":
        return Form.HEX_WKB if _is_most(sum(map(_is_hex, texts)), sample) else None
    form = Form.GEOJSON if first == "{" else Form.WKT
    if form is Form.WKT:
        texts = [_SRID_PREFIX.sub("", text, count=1) for text in texts]
    good = int(np.count_nonzero(~_are_bad(_parsed(texts, form))))
    return form if _is_most(good, sample) else None


def _is_most(good: int, sample: Any) -> bool:
    return good >= PARSE_SHARE_MIN * len(sample)


def _parsed(texts: list[str], form: Form) -> Any:
    """Shapes, None for what cannot be read.  GEOS descends into collections without a limit."""
    is_wkt = form is Form.WKT
    word = "COLLECTION" if is_wkt else "GEOMETRIES"
    safe = [text if text.upper().count(word) <= NESTING_MAX else None for text in texts]
    read = shapely.from_wkt if is_wkt else shapely.from_geojson
    try:
        with np.errstate(invalid="ignore"):  # shapely compares NaN
            return read(np.array(safe, object), on_invalid="ignore")
    except NotImplementedError:  # a curve, which shapely cannot leave out by itself
        if len(texts) == 1:
            return np.array([None])
        return np.concatenate([_parsed([text], form) for text in texts])


def _are_bad(shapes: Any) -> Any:
    """What was not read is None, of type -1; beyond collections there are curves."""
    kinds = shapely.get_type_id(shapes)
    return (kinds < 0) | (kinds > COLLECTION)


def _is_hex(text: str) -> bool:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        return False
    return _count_bad(pa.array([value])) == 0


def _count_bad(array: Any) -> int:
    """One by one where they are bad, which takes some 20 µs for each.

    GEOS looks only at what the kernel has read, since the kernel limits how deep values nest.
    """
    if _bounds(array) is not None:
        return int(np.count_nonzero(_are_bad(_shapes_of_wkb(array))))
    if len(array) == 1:
        return 1
    return sum(_count_bad(array[at : at + 1]) for at in range(len(array)))


def _shapes_of_wkb(array: Any) -> Any:
    values = np.array(array.drop_null().to_pylist(), object)
    with np.errstate(invalid="ignore"):  # shapely compares NaN
        return shapely.from_wkb(values, on_invalid="ignore")


def _buffers(array: Any) -> tuple[Any, Any, Any]:
    """Offsets, bytes and a mask of nulls (None without any) of a binary array, nothing copied."""
    validity, offsets, data = array.buffers()
    width = np.int64 if pa.types.is_large_binary(array.type) else np.int32
    first, last = array.offset, array.offset + len(array) + 1
    nulls = None
    if array.null_count and validity is not None:
        nulls = array.is_null().to_numpy(zero_copy_only=False)
    return (
        np.frombuffer(offsets, width)[first:last],
        np.frombuffer(data if data is not None else b"", np.uint8),
        nulls,
    )


class _WkbType(pa.ExtensionType):  # type: ignore[misc]
    """Tells the bounding kernel what the bytes are.  Never registered: that would be global."""

    def __init__(self, storage_type: Any) -> None:
        super().__init__(storage_type, "geoarrow.wkb")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> "_WkbType":
        return cls(storage_type)


_bound = AggregateFunction("box_agg")


def _bounds(array: Any) -> tuple[float, float, float, float] | None:
    """xmin, ymin, xmax, ymax; inverted when there is no coordinate, None when a value is bad."""
    try:
        found = _bound(pa.ExtensionArray.from_storage(_WkbType(array.type), array))
    except GeoArrowCException:
        return None
    box = pa.array(found)[0].as_py()
    return box["xmin"], box["ymin"], box["xmax"], box["ymax"]


def _lines_of(shapes: Any) -> tuple[Any, Any]:
    """The lines, points and rings that shapes are made of, and which are rings of polygons."""
    parts = shapely.get_parts(shapes)
    while bool((shapely.get_type_id(parts) > _POLYGON_ID).any()):
        parts = shapely.get_parts(parts)
    polygons = shapely.get_type_id(parts) == _POLYGON_ID
    rings = shapely.get_rings(parts[polygons])
    lines = np.concatenate([parts[~polygons], rings])
    return lines, np.arange(len(lines)) >= len(lines) - len(rings)


def _may_bulge(lines: Any) -> bool:
    """True if an edge is so long that the shortest way along it leaves the box by too much, or if a
    line is so wide that it may hold a pole.
    """
    coordinates, line = shapely.get_coordinates(lines, return_index=True)
    if not len(line):
        return False
    x = coordinates[:, 0]
    with np.errstate(invalid="ignore"):  # infinity minus itself; such a value bounds nothing
        steps = np.abs(np.diff(x))[np.diff(line) == 0]
    if bool((steps > BULGE_STEP_MAX_DEG).any()):
        return True
    west, _, east, _ = shapely.bounds(lines[np.isfinite(shapely.bounds(lines)).all(axis=1)]).T
    return bool((east - west >= BULGE_SPAN_MAX_DEG).any())
