"""Parts of scans that other machines inspect, in SQL.  Functions over a connection.

What has to be in the database together with the inspections that came of a part: that it was taken.
"""

import json
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from graticule.db.schema import jobs, scan_parts, scans
from graticule.domain.job import JobState

_c = scan_parts.c


class PartState(StrEnum):
    """out → taken or refused; removed once what lay in the bucket for it is deleted."""

    OUT = "out"
    TAKEN = "taken"
    REFUSED = "refused"
    REMOVED = "removed"


class HandedPart(NamedTuple):
    """`places` are keys of folders; `reason` says why its answers were refused."""

    name: str
    files: int
    places: tuple[str, ...]
    state: PartState
    reason: str | None = None


class Remains(NamedTuple):
    """A scan that ended, whose parts are still known."""

    scan_id: str
    catalog_id: str
    organisation_id: str
    finished_at_ms: int
    is_removed: bool


def create(conn: Connection, scan_id: str, part: HandedPart) -> None:
    conn.execute(
        insert(scan_parts).values(
            scan_id=scan_id, **(part._asdict() | {"places": json.dumps(part.places)})
        )
    )


def of_scan(conn: Connection, scan_id: str) -> list[HandedPart]:
    """All parts of a scan, in the order of their names."""
    query = select(_c.name, _c.files, _c.places, _c.state, _c.reason)
    return [
        HandedPart(row.name, row.files, tuple(json.loads(row.places)), PartState(row.state), row[4])
        for row in conn.execute(query.where(_c.scan_id == scan_id).order_by(_c.name))
    ]


def find(conn: Connection, scan_id: str, name: str) -> HandedPart | None:
    return next((part for part in of_scan(conn, scan_id) if part.name == name), None)


def settle(
    conn: Connection, scan_id: str, name: str, state: PartState, *, reason: str | None = None
) -> bool:
    """Say what became of a part.  False if somebody else said so before."""
    out = update(scan_parts).where(
        _c.scan_id == scan_id, _c.name == name, _c.state == PartState.OUT
    )
    return conn.execute(out.values(state=state, reason=reason)).rowcount == 1


def mark_removed(conn: Connection, scan_id: str) -> None:
    """What lay in the bucket for the scan's parts is deleted."""
    own = update(scan_parts).where(_c.scan_id == scan_id)
    conn.execute(own.values(state=PartState.REMOVED))


def forget(conn: Connection, scan_id: str) -> None:
    conn.execute(delete(scan_parts).where(_c.scan_id == scan_id))


def remains(conn: Connection, *, ended_before_ms: int) -> list[Remains]:
    """Scans that ended: those with something in the bucket, and of the others the older ones."""
    query = (
        select(
            scan_parts.c.scan_id,
            scans.c.catalog_id,
            jobs.c.organisation_id,
            jobs.c.finished_at_ms,
            (scan_parts.c.state == PartState.REMOVED).label("is_removed"),
        )
        .distinct()
        .join(scans, scans.c.id == scan_parts.c.scan_id)
        .join(jobs, jobs.c.id == scans.c.id)
        .where(jobs.c.state.in_([state for state in JobState if not state.is_active]))
        .where((_c.state != PartState.REMOVED) | (jobs.c.finished_at_ms < ended_before_ms))
    )
    found = [Remains(*row) for row in conn.execute(query)]
    return sorted(found, key=lambda each: each.scan_id)
