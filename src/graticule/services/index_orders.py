"""Orders a table's index to be brought up to date, or removed, with the change that asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection
from uuid6 import uuid7

from graticule.db import jobs as jobs_db
from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.domain.catalog import TableRecord
from graticule.domain.job import Job, JobKind
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.planning.table_places import place_of

Json = dict[str, Any]

MAIN_BRANCH: Final = "main"
INDEX_DELAY_S: Final = 5.0
"""After a commit: a writer that commits often makes one index of many commits, and a reader that
comes at once has made the index already."""


def moves_snapshots(updates: Sequence[Mapping[str, Any]]) -> bool:
    """True if the updates may change which snapshot is the current one, or remove any."""
    return any(
        update.get("action") == "remove-snapshots"
        or (update.get("action") == "set-snapshot-ref" and update.get("ref-name") == MAIN_BRANCH)
        for update in updates
    )


def order_after_commit(
    conn: Connection, principal: Principal, record: TableRecord, document: Json
) -> None:
    """Order the index of what is the current snapshot by then, if the table has a place.

    While one order waits, no second one is written.
    """
    now_ms = record.updated_at_ms
    if not place_of(document, metadata.current_schema(document)).key:
        return
    job = _job(principal, record, key=f"index/{record.id}", now_ms=now_ms)
    later_ms = now_ms + round(INDEX_DELAY_S * 1000)
    jobs_db.enqueue(conn, replace(job, run_after_ms=later_ms), again=True)


def index_files_of(conn: Connection, record: TableRecord) -> list[str]:
    """Where a table's index files are; to be asked before the table is dropped."""
    return [one.location for one in spatial_indexes_db.of_table(conn, record.id)]


def order_removal(
    conn: Connection, principal: Principal, record: TableRecord, files: Sequence[str]
) -> None:
    """Order the index files of a table that was just dropped to be removed, if it had any."""
    if not files:
        return
    parameters = {"catalog_id": record.catalog_id, "remove": list(files)}
    key = f"index/{record.id}/remove"
    jobs_db.enqueue(conn, _job(principal, record, parameters, key=key, now_ms=record.updated_at_ms))


def order_for_plan(
    conn: Connection,
    principal: Principal,
    record: TableRecord,
    *,
    snapshot_id: int,
    use_snapshot_schema: bool,
    now_ms: int,
) -> Job:
    """Order the index of one snapshot, which somebody waits for."""
    kind = "own" if use_snapshot_schema else "current"
    key = f"index/{record.id}/{snapshot_id}/{kind}"
    parameters = {"snapshot_id": snapshot_id, "use_snapshot_schema": use_snapshot_schema}
    return jobs_db.enqueue(conn, _job(principal, record, parameters, key=key, now_ms=now_ms))


def _job(
    principal: Principal,
    record: TableRecord,
    parameters: Json | None = None,
    *,
    key: str,
    now_ms: int,
) -> Job:
    return Job(
        id=str(uuid7()),
        organisation_id=principal.organisation_id,
        kind=JobKind.INDEX,
        subject_id=record.id,
        key=key,
        parameters=parameters or {},
        requested_by=principal.name,
        created_at_ms=now_ms,
        run_after_ms=now_ms,
    )
