"""Scans in SQL.  Functions over a connection; services open and commit.

A scan belongs to the process that runs it, which shows that it lives by `beat`.  One that has been
silent for `SILENCE_MS_MAX` was interrupted, and is marked so by whoever comes next.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from graticule.db.engine import serialise_on
from graticule.db.schema import scans
from graticule.domain.errors import WrongState
from graticule.domain.scan import Scan, ScanState

Json = dict[str, Any]

SILENCE_MS_MAX: Final = 60_000
"""Beats come every few seconds; a process that misses a minute of them is gone or hung."""

_INTERRUPTED: Final[Json] = {"error": "the server stopped while the scan was running; scan again"}


def create(conn: Connection, scan: Scan) -> None:
    """Insert a running scan.

    Raises:
        WrongState: another scan of the catalog is running.
    """
    serialise_on(conn, f"scan of catalog {scan.catalog_id}")
    fail_interrupted(conn, now_ms=scan.created_at_ms)
    running = conn.execute(
        select(scans.c.id)
        .where(scans.c.catalog_id == scan.catalog_id, scans.c.state == ScanState.RUNNING)
        .limit(1)
    ).scalar_one_or_none()
    if running is not None:
        raise WrongState(f"scan `{running}` of this catalog is still running; wait for it to end")
    conn.execute(
        insert(scans).values(
            id=scan.id,
            catalog_id=scan.catalog_id,
            prefix=scan.prefix,
            state=scan.state,
            progress=json.dumps(dict(scan.progress)),
            report=json.dumps(scan.report) if scan.report is not None else None,
            requested_by=scan.requested_by,
            created_at_ms=scan.created_at_ms,
            updated_at_ms=scan.updated_at_ms,
            finished_at_ms=scan.finished_at_ms,
        )
    )


def load(conn: Connection, catalog_id: str, scan_id: str) -> Scan | None:
    row = conn.execute(
        select(scans).where(scans.c.id == scan_id, scans.c.catalog_id == catalog_id)
    ).one_or_none()
    return _scan(row) if row is not None else None


def page(conn: Connection, catalog_id: str, *, after: str | None, limit: int) -> list[Scan]:
    """Scans of a catalog, newest first."""
    query = select(scans).where(scans.c.catalog_id == catalog_id)
    if after is not None:
        query = query.where(scans.c.id < after)
    return [_scan(row) for row in conn.execute(query.order_by(scans.c.id.desc()).limit(limit))]


def beat(conn: Connection, scan_id: str, progress: Json, *, now_ms: int) -> bool:
    """Show life and progress.  False if the scan is not running any more: stop working on it."""
    running = update(scans).where(scans.c.id == scan_id, scans.c.state == ScanState.RUNNING)
    values = {"progress": json.dumps(progress), "updated_at_ms": now_ms}
    return conn.execute(running.values(values)).rowcount == 1


def move(
    conn: Connection,
    scan_id: str,
    *,
    expected: ScanState,
    to: ScanState,
    now_ms: int,
    report: Json | None = None,
    progress: Json | None = None,
) -> bool:
    """Bring a scan from one state to another, if it is in the first.  Atomic.

    Without a report or progress the old ones stay.
    """
    values: Json = {"state": to, "updated_at_ms": now_ms, "finished_at_ms": now_ms}
    if report is not None:
        values["report"] = json.dumps(report)
    if progress is not None:
        values["progress"] = json.dumps(progress)
    there = update(scans).where(scans.c.id == scan_id, scans.c.state == expected)
    return conn.execute(there.values(values)).rowcount == 1


def fail_interrupted(conn: Connection, *, now_ms: int) -> int:
    """Mark running scans that went silent as failed; returns how many."""
    silent = update(scans).where(
        scans.c.state == ScanState.RUNNING, scans.c.updated_at_ms < now_ms - SILENCE_MS_MAX
    )
    values = {
        "state": ScanState.FAILED,
        "report": json.dumps(_INTERRUPTED),
        "updated_at_ms": now_ms,
        "finished_at_ms": now_ms,
    }
    return conn.execute(silent.values(values)).rowcount


def _scan(row: Row[Any]) -> Scan:
    return Scan(
        id=row.id,
        catalog_id=row.catalog_id,
        prefix=row.prefix,
        state=ScanState(row.state),
        progress=json.loads(row.progress),
        report=json.loads(row.report) if row.report is not None else None,
        requested_by=row.requested_by,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        finished_at_ms=row.finished_at_ms,
    )
