"""Snapshots and the refs that point at them: read and check what a request carries.

Specification: format, "Snapshots" and "Snapshot references".
"""

from typing import Final

from graticule.domain.errors import CommitConflict, InvalidUpdate
from graticule.iceberg.format_versions import SEQUENCE_NUMBERS
from graticule.iceberg.members import (
    Json,
    as_long,
    as_object,
    as_text_map,
    get_array,
    get_int,
    get_long,
    get_object,
    get_text,
    without_nulls,
)

MAIN: Final = "main"
BRANCH: Final = "branch"
TAG: Final = "tag"

_SNAPSHOT_OPTIONAL: Final = (
    "parent-snapshot-id", "sequence-number", "summary", "schema-id", "first-row-id", "added-rows",
    "key-id", "manifest-list", "manifests",
)  # fmt: skip
_RETENTION: Final = ("max-ref-age-ms", "max-snapshot-age-ms", "min-snapshots-to-keep")


def parse_snapshot(value: object) -> Json:
    """Check the form of a snapshot.  Unknown members survive; nulls of known ones are left out.

    Raises:
        InvalidRequest: malformed.
    """
    snapshot = without_nulls(as_object(value, "`snapshot`"), _SNAPSHOT_OPTIONAL)
    get_long(snapshot, "snapshot-id", "a snapshot")
    of = f"snapshot {snapshot['snapshot-id']}"
    get_long(snapshot, "timestamp-ms", of, least=0)
    for key in ("sequence-number", "first-row-id", "added-rows"):
        if key in snapshot:
            get_long(snapshot, key, of, least=0)
    if "parent-snapshot-id" in snapshot:
        get_long(snapshot, "parent-snapshot-id", of)
    if "schema-id" in snapshot:
        get_int(snapshot, "schema-id", of)
    if "summary" in snapshot:
        as_text_map(get_object(snapshot, "summary", of), f"`summary` of {of}")
    if "key-id" in snapshot:
        get_text(snapshot, "key-id", of)
    # Version 1 could name its manifests without a list of them.
    if "manifests" in snapshot and "manifest-list" not in snapshot:
        get_array(snapshot, "manifests", of)
    else:
        get_text(snapshot, "manifest-list", of)
    return snapshot


def check_sequence_number(
    snapshot: Json, *, format_version: int, last_sequence_number: int
) -> None:
    """Check that the snapshot comes after all others.

    Raises:
        CommitConflict: it was made from an older state of the table; made again it will pass.
        InvalidUpdate: version 1 has no sequence numbers; later versions demand one.
    """
    number = snapshot.get("sequence-number", 0)
    if format_version < SEQUENCE_NUMBERS:
        if number != 0:
            raise InvalidUpdate(f"Sequence number must be 0 in v1: {number}")
    elif number <= last_sequence_number and "parent-snapshot-id" in snapshot:
        if "sequence-number" not in snapshot:
            # To be told to try again would not help its sender.
            raise InvalidUpdate("Cannot add a snapshot: sequence-number is null")
        raise CommitConflict(
            "Validation failed, please retry: Cannot add snapshot with sequence number "
            f"{number} older than last sequence number {last_sequence_number}"
        )


def next_row_id_after(snapshot: Json, *, next_row_id: int) -> int:
    """The table's next row id once the snapshot is added.

    Raises:
        CommitConflict: the snapshot numbers its rows from an older state of the table.
        InvalidUpdate: it numbers no rows, which version 3 demands.
    """
    first_row_id, added_rows = snapshot.get("first-row-id"), snapshot.get("added-rows")
    if first_row_id is None:
        raise InvalidUpdate("Cannot add a snapshot: first-row-id is null")
    if added_rows is None:
        raise InvalidUpdate("Invalid added-rows (required when first-row-id is set): null")
    if first_row_id < next_row_id:
        raise CommitConflict(
            "Validation failed, please retry: Cannot add a snapshot, first-row-id is behind table "
            f"next-row-id: {first_row_id} < {next_row_id}"
        )
    return as_long(first_row_id + added_rows, "`next-row-id`")


def parse_ref(name: str, value: Json) -> Json:
    """The ref that a `set-snapshot-ref` update sets; it replaces the old one, retention included.

    Raises:
        InvalidRequest: malformed.
        InvalidUpdate: a tag with a branch's retention, or a tag named `main`.
    """
    ref = without_nulls(value, _RETENTION)
    get_long(ref, "snapshot-id", "a ref")
    kind = get_text(ref, "type", "a ref").lower()
    if kind not in {BRANCH, TAG}:
        raise InvalidUpdate(f"`type` of ref `{name}` must be `branch` or `tag`")
    if name == MAIN and kind != BRANCH:
        raise InvalidUpdate("Cannot set main to a tag: it must be a branch")
    if kind == TAG and ("min-snapshots-to-keep" in ref or "max-snapshot-age-ms" in ref):
        raise InvalidUpdate(
            f"Tags do not support min-snapshots-to-keep and max-snapshot-age-ms: `{name}`"
        )
    if "min-snapshots-to-keep" in ref:
        get_int(ref, "min-snapshots-to-keep", f"ref `{name}`", least=1)
    for key in ("max-ref-age-ms", "max-snapshot-age-ms"):
        if key in ref:
            get_long(ref, key, f"ref `{name}`", least=1)
    return ref | {"type": kind}
