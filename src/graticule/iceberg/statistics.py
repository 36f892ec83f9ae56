"""Statistics files and encryption keys: the updates that set and remove them.

Both are small lists beside a table's snapshots that other members refer to by id.  Specification:
format, "Table statistics", "Partition statistics" and "Encryption keys".
"""

import base64
import binascii

from graticule.domain.errors import InvalidUpdate
from graticule.iceberg.draft import Draft
from graticule.iceberg.members import Json, as_object, get_long, get_objects, get_text


def set_statistics(draft: Draft, update: Json) -> None:
    """Replaces what the snapshot had.  The update's own `snapshot-id` is deprecated and ignored."""
    statistics = _file(update, "statistics")
    get_long(statistics, "file-footer-size-in-bytes", "`statistics`", least=0)
    get_objects(statistics, "blob-metadata", "`statistics`")
    _put(draft, "statistics", statistics)


def set_partition_statistics(draft: Draft, update: Json) -> None:
    _put(draft, "partition-statistics", _file(update, "partition-statistics"))


def remove_statistics(draft: Draft, update: Json) -> None:
    _pop(draft, "statistics", update)


def remove_partition_statistics(draft: Draft, update: Json) -> None:
    _pop(draft, "partition-statistics", update)


def add_encryption_key(draft: Draft, update: Json) -> None:
    """A key under an id that is already there changes nothing.  Its metadata stays opaque."""
    draft.count_definition()
    key = as_object(update.get("encryption-key"), "`encryption-key`")
    key_id = get_text(key, "key-id", "`encryption-key`")
    metadata = get_text(key, "encrypted-key-metadata", "`encryption-key`")
    try:
        base64.b64decode(metadata, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidUpdate("`encrypted-key-metadata` must be base64") from error
    keys = draft.document.get("encryption-keys") or []
    if all(existing["key-id"] != key_id for existing in keys):
        draft.own_list("encryption-keys").append(key)
        draft.is_changed = True


def remove_encryption_key(draft: Draft, update: Json) -> None:
    key_id = get_text(update, "key-id", "`remove-encryption-key`")
    keys = draft.document.get("encryption-keys") or []
    kept = [key for key in keys if key["key-id"] != key_id]
    if len(kept) < len(keys):
        draft.replace("encryption-keys", kept)


def _file(update: Json, member: str) -> Json:
    of = f"`{member}`"
    statistics = as_object(update.get(member), of)
    get_long(statistics, "snapshot-id", of)
    get_text(statistics, "statistics-path", of)
    get_long(statistics, "file-size-in-bytes", of, least=0)
    return statistics


def _put(draft: Draft, member: str, statistics: Json) -> None:
    by_snapshot, snapshot_id = draft.statistics(member), statistics["snapshot-id"]
    if by_snapshot.get(snapshot_id) != [statistics]:
        by_snapshot[snapshot_id] = [statistics]
        draft.is_changed = True


def _pop(draft: Draft, member: str, update: Json) -> None:
    snapshot_id = get_long(update, "snapshot-id", f"`{update['action']}`")
    if draft.statistics(member).pop(snapshot_id, None) is not None:
        draft.is_changed = True
