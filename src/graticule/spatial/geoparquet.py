"""Read the `geo` entry of a Parquet footer (GeoParquet 1.x, and what 2.0 drafts keep of it).

A claim is parsed, not believed: `covering` decides which of its boxes are used.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.spatial.bounding_box import FileBox, outer, windows_of
from graticule.spatial.crs import Crs, of_geoparquet

GEO_KEY: Final = "geo"
GEO_JSON_BYTES_MAX: Final = 4 * 1024 * 1024
"""Inline PROJJSON is a few kB per column; beyond this the entry is not worth parsing."""

NATIVE_ENCODINGS: Final = frozenset(
    {"point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"}
)

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Covering:
    """Paths of the leaf columns that hold each row's box."""

    xmin: Path
    ymin: Path
    xmax: Path
    ymax: Path


@dataclass(frozen=True, slots=True)
class GeoColumn:
    """One geometry column as its producer declared it.  `bbox` is about the whole file."""

    name: str
    encoding: str
    geometry_types: tuple[str, ...]
    crs: Crs
    edges: str
    bbox: FileBox | None
    covering: Covering | None

    @property
    def is_wkb(self) -> bool:
        return self.encoding == "WKB"

    @property
    def is_planar(self) -> bool:
        return self.edges == "planar"


@dataclass(frozen=True, slots=True)
class GeoMetadata:
    version: str
    primary_column: str
    columns: tuple[GeoColumn, ...]

    def column(self, name: str) -> GeoColumn | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class Broken:
    """The entry is there and cannot be used."""

    reason: str


def parse_geo(data: bytes | str | None) -> GeoMetadata | Broken | None:
    """Parse the value of the `geo` key; None if the file has none.

    A column that cannot be understood makes the whole entry `Broken`: half of a claim is no claim.
    """
    if data is None:
        return None
    if len(data) > GEO_JSON_BYTES_MAX:
        return Broken(f"the `geo` entry is {len(data)} bytes long")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        return Broken(f"the `geo` entry is not JSON: {error}")
    try:
        return _metadata(document)
    except _UnreadableError as error:
        return Broken(str(error))


class _UnreadableError(Exception):
    pass


def _metadata(document: object) -> GeoMetadata:
    if not isinstance(document, Mapping):
        raise _UnreadableError("the `geo` entry is not an object")
    columns = document.get("columns")
    if not isinstance(columns, Mapping) or not columns:
        raise _UnreadableError("the `geo` entry has no `columns`")
    parsed = tuple(_column(str(name), column) for name, column in columns.items())
    primary = document.get("primary_column")
    if not isinstance(primary, str) or primary not in columns:
        raise _UnreadableError("`primary_column` names no column of the `geo` entry")
    return GeoMetadata(str(document.get("version", "")), primary, parsed)


def _column(name: str, column: object) -> GeoColumn:
    if not isinstance(column, Mapping):
        raise _UnreadableError(f"column `{name}` is not an object")
    encoding = column.get("encoding")
    if not isinstance(encoding, str):
        raise _UnreadableError(f"column `{name}` has no `encoding`")
    # `geometry_type` was the name before 1.0; absent or empty means any type.
    types = column.get("geometry_types", column.get("geometry_type", ()))
    if isinstance(types, str):
        types = [types]
    if not isinstance(types, list | tuple) or not all(isinstance(kind, str) for kind in types):
        raise _UnreadableError(f"column `{name}` has unreadable `geometry_types`")
    edges = column.get("edges", "planar")
    if not isinstance(edges, str):
        raise _UnreadableError(f"column `{name}` has unreadable `edges`")
    crs = of_geoparquet(column)
    return GeoColumn(
        name=name,
        encoding="WKB" if encoding.upper() == "WKB" else encoding.lower(),
        geometry_types=tuple(types),
        crs=crs,
        edges=edges.lower(),
        bbox=_bbox(column.get("bbox"), crs),
        covering=_covering(column.get("covering")),
    )


def _bbox(value: object, crs: Crs) -> FileBox | None:
    """2-D or 3-D; what is not a box is left out.  Only lon/lat boxes may be written xmin > xmax."""
    if not isinstance(value, list) or len(value) not in {4, 6}:
        return None
    if not all(_is_number(number) for number in value):
        return None
    half = len(value) // 2
    xmin, ymin, xmax, ymax = (float(value[at]) for at in (0, 1, half, half + 1))
    if xmin > xmax and not crs.is_lonlat:
        return None
    try:
        return outer(*windows_of(xmin, ymin, xmax, ymax))
    except InvalidRequest:
        return None


def _covering(value: object) -> Covering | None:
    box = value.get("bbox") if isinstance(value, Mapping) else None
    if not isinstance(box, Mapping):
        return None
    paths: list[Path] = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        path: Any = box.get(side)
        if not isinstance(path, list) or not path or not all(isinstance(s, str) for s in path):
            return None
        paths.append(tuple(path))
    return Covering(*paths)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
