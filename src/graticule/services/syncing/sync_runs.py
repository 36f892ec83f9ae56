"""Carries syncs out, as a job: a catalog's tables one by one, each in a commit of its own.

What would take many files out of a table waits for somebody to say yes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.db import dirty_objects as dirty_objects_db
from graticule.db import inventories as inventories_db
from graticule.db import jobs as jobs_db
from graticule.db import sync_settings as sync_settings_db
from graticule.db import syncs as syncs_db
from graticule.db import table_sync_settings as table_sync_settings_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, transact, write
from graticule.discovery.diff import DeletionGuard
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    CatalogError,
    CommitStateUnknown,
    NoSuchTable,
    StorageUnavailable,
    Unavailable,
    WrongState,
)
from graticule.domain.job import Job, JobCancelled
from graticule.domain.sync import (
    Sync,
    SyncSettings,
    SyncState,
    SyncTrigger,
    TableSchedule,
    TableSyncSettings,
)
from graticule.domain.tenancy import Principal
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.events import audit_trail
from graticule.services.jobs.job_context import as_server
from graticule.services.jobs.job_run import JobRun
from graticule.services.syncing.sync_attempt import POSTPONED, Status
from graticule.services.syncing.table_listing import TableSyncRequest
from graticule.services.syncing.table_sync import TableSyncs

Json = dict[str, Any]
log = structlog.get_logger(__name__)

FindTables = Callable[[Principal, OpenCatalog], object]

_PASSING: Final = (CommitStateUnknown, StorageUnavailable, Unavailable)
"""Worth another attempt of the job; everything else is told of the table that it happened to."""


class SyncRuns:
    def __init__(
        self,
        engine: Engine,
        catalogs: Catalogs,
        table_syncs: TableSyncs,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._catalogs = catalogs
        self._table_syncs = table_syncs
        self._now_ms = now_ms
        self._find_tables: FindTables = lambda _principal, _catalog: None

    def then_find_tables(self, find: FindTables) -> None:
        """Have new data looked for after syncs that a schedule ordered, where that is wanted."""
        self._find_tables = find

    def run(self, job: Job, run: JobRun) -> Json:
        """The job itself.  Cut off anywhere and run again, it ends the same."""
        sync_id = str(job.parameters["sync_id"])
        with read(self._engine) as conn:
            sync = syncs_db.load(conn, job.subject_id, sync_id)
        if sync is None or sync.state is not SyncState.RUNNING:
            return {"sync_id": sync_id}
        member_id = str(sync.parameters.get("member_id") or "")
        principal = as_server(job.organisation_id, sync.requested_by, member_id=member_id)
        try:
            catalog = self._catalogs.open(principal, sync.catalog_id)
            report = self._sync(principal, catalog, sync, run)
        except JobCancelled:
            transact(self._engine, self._end, sync, SyncState.FAILED, {"error": "it was cancelled"})
            raise
        except CatalogError as error:
            if not isinstance(error, _PASSING) or job.attempts >= jobs_db.ATTEMPTS_MAX:
                transact(self._engine, self._end, sync, SyncState.FAILED, {"error": error.message})
            raise
        states = {outcome["status"] for outcome in report["tables"]}
        state = SyncState.SUCCEEDED
        if Status.FAILED in states:
            state = SyncState.FAILED
        if Status.NEEDS_CONFIRMATION in states:
            state = SyncState.NEEDS_CONFIRMATION
        transact(self._engine, self._end, sync, state, report, principal)
        return {"sync_id": sync_id, "state": state.value}

    def _sync(self, principal: Principal, catalog: OpenCatalog, sync: Sync, run: JobRun) -> Json:
        with read(self._engine) as conn:
            settings = sync_settings_db.load(conn, catalog.catalog.id)
            in_place = inventories_db.tables_in_place(conn, catalog.catalog.id)
            own = table_sync_settings_db.of_catalog(conn, catalog.catalog.id)
            dirty = dirty_objects_db.load(conn, catalog.catalog.id)
        asked = sync.parameters.get("tables")
        keys = frozenset(dirty) if sync.trigger is SyncTrigger.EVENT else None
        wanted = [
            table_id
            for table_id in in_place
            if (table_id in asked if asked is not None else _is_due(sync, own.get(table_id)))
        ]
        todo = [table_id for table_id in wanted if _concerns(in_place[table_id], keys)]
        unseen: set[str] = set()
        """Keys that events named and that are not looked at now."""
        for table_id in set(in_place) - set(wanted) if asked is None else ():
            if own[table_id].schedule is not TableSchedule.OFF:
                unseen |= _keys_of(in_place[table_id], dirty)
        earlier = (sync.report or {}).get("tables", ())
        confirmed = sync.parameters.get("confirmed") or {}
        outcomes: dict[str, Json] = {each["table_id"]: each for each in earlier}
        done = {key for key, each in outcomes.items() if each["status"] != Status.FAILED}
        for number, table_id in enumerate(todo):
            run.progress({"tables": len(todo), "done": number})
            if table_id in done and table_id not in confirmed:
                # By an earlier attempt, which may not have heard of all that is known now.
                unseen |= _keys_of(in_place[table_id], dirty)
                continue
            limits = own.get(table_id) or TableSyncSettings(table_id)
            files_max = limits.files_max or settings.files_max
            table_keys = None
            if keys is not None:
                # All of them, whatever the limit: how many files are gone is to be known.
                table_keys = _keys_of(in_place[table_id], keys)
            request = TableSyncRequest(
                sync_id=sync.id,
                guard=_guard(settings, limits, sync.parameters, confirmed.get(table_id)),
                keys=None if table_keys is None else frozenset(table_keys),
                files_max=files_max,
                again=bool(sync.parameters.get("again")),
                is_repeated=run.job.attempts > 1,
                go_on=run.go_on,
            )
            outcome = self._sync_table(principal, catalog, table_id, request)
            if outcome is None:
                continue
            unseen.update(outcome.pop(POSTPONED, ()))
            outcomes[table_id] = outcome
            with write(self._engine) as conn:
                report = {"tables": list(outcomes.values())}
                syncs_db.keep_report(conn, sync.id, report, now_ms=self._now_ms())
                run.checkpoint({"tables": len(outcomes)}, conn=conn)
        with write(self._engine) as conn:
            if keys is not None or asked is None:
                seen = {key: dirty[key] for key in dirty if key not in unseen}
                dirty_objects_db.forget(conn, catalog.catalog.id, seen)
        if settings.finds_tables and sync.trigger is SyncTrigger.SCHEDULE:
            with suppress(WrongState):  # a scan is under way, which will find them
                self._find_tables(principal, catalog)
        return {"tables": list(outcomes.values())}

    def _sync_table(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        table_id: str,
        request: TableSyncRequest,
    ) -> Json | None:
        """What became of one table; None if it is gone."""
        try:
            return self._table_syncs.sync(principal, catalog, table_id, request)
        except NoSuchTable:
            return None
        except _PASSING:
            raise
        except CatalogError as error:
            with read(self._engine) as conn:
                record = tables_db.load_by_id(conn, table_id)
            if record is None:
                return None
            log.warning("table not synced", table=str(record.identifier), reason=error.message)
            return {
                "table_id": table_id,
                "table": str(record.identifier),
                "status": Status.FAILED.value,
                "error": error.message,
            }

    def _end(
        self,
        conn: Connection,
        sync: Sync,
        state: SyncState,
        report: Json,
        principal: Principal | None = None,
    ) -> None:
        ended = syncs_db.move(
            conn,
            sync.id,
            expected=SyncState.RUNNING,
            to=state,
            now_ms=self._now_ms(),
            report=report,
        )
        is_told = state in {SyncState.SUCCEEDED, SyncState.NEEDS_CONFIRMATION}
        if ended and is_told and principal is not None:
            tell_of_sync(
                conn,
                principal,
                EventType.SYNC_FINISHED,
                sync,
                now_ms=self._now_ms(),
                report=report,
            )


def tell_of_sync(
    conn: Connection,
    principal: Principal,
    type_: EventType,
    sync: Sync,
    *,
    now_ms: int,
    report: Mapping[str, Any] | None = None,
) -> None:
    """Write the event of a change of a sync in its transaction."""
    details: Json = {"trigger": sync.trigger.value}
    for name in ("added", "overwritten", "vanished"):
        if report is not None:
            details[name] = sum(outcome.get(name, 0) for outcome in report["tables"])
    subject = Subject(SubjectKind.SYNC, sync.id, sync.id, sync.catalog_id)
    audit_trail.record(conn, principal, type_, subject, now_ms=now_ms, details=details)


def _concerns(sources: Sequence[str], keys: Collection[str] | None) -> bool:
    """True if any of the keys may be a file of the table that reads these places."""
    return keys is None or bool(_keys_of(sources, keys))


def _keys_of(sources: Sequence[str], keys: Collection[str]) -> set[str]:
    """Those of the keys that may be files of the table that reads these places."""
    places = [source.removeprefix("s3://").partition("/")[2] for source in sources]
    folders = tuple(place for place in places if place.endswith("/") or not place)
    return {key for key in keys if key in places or key.startswith(folders)}


def _is_due(sync: Sync, own: TableSyncSettings | None) -> bool:
    """True if a sync that names no table is for this one as well."""
    if own is None or own.schedule is TableSchedule.CATALOG:
        return True
    return own.schedule is TableSchedule.OWN and sync.trigger is not SyncTrigger.SCHEDULE


def _guard(
    settings: SyncSettings,
    own: TableSyncSettings,
    parameters: Mapping[str, Any],
    confirmed: Mapping[str, Any] | None,
) -> DeletionGuard:
    """The request's own limits, else the table's, else the catalog's."""
    percents = (parameters.get("deleted_percent_max"), own.deleted_percent_max)
    counts = (parameters.get("deleted_files_max"), own.deleted_files_max)
    return DeletionGuard(
        percent_max=next((p for p in percents if p is not None), settings.deleted_percent_max),
        files_max=next((n for n in counts if n is not None), settings.deleted_files_max),
        confirmed=frozenset(confirmed["keys"] if confirmed else ()),
        confirmed_digest=confirmed["digest"] if confirmed else "",
    )
