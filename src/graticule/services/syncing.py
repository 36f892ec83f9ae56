"""Syncs: tables registered in place brought into step with the bucket, by a job.

A sync of a catalog takes its tables one by one, each in a commit of its own.  What would take many
files out of a table waits for somebody to say yes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import dirty_objects as dirty_objects_db
from graticule.db import discovered_files as discovered_files_db
from graticule.db import jobs as jobs_db
from graticule.db import sync_settings as sync_settings_db
from graticule.db import syncs as syncs_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, retry_serialisation, write
from graticule.discovery.diff import DeletionGuard
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    CatalogError,
    CommitStateUnknown,
    InvalidRequest,
    NoSuchSync,
    NoSuchTable,
    StorageUnavailable,
    Unavailable,
    WrongState,
)
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.job import Job, JobCancelled, JobKind
from graticule.domain.sync import Sync, SyncSettings, SyncState, SyncTrigger
from graticule.domain.tenancy import ALL_SCOPES, Edition, Principal, Role
from graticule.services import audit_trail, objects
from graticule.services.catalogs import Catalogs
from graticule.services.job_run import JobRun
from graticule.services.namespaces import Page, page
from graticule.services.sync_attempt import Status
from graticule.services.table_listing import TableSyncRequest
from graticule.services.table_sync import TableSyncs

Json = dict[str, Any]
log = structlog.get_logger(__name__)

_PASSING: Final = (CommitStateUnknown, StorageUnavailable, Unavailable)
"""Worth another attempt of the job; everything else is told of the table that it happened to."""


FindTables = Callable[[Principal, OpenCatalog], object]


class Syncing:
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

    def start(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        *,
        tables: Sequence[TableIdentifier] | None = None,
        again: bool = False,
        deleted_percent_max: int | None = None,
        deleted_files_max: int | None = None,
    ) -> Sync:
        """Order a sync of these tables, or of all that were registered in place.

        `again` takes up what was left out or undone before, though it has not changed.

        Raises:
            NoSuchTable: one of the tables is not there, or not for this principal to know of.
            InvalidRequest: one of them was not registered in place, so there is nothing to follow.
            WrongState: another sync of this catalog is running.
            ReadOnlyStorage: the metadata files of new snapshots could not be written.
        """
        require(principal, Action.SCAN_CATALOG)
        catalog.integration.require_writable()
        ids = None if tables is None else [self._table(principal, catalog, t) for t in tables]
        require(principal, Action.WRITE_CATALOG)
        parameters = {
            "tables": ids,
            "again": again,
            "deleted_percent_max": deleted_percent_max,
            "deleted_files_max": deleted_files_max,
            "member_id": principal.member_id,
        }

        def start_once() -> Sync:
            with write(self._engine) as conn:
                sync = self.order(
                    conn, catalog, parameters, trigger=SyncTrigger.REQUEST, by=principal.name
                )
                self._tell(conn, principal, EventType.SYNC_STARTED, sync)
                return sync

        return retry_serialisation(start_once)

    def order(
        self,
        conn: Connection,
        catalog: OpenCatalog,
        parameters: Json,
        *,
        trigger: SyncTrigger,
        by: str,
        after_ms: int = 0,
    ) -> Sync:
        """Write down a sync and the job that carries it out, in the caller's transaction.

        Raises:
            WrongState: another sync of this catalog is running.
        """
        now_ms = self._now_ms()
        sync = Sync(
            id=str(uuid7()),
            catalog_id=catalog.catalog.id,
            state=SyncState.RUNNING,
            trigger=trigger,
            parameters=parameters,
            report=None,
            requested_by=by,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        syncs_db.create(conn, sync)
        self._enqueue(conn, catalog, sync, run_after_ms=now_ms + after_ms)
        return sync

    def get(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        """A sync with what it has done so far.

        Raises:
            NoSuchSync: this catalog has none of that id.
        """
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            sync = syncs_db.load(conn, catalog.catalog.id, sync_id)
            is_left = sync is not None and sync.state is SyncState.RUNNING
            is_left = is_left and jobs_db.active(conn, syncs_db.job_key(catalog.catalog.id)) is None
        if sync is None:
            raise NoSuchSync(f"catalog `{catalog.catalog.name}` has no sync `{sync_id}`")
        if is_left:  # its job ended without a word
            with write(self._engine) as conn:
                syncs_db.fail_left(conn, catalog.catalog.id, now_ms=self._now_ms())
                sync = syncs_db.load(conn, catalog.catalog.id, sync_id) or sync
        return sync

    def list_syncs(
        self, principal: Principal, catalog: OpenCatalog, *, after: str | None, limit: int
    ) -> Page:
        """Syncs of a catalog, newest first."""
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            found = syncs_db.page(conn, catalog.catalog.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda sync: sync.id)

    def confirm(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        """Let go of the files that a sync stopped for, and of no others.

        Raises:
            NoSuchSync: this catalog has none of that id.
            WrongState: it does not wait for that, or another one is running.
        """
        sync = self._waiting(principal, catalog, sync_id)
        require(principal, Action.WRITE_CATALOG)
        confirmed = {
            outcome["table_id"]: {"keys": outcome["lost"], "digest": outcome["lost_digest"]}
            for outcome in (sync.report or {}).get("tables", ())
            if outcome["status"] == Status.NEEDS_CONFIRMATION
        }
        parameters = {**sync.parameters, "confirmed": confirmed, "tables": list(confirmed)}

        def confirm_once() -> None:
            with write(self._engine) as conn:
                now_ms = self._now_ms()
                syncs_db.refuse_second(conn, catalog.catalog.id, now_ms=now_ms)
                self._move(
                    conn,
                    sync,
                    SyncState.NEEDS_CONFIRMATION,
                    SyncState.RUNNING,
                    parameters=parameters,
                )
                self._enqueue(conn, catalog, sync, run_after_ms=now_ms)
                self._tell(conn, principal, EventType.SYNC_CONFIRMED, sync)

        retry_serialisation(confirm_once)
        return self.get(principal, catalog, sync_id)

    def discard(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        """Leave the tables as they are; the next sync will ask again if the files stay away.

        Raises:
            NoSuchSync: this catalog has none of that id.
            WrongState: it does not wait for confirmation.
        """
        sync = self._waiting(principal, catalog, sync_id)

        def discard_once() -> None:
            with write(self._engine) as conn:
                self._move(conn, sync, SyncState.NEEDS_CONFIRMATION, SyncState.DISCARDED)
                self._tell(conn, principal, EventType.SYNC_DISCARDED, sync)

        retry_serialisation(discard_once)
        return self.get(principal, catalog, sync_id)

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
            self._end(sync, SyncState.FAILED, {"error": "it was cancelled"})
            raise
        except CatalogError as error:
            if not isinstance(error, _PASSING) or job.attempts >= jobs_db.ATTEMPTS_MAX:
                self._end(sync, SyncState.FAILED, {"error": error.message})
            raise
        states = {outcome["status"] for outcome in report["tables"]}
        state = SyncState.SUCCEEDED
        if Status.FAILED in states:
            state = SyncState.FAILED
        if Status.NEEDS_CONFIRMATION in states:
            state = SyncState.NEEDS_CONFIRMATION
        self._end(sync, state, report, principal)
        return {"sync_id": sync_id, "state": state.value}

    def _sync(self, principal: Principal, catalog: OpenCatalog, sync: Sync, run: JobRun) -> Json:
        with read(self._engine) as conn:
            settings = sync_settings_db.load(conn, catalog.catalog.id)
            in_place = discovered_files_db.tables_in_place(conn, catalog.catalog.id)
            dirty = dirty_objects_db.load(conn, catalog.catalog.id)
        asked = sync.parameters.get("tables")
        keys = frozenset(dirty) if sync.trigger is SyncTrigger.EVENT else None
        todo = [
            table_id
            for table_id, sources in in_place.items()
            if (asked is None or table_id in asked) and _concerns(sources, keys)
        ]
        earlier = (sync.report or {}).get("tables", ())
        confirmed = sync.parameters.get("confirmed") or {}
        outcomes: dict[str, Json] = {each["table_id"]: each for each in earlier}
        done = {key for key, each in outcomes.items() if each["status"] != Status.FAILED}
        for number, table_id in enumerate(todo):
            run.progress({"tables": len(todo), "done": number})
            if table_id in done and table_id not in confirmed:
                continue
            request = TableSyncRequest(
                sync_id=sync.id,
                guard=_guard(settings, sync.parameters, confirmed.get(table_id)),
                keys=keys,
                again=bool(sync.parameters.get("again")),
                is_repeated=run.job.attempts > 1,
                go_on=run.go_on,
            )
            outcome = self._sync_table(principal, catalog, table_id, request)
            if outcome is None:
                continue
            outcomes[table_id] = outcome
            with write(self._engine) as conn:
                report = {"tables": list(outcomes.values())}
                syncs_db.keep_report(conn, sync.id, report, now_ms=self._now_ms())
                run.checkpoint({"tables": len(outcomes)}, conn=conn)
        with write(self._engine) as conn:
            dirty_objects_db.forget(
                conn, catalog.catalog.id, dirty if keys is not None or asked is None else {}
            )
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
        self, sync: Sync, state: SyncState, report: Json, principal: Principal | None = None
    ) -> None:
        def end_once() -> None:
            with write(self._engine) as conn:
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
                    self._tell(conn, principal, EventType.SYNC_FINISHED, sync, report)

        retry_serialisation(end_once)

    def _table(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> str:
        record = objects.look_up_table(
            self._engine, principal, catalog, identifier, Privilege.WRITE
        ).record
        if not record.sources:
            raise InvalidRequest(
                f"`{identifier}` was not registered over files in the bucket; "
                "its engines keep it in step themselves"
            )
        return record.id

    def _waiting(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        sync = self.get(principal, catalog, sync_id)
        if sync.state is not SyncState.NEEDS_CONFIRMATION:
            raise WrongState(f"sync `{sync_id}` is {sync.state}; there is nothing to confirm")
        return sync

    def _move(
        self,
        conn: Connection,
        sync: Sync,
        expected: SyncState,
        to: SyncState,
        *,
        parameters: Json | None = None,
    ) -> None:
        now_ms = self._now_ms()
        if not syncs_db.move(
            conn, sync.id, expected=expected, to=to, now_ms=now_ms, parameters=parameters
        ):
            raise WrongState(f"sync `{sync.id}` is not {expected} any more")

    def _enqueue(
        self, conn: Connection, catalog: OpenCatalog, sync: Sync, *, run_after_ms: int
    ) -> None:
        job = Job(
            id=str(uuid7()),
            organisation_id=catalog.catalog.organisation_id,
            kind=JobKind.SYNC,
            subject_id=catalog.catalog.id,
            key=syncs_db.job_key(catalog.catalog.id),
            parameters={"sync_id": sync.id},
            requested_by=sync.requested_by,
            created_at_ms=self._now_ms(),
            run_after_ms=run_after_ms,
        )
        if jobs_db.enqueue(conn, job).id != job.id:
            raise WrongState("another sync of this catalog is just ending; try again")

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        sync: Sync,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        details: Json = {"trigger": sync.trigger.value}
        for name in ("added", "overwritten", "vanished"):
            if report is not None:
                details[name] = sum(outcome.get(name, 0) for outcome in report["tables"])
        subject = Subject(SubjectKind.SYNC, sync.id, sync.id, sync.catalog_id)
        audit_trail.record(conn, principal, type_, subject, now_ms=self._now_ms(), details=details)


def _concerns(sources: Sequence[str], keys: Collection[str] | None) -> bool:
    """True if any of the keys may be a file of the table that reads these places."""
    if keys is None:
        return True
    places = [source.removeprefix("s3://").partition("/")[2] for source in sources]
    folders = tuple(place for place in places if place.endswith("/") or not place)
    return any(key in places or key.startswith(folders) for key in keys)


def _guard(
    settings: SyncSettings, parameters: Mapping[str, Any], confirmed: Mapping[str, Any] | None
) -> DeletionGuard:
    """The request's own limits, else the catalog's."""
    percent, files = parameters.get("deleted_percent_max"), parameters.get("deleted_files_max")
    return DeletionGuard(
        percent_max=settings.deleted_percent_max if percent is None else percent,
        files_max=settings.deleted_files_max if files is None else files,
        confirmed=frozenset(confirmed["keys"] if confirmed else ()),
        confirmed_digest=confirmed["digest"] if confirmed else "",
    )


def as_server(organisation_id: str, name: str, *, member_id: str = "") -> Principal:
    """The server itself, on behalf of whoever asked for a sync or made its schedule."""
    return Principal(
        organisation_id=organisation_id,
        member_id=member_id,
        name=name,
        edition=Edition.COMMUNITY,  # decides nothing here
        role=Role.ADMIN,
        scopes=ALL_SCOPES,
        key_id="",
    )
