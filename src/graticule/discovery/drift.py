"""A table's schema when files come with columns or types of their own.  Pure.

Files are read by name: the table's name mapping says which field a column of a file is, also after
an engine renamed the field.  So a schema is looked at here as files see it, changed as far as
Iceberg allows on unchanged files, and given back under the names that engines know.
Spec: https://iceberg.apache.org/spec/#schema-evolution, #column-projection.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from graticule.discovery.inspection import FileInspection
from graticule.discovery.registration import NAME_MAPPING_PROPERTY
from graticule.discovery.schema_merge import (
    FAMILY_OVERLAP_MIN,
    UNKNOWN_TYPE,
    Conflict,
    merge_fields,
)
from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata
from graticule.iceberg.schema import check_format_version, parse_schema

Json = dict[str, Any]

FORMAT_VERSIONS: Final = (2, 3)
"""Of tables that can be kept in step with their files."""
_INNER: Final = ("element", "key", "value")
_OWN_MEMBERS: Final = frozenset({"type", "schema-id", "fields"})


@dataclass(frozen=True, slots=True)
class FileSchema:
    """A table's fields as its files name them, with the ids they have in the table.

    `names` are those that engines know fields by, where files say something else.
    """

    fields: tuple[Json, ...]
    last_column_id: int
    names: Mapping[int, str]
    mapped: Mapping[int, tuple[str, ...]]
    format_version: int
    others: Mapping[str, Any] = field(default_factory=dict)
    """What else the schema says, such as its identifier fields."""

    @property
    def document(self) -> Json:
        """A schema whose names are the files' own: what their metrics are looked up in."""
        return {"type": "struct", "schema-id": 0, "fields": list(self.fields)}

    @property
    def table_document(self) -> Json:
        """The schema under the names that engines know."""
        fields = [_renamed(field, self.names) for field in self.fields]
        return {"type": "struct", "schema-id": 0, "fields": fields, **self.others}

    @property
    def name_mapping(self) -> list[Json]:
        return [_mapping_of(field["id"], field["name"], field, self) for field in self.fields]


def file_schema(document: Json) -> FileSchema:
    """The current schema of a table, through its name mapping."""
    schema = metadata.current_schema(document)
    mapped = _mapped_names(metadata.properties(document).get(NAME_MAPPING_PROPERTY, "[]"))
    names: dict[int, str] = {}
    fields = tuple(_as_in_files(field, mapped, names) for field in schema["fields"])
    others = {key: value for key, value in schema.items() if key not in _OWN_MEMBERS}
    version = metadata.format_version(document)
    return FileSchema(fields, int(document["last-column-id"]), names, mapped, version, others)


def with_file(schema: FileSchema, inspection: FileInspection) -> FileSchema | str:
    """The schema that a further file fits into as well; else why there is none."""
    of_file = [column for column in inspection.fields if column["type"] != UNKNOWN_TYPE]
    if not of_file:
        return "without a column that Iceberg has a type for"
    own = {column["name"] for column in schema.fields}
    names = {column["name"] for column in of_file}
    if len(own & names) < FAMILY_OVERLAP_MIN * min(len(own), len(names)):
        return "it shares too few columns with the table"
    merged = merge_fields(schema.fields, of_file)
    if isinstance(merged, Conflict):
        return f"column `{merged.column}` is {merged.one} in the table and {merged.other} in it"
    counter = iter(range(schema.last_column_id + 1, schema.last_column_id + 1_000_000))
    numbered = tuple(_numbered(field, counter) for field in merged)
    last = next(counter) - 1
    if last == schema.last_column_id and numbered == schema.fields:
        return schema
    clash = sorted((names - own) & set(schema.names.values()))
    if clash:
        return f"column `{clash[0]}` has the name that another column of the table was given"
    evolved = replace(schema, fields=numbered, last_column_id=last)
    try:
        check_format_version(parse_schema(evolved.table_document), schema.format_version)
    except InvalidRequest as error:
        return error.message
    return evolved


def _as_in_files(field: Json, mapped: Mapping[int, tuple[str, ...]], names: dict[int, str]) -> Json:
    known = mapped.get(int(field["id"]))
    name = field["name"]
    if known and known[0] != name:
        names[int(field["id"])] = name
        name = known[0]
    return {**field, "name": name, "type": _inside(field["type"], mapped, names)}


def _inside(type_: Any, mapped: Mapping[int, tuple[str, ...]], names: dict[int, str]) -> Any:
    if isinstance(type_, str):
        return type_
    if type_["type"] == "struct":
        inner = [_as_in_files(field, mapped, names) for field in type_["fields"]]
        return {**type_, "fields": inner}
    return {
        **type_,
        **{part: _inside(type_[part], mapped, names) for part in _INNER if part in type_},
    }


def _renamed(field: Json, names: Mapping[int, str]) -> Json:
    def inside(type_: Any) -> Any:
        if isinstance(type_, str):
            return type_
        if type_["type"] == "struct":
            return {**type_, "fields": [_renamed(inner, names) for inner in type_["fields"]]}
        return {**type_, **{part: inside(type_[part]) for part in _INNER if part in type_}}

    name = names.get(int(field["id"]), field["name"])
    return {**field, "name": name, "type": inside(field["type"])}


def _numbered(field: Mapping[str, Any], counter: Iterator[int]) -> Json:
    """The field with an id for everything in it that has none."""

    def inside(type_: Any) -> Any:
        if isinstance(type_, str):
            return type_
        if type_["type"] == "struct":
            return {**type_, "fields": [_numbered(inner, counter) for inner in type_["fields"]]}
        found = dict(type_)
        for part in _INNER:
            if part not in type_:
                continue
            if f"{part}-id" not in found:
                found[f"{part}-id"] = next(counter)
                if part != "key":
                    found[f"{part}-required"] = False
            found[part] = inside(type_[part])
        return found

    field_id = field["id"] if "id" in field else next(counter)
    numbered = {**field, "id": field_id, "type": inside(field["type"])}
    return numbered if "required" in numbered else numbered | {"required": False}


def _mapped_names(text: str) -> dict[int, tuple[str, ...]]:
    """Names by field id; a mapping that cannot be read maps nothing."""
    found: dict[int, tuple[str, ...]] = {}

    def collect(entries: Sequence[Any]) -> None:
        for entry in entries:
            names = tuple(str(name) for name in entry.get("names") or ())
            if "field-id" in entry and names:
                found[int(entry["field-id"])] = names
            collect(entry.get("fields") or ())

    try:
        collect(json.loads(text))
    except (ValueError, TypeError, AttributeError):
        return {}
    return found


def _mapping_of(field_id: int, name: str, field: Mapping[str, Any], schema: FileSchema) -> Json:
    names = dict.fromkeys((*schema.mapped.get(field_id, ()), name))
    entry: Json = {"field-id": field_id, "names": list(names)}
    type_ = field["type"]
    if isinstance(type_, str):
        return entry
    if type_["type"] == "struct":
        inner = [_mapping_of(f["id"], f["name"], f, schema) for f in type_["fields"]]
    else:
        inner = [
            _mapping_of(type_[f"{part}-id"], part, {"type": type_[part]}, schema)
            for part in _INNER
            if part in type_
        ]
    return {**entry, "fields": inner}
