"""Scans in SQL.  Functions over a connection; services open and commit.

A scan is carried out by the job of the same id: while it runs, and if it ended otherwise than by
its proposals, its job knows how it stands.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, insert, select, update

from graticule.db.schema import jobs, scans
from graticule.domain.job import JobState
from graticule.domain.scan import Scan, ScanState

Json = dict[str, Any]

_INTERRUPTED: Final = "the server stopped while the scan was running; scan again"
_WAITING: Final[Json] = {"phase": "waiting"}


def create(conn: Connection, scan: Scan) -> None:
    conn.execute(
        insert(scans).values(
            id=scan.id,
            catalog_id=scan.catalog_id,
            prefix=scan.prefix,
            state=scan.state,
            digest=scan.digest,
            progress=json.dumps(dict(scan.progress)),
            report=json.dumps(scan.report) if scan.report is not None else None,
            requested_by=scan.requested_by,
            created_at_ms=scan.created_at_ms,
            updated_at_ms=scan.updated_at_ms,
            finished_at_ms=scan.finished_at_ms,
        )
    )


def load(conn: Connection, catalog_id: str, scan_id: str) -> Scan | None:
    own = _with_jobs().where(scans.c.id == scan_id, scans.c.catalog_id == catalog_id)
    row = conn.execute(own).one_or_none()
    return _scan(row) if row is not None else None


def page(conn: Connection, catalog_id: str, *, after: str | None, limit: int) -> list[Scan]:
    """Scans of a catalog, newest first."""
    query = _with_jobs().where(scans.c.catalog_id == catalog_id)
    if after is not None:
        query = query.where(scans.c.id < after)
    return [_scan(row) for row in conn.execute(query.order_by(scans.c.id.desc()).limit(limit))]


def with_digest(conn: Connection, catalog_id: str, prefix: str, digest: str) -> Scan | None:
    """The newest scan of this place that came to its proposals from the very same files."""
    query = _with_jobs().where(
        scans.c.catalog_id == catalog_id,
        scans.c.prefix == prefix,
        scans.c.digest == digest,
        scans.c.state.in_([ScanState.PROPOSED, ScanState.REGISTERED]),
    )
    row = conn.execute(query.order_by(scans.c.id.desc()).limit(1)).one_or_none()
    return _scan(row) if row is not None else None


def move(
    conn: Connection,
    scan_id: str,
    *,
    expected: ScanState,
    to: ScanState,
    now_ms: int,
    report: Json | None = None,
    progress: Json | None = None,
    digest: str | None = None,
) -> bool:
    """Bring a scan from one state to another, if it is in the first.  Atomic.

    Without a report, progress or digest the old ones stay.
    """
    values: Json = {"state": to, "updated_at_ms": now_ms, "finished_at_ms": now_ms}
    if report is not None:
        values["report"] = json.dumps(report)
    if progress is not None:
        values["progress"] = json.dumps(progress)
    if digest is not None:
        values["digest"] = digest
    there = update(scans).where(scans.c.id == scan_id, scans.c.state == expected)
    return conn.execute(there.values(values)).rowcount == 1


def _with_jobs() -> Select[Any]:
    return select(
        scans,
        jobs.c.state.label("job_state"),
        jobs.c.progress.label("job_progress"),
        jobs.c.error.label("job_error"),
        jobs.c.finished_at_ms.label("job_finished_at_ms"),
    ).outerjoin(jobs, jobs.c.id == scans.c.id)


def _scan(row: Row[Any]) -> Scan:
    state, report = ScanState(row.state), row.report and json.loads(row.report)
    progress, finished_at_ms = json.loads(row.progress), row.finished_at_ms
    if state is ScanState.RUNNING:
        job_state = None if row.job_state is None else JobState(row.job_state)
        finished_at_ms = row.job_finished_at_ms
        progress = json.loads(row.job_progress) if row.job_progress else _WAITING
        match job_state:
            case None:  # one that an earlier version began
                state, report = ScanState.FAILED, {"error": _INTERRUPTED}
                progress, finished_at_ms = json.loads(row.progress), row.updated_at_ms
            case JobState.CANCELLED:
                state, report = ScanState.CANCELLED, {"error": "the scan was cancelled"}
            case JobState.FAILED:
                state, report = ScanState.FAILED, {"error": row.job_error or _INTERRUPTED}
    return Scan(
        id=row.id,
        catalog_id=row.catalog_id,
        prefix=row.prefix,
        state=state,
        progress=progress,
        report=report,
        requested_by=row.requested_by,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        finished_at_ms=finished_at_ms,
        digest=row.digest,
    )
