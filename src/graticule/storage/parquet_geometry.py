"""Which columns of a Parquet file are geometries, by what its footer declares.

Declared means: by the Parquet type, by the GeoParquet metadata, or by the Arrow extension type that
the writer left behind.  Bytes that only their name suggests to be geometries are candidates.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graticule.spatial.box_columns import BoxColumns
from graticule.spatial.crs import (
    UNKNOWN_CRS,
    Crs,
    agreed,
    of_parquet,
    parse_name,
    parse_projjson,
)
from graticule.spatial.geoparquet import NATIVE_ENCODINGS, GeoColumn, GeoMetadata
from graticule.storage.arrow_types import FileSchema, Leaf

CANDIDATE_NAMES: Final = frozenset(
    {"geometry", "geom", "wkb_geometry", "the_geom", "shape", "geography", "geog", "wkb"}
)
_GEOARROW_WKB: Final = frozenset({"geoarrow.wkb", "ogc.wkb"})


@dataclass(frozen=True, slots=True)
class DeclaredGeometry:
    """A geometry column before its boxes are known; `leaf` is None for GeoArrow encodings."""

    name: str
    encoding: str
    crs: Crs
    edges: str
    types: tuple[str, ...]
    leaf: Leaf | None
    geo: GeoColumn | None

    @property
    def covering(self) -> BoxColumns | None:
        """The box columns that the GeoParquet metadata name."""
        covering = self.geo.covering if self.geo is not None else None
        if covering is None:
            return None
        paths = (covering.xmin, covering.ymin, covering.xmax, covering.ymax)
        return BoxColumns(*(".".join(path) for path in paths))


def declared_geometries(
    schema: FileSchema, geo: GeoMetadata | None, key_values: Mapping[str, str]
) -> list[DeclaredGeometry]:
    """Geometry columns in file order; nested and repeated ones are no geometries of the row."""
    leaves = {leaf.path: leaf for leaf in schema.leaves}
    declared = []
    for field in schema.fields:
        name = field["name"]
        leaf = leaves.get(name)
        if leaf is not None and (leaf.repeated or leaf.type != "binary"):
            continue
        column = _declare(name, leaf, None if geo is None else geo.column(name), key_values)
        if column is not None:
            declared.append(column)
    return declared


def _declare(
    name: str, leaf: Leaf | None, geo: GeoColumn | None, key_values: Mapping[str, str]
) -> DeclaredGeometry | None:
    if leaf is None:
        if geo is None or geo.encoding not in NATIVE_ENCODINGS:
            return None
        return _from_geoparquet(geo, geo.encoding, leaf)
    if leaf.is_geospatial:
        return _from_parquet_type(leaf, geo, key_values)
    if geo is not None and geo.is_wkb:
        return _from_geoparquet(geo, "WKB", leaf)
    if leaf.extension is not None and leaf.extension[0] in _GEOARROW_WKB:
        crs, edges = _geoarrow_metadata(leaf.extension[1])
        return DeclaredGeometry(name, "WKB", crs, edges, (), leaf, None)
    if name.lower() in CANDIDATE_NAMES or name.lower().endswith("_wkb"):
        return DeclaredGeometry(name, "candidate", UNKNOWN_CRS, "planar", (), leaf, None)
    return None


def _from_geoparquet(geo: GeoColumn, encoding: str, leaf: Leaf | None) -> DeclaredGeometry:
    return DeclaredGeometry(geo.name, encoding, geo.crs, geo.edges, geo.geometry_types, leaf, geo)


def _from_parquet_type(
    leaf: Leaf, geo: GeoColumn | None, key_values: Mapping[str, str]
) -> DeclaredGeometry:
    """The type rules; the GeoParquet metadata beside it may only contradict, never widen."""
    crs = of_parquet(leaf.logical_crs, key_values)
    edges = "planar" if leaf.logical == "GEOMETRY" else (leaf.algorithm or "spherical").lower()
    if geo is not None:
        crs = agreed(crs, geo.crs)
        edges = edges if geo.is_planar else geo.edges
    return DeclaredGeometry(leaf.path, "WKB", crs, edges, (), leaf, geo)


def _geoarrow_metadata(text: str) -> tuple[Crs, str]:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return UNKNOWN_CRS, "unknown"
    if not isinstance(document, dict):
        return UNKNOWN_CRS, "unknown"
    crs = document.get("crs")
    parsed = parse_name(crs) if isinstance(crs, str) else parse_projjson(crs)
    return parsed, str(document.get("edges", "planar")).lower()
