"""Sort orders: read, check against a schema, compare.  Specification: format, "Sorting"."""

from collections.abc import Mapping
from typing import Final

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

UNSORTED_ORDER_ID: Final = 0
FIRST_ORDER_ID: Final = 1
DIRECTIONS: Final = ("asc", "desc")
NULL_ORDERS: Final = ("nulls-first", "nulls-last")


def parse_order(value: object) -> Json:
    """Check a sort order from a request.  Unknown members survive; the id is not looked at.

    Raises:
        InvalidRequest: malformed, or an unknown transform, direction or null order.
    """
    document = without_nulls(as_object(value, "a sort order"), ("order-id",))
    if "order-id" in document:
        get_int(document, "order-id", "a sort order", least=-1)
    fields = [_parse_field(field) for field in get_array(document, "fields", "a sort order")]
    return document | {"fields": fields}


def check_stored_order(value: object) -> None:
    """Check an order that a metadata file holds: its form only, for it may outlive its columns.

    Raises:
        InvalidRequest: malformed.
    """
    document = as_object(value, "a sort order")
    get_int(document, "order-id", "a sort order")
    for item in get_array(document, "fields", "a sort order"):
        field = as_object(item, "a sort field")
        get_text(field, "transform", "a sort field")
        if "source-ids" not in field or "source-id" in field:
            get_int(field, "source-id", "a sort field")


def check_order(order: Json, schema: Schema) -> None:
    """Check that every field can be computed from `schema`.

    Raises:
        InvalidRequest: names the source column.
    """
    for field in order["fields"]:
        source_id = field.get("source-id")
        if source_id is None:
            # A transform of several columns, written by somebody who knows later versions.
            continue
        check_source(field["transform"], source_id, schema, of=f"sort field on column {source_id}")


def same_order(one: Json, other: Json) -> bool:
    """Equal but for the order id."""
    return bool(one["fields"] == other["fields"])


def fresh_order(order: Json, fresh_ids: Mapping[int, int]) -> Json:
    """The sort order of a new table: id 1, or 0 if unsorted; source ids moved to `fresh_ids`.

    Raises:
        InvalidRequest: a source column is absent from the schema.
    """
    fields: list[Json] = []
    for field in order["fields"]:
        if field["source-id"] not in fresh_ids:
            raise InvalidRequest(f"Cannot find source column for sort field: {field['source-id']}")
        fields.append(field | {"source-id": fresh_ids[field["source-id"]]})
    order_id = FIRST_ORDER_ID if fields else UNSORTED_ORDER_ID
    return {"order-id": order_id, **order, "fields": fields} | {"order-id": order_id}


def _parse_field(value: object) -> Json:
    field = as_object(value, "a sort field")
    of = "a sort field"
    get_int(field, "source-id", of)
    return field | {
        "transform": canonical_transform(get_text(field, "transform", of)),
        "direction": _one_of(DIRECTIONS, field, "direction"),
        "null-order": _one_of(NULL_ORDERS, field, "null-order"),
    }


def _one_of(allowed: tuple[str, ...], field: Json, key: str) -> str:
    value = get_text(field, key, "a sort field").lower()
    if value not in allowed:
        raise InvalidRequest(f"`{key}` of a sort field must be one of {', '.join(allowed)}")
    return value
