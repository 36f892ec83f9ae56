"""Check the requirements of a commit against the table or view as it is.  Pure and total.

Messages are those of the reference implementation: its clients and its compatibility tests read
them.  Specification: REST catalog, `TableRequirement`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from graticule.domain.errors import CommitConflict, InvalidRequest, InvalidUpdate
from graticule.iceberg import metadata as table
from graticule.iceberg.members import (
    INT_MAX,
    Json,
    as_object,
    as_sequence,
    get_int,
    get_long,
    get_text,
)

REQUIREMENTS_MAX: Final = 10_000
ASSERT_CREATE: Final = "assert-create"
ASSERT_VIEW_UUID: Final = "assert-view-uuid"


def is_create(requirements: Sequence[Json]) -> bool:
    """True if the commit is to create its table."""
    return any(isinstance(item, dict) and _type_of(item) == ASSERT_CREATE for item in requirements)


def check_all(requirements: Sequence[Json], metadata: Json | None) -> None:
    """Check every requirement; `metadata` is None for a table that does not exist.

    Raises:
        CommitConflict: a requirement does not hold.
        InvalidUpdate: a requirement is malformed or unknown, or stands beside `assert-create`.
    """
    try:
        items = as_sequence(requirements, "`requirements`", items_max=REQUIREMENTS_MAX)
        is_creating = is_create(items)
        for requirement in items:
            _check(as_object(requirement, "a requirement"), metadata, is_creating=is_creating)
    except InvalidUpdate:
        raise
    except InvalidRequest as error:
        raise InvalidUpdate(error.message) from error


def check_view(requirements: Sequence[Json], metadata: Json) -> None:
    """Check every requirement of a commit to a view, which can ask for the view's UUID only.

    Raises:
        CommitConflict: the view has another UUID.
        InvalidUpdate: a requirement is malformed, unknown, or one of tables.
    """
    try:
        items = as_sequence(requirements, "`requirements`", items_max=REQUIREMENTS_MAX)
        for item in items:
            _check_view_uuid(as_object(item, "a requirement"), metadata)
    except InvalidUpdate:
        raise
    except InvalidRequest as error:
        raise InvalidUpdate(error.message) from error


def assert_create(_requirement: Json, _metadata: Json) -> None:
    raise _failed("table already exists")


def assert_table_uuid(requirement: Json, metadata: Json) -> None:
    expected = get_text(requirement, "uuid", "`assert-table-uuid`")
    actual = table.table_uuid(metadata)
    if actual is None or expected.lower() != actual.lower():
        raise _failed(f"UUID does not match: expected {actual} != {expected}")


def assert_ref_snapshot_id(requirement: Json, metadata: Json) -> None:
    of = "`assert-ref-snapshot-id`"
    name = get_text(requirement, "ref", of)
    expected: int | None = None
    if requirement.get("snapshot-id") is not None:
        expected = get_long(requirement, "snapshot-id", of)
    ref = table.refs(metadata).get(name)
    if ref is None:
        if expected is not None:
            raise _failed(f"branch or tag {name} is missing, expected {expected}")
    elif expected is None:
        raise _failed(f"{ref['type']} {name} was created concurrently")
    elif expected != ref["snapshot-id"]:
        raise _failed(
            f"{ref['type']} {name} has changed: expected id {expected} != {ref['snapshot-id']}"
        )


def assert_last_assigned_field_id(requirement: Json, metadata: Json) -> None:
    _check_id(requirement, "last-assigned-field-id", metadata["last-column-id"])


def assert_current_schema_id(requirement: Json, metadata: Json) -> None:
    _check_id(requirement, "current-schema-id", table.current_schema_id(metadata))


def assert_last_assigned_partition_id(requirement: Json, metadata: Json) -> None:
    _check_id(requirement, "last-assigned-partition-id", table.last_partition_id(metadata))


def assert_default_spec_id(requirement: Json, metadata: Json) -> None:
    _check_id(requirement, "default-spec-id", table.default_spec_id(metadata))


def assert_default_sort_order_id(requirement: Json, metadata: Json) -> None:
    _check_id(requirement, "default-sort-order-id", table.default_sort_order_id(metadata))


def assert_view_uuid(_requirement: Json, _metadata: Json) -> None:
    raise InvalidUpdate("Cannot validate `assert-view-uuid` against a table")


REQUIREMENTS: Final[Mapping[str, Callable[[Json, Json], None]]] = {
    ASSERT_CREATE: assert_create,
    "assert-table-uuid": assert_table_uuid,
    "assert-ref-snapshot-id": assert_ref_snapshot_id,
    "assert-last-assigned-field-id": assert_last_assigned_field_id,
    "assert-current-schema-id": assert_current_schema_id,
    "assert-last-assigned-partition-id": assert_last_assigned_partition_id,
    "assert-default-spec-id": assert_default_spec_id,
    "assert-default-sort-order-id": assert_default_sort_order_id,
    ASSERT_VIEW_UUID: assert_view_uuid,
}

_WHAT_CHANGED: Final[Mapping[str, str]] = {
    "last-assigned-field-id": "last assigned field id",
    "current-schema-id": "current schema",
    "last-assigned-partition-id": "last assigned partition id",
    "default-spec-id": "default partition spec",
    "default-sort-order-id": "default sort order",
}


def _check(requirement: Json, metadata: Json | None, *, is_creating: bool) -> None:
    kind = _type_of(requirement)
    check = REQUIREMENTS.get(kind)
    if check is None:
        raise InvalidUpdate(f"unknown requirement `{kind[:100]}`")
    if metadata is not None:
        check(requirement, metadata)
    elif is_creating and kind != ASSERT_CREATE:
        raise InvalidUpdate(f"Invalid create requirements: `{kind}` beside `{ASSERT_CREATE}`")
    elif not is_creating:
        raise _failed("table does not exist")


def _check_view_uuid(requirement: Json, metadata: Json) -> None:
    kind = _type_of(requirement)
    if kind != ASSERT_VIEW_UUID:
        raise InvalidUpdate(f"Cannot validate `{kind[:100]}` against a view")
    expected = get_text(requirement, "uuid", f"`{kind}`")
    actual = str(metadata["view-uuid"])
    if expected.lower() != actual.lower():
        raise _failed(f"view UUID does not match: expected {actual} != {expected}")


def _check_id(requirement: Json, key: str, actual: int) -> None:
    # Ids below zero are legal here: a client may have seen none at all.
    expected = get_int(requirement, key, f"`assert-{key}`", least=-INT_MAX)
    if expected != actual:
        raise _failed(f"{_WHAT_CHANGED[key]} changed: expected id {expected} != {actual}")


def _failed(reason: str) -> CommitConflict:
    return CommitConflict(f"Requirement failed: {reason}")


def _type_of(requirement: Mapping[str, Any]) -> str:
    value = requirement.get("type")
    return value.lower() if isinstance(value, str) else ""
