"""Recognises a commit that a table already holds.

A client or a proxy sends a commit again when its answer was lost.  Its requirements no longer hold,
but answering 409 would make the client delete files that the table now refers to.  Pure.
"""

from collections.abc import Sequence
from typing import Any

from graticule.iceberg import metadata
from graticule.iceberg.entries import snapshot_ids

Json = dict[str, Any]


def is_already_applied(updates: Sequence[Json], document: Json) -> bool:
    """True if the updates do nothing but add snapshots that are here and point refs at them.

    Snapshot ids are random 63-bit numbers, so the same id means the same commit.  The ref may have
    moved on since: the commit landed all the same, and that is what its sender wants to know.
    """
    added = _added_snapshots(updates)
    for update in updates:
        match _action(update):
            case "add-snapshot":
                continue
            case "set-snapshot-ref":
                if update.get("snapshot-id") not in added:
                    return False
            case _:
                return False
    return bool(added) and added <= snapshot_ids(metadata.snapshots(document))


def is_same_creation(updates: Sequence[Json], document: Json) -> bool:
    """True if these updates are what created the table: they bring its uuid and its snapshots.

    A uuid is made anew for every creation, so nobody else's brings the same one.
    """
    uuids = {
        str(update.get("uuid", "")).lower()
        for update in updates
        if _action(update) == "assign-uuid"
    }
    is_same = uuids == {str(document.get("table-uuid", "")).lower()}
    return is_same and _added_snapshots(updates) <= snapshot_ids(metadata.snapshots(document))


def _added_snapshots(updates: Sequence[Json]) -> set[object]:
    added: set[object] = set()
    for update in updates:
        if _action(update) == "add-snapshot":
            snapshot = update.get("snapshot")
            added.add(snapshot.get("snapshot-id") if isinstance(snapshot, dict) else None)
    return added


def _action(update: Json) -> str:
    return str(update.get("action", "")).lower()
