"""Iceberg fields and leaf columns of a Parquet schema.  No I/O: pyarrow has read the footer.

Spec: https://iceberg.apache.org/spec/#parquet (types), #primitive-types.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

UNKNOWN_TYPE: Final = "unknown"
"""A column that holds nothing but nulls: any other file may decide its type."""

DECIMAL_PRECISION_MAX: Final = 38
_READ_ZONES: Final = frozenset({None, "UTC", "+00:00", "Etc/UTC", "Z"})
_FIELD_ID: Final = b"PARQUET:field_id"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One physical column.  `ordinal` counts leaves in file order.

    `type` is the Iceberg type, or None when Iceberg has none.  `unit` is the Parquet time unit of
    times and timestamps.  `physical` is Parquet's own name, such as `INT64`.
    """

    ordinal: int
    path: str
    parquet_path: str
    type: str | None
    repeated: bool
    physical: str
    unit: str | None = None
    logical: str = "NONE"
    logical_crs: str | None = None
    algorithm: str | None = None
    extension: tuple[str, str] | None = None
    """Name and metadata of the Arrow extension type that the writer put on a top-level column."""

    @property
    def is_geospatial(self) -> bool:
        return self.logical in {"GEOMETRY", "GEOGRAPHY"}


@dataclass(frozen=True, slots=True)
class FileSchema:
    fields: tuple[dict[str, Any], ...]
    leaves: tuple[Leaf, ...]
    unsupported: tuple[str, ...]
    field_ids: dict[str, int]
    """Of top-level columns, by name; those of strangers, so no two columns need differ in it."""
    strange: dict[str, str]
    """Of top-level columns with values of a type that PyIceberg refuses, by name."""


def read_schema(metadata: pq.FileMetaData) -> FileSchema:
    """Translate the schema.  Columns of types that Iceberg lacks are left out and listed."""
    global _last_read  # noqa: PLW0603 - a cache: without effect on any result
    schema, last = metadata.schema, _last_read
    # What is said of the file, such as where it lies, is not what its columns are.
    arrow_schema = schema.to_arrow_schema().remove_metadata()
    if (
        last is not None
        and schema.equals(last[0])
        and arrow_schema.equals(last[1], check_metadata=True)
    ):
        return last[2]
    translated = _translate(metadata, arrow_schema)
    _last_read = (schema, arrow_schema, translated)
    return translated


_last_read: tuple[pq.ParquetSchema, pa.Schema, FileSchema] | None = None
"""Files of one table come in a row and share their schema, and translating it takes as long as all
row groups do.  Parquet's comparison does not see the names of groups, so Arrow's is asked, too."""


def _translate(metadata: pq.FileMetaData, arrow_schema: pa.Schema) -> FileSchema:
    walk = _Walk(metadata.schema)
    fields: list[dict[str, Any]] = []
    unsupported: list[str] = []
    names: set[str] = set()
    strange: dict[str, str] = {}
    for field in arrow_schema:
        walk.strange.clear()
        iceberg_type = walk.visit(field.type, field.name)
        own = set() if iceberg_type is None else set(_full_names(field.name, iceberg_type))
        if iceberg_type is None or "" in own or not own.isdisjoint(names):
            unsupported.append(field.name)
        else:
            names |= own
            if walk.strange:
                strange[field.name] = walk.strange[0]
            fields.append({"name": field.name, "required": False, "type": iceberg_type})
    if len(walk.leaves) != metadata.num_columns:
        raise pa.ArrowInvalid(
            f"{len(walk.leaves)} of {metadata.num_columns} columns of the schema were understood"
        )
    extensions = {
        field.name: _extension(field.metadata) for field in arrow_schema if field.metadata
    }
    leaves = tuple(
        replace(leaf, extension=extensions[leaf.path]) if leaf.path in extensions else leaf
        for leaf in walk.leaves
    )
    field_ids = {
        field.name: int(field.metadata[_FIELD_ID])
        for field in arrow_schema
        if field.metadata and field.metadata.get(_FIELD_ID, b"").isdigit()
    }
    return FileSchema(tuple(fields), leaves, tuple(unsupported), field_ids, strange)


def _full_names(name: str, type_: Any) -> Iterator[str]:
    """By which Iceberg finds a column and all that is in it; empty if one has no name.

    `a.b` is also what it calls field `b` of column `a`, and a schema with both is refused.
    """
    yield name
    if isinstance(type_, str):
        return
    inner = (
        [(field["name"], field["type"]) for field in type_["fields"]]
        if type_["type"] == "struct"
        else [(part, type_[part]) for part in ("element", "key", "value") if part in type_]
    )
    for own, held in inner:
        for found in _full_names(own, held):
            yield f"{name}.{found}" if found else ""


def _extension(metadata: dict[bytes, bytes]) -> tuple[str, str] | None:
    name = metadata.get(b"ARROW:extension:name")
    if name is None:
        return None
    described = metadata.get(b"ARROW:extension:metadata", b"")
    return name.decode(errors="replace"), described.decode(errors="replace")


class _Walk:
    """Visits an Arrow schema beside the Parquet schema, whose columns come in the same order."""

    def __init__(self, columns: pq.ParquetSchema) -> None:
        self._columns = columns
        self.leaves: list[Leaf] = []
        self.strange: list[str] = []
        """Types that were met and that PyIceberg refuses."""

    def visit(self, type_: pa.DataType, path: str, *, repeated: bool = False) -> Any:
        """The Iceberg type, or None if any part has none; all leaves are appended in any case."""
        if isinstance(type_, pa.BaseExtensionType):
            type_ = type_.storage_type
        if pa.types.is_dictionary(type_):
            return self.visit(type_.value_type, path, repeated=repeated)
        if pa.types.is_struct(type_):
            return self._visit_struct(type_, path, repeated=repeated)
        if pa.types.is_map(type_):
            key = self.visit(type_.key_type, f"{path}.key", repeated=True)
            value = self.visit(type_.item_type, f"{path}.value", repeated=True)
            if key is None or value is None:
                return None
            return {"type": "map", "key": key, "value": value, "value-required": False}
        if _is_list(type_):
            element = self.visit(type_.value_type, f"{path}.element", repeated=True)
            if element is None:
                return None
            return {"type": "list", "element": element, "element-required": False}
        if _is_strange(type_):
            self.strange.append(str(type_))
        leaf = self._leaf(primitive_type(type_), path, repeated=repeated)
        self.leaves.append(leaf)
        return leaf.type

    def _visit_struct(self, type_: pa.StructType, path: str, *, repeated: bool) -> Any:
        children = [
            (child.name, self.visit(child.type, f"{path}.{child.name}", repeated=repeated))
            for child in type_
        ]
        if any(child is None for _, child in children):
            return None
        fields = [{"name": name, "required": False, "type": child} for name, child in children]
        return {"type": "struct", "fields": fields}

    def _leaf(self, iceberg_type: str | None, path: str, *, repeated: bool) -> Leaf:
        ordinal = len(self.leaves)
        column = self._columns.column(ordinal)
        logical = column.logical_type
        kind = logical.type
        unit = crs = algorithm = None
        if kind in {"TIMESTAMP", "TIME"}:
            unit = json.loads(logical.to_json())["timeUnit"]
        elif kind in {"GEOMETRY", "GEOGRAPHY"}:
            described = json.loads(logical.to_json())
            crs, algorithm = described.get("crs") or None, described.get("algorithm")
        elif kind == "UUID":
            iceberg_type = "uuid"
        return Leaf(
            ordinal=ordinal,
            path=path,
            parquet_path=column.path,
            type=iceberg_type,
            repeated=repeated,
            physical=column.physical_type,
            unit=unit,
            logical=kind,
            logical_crs=crs,
            algorithm=algorithm,
        )


def _is_strange(type_: pa.DataType) -> bool:
    """True if PyIceberg 0.12 reads no file with such values, although Iceberg has a type for them:
    times in other units than microseconds, and moments in other time zones than UTC.
    """
    if pa.types.is_time(type_):
        return bool(type_.unit != "us")
    return bool(pa.types.is_timestamp(type_) and type_.tz not in _READ_ZONES)


def _is_list(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
        or pa.types.is_list_view(type_)
        or pa.types.is_large_list_view(type_)
    )


_SIMPLE: Final = {
    pa.bool_(): "boolean",
    pa.int8(): "int",
    pa.int16(): "int",
    pa.int32(): "int",
    pa.uint8(): "int",
    pa.uint16(): "int",
    pa.int64(): "long",
    pa.uint32(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.date64(): "date",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.string_view(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    pa.binary_view(): "binary",
    pa.null(): UNKNOWN_TYPE,
}


def primitive_type(type_: pa.DataType) -> str | None:
    """The Iceberg primitive for an Arrow type; None for `uint64`, `float16` and durations.

    Nanosecond timestamps become microseconds, as Iceberg's readers of format version 2 do.
    """
    simple = _SIMPLE.get(type_)
    if simple is not None:
        return simple
    if pa.types.is_timestamp(type_):
        return "timestamptz" if type_.tz is not None else "timestamp"
    if pa.types.is_time(type_):
        return "time"
    if pa.types.is_decimal(type_) and 0 <= type_.scale <= type_.precision <= DECIMAL_PRECISION_MAX:
        return f"decimal({type_.precision}, {type_.scale})"
    if pa.types.is_fixed_size_binary(type_):
        return f"fixed[{type_.byte_width}]"
    return None
