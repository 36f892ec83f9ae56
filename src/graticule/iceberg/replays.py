"""Recognises a commit that a table already holds.

A client or a proxy sends a commit again when its answer was lost.  Its requirements no longer hold,
but answering 409 would make the client delete files that the table now refers to.  Pure.
"""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]


def is_already_applied(updates: Sequence[Json], document: Json) -> bool:
    """True if the updates do nothing but add snapshots that are here and point refs at them.

    Snapshot ids are random 63-bit numbers, so the same id means the same commit.  The ref may have
    moved on since: the commit landed all the same, and that is what its sender wants to know.
    """
    present = {snapshot.get("snapshot-id") for snapshot in document.get("snapshots") or []}
    added: set[object] = set()
    for update in updates:
        match str(update.get("action", "")).lower():
            case "add-snapshot":
                snapshot = update.get("snapshot")
                added.add(snapshot.get("snapshot-id") if isinstance(snapshot, dict) else None)
            case "set-snapshot-ref":
                if update.get("snapshot-id") not in added:
                    return False
            case _:
                return False
    return bool(added) and added <= present
