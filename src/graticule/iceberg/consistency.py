"""Check a metadata document that somebody else wrote, before a table is made of it.

What passes here can be read by every reader in `metadata` and changed by every update in
`updates` without a further thought.  The rules are those by which clients refuse to load a table.
Specification: format, "Table metadata fields".
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg.format_versions import (
    NO_SNAPSHOT,
    ROW_LINEAGE,
    SEQUENCE_NUMBERS,
    check_supported,
)
from graticule.iceberg.members import (
    Json,
    as_array,
    as_object,
    as_text_map,
    check_nesting,
    get_int,
    get_long,
    get_objects,
    get_text,
    stripped_location,
)
from graticule.iceberg.partitioning import check_stored_fields, check_stored_spec
from graticule.iceberg.schema import FIELD_ID_MAX, parse_schema
from graticule.iceberg.snapshot_log import CLOCK_TOLERANCE_MS
from graticule.iceberg.snapshots import BRANCH, MAIN, TAG
from graticule.iceberg.sorting import check_stored_order

_OF: Final = "the table metadata"


def check_document(document: object) -> None:
    """Check that `document` is table metadata of version 1, 2 or 3 and contradicts itself nowhere.

    Raises:
        InvalidRequest: says what is missing, malformed or contradictory.
    """
    check_nesting(document)
    metadata = as_object(document, _OF)
    version = check_supported(get_int(metadata, "format-version", _OF))
    if version >= SEQUENCE_NUMBERS or metadata.get("table-uuid") is not None:
        get_text(metadata, "table-uuid", _OF)
    stripped_location(metadata.get("location"))
    get_long(metadata, "last-updated-ms", _OF, least=0)
    if metadata.get("properties") is not None:
        as_text_map(metadata["properties"], f"`properties` of {_OF}")
    _check_schemas(metadata, version)
    _check_specs(metadata, version)
    _check_sort_orders(metadata, version)
    snapshot_ids = _check_snapshots(metadata, version)
    _check_refs(metadata, snapshot_ids)
    _check_log(metadata, "snapshot-log", _check_snapshot_entry)
    _check_log(metadata, "metadata-log", _check_metadata_entry)
    for key in ("statistics", "partition-statistics"):
        for statistics in get_objects(metadata, key, _OF):
            get_long(statistics, "snapshot-id", f"`{key}`")
    for encryption_key in get_objects(metadata, "encryption-keys", _OF):
        get_text(encryption_key, "key-id", "`encryption-keys`")


def _check_schemas(metadata: Json, version: int) -> None:
    last_column_id = get_int(metadata, "last-column-id", _OF, most=FIELD_ID_MAX)
    schemas = get_objects(metadata, "schemas", _OF)
    _check_current(metadata, schemas, "schema-id", current="current-schema-id")
    if version < SEQUENCE_NUMBERS and metadata.get("schema") is not None:
        schemas = [*schemas, metadata["schema"]]
    if not schemas:
        raise InvalidRequest("the table metadata has no schema")
    for document in schemas:
        highest = parse_schema(document).highest_field_id
        if highest > last_column_id:
            raise InvalidRequest(
                f"field id {highest} is larger than `last-column-id` {last_column_id}"
            )


def _check_specs(metadata: Json, version: int) -> None:
    specs = get_objects(metadata, "partition-specs", _OF)
    for spec in specs:
        check_stored_spec(spec)
    _check_current(metadata, specs, "spec-id", current="default-spec-id")
    if version >= SEQUENCE_NUMBERS and not specs:
        raise InvalidRequest("the table metadata has no partition spec")
    if version < SEQUENCE_NUMBERS and metadata.get("partition-spec") is not None:
        check_stored_fields(as_array(metadata["partition-spec"], f"`partition-spec` of {_OF}"))
    if version >= SEQUENCE_NUMBERS or metadata.get("last-partition-id") is not None:
        get_int(metadata, "last-partition-id", _OF)


def _check_sort_orders(metadata: Json, version: int) -> None:
    orders = get_objects(metadata, "sort-orders", _OF)
    for order in orders:
        check_stored_order(order)
    _check_current(metadata, orders, "order-id", current="default-sort-order-id")
    if version >= SEQUENCE_NUMBERS and not orders:
        raise InvalidRequest("the table metadata has no sort order")


def _check_snapshots(metadata: Json, version: int) -> set[int]:
    """Check the snapshots and return their ids."""
    last_sequence_number = 0
    if version >= SEQUENCE_NUMBERS:
        last_sequence_number = get_long(metadata, "last-sequence-number", _OF, least=0)
    elif metadata.get("last-sequence-number") not in (None, 0):
        raise InvalidRequest("Sequence number must be 0 in v1")
    if version >= ROW_LINEAGE:
        get_long(metadata, "next-row-id", _OF, least=0)
    ids: set[int] = set()
    for snapshot in get_objects(metadata, "snapshots", _OF):
        snapshot_id = get_long(snapshot, "snapshot-id", "a snapshot")
        of = f"snapshot {snapshot_id}"
        get_long(snapshot, "timestamp-ms", of)
        if snapshot_id in ids:
            raise InvalidRequest(f"the table metadata has {of} twice")
        ids.add(snapshot_id)
        if snapshot.get("sequence-number") is not None:
            number = get_long(snapshot, "sequence-number", of)
            if number > last_sequence_number:
                raise InvalidRequest(
                    f"Invalid snapshot with sequence number {number} greater than "
                    f"last sequence number {last_sequence_number}"
                )
    return ids


def _check_refs(metadata: Json, snapshot_ids: set[int]) -> None:
    current: int | None = None
    if metadata.get("current-snapshot-id") is not None:
        get_long(metadata, "current-snapshot-id", _OF)
        stored = metadata["current-snapshot-id"]
        current = None if stored == NO_SNAPSHOT else stored
    if current is not None and current not in snapshot_ids:
        raise InvalidRequest("Invalid table metadata: Cannot find current version")
    if metadata.get("refs") is None:
        return
    refs = as_object(metadata["refs"], f"`refs` of {_OF}")
    for name, value in refs.items():
        ref = as_object(value, f"ref `{name}`")
        if get_text(ref, "type", f"ref `{name}`") not in {BRANCH, TAG}:
            raise InvalidRequest(f"`type` of ref `{name}` must be `branch` or `tag`")
        if get_long(ref, "snapshot-id", f"ref `{name}`") not in snapshot_ids:
            raise InvalidRequest(
                f"Snapshot for reference {name} does not exist in the existing snapshots list"
            )
    main = refs.get(MAIN)
    if current is None and main is not None:
        raise InvalidRequest("Current snapshot is not set, but main branch exists")
    if main is not None and main["snapshot-id"] != current:
        raise InvalidRequest(
            f"Current snapshot ID does not match main branch ({current} != {main['snapshot-id']})"
        )


def _check_log(metadata: Json, key: str, check_entry: Callable[[Json], None]) -> None:
    entries = get_objects(metadata, key, _OF)
    for entry in entries:
        get_long(entry, "timestamp-ms", f"`{key}`", least=0)
        check_entry(entry)
    times = [entry["timestamp-ms"] for entry in entries]
    if any(later < earlier - CLOCK_TOLERANCE_MS for earlier, later in pairwise(times)):
        raise InvalidRequest(f"`{key}` of {_OF} goes back in time")
    if times and metadata["last-updated-ms"] < times[-1] - CLOCK_TOLERANCE_MS:
        raise InvalidRequest(
            f"Invalid update timestamp {metadata['last-updated-ms']}: "
            f"before last entry of `{key}` at {times[-1]}"
        )


def _check_snapshot_entry(entry: Json) -> None:
    get_long(entry, "snapshot-id", "`snapshot-log`")


def _check_metadata_entry(entry: Json) -> None:
    get_text(entry, "metadata-file", "`metadata-log`")


def _check_current(metadata: Json, items: list[Json], id_key: str, *, current: str) -> None:
    """Check that ids are unique and that the one called current exists."""
    ids = [get_int(item, id_key, _OF) for item in items]
    if len(set(ids)) < len(ids):
        raise InvalidRequest(f"the table metadata repeats a `{id_key}`: {ids}")
    if items and get_int(metadata, current, _OF) not in ids:
        raise InvalidRequest(f"`{current}` {metadata[current]} of {_OF} does not exist")
