"""Schemas: read, check, compare, and give fresh field ids.

A schema stays the JSON object it came as, with type strings in canonical spelling; `Schema` is a
view over it with its fields by id.  Specification: format, "Schemas and data types".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.members import (
    Json,
    as_int,
    as_object,
    get_array,
    get_bool,
    get_int,
    get_text,
    without_nulls,
)
from graticule.iceberg.types import (
    canonical_type,
    is_geospatial,
    minimum_format_version,
    type_name,
)

SCHEMA_DEPTH_MAX: Final = 64
SCHEMA_FIELDS_MAX: Final = 20_000
DEFAULT_VALUES: Final = 3
"""The format version that brought `initial-default` and `write-default`."""
FIELD_ID_MAX: Final = 2_147_483_446
"""Ids above belong to metadata columns such as `_file`."""

_DEFAULTS: Final = ("initial-default", "write-default")
_DEFAULT_WORDS: Final = {"initial-default": "initial default", "write-default": "write default"}
_FIELD_OPTIONAL: Final = ("doc", *_DEFAULTS)


@dataclass(frozen=True, slots=True)
class Field:
    """One field at any depth.  `name` is the full path, such as `points.element.x`."""

    id: int
    name: str
    type: str
    """Canonical; `struct`, `list` or `map` for nested types."""
    required: bool
    parent: "Field | None"
    defaults: Mapping[str, Any]

    @property
    def is_primitive(self) -> bool:
        return self.type not in {"struct", "list", "map", "variant"}

    def ancestors(self) -> Iterator["Field"]:
        parent = self.parent
        while parent is not None:
            yield parent
            parent = parent.parent


@dataclass(frozen=True, slots=True)
class Schema:
    """A checked schema: the canonical document and its fields by id, in document order."""

    document: Json
    fields: Mapping[int, Field]

    @property
    def highest_field_id(self) -> int:
        return max(self.fields, default=0)

    def find(self, name: str) -> Field | None:
        return next((field for field in self.fields.values() if field.name == name), None)


def parse_schema(value: object) -> Schema:
    """Check a schema and bring its type strings into canonical spelling.  Unknown members survive.

    Raises:
        InvalidRequest: malformed, too deep, too wide, ids or names that are not unique, unknown
            types, or identifier fields that cannot identify a row.
    """
    document = as_object(value, "a schema")
    if document.get("type", "struct") != "struct":
        raise InvalidRequest("`type` of a schema must be `struct`")
    reader = _SchemaReader()
    fields = reader.struct_fields(document, parent=None, depth=0)
    optional = ("identifier-field-ids", "schema-id")
    canonical = {"type": "struct", **without_nulls(document, optional), "fields": fields}
    if "schema-id" in canonical:
        get_int(canonical, "schema-id", "a schema", least=-1)
    schema = Schema(canonical, reader.fields)
    if "identifier-field-ids" in canonical:
        _check_identifier_fields(schema)
    return schema


def check_format_version(schema: Schema, format_version: int) -> None:
    """Refuse types and defaults that a table of this format version cannot hold.

    Raises:
        InvalidRequest: lists every offending field.
    """
    problems: list[str] = []
    for field in schema.fields.values():
        minimum = minimum_format_version(field.type)
        if minimum > format_version:
            problems.append(
                f"Invalid type for {field.name}: {field.type} is not supported until v{minimum}"
            )
        if format_version < DEFAULT_VALUES:
            problems += [
                f"Invalid {_DEFAULT_WORDS[key]} for {field.name}: "
                f"non-null default is not supported until v{DEFAULT_VALUES}"
                for key in field.defaults
            ]
    if problems:
        raise InvalidRequest(f"Invalid schema for v{format_version}:\n- " + "\n- ".join(problems))


def same_schema(one: Schema, other: Schema) -> bool:
    """Equal but for the schema id; identifier fields compare as a set."""
    return _comparable(one) == _comparable(other)


def looks_same(one: Json, other: Json) -> bool:
    """Tells most pairs of schemas apart without reading them whole."""
    return len(one["fields"]) == len(other["fields"]) and all(
        left["id"] == right["id"] and left["name"] == right["name"]
        for left, right in zip(one["fields"], other["fields"], strict=True)
    )


def assign_fresh_ids(schema: Schema) -> tuple[Json, dict[int, int]]:
    """Number the fields anew from 1, the fields of a struct before what they contain.

    Returns the new document with schema id 0, and the new ids by the old ones.
    """
    fresh: dict[int, int] = {}
    document = _with_fresh_ids(schema.document, fresh) | {"schema-id": 0}
    if "identifier-field-ids" in document:
        document["identifier-field-ids"] = [fresh[i] for i in document["identifier-field-ids"]]
    return document, fresh


class _SchemaReader:
    """Builds the canonical copy and collects the fields of one schema on the way."""

    def __init__(self) -> None:
        self.fields: dict[int, Field] = {}
        self._names: set[str] = set()

    def struct_fields(self, document: Json, *, parent: Field | None, depth: int) -> list[Json]:
        of = f"struct `{parent.name}`" if parent else "a schema"
        fields: list[Json] = []
        for value in get_array(document, "fields", of):
            field = without_nulls(as_object(value, f"a field of {of}"), _FIELD_OPTIONAL)
            name = get_text(field, "name", f"a field of {of}")
            full_name = f"{parent.name}.{name}" if parent else name
            kind = self._type_kind(field.get("type"), full_name)
            entry = self._register(
                Field(
                    id=get_int(field, "id", f"field `{full_name}`", most=FIELD_ID_MAX),
                    name=full_name,
                    type=kind,
                    required=get_bool(field, "required", f"field `{full_name}`"),
                    parent=parent,
                    defaults={key: field[key] for key in _DEFAULTS if key in field},
                )
            )
            fields.append(field | {"type": self._nested(field["type"], entry, depth + 1)})
        return fields

    def _nested(self, value: Any, entry: Field, depth: int) -> Any:
        """The canonical type of a field whose own entry is already registered."""
        if entry.type not in {"struct", "list", "map"}:
            return entry.type
        if depth > SCHEMA_DEPTH_MAX:
            raise InvalidRequest(f"the schema is nested more than {SCHEMA_DEPTH_MAX} levels deep")
        if entry.type == "struct":
            return value | {"fields": self.struct_fields(value, parent=entry, depth=depth)}
        if entry.type == "list":
            return value | {"element": self._inner(value, "element", entry, depth)}
        return value | {
            "key": self._inner(value, "key", entry, depth),
            "value": self._inner(value, "value", entry, depth),
        }

    def _inner(self, value: Json, role: str, parent: Field, depth: int) -> Any:
        """The element, key or value of the list or map `value`."""
        name, of = f"{parent.name}.{role}", f"field `{parent.name}`"
        entry = self._register(
            Field(
                id=get_int(value, f"{role}-id", of, most=FIELD_ID_MAX),
                name=name,
                type=self._type_kind(value.get(role), name),
                required=role == "key" or get_bool(value, f"{role}-required", of),
                parent=parent,
                defaults={},
            )
        )
        return self._nested(value[role], entry, depth + 1)

    def _type_kind(self, value: object, name: str) -> str:
        if isinstance(value, str):
            try:
                return canonical_type(value)
            except InvalidRequest as error:
                raise InvalidRequest(f"Invalid type for {name}: {error.message}") from error
        nested = as_object(value, f"`type` of field `{name}`")
        kind = nested.get("type")
        if kind not in ("struct", "list", "map"):
            raise InvalidRequest(f"the type of field `{name}` must be a struct, a list or a map")
        return str(kind)

    def _register(self, field: Field) -> Field:
        if field.id in self.fields:
            raise InvalidRequest(
                f"field id {field.id} is used by `{self.fields[field.id].name}` and `{field.name}`"
            )
        if field.name in self._names:
            raise InvalidRequest(f"Invalid schema: multiple fields for name {field.name}")
        if len(self.fields) >= SCHEMA_FIELDS_MAX:
            raise InvalidRequest(f"the schema has more than {SCHEMA_FIELDS_MAX} fields")
        if field.type == "unknown" and field.required:
            raise InvalidRequest(f"field `{field.name}` of type unknown must be optional")
        if field.defaults and (
            is_geospatial(field.type) or type_name(field.type) in {"unknown", "variant"}
        ):
            raise InvalidRequest(f"field `{field.name}` of type {field.type} must default to null")
        self.fields[field.id] = field
        self._names.add(field.name)
        return field


def _check_identifier_fields(schema: Schema) -> None:
    for value in get_array(schema.document, "identifier-field-ids", "a schema"):
        field_id = as_int(value, "an entry of `identifier-field-ids`", most=FIELD_ID_MAX)
        field = schema.fields.get(field_id)
        if field is None:
            raise InvalidRequest(
                f"Cannot add fieldId {field_id} as an identifier field: field does not exist"
            )
        reason = ""
        if not field.is_primitive or is_geospatial(field.type):
            reason = "not a primitive type field"
        elif not field.required:
            reason = "not a required field"
        elif field.type in {"float", "double"}:
            reason = "must not be float or double field"
        elif any(p.type != "struct" or not p.required for p in field.ancestors()):
            reason = "must not be nested in an optional struct, a list or a map"
        if reason:
            raise InvalidRequest(f"Cannot add field {field.name} as an identifier field: {reason}")


def _comparable(schema: Schema) -> Json:
    document = {k: v for k, v in schema.document.items() if k != "schema-id"}
    document["identifier-field-ids"] = sorted(set(document.get("identifier-field-ids", ())))
    return document


def _with_fresh_ids(value: Any, fresh: dict[int, int]) -> Any:
    def number(old: int) -> int:
        return fresh.setdefault(old, len(fresh) + 1)

    if not isinstance(value, dict):
        return value
    if value["type"] == "list":
        element_id = number(value["element-id"])
        return value | {
            "element-id": element_id,
            "element": _with_fresh_ids(value["element"], fresh),
        }
    if value["type"] == "map":
        key_id, value_id = number(value["key-id"]), number(value["value-id"])
        return value | {
            "key-id": key_id,
            "key": _with_fresh_ids(value["key"], fresh),
            "value-id": value_id,
            "value": _with_fresh_ids(value["value"], fresh),
        }
    numbered = [field | {"id": number(field["id"])} for field in value["fields"]]
    fields = [field | {"type": _with_fresh_ids(field["type"], fresh)} for field in numbered]
    return value | {"fields": fields}
