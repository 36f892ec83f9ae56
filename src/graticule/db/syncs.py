"""Syncs in SQL.  Functions over a connection; services open and commit.

A running sync is carried out by a job, whose lease says whether somebody is at it.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from graticule.db import jobs as jobs_db
from graticule.db.engine import serialise_on
from graticule.db.schema import syncs
from graticule.domain.errors import WrongState
from graticule.domain.sync import Sync, SyncState, SyncTrigger

Json = dict[str, Any]

_INTERRUPTED: Final[Json] = {"error": "its job ended without a word; start again"}


def create(conn: Connection, sync: Sync) -> None:
    """Insert a running sync.

    Raises:
        WrongState: another sync of the catalog is running.
    """
    refuse_second(conn, sync.catalog_id, now_ms=sync.created_at_ms)
    conn.execute(
        insert(syncs).values(
            id=sync.id,
            catalog_id=sync.catalog_id,
            state=sync.state,
            trigger=sync.trigger,
            parameters=json.dumps(dict(sync.parameters)),
            report=None if sync.report is None else json.dumps(dict(sync.report)),
            requested_by=sync.requested_by,
            created_at_ms=sync.created_at_ms,
            updated_at_ms=sync.updated_at_ms,
            finished_at_ms=sync.finished_at_ms,
        )
    )


def refuse_second(conn: Connection, catalog_id: str, *, now_ms: int) -> None:
    """Let one sync at a time run in a catalog; nobody can start one until the transaction ends.

    Raises:
        WrongState: one is running.
    """
    serialise_on(conn, f"sync of catalog {catalog_id}")
    fail_left(conn, catalog_id, now_ms=now_ms)
    running = conn.execute(
        select(syncs.c.id)
        .where(syncs.c.catalog_id == catalog_id, syncs.c.state == SyncState.RUNNING)
        .limit(1)
    ).scalar_one_or_none()
    if running is not None:
        raise WrongState(f"sync `{running}` of this catalog is still running; wait for it to end")


def is_running(conn: Connection, catalog_id: str) -> bool:
    """True if a job is at a sync of the catalog, or about to be."""
    running = select(syncs.c.id).where(
        syncs.c.catalog_id == catalog_id, syncs.c.state == SyncState.RUNNING
    )
    return any(
        jobs_db.active(conn, job_key(sync_id)) is not None
        for sync_id in conn.execute(running).scalars().all()
    )


def fail_left(conn: Connection, catalog_id: str, *, now_ms: int) -> None:
    """Mark syncs as failed that run by their row, while their job has ended."""
    is_running = (syncs.c.catalog_id == catalog_id) & (syncs.c.state == SyncState.RUNNING)
    for sync_id in conn.execute(select(syncs.c.id).where(is_running)).scalars().all():
        if jobs_db.active(conn, job_key(sync_id)) is None:
            left = update(syncs).where(syncs.c.id == sync_id, is_running)
            conn.execute(
                left.values(
                    state=SyncState.FAILED,
                    report=json.dumps(_INTERRUPTED),
                    updated_at_ms=now_ms,
                    finished_at_ms=now_ms,
                )
            )


def job_key(sync_id: str) -> str:
    """Of the job that carries out a sync."""
    return f"sync:{sync_id}"


def load(conn: Connection, catalog_id: str, sync_id: str) -> Sync | None:
    row = conn.execute(
        select(syncs).where(syncs.c.id == sync_id, syncs.c.catalog_id == catalog_id)
    ).one_or_none()
    return _sync(row) if row is not None else None


def page(conn: Connection, catalog_id: str, *, after: str | None, limit: int) -> list[Sync]:
    """Syncs of a catalog, newest first."""
    query = select(syncs).where(syncs.c.catalog_id == catalog_id)
    if after is not None:
        query = query.where(syncs.c.id < after)
    return [_sync(row) for row in conn.execute(query.order_by(syncs.c.id.desc()).limit(limit))]


def keep_report(conn: Connection, sync_id: str, report: Json, *, now_ms: int) -> None:
    """Write down what a running sync has done so far."""
    running = update(syncs).where(syncs.c.id == sync_id, syncs.c.state == SyncState.RUNNING)
    conn.execute(running.values(report=json.dumps(report), updated_at_ms=now_ms))


def move(
    conn: Connection,
    sync_id: str,
    *,
    expected: SyncState,
    to: SyncState,
    now_ms: int,
    report: Json | None = None,
    parameters: Json | None = None,
) -> bool:
    """Bring a sync from one state to another, if it is in the first.  Atomic.

    Without a report or parameters the old ones stay.
    """
    values: Json = {
        "state": to,
        "updated_at_ms": now_ms,
        "finished_at_ms": None if to is SyncState.RUNNING else now_ms,
    }
    if report is not None:
        values["report"] = json.dumps(report)
    if parameters is not None:
        values["parameters"] = json.dumps(parameters)
    there = update(syncs).where(syncs.c.id == sync_id, syncs.c.state == expected)
    return conn.execute(there.values(values)).rowcount == 1


def _sync(row: Row[Any]) -> Sync:
    return Sync(
        id=row.id,
        catalog_id=row.catalog_id,
        state=SyncState(row.state),
        trigger=SyncTrigger(row.trigger),
        parameters=json.loads(row.parameters),
        report=json.loads(row.report) if row.report is not None else None,
        requested_by=row.requested_by,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        finished_at_ms=row.finished_at_ms,
    )
