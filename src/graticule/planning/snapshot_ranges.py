"""Which snapshots appended what lies between two of them.  Pure.

Spec: incremental scans of `planTableScan`; the start is exclusive, the end inclusive.
"""

from collections.abc import Sequence
from typing import Any, Final

from graticule.domain.errors import InvalidRequest
from graticule.iceberg import metadata

Json = dict[str, Any]

SNAPSHOTS_PER_RANGE_MAX: Final = 10_000
_APPEND: Final = "append"


def appends_between(document: Json, start_id: int, end_id: int) -> list[Json]:
    """The snapshots after `start_id` up to `end_id` that only added files, oldest first.

    What the others did (overwrites, deletes, rewrites of the same rows) is no part of such a scan.

    Raises:
        InvalidRequest: an end that is not there, or a start that is no ancestor of it.
    """
    known = {int(snapshot["snapshot-id"]): snapshot for snapshot in metadata.snapshots(document)}
    if end_id not in known:
        raise InvalidRequest(f"the table has no snapshot {end_id}")
    found: list[Json] = []
    at: Any = end_id
    for _ in range(SNAPSHOTS_PER_RANGE_MAX + 1):
        if at == start_id:
            return _appends(found)
        snapshot = known.get(at)
        if snapshot is None:
            raise InvalidRequest(
                f"snapshot {start_id} is no ancestor of {end_id}, or one between them has expired"
            )
        found.append(snapshot)
        at = snapshot.get("parent-snapshot-id")
    raise InvalidRequest(
        f"more than {SNAPSHOTS_PER_RANGE_MAX} snapshots lie between {start_id} and {end_id}; "
        "plan them in parts"
    )


def _appends(newest_first: Sequence[Json]) -> list[Json]:
    return [
        snapshot
        for snapshot in reversed(newest_first)
        if (snapshot.get("summary") or {}).get("operation") == _APPEND
    ]
