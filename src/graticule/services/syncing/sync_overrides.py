"""How single tables are kept in step where that is to differ from their catalog."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.db import table_sync_settings as settings_db
from graticule.db.engine import read, transact
from graticule.domain.catalog import OpenCatalog
from graticule.domain.errors import InvalidRequest
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.sync import TableSchedule, TableSyncSettings
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.syncing.settings_events import tell_of_settings
from graticule.services.syncing.sync_times import next_run_ms


class SyncOverrides:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def get(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> TableSyncSettings:
        """A table's own settings; the defaults say that it is as its catalog is.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            InvalidRequest: it was not registered in place, so it follows nothing.
        """
        table_id = self._table(principal, catalog, identifier)
        with read(self._engine) as conn:
            return settings_db.load(conn, table_id)

    def change(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        wanted: TableSyncSettings,
    ) -> TableSyncSettings:
        """Replace a table's settings by `wanted`, whose table and next run are filled in here.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            InvalidRequest: it follows nothing, or the schedule is none.
        """
        table_id = self._table(principal, catalog, identifier)
        now_ms = self._now_ms()
        due_ms = next_run_ms(
            interval_minutes=wanted.interval_minutes, cron=wanted.cron, now_ms=now_ms
        )
        if (due_ms is not None) != (wanted.schedule is TableSchedule.OWN):
            raise InvalidRequest(
                "a table whose `schedule` is `own` has `interval_minutes` or `cron`, and no other"
            )
        kept = replace(wanted, table_id=table_id, next_run_ms=due_ms)

        def keep(conn: Connection) -> TableSyncSettings:
            if kept == TableSyncSettings(table_id):
                settings_db.remove(conn, table_id)
            else:
                settings_db.keep(conn, kept)
            tell_of_settings(
                conn,
                principal,
                catalog,
                now_ms=now_ms,
                table=str(identifier),
                schedule=kept.schedule.value,
            )
            return kept

        return transact(self._engine, keep)

    def _table(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> str:
        require(principal, Action.SCAN_CATALOG)
        record = objects.look_up_table(
            self._engine, principal, catalog, identifier, Privilege.WRITE
        ).record
        if not record.sources:
            raise InvalidRequest(
                f"`{identifier}` was not registered over files in the bucket, so it follows none"
            )
        return record.id
