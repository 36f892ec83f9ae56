"""How a table says where its rows are: its geometry column, and the columns that bound rows.

Read from the metadata document alone.  Which of them a file's box came from is known per file, so
a place names only columns that bound the very geometries that the boxes are of.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from graticule.iceberg.types import is_geospatial, parse_geospatial
from graticule.spatial.box_columns import (
    FILE_BOX_COLUMNS,
    BoxColumns,
    find_box_columns,
    find_position_columns,
)
from graticule.spatial.crs import (
    CRS84,
    UNKNOWN_CRS,
    Crs,
    agreed,
    of_geoparquet,
    of_parquet,
    parse_name,
)

Json = dict[str, Any]

GEO_PROPERTY: Final = "geo"
"""Table property in the shape of GeoParquet metadata: version, primary_column, columns."""

POSITIONS_PROPERTY: Final = "graticule.position-columns"
"""Table property of tables without geometries: the columns of longitude and latitude."""

PLANAR: Final = "planar"
SPHERICAL: Final = "spherical"
_GEOMETRY_TYPES: Final = ("geometry", "geography")


@dataclass(frozen=True, slots=True)
class TablePlace:
    """`columns` bound each row, or each file, of `geometry`; of the positions without one."""

    geometry: str | None
    columns: tuple[BoxColumns, ...]
    field_ids: Mapping[str, int]
    is_lonlat: bool = True
    """Whether coordinates are degrees, as far as is known: boxes of degrees may wrap."""

    @property
    def key(self) -> str:
        """What boxes are of, by field ids: a renamed column keeps its key."""
        if self.geometry is not None:
            return f"geometry-{self.field_ids[self.geometry]}"
        if self.columns:
            return "columns-" + "-".join(str(self.field_ids[n]) for n in self.columns[-1].names)
        return ""

    @property
    def positions(self) -> tuple[str, str] | None:
        """The columns of x and y, where there is no geometry."""
        if self.geometry is not None or not self.columns:
            return None
        columns = self.columns[-1]
        return None if columns == FILE_BOX_COLUMNS else (columns.xmin, columns.ymin)


def place_of(document: Json, schema: Json, column: str | None = None) -> TablePlace:
    """The place of a table in one of its schemas: its declared or only geometry column, else a
    pair of positions; or the geometry `column`.

    Raises:
        InvalidRequest: `column` is none of the table, or holds no geometries.
    """
    fields = dict(_leaves(schema.get("fields") or [], ""))
    names = list(fields)
    ids = {name: int(field["id"]) for name, field in fields.items()}
    boxes = find_box_columns(names)
    if column is not None:
        _require_geometry(document, fields, column)
    geometry = column or _declared(document) or _only_geometry(fields)
    if geometry is not None and geometry in fields:
        columns = _of_geometry(document, geometry, boxes, names)
        return TablePlace(geometry, columns, ids, is_lonlat=_is_lonlat(document, geometry))
    positions = [BoxColumns.of_position(x, y) for x, y in find_position_columns(names)]
    virtual = [FILE_BOX_COLUMNS] if FILE_BOX_COLUMNS in boxes else []
    return TablePlace(None, tuple(virtual + positions[:1]), ids)


def crs_of(document: Json, schema: Json, place: TablePlace) -> Crs:
    """The reference system of a place's coordinates, unknown unless all that is said of it agrees.

    GeoParquet's rules: a declared column that names none is in longitude and latitude, and null is
    unknown.  Columns called `lon` and `lat` say themselves what they are, `x` and `y` do not.
    """
    if place.geometry is None:
        return _crs_of_positions(document, place)
    declared = _column(document, place.geometry)
    said = [of_geoparquet(declared)] if declared else []
    type_ = dict(_leaves(schema.get("fields") or [], "")).get(place.geometry, {}).get("type")
    if isinstance(type_, str) and type_.startswith(_GEOMETRY_TYPES):
        said.append(of_parquet(parse_geospatial(type_).crs, metadata.properties(document)))
    return agreed(*said)


def edges_of(document: Json, schema: Json, place: TablePlace) -> str:
    """What the edges of a place's geometries are: planar, the name of an algorithm, or unknown.

    GeoParquet's rule: a declared column that does not say is planar.
    """
    if place.geometry is None:
        return PLANAR
    declared = _column(document, place.geometry)
    said = {str(declared.get("edges", PLANAR)).lower()} if declared else set()
    type_ = dict(_leaves(schema.get("fields") or [], "")).get(place.geometry, {}).get("type")
    if isinstance(type_, str) and type_.startswith(_GEOMETRY_TYPES):
        parsed = parse_geospatial(type_)
        is_planar = parsed.name == "geometry"
        said.add(PLANAR if is_planar else (parsed.algorithm or SPHERICAL))
    return said.pop() if len(said) == 1 else "unknown"


def geometry_columns(document: Json, schema: Json) -> list[str]:
    """The columns that hold geometries, as the schema or the table says."""
    fields = dict(_leaves(schema.get("fields") or [], ""))
    return [
        name
        for name, field in fields.items()
        if _column(document, name) or is_geospatial(str(field["type"]))
    ]


def _crs_of_positions(document: Json, place: TablePlace) -> Crs:
    if not place.columns:
        return UNKNOWN_CRS
    x = place.columns[-1].xmin
    is_registered = metadata.properties(document).get(POSITIONS_PROPERTY, "").partition(",")[0] == x
    return CRS84 if is_registered or "lon" in x.lower() or "lng" in x.lower() else UNKNOWN_CRS


def _require_geometry(document: Json, fields: Mapping[str, Json], column: str) -> None:
    if column not in fields:
        raise InvalidRequest(f"the table has no column `{column}`")
    if not (_column(document, column) or is_geospatial(str(fields[column]["type"]))):
        raise InvalidRequest(
            f"the column `{column}` is not declared to hold geometries; its type has to be "
            f"geometry, or the table property `{GEO_PROPERTY}` has to name it"
        )


def _of_geometry(
    document: Json, geometry: str, boxes: Sequence[BoxColumns], names: Sequence[str]
) -> tuple[BoxColumns, ...]:
    """Box columns that go by the geometry's name, are declared for it, or are virtual."""
    declared = _declared_box_columns(document, geometry)
    found = [columns for columns in boxes if columns == FILE_BOX_COLUMNS]
    if declared is not None and set(declared.names) <= set(names):
        found.append(declared)
    return tuple(found)


def _geo(document: Json) -> Mapping[str, Any]:
    try:
        geo = json.loads(metadata.properties(document).get(GEO_PROPERTY, "{}"))
    except (ValueError, RecursionError):
        return {}
    return geo if isinstance(geo, dict) else {}


def _column(document: Json, geometry: str) -> Mapping[str, Any]:
    columns = _geo(document).get("columns")
    declared = columns.get(geometry) if isinstance(columns, dict) else None
    return declared if isinstance(declared, dict) else {}


def _declared(document: Json) -> str | None:
    primary = _geo(document).get("primary_column")
    return primary if isinstance(primary, str) else None


def _is_lonlat(document: Json, geometry: str) -> bool:
    crs = _column(document, geometry).get("crs")
    return not isinstance(crs, str) or parse_name(crs).is_lonlat


def _declared_box_columns(document: Json, geometry: str) -> BoxColumns | None:
    named = _column(document, geometry).get("bbox_columns")
    if isinstance(named, dict):
        named = [named.get(side) for side in ("xmin", "ymin", "xmax", "ymax")]
    if isinstance(named, list) and len(named) == 4 and all(isinstance(n, str) for n in named):
        return BoxColumns(*named)
    return None


def _only_geometry(fields: Mapping[str, Json]) -> str | None:
    found = [
        name
        for name, field in fields.items()
        if isinstance(field.get("type"), str) and field["type"].startswith(_GEOMETRY_TYPES)
    ]
    return found[0] if len(found) == 1 else None


def _leaves(fields: Sequence[Json], prefix: str) -> Iterator[tuple[str, Json]]:
    """Top-level and struct-nested fields by full name; what is repeated bounds nothing."""
    for field in fields:
        name = f"{prefix}{field['name']}"
        kind = field.get("type")
        if isinstance(kind, dict) and kind.get("type") == "struct":
            yield from _leaves(kind.get("fields") or [], f"{name}.")
        elif isinstance(kind, str):
            yield name, field
