"""How a table says where its rows are: its geometry column, and the columns that bound rows.

Read from the metadata document alone.  Which of them a file's box came from is known per file, so
a place names only columns that bound the very geometries that the boxes are of.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graticule.iceberg import metadata
from graticule.spatial.box_columns import (
    FILE_BOX_COLUMNS,
    BoxColumns,
    find_box_columns,
    find_position_columns,
)
from graticule.spatial.crs import parse_name

Json = dict[str, Any]

GEO_PROPERTY: Final = "geo"
"""Table property in the shape of GeoParquet metadata: version, primary_column, columns."""

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


def place_of(document: Json, schema: Json) -> TablePlace:
    """The place of a table in one of its schemas: its declared or only geometry column, else a
    pair of positions.
    """
    fields = dict(_leaves(schema.get("fields") or [], ""))
    names = list(fields)
    ids = {name: int(field["id"]) for name, field in fields.items()}
    boxes = find_box_columns(names)
    geometry = _declared(document) or _only_geometry(fields)
    if geometry is not None and geometry in fields:
        columns = _of_geometry(document, geometry, boxes, names)
        return TablePlace(geometry, columns, ids, is_lonlat=_is_lonlat(document, geometry))
    positions = [BoxColumns.of_position(x, y) for x, y in find_position_columns(names)]
    virtual = [FILE_BOX_COLUMNS] if FILE_BOX_COLUMNS in boxes else []
    return TablePlace(None, tuple(virtual + positions[:1]), ids)


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
    except ValueError:
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
