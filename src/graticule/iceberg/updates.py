"""Apply table updates to a metadata document.  Pure: no clock, no storage, no SQL.

One function for each action, all of them in the flat table `UPDATES`; what a schema, a spec or a
snapshot is, their own modules know.  A `Draft` holds what they work on.  Semantics are those of the
reference implementation's builder.  Specification: REST catalog, `TableUpdate`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graticule.domain.errors import InvalidRequest, InvalidUpdate
from graticule.iceberg import metadata as table
from graticule.iceberg import partitioning, sorting
from graticule.iceberg.document_updates import (
    action_of,
    checked_updates,
    id_or_last_added,
    remove_properties,
    set_location,
    set_properties,
)
from graticule.iceberg.draft import Draft
from graticule.iceberg.format_versions import (
    FORMAT_VERSION_DEFAULT,
    FORMAT_VERSION_MAX,
    ROW_LINEAGE,
    SEQUENCE_NUMBERS,
)
from graticule.iceberg.members import (
    Json,
    as_int,
    get_int,
    get_longs,
    get_text,
)
from graticule.iceberg.schema import (
    check_format_version,
    looks_same,
    parse_schema,
    same_schema,
)
from graticule.iceberg.snapshots import (
    MAIN,
    check_sequence_number,
    next_row_id_after,
    parse_ref,
    parse_snapshot,
)
from graticule.iceberg.statistics import (
    add_encryption_key,
    remove_encryption_key,
    remove_partition_statistics,
    remove_statistics,
    set_partition_statistics,
    set_statistics,
)

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Applied:
    """`changed` is False if the updates had no effect; `document` is then the one given.

    `expired_metadata_files` fell off the metadata log of a table that wants such files deleted.
    They come out of the document: check that they lie within the table before deleting any.
    """

    document: Json
    changed: bool
    expired_metadata_files: tuple[str, ...]


def apply(
    updates: Sequence[Json],
    metadata: Json | None,
    *,
    now_ms: int,
    metadata_location: str | None,
) -> Applied:
    """Apply the updates in order; all or none.  `metadata` is None for a table to be created.

    `metadata` must have passed `check_document`; it is never changed, and what the result shares
    with it must not be changed either.  `metadata_location` is the file that holds `metadata`.

    Raises:
        CommitConflict: the commit was made from an older state, and made again it may pass.
        InvalidUpdate: an update is unknown, malformed or contradicts the table.
    """
    try:
        checked = checked_updates(updates, UPDATES, of="table")
        if metadata is None:
            version = _initial_format_version(checked)
            draft = Draft.empty(format_version=version, now_ms=now_ms)
        else:
            draft = Draft.of(metadata, now_ms=now_ms)
        for update in checked:
            UPDATES[action_of(update)](draft, update)
        if metadata is not None and not draft.is_changed:
            return Applied(metadata, changed=False, expired_metadata_files=())
        document, expired = draft.finish(metadata_location=metadata_location)
    except InvalidUpdate:
        raise
    except InvalidRequest as error:
        raise InvalidUpdate(error.message) from error
    return Applied(document, changed=True, expired_metadata_files=expired)


# The table itself.


def assign_uuid(draft: Draft, update: Json) -> None:
    uuid = get_text(update, "uuid", "`assign-uuid`")
    if not _UUID.fullmatch(uuid):
        raise InvalidUpdate(f"`{uuid[:100]}` is not a UUID")
    current = draft.document.get("table-uuid")
    if current is not None and current.lower() == uuid.lower():
        return
    if draft.base is not None and current is not None:
        # Clients hold a table to the UUID that they loaded: it would be another table to them.
        raise InvalidUpdate("Cannot reassign uuid of an existing table")
    draft.set("table-uuid", uuid)


def upgrade_format_version(draft: Draft, update: Json) -> None:
    version, current = _version_of(update), draft.format_version
    if version < current:
        raise InvalidUpdate(f"Cannot downgrade v{current} table to v{version}")
    draft.set("format-version", version)


# Schemas, partition specs, sort orders.


def add_schema(draft: Draft, update: Json) -> None:
    """The id in the request is not looked at: an equal schema is reused, a new one counts on."""
    draft.count_definition()
    schema = parse_schema(update.get("schema"))
    check_format_version(schema, draft.format_version)
    new_id = draft.document["current-schema-id"]
    for existing in draft.document["schemas"]:
        if looks_same(existing, schema.document) and same_schema(draft.schema(existing), schema):
            draft.last_added_ids["schemas"] = existing["schema-id"]
            return
        new_id = max(new_id, existing["schema-id"] + 1)
    draft.set("last-column-id", max(draft.document["last-column-id"], schema.highest_field_id))
    document = schema.document | {"schema-id": new_id}
    draft.add_definition("schemas", "schema-id", document)


def set_current_schema(draft: Draft, update: Json) -> None:
    schema_id = id_or_last_added(draft, update, "schema-id", "schemas", "schema")
    if table.schema_by_id(draft.document, schema_id) is None:
        raise InvalidUpdate(f"Cannot set current schema to unknown schema: {schema_id}")
    _set_current(draft, "current-schema-id", schema_id)


def remove_schemas(draft: Draft, update: Json) -> None:
    ids = get_longs(update, "schema-ids", "`remove-schemas`")
    if draft.document["current-schema-id"] in ids:
        raise InvalidUpdate("Cannot remove the current schema")
    draft.remove_definitions("schemas", "schema-id", ids)


def add_spec(draft: Draft, update: Json) -> None:
    draft.count_definition()
    spec = partitioning.parse_spec(update.get("spec"))
    new_id = 0
    for existing in draft.document["partition-specs"]:
        if partitioning.compatible_specs(existing, spec):
            draft.last_added_ids["partition-specs"] = existing["spec-id"]
            return
        new_id = max(new_id, existing["spec-id"] + 1)
    partitioning.check_spec(spec, draft.current_schema())
    spec = partitioning.assign_field_ids(
        spec,
        format_version=draft.format_version,
        specs=draft.document["partition-specs"],
        last_partition_id=draft.document["last-partition-id"],
    )
    if draft.format_version < SEQUENCE_NUMBERS and not partitioning.has_sequential_ids(spec):
        raise InvalidUpdate("Spec does not use sequential IDs that are required in v1")
    last_id = max(draft.document["last-partition-id"], partitioning.last_field_id(spec))
    draft.set("last-partition-id", as_int(last_id, "a partition field id"))
    draft.add_definition("partition-specs", "spec-id", spec | {"spec-id": new_id})


def set_default_spec(draft: Draft, update: Json) -> None:
    spec_id = id_or_last_added(draft, update, "spec-id", "partition-specs", "partition spec")
    if table.partition_spec_by_id(draft.document, spec_id) is None:
        raise InvalidUpdate(f"Cannot set default partition spec to unknown spec: {spec_id}")
    _set_current(draft, "default-spec-id", spec_id)


def remove_partition_specs(draft: Draft, update: Json) -> None:
    ids = get_longs(update, "spec-ids", "`remove-partition-specs`")
    if draft.document["default-spec-id"] in ids:
        raise InvalidUpdate("Cannot remove the default partition spec")
    draft.remove_definitions("partition-specs", "spec-id", ids)


def add_sort_order(draft: Draft, update: Json) -> None:
    draft.count_definition()
    order = sorting.parse_order(update.get("sort-order"))
    new_id = sorting.FIRST_ORDER_ID if order["fields"] else sorting.UNSORTED_ORDER_ID
    for existing in draft.document["sort-orders"]:
        if sorting.same_order(existing, order):
            draft.last_added_ids["sort-orders"] = existing["order-id"]
            return
        if order["fields"]:
            new_id = max(new_id, existing["order-id"] + 1)
    sorting.check_order(order, draft.current_schema())
    draft.add_definition("sort-orders", "order-id", order | {"order-id": new_id})


def set_default_sort_order(draft: Draft, update: Json) -> None:
    order_id = id_or_last_added(draft, update, "sort-order-id", "sort-orders", "sort order")
    if table.sort_order_by_id(draft.document, order_id) is None:
        raise InvalidUpdate(f"Cannot set default sort order to unknown sort order: {order_id}")
    _set_current(draft, "default-sort-order-id", order_id)


# Snapshots and refs.


def add_snapshot(draft: Draft, update: Json) -> None:
    snapshot = parse_snapshot(update.get("snapshot"))
    for key, what in _NEEDED_BY_SNAPSHOTS.items():
        if not draft.document[key]:
            raise InvalidUpdate(f"Attempting to add a snapshot before a {what} is added")
    snapshot_id, last = snapshot["snapshot-id"], draft.document["last-sequence-number"]
    if draft.has_snapshot(snapshot_id):
        raise InvalidUpdate(f"Snapshot already exists for id: {snapshot_id}")
    version = draft.format_version
    check_sequence_number(snapshot, format_version=version, last_sequence_number=last)
    if version >= ROW_LINEAGE:
        next_row_id = draft.document.get("next-row-id") or 0
        draft.set("next-row-id", next_row_id_after(snapshot, next_row_id=next_row_id))
    # Never back: a snapshot without a parent may be numbered from an older state, and clients
    # refuse a table that holds a snapshot beyond its last sequence number.
    draft.set("last-sequence-number", max(last, snapshot.get("sequence-number", 0)))
    draft.add_snapshot(snapshot)


def remove_snapshots(draft: Draft, update: Json) -> None:
    """Takes along the refs and statistics of what is removed; ids that are not there pass."""
    wanted = set(get_longs(update, "snapshot-ids", "`remove-snapshots`"))
    ids = {snapshot_id for snapshot_id in wanted if draft.has_snapshot(snapshot_id)}
    for snapshot_id in ids:
        draft.remove_snapshot(snapshot_id)
    if ids:
        refs = draft.document["refs"].items()
        for name in [name for name, ref in refs if ref["snapshot-id"] in ids]:
            draft.remove_ref(name)


def set_snapshot_ref(draft: Draft, update: Json) -> None:
    name = get_text(update, "ref-name", "`set-snapshot-ref`")
    ref = parse_ref(name, {k: v for k, v in update.items() if k not in {"action", "ref-name"}})
    snapshot_id = ref["snapshot-id"]
    if not draft.has_snapshot(snapshot_id):
        raise InvalidUpdate(f"Cannot set {name} to unknown snapshot: {snapshot_id}")
    if draft.document["refs"].get(name) != ref:
        draft.own_map("refs")[name] = ref
        draft.is_changed = True
    if name == MAIN:
        draft.set_current_snapshot(snapshot_id)


def remove_snapshot_ref(draft: Draft, update: Json) -> None:
    draft.remove_ref(get_text(update, "ref-name", "`remove-snapshot-ref`"))


UPDATES: Final[Mapping[str, Callable[[Draft, Json], None]]] = {
    "assign-uuid": assign_uuid,
    "upgrade-format-version": upgrade_format_version,
    "add-schema": add_schema,
    "set-current-schema": set_current_schema,
    "remove-schemas": remove_schemas,
    "add-spec": add_spec,
    "set-default-spec": set_default_spec,
    "remove-partition-specs": remove_partition_specs,
    "add-sort-order": add_sort_order,
    "set-default-sort-order": set_default_sort_order,
    "add-snapshot": add_snapshot,
    "remove-snapshots": remove_snapshots,
    "set-snapshot-ref": set_snapshot_ref,
    "remove-snapshot-ref": remove_snapshot_ref,
    "set-location": set_location,
    "set-properties": set_properties,
    "remove-properties": remove_properties,
    "set-statistics": set_statistics,
    "remove-statistics": remove_statistics,
    "set-partition-statistics": set_partition_statistics,
    "remove-partition-statistics": remove_partition_statistics,
    "add-encryption-key": add_encryption_key,
    "remove-encryption-key": remove_encryption_key,
}

_NEEDED_BY_SNAPSHOTS: Final = {
    "schemas": "schema",
    "partition-specs": "partition spec",
    "sort-orders": "sort order",
}


def _initial_format_version(updates: Sequence[Json]) -> int:
    """The first upgrade seeds a new table: its later updates may rely on the version."""
    versions = (u for u in updates if action_of(u) == "upgrade-format-version")
    first = next(versions, None)
    return FORMAT_VERSION_DEFAULT if first is None else _version_of(first)


def _version_of(update: Json) -> int:
    version = get_int(update, "format-version", "`upgrade-format-version`", least=1)
    if version > FORMAT_VERSION_MAX:
        raise InvalidUpdate(
            f"Cannot upgrade table to unsupported format version: v{version} "
            f"(supported: v{FORMAT_VERSION_MAX})"
        )
    return version


def _set_current(draft: Draft, key: str, wanted: int) -> None:
    if draft.document[key] != wanted:
        draft.set(key, wanted)
        draft.is_current_changed = True
