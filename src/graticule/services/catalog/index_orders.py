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
from graticule.services.catalog.wanted_indexes import WantedIndex
from graticule.services.jobs.job_context import as_server

Json = dict[str, Any]

MAIN_BRANCH: Final = "main"
INDEX_DELAY_S: Final = 5.0
"""After a commit: a writer that commits often makes one index of many commits, and a reader that
comes at once has made the index already."""
WAITERS: Final = "waiting_plans"
WAITERS_MAX: Final = 1_000
"""Of one job; more plans are made at once."""
REPAIRS: Final = "repairs"
"""The parameter that says what was wrong with the index before."""
REPAIRER: Final = "repair"


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
    conn: Connection, principal: Principal, wanted: WantedIndex, *, waiter: str, now_ms: int
) -> Job | None:
    """Order an index that a plan waits for; None if there are too many such plans already.

    `waiter` is the plan's name.  A job that nobody waits for any more is cancelled: see `leave`.
    """
    parameters = {**wanted.parameters, WAITERS: [waiter]}
    key = _key_of(wanted)
    job = _job(principal, wanted.table.record, parameters, key=key, now_ms=now_ms)
    found = jobs_db.enqueue(conn, job)
    waiters = found.parameters.get(WAITERS, [])
    if waiter not in waiters:
        if len(waiters) >= WAITERS_MAX:
            return None
        parameters = {**found.parameters, WAITERS: [*waiters, waiter]}
        found = replace(found, parameters=parameters)
        jobs_db.change_parameters(conn, found)
    return found


def leave(conn: Connection, organisation_id: str, job_id: str, waiter: str, *, now_ms: int) -> None:
    """A plan waits no more; the last one that does cancels the job, unless that is a repair."""
    found = jobs_db.find(conn, organisation_id, job_id, to_change=True)
    if found is None or not found.state.is_active or not is_waiting(found, waiter):
        return
    waiters = [one for one in found.parameters[WAITERS] if one != waiter]
    jobs_db.change_parameters(
        conn, replace(found, parameters={**found.parameters, WAITERS: waiters})
    )
    if not waiters and REPAIRS not in found.parameters:
        jobs_db.cancel(conn, organisation_id, job_id, now_ms=now_ms)


def is_waiting(job: Job, waiter: str) -> bool:
    """False once the plan of that name was cancelled."""
    return waiter in job.parameters.get(WAITERS, [])


def order_repair(conn: Connection, wanted: WantedIndex, *, damage: str, now_ms: int) -> None:
    """Order an index to be built in place of a damaged one."""
    parameters = {**wanted.parameters, REPAIRS: damage}
    organisation_id = wanted.table.catalog.catalog.organisation_id
    principal = as_server(organisation_id, REPAIRER)
    job = _job(principal, wanted.table.record, parameters, key=_key_of(wanted), now_ms=now_ms)
    found = jobs_db.enqueue(conn, job)
    if REPAIRS not in found.parameters:
        parameters = {**found.parameters, REPAIRS: damage}
        jobs_db.change_parameters(conn, replace(found, parameters=parameters))


def _key_of(wanted: WantedIndex) -> str:
    return f"index/{wanted.key.table_id}/{wanted.key.snapshot_id}/{wanted.key.place}"


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
