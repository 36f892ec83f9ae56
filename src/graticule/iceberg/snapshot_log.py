"""The snapshot log: which snapshot was current since when.

Clients reject a table whose log goes back in time by more than a minute, or runs ahead of
`last-updated-ms` by more than that, so a commit from a machine with a wrong clock must not leave
such a log behind.  Specification: format, "Table metadata", `snapshot-log`.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from graticule.iceberg.entries import followed_by
from graticule.iceberg.members import Json

CLOCK_TOLERANCE_MS: Final = 60_000


def repaired_log(
    log: Sequence[Json],
    additions: Sequence[Json],
    *,
    has_snapshot: Callable[[int], bool],
    added_snapshot_ids: Collection[int],
    current_snapshot_id: int | None,
    has_removed_snapshots: bool,
    now_ms: int,
) -> Sequence[Json]:
    """The log after a commit that made the snapshots in `additions` current, one after the other.

    A snapshot that the same commit added and replaced again never was current for anybody, so it
    is left out.  An entry whose snapshot was removed takes the entries before it along: with a gap
    in between, time travel would answer from the wrong snapshot.
    """
    kept, added = log, list[Json]()
    for entry in additions:
        snapshot_id = entry["snapshot-id"]
        if snapshot_id in added_snapshot_ids and snapshot_id != current_snapshot_id:
            continue
        in_order = _in_order(entry["timestamp-ms"], added or kept)
        added.append(entry | {"timestamp-ms": in_order})
    if has_removed_snapshots:
        whole = [*kept, *added]
        gaps = [i for i, entry in enumerate(whole) if not has_snapshot(entry["snapshot-id"])]
        kept, added = whole[gaps[-1] + 1 :] if gaps else whole, []
    is_touched = has_removed_snapshots or bool(additions)
    newest = added or kept
    if (
        is_touched
        and current_snapshot_id is not None
        and (not newest or newest[-1]["snapshot-id"] != current_snapshot_id)
    ):
        # The log that came with the table was incomplete.
        since_ms = _in_order(now_ms, newest)
        added.append({"timestamp-ms": since_ms, "snapshot-id": current_snapshot_id})
    return followed_by(kept, added)


def _in_order(timestamp_ms: int, log: Sequence[Json]) -> int:
    """The time itself, unless it lies before the newest entry by more than clients tolerate."""
    newest: int = log[-1]["timestamp-ms"] if log else timestamp_ms
    return timestamp_ms if timestamp_ms >= newest - CLOCK_TOLERANCE_MS else newest
