"""Syncs as people see them: ordered, shown, confirmed, discarded.  `sync_runs` carries them out."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import jobs as jobs_db
from graticule.db import syncs as syncs_db
from graticule.db.engine import read, transact, write
from graticule.domain.audit import EventType
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import (
    InvalidRequest,
    NoSuchSync,
    WrongState,
)
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.job import Job, JobKind
from graticule.domain.sync import Sync, SyncState, SyncTrigger
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.pages import Page, page
from graticule.services.syncing.sync_attempt import Status
from graticule.services.syncing.sync_runs import tell_of_sync

Json = dict[str, Any]
log = structlog.get_logger(__name__)


class Syncing:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

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

        def start(conn: Connection) -> Sync:
            sync = self.order(
                conn, catalog, parameters, trigger=SyncTrigger.REQUEST, by=principal.name
            )
            tell_of_sync(conn, principal, EventType.SYNC_STARTED, sync, now_ms=self._now_ms())
            return sync

        return transact(self._engine, start)

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
            is_left = is_left and jobs_db.active(conn, syncs_db.job_key(sync_id)) is None
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

        def confirm(conn: Connection) -> None:
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
            tell_of_sync(conn, principal, EventType.SYNC_CONFIRMED, sync, now_ms=self._now_ms())

        transact(self._engine, confirm)
        return self.get(principal, catalog, sync_id)

    def discard(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        """Leave the tables as they are; the next sync will ask again if the files stay away.

        Raises:
            NoSuchSync: this catalog has none of that id.
            WrongState: it does not wait for confirmation.
        """
        sync = self._waiting(principal, catalog, sync_id)

        def discard(conn: Connection) -> None:
            self._move(conn, sync, SyncState.NEEDS_CONFIRMATION, SyncState.DISCARDED)
            tell_of_sync(conn, principal, EventType.SYNC_DISCARDED, sync, now_ms=self._now_ms())

        transact(self._engine, discard)
        return self.get(principal, catalog, sync_id)

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
            key=syncs_db.job_key(sync.id),
            parameters={"sync_id": sync.id},
            requested_by=sync.requested_by,
            created_at_ms=self._now_ms(),
            run_after_ms=run_after_ms,
        )
        # One that is confirmed may have a job that is just ending: that one runs once more.
        jobs_db.enqueue(conn, job, again=True)
