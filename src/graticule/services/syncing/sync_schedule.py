"""When catalogs are synced by themselves: every so many minutes, and when their store says so."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.access.tokens import hash_secret, new_secret, secret_matches
from graticule.db import catalogs as catalogs_db
from graticule.db import dirty_objects as dirty_objects_db
from graticule.db import sync_settings as sync_settings_db
from graticule.db import syncs as syncs_db
from graticule.db import table_sync_settings as table_sync_settings_db
from graticule.db.engine import read, transact
from graticule.discovery.object_events import ObjectEvent, object_events
from graticule.discovery.path_grammar import reason_to_ignore
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import CatalogError, NoSuchCatalog, Unauthenticated, WrongState
from graticule.domain.secret import Secret
from graticule.domain.sync import SyncSettings, SyncTrigger, TableSyncSettings
from graticule.domain.tenancy import Principal
from graticule.services.catalog.catalogs import Catalogs
from graticule.services.jobs.job_context import as_server
from graticule.services.syncing.settings_events import tell_of_settings
from graticule.services.syncing.sync_times import next_run_ms
from graticule.services.syncing.syncing import Syncing
from graticule.storage.verification.probe import PROBE_FOLDER

Json = dict[str, Any]
log = structlog.get_logger(__name__)

TOKEN_PREFIX: Final = "ge_"
GATHERING_MS: Final = 1_000
"""Events seldom come alone: so long are they gathered before a sync looks at them."""
SCHEDULE: Final = "schedule"
EVENTS: Final = "events"
_NO_HASH: Final = hash_secret("")


class SyncSchedule:
    def __init__(
        self,
        engine: Engine,
        catalogs: Catalogs,
        syncing: Syncing,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._catalogs = catalogs
        self._syncing = syncing
        self._now_ms = now_ms

    def settings(self, principal: Principal, catalog: OpenCatalog) -> SyncSettings:
        """How the catalog is kept in step."""
        require(principal, Action.SCAN_CATALOG)
        with read(self._engine) as conn:
            return sync_settings_db.load(conn, catalog.catalog.id)

    def change(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        *,
        interval_minutes: int | None,
        cron: str | None,
        deleted_percent_max: int,
        deleted_files_max: int,
        files_max: int | None,
        finds_tables: bool,
    ) -> SyncSettings:
        """Replace the settings; the first run is due after one interval.  The token stays.

        Raises:
            InvalidRequest: there are two schedules, or a cron expression that is none.
        """
        require(principal, Action.SCAN_CATALOG)
        due_ms = next_run_ms(interval_minutes=interval_minutes, cron=cron, now_ms=self._now_ms())

        def changed(known: SyncSettings) -> SyncSettings:
            return replace(
                known,
                interval_minutes=interval_minutes,
                cron=cron,
                next_run_ms=due_ms,
                deleted_percent_max=deleted_percent_max,
                deleted_files_max=deleted_files_max,
                files_max=files_max,
                finds_tables=finds_tables,
            )

        details = {"interval_minutes": interval_minutes, "cron": cron}
        return self._keep(principal, catalog, changed, details)

    def new_token(self, principal: Principal, catalog: OpenCatalog) -> Secret:
        """A secret that lets a store announce events of this catalog, in place of the last one."""
        require(principal, Action.SCAN_CATALOG)
        token = new_secret(TOKEN_PREFIX)
        hashed = hash_secret(token.reveal())
        self._keep(
            principal, catalog, lambda known: replace(known, token_hash=hashed), {"token": "made"}
        )
        return token

    def revoke_token(self, principal: Principal, catalog: OpenCatalog) -> None:
        """Accept no more events."""
        require(principal, Action.SCAN_CATALOG)
        self._keep(
            principal, catalog, lambda known: replace(known, token_hash=None), {"token": "revoked"}
        )

    def receive(self, catalog_id: str, token: str, body: Mapping[str, Any]) -> int:
        """Take what a store says of objects; returns how many may matter.

        Raises:
            Unauthenticated: the token is not this catalog's, or there is no such catalog.
            InvalidRequest: the message is not one of a store.
        """
        with read(self._engine) as conn:
            settings = sync_settings_db.load(conn, catalog_id)
        # Compared also where there is none, so that the time taken does not tell.
        if not secret_matches(token, settings.token_hash or _NO_HASH) or not settings.token_hash:
            raise Unauthenticated("the token is not one for events of this catalog")
        catalog = self.opened(catalog_id)
        return self.take_in(catalog, object_events(body))

    def take_in(self, catalog: OpenCatalog, events: Sequence[ObjectEvent]) -> int:
        """Remember the objects that may matter, and have a sync look at them soon."""
        root = catalog.integration.location
        with read(self._engine) as conn:
            roots = catalogs_db.locations_on(conn, catalog.integration.id)
        own = tuple(location.key_prefix for location in roots)
        changed: dict[str, str] = {}
        for event in events:
            is_ours = event.bucket == root.bucket and event.key.startswith(root.key_prefix)
            if not is_ours or event.key.startswith(own) or PROBE_FOLDER in event.key:
                continue
            if reason_to_ignore(event.key, 1) is not None:
                continue
            known = changed.get(event.key)
            if known is None or dirty_objects_db.is_newer(event.sequencer, known):
                changed[event.key] = event.sequencer
        if not changed:
            return 0

        transact(
            self._engine, dirty_objects_db.mark, catalog.catalog.id, changed, now_ms=self._now_ms()
        )
        self._order(catalog, SyncTrigger.EVENT, EVENTS, after_ms=GATHERING_MS)
        return len(changed)

    def run_due(self, stopping: threading.Event) -> None:
        """Order the syncs whose time has come, and those of events that came during another."""
        with read(self._engine) as conn:
            due = sync_settings_db.due(conn, now_ms=self._now_ms())
            tables = table_sync_settings_db.due(conn, now_ms=self._now_ms())
            dirty = dirty_objects_db.catalogs_with_any(conn)
        orders: list[tuple[str, Callable[[OpenCatalog], None]]] = [
            *((each.catalog_id, partial(self._order_due, each)) for each in due),
            *((id_, partial(self._order_tables, some)) for id_, some in tables.items()),
            *((id_, self._order_dirty) for id_ in dirty),
        ]
        for catalog_id, order in orders:
            if stopping.is_set():
                return
            try:
                order(self.opened(catalog_id))
            except CatalogError as error:
                log.warning("sync not ordered", catalog_id=catalog_id, reason=error.message)

    def _order_due(self, due: SyncSettings, catalog: OpenCatalog) -> None:
        next_ms = self._after(due)

        def take_turn(conn: Connection) -> bool:
            return sync_settings_db.take_turn(conn, due, next_run_ms=next_ms)

        self._order(catalog, SyncTrigger.SCHEDULE, SCHEDULE, only_if=take_turn)

    def _order_tables(self, due: Sequence[TableSyncSettings], catalog: OpenCatalog) -> None:
        """A sync of the tables whose own time has come, once no other runs."""

        def take_turn(conn: Connection) -> bool:
            return all(
                table_sync_settings_db.take_turn(conn, each, next_run_ms=self._after(each))
                for each in due
            )

        tables = [each.table_id for each in due]
        self._order(catalog, SyncTrigger.SCHEDULE, SCHEDULE, tables=tables, only_if=take_turn)

    def _order_dirty(self, catalog: OpenCatalog) -> None:
        self._order(catalog, SyncTrigger.EVENT, EVENTS)

    def _after(self, due: SyncSettings | TableSyncSettings) -> int | None:
        return next_run_ms(
            interval_minutes=due.interval_minutes, cron=due.cron, now_ms=self._now_ms()
        )

    def _order(
        self,
        catalog: OpenCatalog,
        trigger: SyncTrigger,
        by: str,
        *,
        tables: Sequence[str] | None = None,
        after_ms: int = 0,
        only_if: Callable[[Connection], bool] = lambda _conn: True,
    ) -> None:
        """Order a sync if `only_if`, in its transaction, says so, and unless one is running.

        Then nothing is changed, and whatever asked for it will ask again: every second, which is
        why nothing is written to find that out.
        """
        with read(self._engine) as conn:
            if syncs_db.is_running(conn, catalog.catalog.id):
                return

        def order(conn: Connection) -> None:
            if not only_if(conn):
                raise WrongState("somebody else has ordered it")
            self._syncing.order(
                conn, catalog, {"tables": tables}, trigger=trigger, by=by, after_ms=after_ms
            )

        try:
            transact(self._engine, order)
        except WrongState:
            return

    def opened(self, catalog_id: str) -> OpenCatalog:
        """A catalog, as the server itself.

        Raises:
            NoSuchCatalog: it was deleted.
        """
        with read(self._engine) as conn:
            organisation_id = catalogs_db.organisation_of(conn, catalog_id)
        if organisation_id is None:
            raise NoSuchCatalog(f"no catalog is called `{catalog_id}`")
        return self._catalogs.open(as_server(organisation_id, SCHEDULE), catalog_id)

    def _keep(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        changed: Callable[[SyncSettings], SyncSettings],
        details: Json,
    ) -> SyncSettings:
        def keep(conn: Connection) -> SyncSettings:
            wanted = changed(sync_settings_db.load(conn, catalog.catalog.id))
            sync_settings_db.keep(conn, wanted)
            tell_of_settings(conn, principal, catalog, now_ms=self._now_ms(), **details)
            return wanted

        return transact(self._engine, keep)
