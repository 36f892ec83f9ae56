"""Partition specs: read, check against a schema, number their fields, compare.

Specification: format, "Partitioning".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.members import (
    Json,
    as_object,
    get_array,
    get_int,
    get_text,
    without_nulls,
)
from graticule.iceberg.schema import Schema
from graticule.iceberg.transforms import canonical_transform, check_source

FIRST_FIELD_ID: Final = 1000
UNPARTITIONED_LAST_FIELD_ID: Final = FIRST_FIELD_ID - 1


def parse_spec(value: object) -> Json:
    """Check a spec from a request.  Field ids may be missing; unknown members survive.

    Raises:
        InvalidRequest: malformed, an unknown transform, or names or ids that are not unique.
    """
    document = without_nulls(as_object(value, "a partition spec"), ("spec-id",))
    if "spec-id" in document:
        get_int(document, "spec-id", "a partition spec", least=-1)
    fields = [_parse_field(field) for field in get_array(document, "fields", "a partition spec")]
    names = [field["name"] for field in fields]
    ids = [field["field-id"] for field in fields if "field-id" in field]
    for repeated in (names, ids):
        if len(set(repeated)) < len(repeated):
            raise InvalidRequest(f"a partition spec must not repeat a field name or id: {repeated}")
    return document | {"fields": fields}


def check_stored_spec(value: object) -> None:
    """Check a spec that a metadata file holds: its form only, for it may outlive its columns.

    Raises:
        InvalidRequest: malformed.
    """
    document = as_object(value, "a partition spec")
    get_int(document, "spec-id", "a partition spec")
    check_stored_fields(get_array(document, "fields", "a partition spec"))


def check_stored_fields(fields: list[Any]) -> None:
    """The same for a bare list of fields, which is how version 1 kept its only spec."""
    for value in fields:
        field = as_object(value, "a partition field")
        of = f"partition field `{get_text(field, 'name', 'a partition field')}`"
        get_text(field, "transform", of)
        if "source-ids" not in field or "source-id" in field:
            get_int(field, "source-id", of)
        if "field-id" in field:
            get_int(field, "field-id", of)


def check_spec(spec: Json, schema: Schema) -> None:
    """Check that every field can be computed from `schema`.

    Raises:
        InvalidRequest: names the field.
    """
    for field in spec["fields"]:
        name, source_id = field["name"], field.get("source-id")
        if source_id is None:
            # A transform of several columns, written by somebody who knows later versions.
            continue
        check_source(field["transform"], source_id, schema, of=f"partition field `{name}`")
        column = schema.find(name)
        if column is not None and column.id != source_id:
            raise InvalidRequest(f"Cannot create partition from name that exists in schema: {name}")


def assign_field_ids(
    spec: Json, *, format_version: int, specs: Sequence[Json], last_partition_id: int
) -> Json:
    """Give an id to the fields that came without one.

    Version 1 counts positions.  Later versions reuse the id of an equal field of the table's
    `specs`, because readers unite partition tuples by field id, and otherwise count on.
    """
    known = {
        (field.get("source-id"), field["transform"]): field["field-id"]
        for other in specs
        for field in other["fields"]
        if "field-id" in field
    }
    taken = {field["field-id"] for field in spec["fields"] if "field-id" in field}
    next_id = max([last_partition_id, *taken]) + 1
    fields: list[Json] = []
    for position, field in enumerate(spec["fields"]):
        if "field-id" in field:
            fields.append(field)
            continue
        field_id = known.get((field["source-id"], field["transform"]))
        if format_version == 1:
            field_id = FIRST_FIELD_ID + position
        elif field_id is None or field_id in taken:
            field_id, next_id = next_id, next_id + 1
        taken.add(field_id)
        fields.append(field | {"field-id": field_id})
    return spec | {"fields": fields}


def has_sequential_ids(spec: Json) -> bool:
    """True if the ids count up from 1000: readers of version 1 know no others."""
    return all(
        field["field-id"] == FIRST_FIELD_ID + position
        for position, field in enumerate(spec["fields"])
    )


def compatible_specs(one: Json, other: Json) -> bool:
    """Equal but for spec and field ids: the reference implementation takes these for one spec."""
    return _comparable(one) == _comparable(other)


def last_field_id(spec: Json) -> int:
    return max(
        (field.get("field-id", UNPARTITIONED_LAST_FIELD_ID) for field in spec["fields"]),
        default=UNPARTITIONED_LAST_FIELD_ID,
    )


def fresh_spec(spec: Json, fresh_ids: Mapping[int, int]) -> Json:
    """The spec of a new table: id 0, field ids from 1000, source ids moved to `fresh_ids`.

    Raises:
        InvalidRequest: a source column is absent from the schema.
    """
    fields: list[Json] = []
    for position, field in enumerate(spec["fields"]):
        if field["source-id"] not in fresh_ids:
            raise InvalidRequest(
                f"Cannot find source column for partition field `{field['name']}`: "
                f"{field['source-id']}"
            )
        moved = {"source-id": fresh_ids[field["source-id"]], "field-id": FIRST_FIELD_ID + position}
        fields.append(field | moved)
    return {"spec-id": 0, **spec, "fields": fields} | {"spec-id": 0}


def _parse_field(value: object) -> Json:
    field = without_nulls(as_object(value, "a partition field"), ("field-id",))
    name = get_text(field, "name", "a partition field")
    of = f"partition field `{name}`"
    get_int(field, "source-id", of)
    if "field-id" in field:
        get_int(field, "field-id", of)
    return field | {"transform": canonical_transform(get_text(field, "transform", of))}


def _comparable(spec: Json) -> list[tuple[object, object, object]]:
    return [
        (field.get("source-id", field.get("source-ids")), field["transform"], field["name"])
        for field in spec["fields"]
    ]
