"""How single tables are kept in step where that differs from their catalog, in SQL."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from graticule.db.schema import table_sync_settings as settings
from graticule.db.schema import tables
from graticule.domain.sync import TableSchedule, TableSyncSettings

_c = settings.c


def load(conn: Connection, table_id: str) -> TableSyncSettings:
    """A table's own, or what says that it is as its catalog is."""
    row = conn.execute(select(settings).where(_c.table_id == table_id)).one_or_none()
    return TableSyncSettings(table_id) if row is None else _settings(row)


def of_catalog(conn: Connection, catalog_id: str) -> dict[str, TableSyncSettings]:
    """All tables of a catalog that have settings of their own, by id."""
    query = select(settings).join(tables, tables.c.id == _c.table_id)
    rows = conn.execute(query.where(tables.c.catalog_id == catalog_id).order_by(_c.table_id))
    return {row.table_id: _settings(row) for row in rows}


def keep(conn: Connection, wanted: TableSyncSettings) -> None:
    remove(conn, wanted.table_id)
    conn.execute(
        insert(settings).values(
            table_id=wanted.table_id,
            schedule=wanted.schedule,
            interval_minutes=wanted.interval_minutes,
            cron=wanted.cron,
            next_run_ms=wanted.next_run_ms,
            deleted_percent_max=wanted.deleted_percent_max,
            deleted_files_max=wanted.deleted_files_max,
            files_max=wanted.files_max,
        )
    )


def remove(conn: Connection, table_id: str) -> bool:
    return conn.execute(delete(settings).where(_c.table_id == table_id)).rowcount == 1


def due(conn: Connection, *, now_ms: int) -> dict[str, list[TableSyncSettings]]:
    """Tables whose own time has come, by their catalogs."""
    query = (
        select(settings, tables.c.catalog_id)
        .join(tables, tables.c.id == _c.table_id)
        .where(_c.next_run_ms <= now_ms)
        .order_by(_c.next_run_ms, _c.table_id)
    )
    found: dict[str, list[TableSyncSettings]] = {}
    for row in conn.execute(query):
        found.setdefault(row.catalog_id, []).append(_settings(row))
    return found


def take_turn(conn: Connection, due_: TableSyncSettings, *, next_run_ms: int | None) -> bool:
    """Claim a run that is due.  False if another process has, or the schedule was changed."""
    claimed = update(settings).where(
        _c.table_id == due_.table_id, _c.next_run_ms == due_.next_run_ms
    )
    return conn.execute(claimed.values(next_run_ms=next_run_ms)).rowcount == 1


def _settings(row: Row[Any]) -> TableSyncSettings:
    return TableSyncSettings(
        table_id=row.table_id,
        schedule=TableSchedule(row.schedule),
        interval_minutes=row.interval_minutes,
        cron=row.cron,
        next_run_ms=row.next_run_ms,
        deleted_percent_max=row.deleted_percent_max,
        deleted_files_max=row.deleted_files_max,
        files_max=row.files_max,
    )
