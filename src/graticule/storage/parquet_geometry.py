"""Which columns of a Parquet file are geometries, by what its footer declares.

Declared means: by the Parquet type, by the GeoParquet metadata, or by the Arrow extension type that
the writer left behind.  Bytes or text that only a name suggests to be geometries are candidates.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graticule.discovery.inspection import CrsSource
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

CANDIDATE: Final = "candidate"
"""The encoding of a column whose values nobody has looked at."""

CANDIDATE_NAMES: Final = frozenset(
    {"geometry", "geom", "wkb_geometry", "the_geom", "shape", "geography", "geog", "wkb"}
)
_TEXT_NAMES: Final = frozenset({"wkt", "geojson", "geo_json", "ewkt", "ewkb"})
_ENDINGS: Final = ("_wkb", "_wkt", "_geojson", "_geom", "_geometry")
_GEOARROW_WKB: Final = frozenset({"geoarrow.wkb", "ogc.wkb"})


@dataclass(frozen=True, slots=True)
class DeclaredGeometry:
    """A geometry column before its boxes are known; `leaf` is None for GeoArrow encodings."""

    name: str
    encoding: str
    crs: Crs
    crs_source: CrsSource
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
        if leaf is not None and (leaf.repeated or leaf.type not in {"binary", "string"}):
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
    if leaf.type == "string":
        return _text(leaf, geo)
    if geo is not None and geo.is_wkb:
        return _from_geoparquet(geo, "WKB", leaf)
    if leaf.extension is not None and leaf.extension[0] in _GEOARROW_WKB:
        crs, edges = _geoarrow_metadata(leaf.extension[1])
        source = CrsSource.ARROW if crs.is_known else CrsSource.NONE
        return DeclaredGeometry(name, "WKB", crs, source, edges, (), leaf, None)
    if name.lower() in CANDIDATE_NAMES or name.lower().endswith(_ENDINGS):
        return _candidate(leaf)
    return None


def _text(leaf: Leaf, geo: GeoColumn | None) -> DeclaredGeometry | None:
    """WKT, GeoJSON or WKB in hexadecimal digits, as tables have them that were text files once."""
    if geo is not None:
        return _from_geoparquet(geo, CANDIDATE, leaf)
    name = leaf.path.lower()
    if name in CANDIDATE_NAMES | _TEXT_NAMES or name.endswith(_ENDINGS):
        return _candidate(leaf)
    return None


def _candidate(leaf: Leaf) -> DeclaredGeometry:
    return DeclaredGeometry(
        leaf.path, CANDIDATE, UNKNOWN_CRS, CrsSource.NONE, "planar", (), leaf, None
    )


def _from_geoparquet(geo: GeoColumn, encoding: str, leaf: Leaf | None) -> DeclaredGeometry:
    return DeclaredGeometry(
        geo.name,
        encoding,
        geo.crs,
        CrsSource.GEOPARQUET if geo.crs.is_known else CrsSource.NONE,
        geo.edges,
        geo.geometry_types,
        leaf,
        geo,
    )


def _from_parquet_type(
    leaf: Leaf, geo: GeoColumn | None, key_values: Mapping[str, str]
) -> DeclaredGeometry:
    """The type rules; the GeoParquet metadata beside it may only contradict, never widen."""
    crs = of_parquet(leaf.logical_crs, key_values)
    source = CrsSource.PARQUET if crs.is_known else CrsSource.NONE
    edges = "planar" if leaf.logical == "GEOMETRY" else (leaf.algorithm or "spherical").lower()
    if geo is not None:
        both = agreed(crs, geo.crs)
        if not both.is_known and (crs.is_known or geo.crs.is_known):
            source = CrsSource.DISPUTED
        crs, edges = both, edges if geo.is_planar else geo.edges
    return DeclaredGeometry(leaf.path, "WKB", crs, source, edges, (), leaf, geo)


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
