"""From a proposal to a table in place: its definition, and an entry for every file.  Pure.

Files are not touched.  They have no field ids, so the table carries a name mapping; where no column
bounds a row, four virtual columns hold each file's box as partition values, which every engine
prunes by.  Spec: https://iceberg.apache.org/spec/#column-projection.

A null Hive value is a null partition value, as the specification wants it.  PyIceberg 0.12 cannot
read such a value from a server-side scan plan; whoever plans for it has to know.
"""

import json
import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graticule.discovery.hive_types import parse_value
from graticule.discovery.inspection import ColumnMetrics, FileInspection
from graticule.discovery.proposal import Proposal, ProposedFile, ProposedPlace
from graticule.domain.errors import InvalidRequest
from graticule.iceberg.schema import assign_fresh_ids, parse_schema
from graticule.iceberg.values import encode_value
from graticule.planning.files import DataFileEntry
from graticule.planning.table_places import GEO_PROPERTY, POSITIONS_PROPERTY
from graticule.spatial.bounding_box import UNKNOWN, FileBox, to_partition_values
from graticule.spatial.box_columns import FILE_BOX_COLUMNS, BoxColumns
from graticule.spatial.hilbert import centre_order

Json = dict[str, Any]

GEO_VERSION: Final = "1.1.0"
"""Of GeoParquet, whose column metadata the property borrows."""

DISCOVERED_PROPERTY: Final = "graticule.discovered"
SOURCES_PROPERTY: Final = "graticule.sources"
DISCOVERED_BY: Final = "graticule.discovered-by"
"""In a snapshot's summary: `registration`, or `sync` and then its id."""
NAME_MAPPING_PROPERTY: Final = "schema.name-mapping.default"

FIRST_PARTITION_FIELD_ID: Final = 1000

_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """What creating the table takes.  Field ids are those that creation assigns anyway."""

    schema: Json
    partition_spec: Json
    properties: Mapping[str, str]
    sources: tuple[str, ...]


def define_table(proposal: Proposal, *, bucket: str) -> TableDefinition:
    """Schema, partition spec and properties of the table that the proposal describes."""
    appended = [
        {"name": column.name, "required": False, "type": column.type}
        for column in proposal.hive_columns
        if not column.in_files
    ]
    boxes = has_virtual_boxes(proposal)
    if boxes:
        appended += [
            {"name": name, "required": False, "type": "double", "doc": "box of the file"}
            for name in FILE_BOX_COLUMNS.names
        ]
    schema = _with_ids([*proposal.fields, *appended])
    partition_columns = [column.name for column in proposal.hive_columns]
    partition_columns += FILE_BOX_COLUMNS.names if boxes else ()
    sources = tuple(f"s3://{bucket}/{source}" for source in proposal.sources)
    return TableDefinition(
        schema=schema,
        partition_spec=_identity_spec(schema, partition_columns),
        properties=_properties(proposal, schema, sources),
        sources=sources,
    )


def has_virtual_boxes(proposal: Proposal) -> bool:
    """True if the table needs the file's box as partition values.

    Not for positions, whose own bounds are the box, nor where all files have a box per row in
    columns of their own that all engines prune by.
    """
    place = proposal.place
    if place is None or place.column is None:
        return False
    names = {field["name"] for field in proposal.fields} | {
        column.name for column in proposal.hive_columns
    }
    if names & set(FILE_BOX_COLUMNS.names):
        return False
    columns = _trusted_box_columns(proposal)
    return columns is None or any("." in name for name in columns.names)


def _trusted_box_columns(proposal: Proposal) -> BoxColumns | None:
    """Box columns of double precision: narrower ones may be rounded to the wrong side."""
    columns = proposal.place.box_columns if proposal.place is not None else None
    if columns is None or proposal.place is None or proposal.place.column is None:
        return None
    types = dict(_types_by_path(proposal.fields, ""))
    return columns if all(types.get(name) == "double" for name in columns.names) else None


def _types_by_path(fields: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[tuple[str, str]]:
    for field in fields:
        type_ = field["type"]
        if isinstance(type_, str):
            yield f"{prefix}{field['name']}", type_
        elif type_["type"] == "struct":
            yield from _types_by_path(type_["fields"], f"{prefix}{field['name']}.")


def _identity_spec(schema: Json, columns: Sequence[str]) -> Json:
    ids = {field["name"]: field["id"] for field in schema["fields"]}
    return {
        "spec-id": 0,
        "fields": [
            {
                "source-id": ids[column],
                "field-id": FIRST_PARTITION_FIELD_ID + position,
                "name": column,
                "transform": "identity",
            }
            for position, column in enumerate(columns)
        ],
    }


# Field ids and the name mapping.


def _with_ids(fields: Sequence[Mapping[str, Any]]) -> Json:
    """A schema numbered the way that a new table is numbered, so that creation keeps the ids."""
    counter = iter(range(1, 1_000_000))

    def numbered(type_: Any) -> Any:
        if isinstance(type_, str):
            return type_
        if type_["type"] == "struct":
            return {"type": "struct", "fields": [number(field) for field in type_["fields"]]}
        if type_["type"] == "list":
            return {
                "type": "list",
                "element-id": next(counter),
                "element": numbered(type_["element"]),
                "element-required": False,
            }
        return {
            "type": "map",
            "key-id": next(counter),
            "key": numbered(type_["key"]),
            "value-id": next(counter),
            "value": numbered(type_["value"]),
            "value-required": False,
        }

    def number(field: Mapping[str, Any]) -> Json:
        return {**field, "id": next(counter), "type": numbered(field["type"])}

    document = {"type": "struct", "schema-id": 0, "fields": [number(field) for field in fields]}
    return assign_fresh_ids(parse_schema(document))[0]


def name_mapping(schema: Json) -> list[Json]:
    """The mapping from names in the files to field ids, in the shape of its table property."""
    return [_mapped(field["id"], field["name"], field["type"]) for field in schema["fields"]]


def _mapped(field_id: int, name: str, type_: Any) -> Json:
    mapped: Json = {"field-id": field_id, "names": [name]}
    if isinstance(type_, dict):
        match type_["type"]:
            case "struct":
                mapped["fields"] = name_mapping(type_)
            case "list":
                mapped["fields"] = [_mapped(type_["element-id"], "element", type_["element"])]
            case "map":
                mapped["fields"] = [
                    _mapped(type_["key-id"], "key", type_["key"]),
                    _mapped(type_["value-id"], "value", type_["value"]),
                ]
    return mapped


# Properties.


def _properties(proposal: Proposal, schema: Json, sources: Sequence[str]) -> dict[str, str]:
    properties = {
        NAME_MAPPING_PROPERTY: _dumps(name_mapping(schema)),
        DISCOVERED_PROPERTY: "true",
        SOURCES_PROPERTY: _dumps(list(sources)),
    }
    place = proposal.place
    if place is None:
        return properties
    if place.column is None:
        if place.box_columns is not None:
            properties[POSITIONS_PROPERTY] = f"{place.box_columns.xmin},{place.box_columns.ymin}"
        return properties
    columns = _trusted_box_columns(proposal)
    # Bounds of WKB would be lexicographic, which says nothing about places.
    properties[f"write.metadata.metrics.column.{place.column}"] = "counts"
    for name in columns.names if columns is not None else ():
        properties[f"write.metadata.metrics.column.{name}"] = "full"
    properties[GEO_PROPERTY] = _dumps(_geo(place, columns))
    return properties


def _geo(place: ProposedPlace, columns: BoxColumns | None) -> Json:
    described: Json = {
        "encoding": "WKB" if place.encoding == "EWKB" else place.encoding,
        "geometry_types": list(place.types),
        "crs": place.crs,
        "edges": place.edges,
    }
    if columns is not None:
        sides = ("xmin", "ymin", "xmax", "ymax")
        described["bbox_columns"] = dict(zip(sides, columns.names, strict=True))
    return {
        "version": GEO_VERSION,
        "primary_column": place.column,
        "columns": {place.column: described},
    }


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


# Entries.


def data_files(
    proposal: Proposal,
    inspections: Mapping[str, FileInspection],
    *,
    schema: Json,
    partition_spec: Json,
    bucket: str,
) -> list[DataFileEntry]:
    """An entry per file, in the order of a Hilbert curve over their boxes.

    `schema` and `partition_spec` are those of the created table.  Files whose box is unknown come
    last, in the order of their keys.
    """
    builder = EntryBuilder(proposal, schema, partition_spec, bucket)
    files = sorted(proposal.files, key=lambda file: file.key)
    entries = [builder.add(file, inspections[file.key]) for file in files]
    return [entries[position] for position in builder.order().tolist()]


def file_box_of(place: ProposedPlace | None, inspection: FileInspection) -> FileBox:
    """The box of a file by the table's geometry column or positions."""
    if place is None:
        return UNKNOWN
    if place.column is None:
        return inspection.positions.file_box if inspection.positions is not None else UNKNOWN
    found = inspection.geometry.get(place.column)
    return found.file_box if found is not None else UNKNOWN


def virtual_values(box: FileBox) -> tuple[float, float, float, float]:
    """Partition values of the virtual columns, widened to the next float32.

    PyIceberg 0.12 reads doubles out of manifests rounded to float32, in either direction.  A number
    that is a float32 survives that; the exact box would lose rows at its edge.
    """
    xmin, ymin, xmax, ymax = to_partition_values(box)
    return (
        _widened(xmin, -math.inf),
        _widened(ymin, -math.inf),
        _widened(xmax, math.inf),
        _widened(ymax, math.inf),
    )


def _widened(value: float, towards: float) -> float:
    if abs(value) > _FLOAT32_MAX:
        return value  # an unknown or an empty box: rounding makes it infinite, which is right
    narrow = np.float32(value)
    if (float(narrow) > value) if towards < 0 else (float(narrow) < value):
        narrow = np.nextafter(narrow, np.float32(towards))
    return float(narrow)


def _centre(box: FileBox) -> tuple[float, float]:
    extent = box.extent
    if extent is None:
        return (math.nan, math.nan)
    # Halves first: the sum of two large numbers may overflow.
    return (extent.xmin * 0.5 + extent.xmax * 0.5, extent.ymin * 0.5 + extent.ymax * 0.5)


class EntryBuilder:
    """Makes the entries of one table, file by file; what it keeps of each is its box's centre."""

    def __init__(self, proposal: Proposal, schema: Json, spec: Json, bucket: str) -> None:
        self._place = proposal.place
        self._x, self._y = array("d"), array("d")
        self._bucket = bucket
        self._spec_id = int(spec["spec-id"])
        self._leaves = dict(_leaf_ids(schema))
        names = {field["id"]: field["name"] for field in schema["fields"]}
        self._columns = [names[field["source-id"]] for field in spec["fields"]]
        self._hive = [(column.name, column.type) for column in proposal.hive_columns]

    def add(self, file: ProposedFile, inspection: FileInspection) -> DataFileEntry:
        """The entry of a file; files come in the order of keys."""
        box = file_box_of(self._place, inspection)
        x, y = _centre(box)
        self._x.append(x)
        self._y.append(y)
        return self._entry(file, inspection, box)

    def order(self) -> npt.NDArray[np.int64]:
        """The order of the files along a Hilbert curve; unknown boxes come last, as they came."""
        return centre_order(np.frombuffer(self._x), np.frombuffer(self._y))

    def _entry(self, file: ProposedFile, inspection: FileInspection, box: FileBox) -> DataFileEntry:
        values: dict[str, object] = dict(
            zip(FILE_BOX_COLUMNS.names, virtual_values(box), strict=True)
        )
        for (name, type_), text in zip(self._hive, file.hive, strict=True):
            values[name] = parse_value(type_, text)
        metrics = [
            (*self._leaves[path], found)
            for path, found in inspection.metrics.items()
            if path in self._leaves
        ]
        return DataFileEntry(
            path=f"s3://{self._bucket}/{file.key}",
            size_bytes=file.size_bytes,
            record_count=inspection.rows,
            spec_id=self._spec_id,
            partition=tuple(values[column] for column in self._columns),
            column_sizes={field_id: found.size_bytes for field_id, _, found in metrics},
            value_counts={
                field_id: found.value_count
                for field_id, _, found in metrics
                if found.value_count is not None
            },
            null_value_counts={
                field_id: found.null_count
                for field_id, _, found in metrics
                if found.null_count is not None
            },
            lower_bounds=dict(_bounds(metrics, upper=False)),
            upper_bounds=dict(_bounds(metrics, upper=True)),
            split_offsets=inspection.split_offsets,
        )


def _bounds(
    metrics: Sequence[tuple[int, str, ColumnMetrics]], *, upper: bool
) -> Iterator[tuple[int, bytes]]:
    for field_id, type_, found in metrics:
        value = found.upper if upper else found.lower
        if value is None:
            continue
        try:
            yield field_id, encode_value(type_, value)
        except InvalidRequest:
            # A bound that does not fit the table's type is no bound.
            continue


def _leaf_ids(schema: Json) -> Iterator[tuple[str, tuple[int, str]]]:
    """Field id and type of every primitive column, by the path that inspections use."""

    def walk(field_id: int, path: str, type_: Any) -> Iterator[tuple[str, tuple[int, str]]]:
        if isinstance(type_, str):
            yield path, (field_id, type_)
        elif type_["type"] == "struct":
            for field in type_["fields"]:
                yield from walk(field["id"], f"{path}.{field['name']}", field["type"])
        elif type_["type"] == "list":
            yield from walk(type_["element-id"], f"{path}.element", type_["element"])
        else:
            yield from walk(type_["key-id"], f"{path}.key", type_["key"])
            yield from walk(type_["value-id"], f"{path}.value", type_["value"])

    for field in schema["fields"]:
        yield from walk(field["id"], field["name"], field["type"])
