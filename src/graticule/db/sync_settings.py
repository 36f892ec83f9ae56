"""How catalogs are kept in step, in SQL.  Functions over a connection; services open and commit."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from graticule.db.schema import sync_settings as settings
from graticule.domain.sync import SyncSettings


def load(conn: Connection, catalog_id: str) -> SyncSettings:
    """A catalog's own, or what is usual."""
    row = conn.execute(select(settings).where(settings.c.catalog_id == catalog_id)).one_or_none()
    return SyncSettings(catalog_id) if row is None else _settings(row)


def keep(conn: Connection, wanted: SyncSettings) -> None:
    conn.execute(delete(settings).where(settings.c.catalog_id == wanted.catalog_id))
    conn.execute(
        insert(settings).values(
            catalog_id=wanted.catalog_id,
            interval_minutes=wanted.interval_minutes,
            cron=wanted.cron,
            files_max=wanted.files_max,
            next_run_ms=wanted.next_run_ms,
            deleted_percent_max=wanted.deleted_percent_max,
            deleted_files_max=wanted.deleted_files_max,
            finds_tables=wanted.finds_tables,
            token_hash=wanted.token_hash,
        )
    )


def due(conn: Connection, *, now_ms: int) -> list[SyncSettings]:
    """Catalogs whose time has come, those that waited longest first."""
    query = select(settings).where(settings.c.next_run_ms <= now_ms)
    return [_settings(row) for row in conn.execute(query.order_by(settings.c.next_run_ms))]


def take_turn(conn: Connection, due_: SyncSettings, *, next_run_ms: int | None) -> bool:
    """Claim a run that is due.  False if another process has, or the schedule was changed."""
    claimed = update(settings).where(
        settings.c.catalog_id == due_.catalog_id, settings.c.next_run_ms == due_.next_run_ms
    )
    return conn.execute(claimed.values(next_run_ms=next_run_ms)).rowcount == 1


def _settings(row: Row[Any]) -> SyncSettings:
    return SyncSettings(
        catalog_id=row.catalog_id,
        interval_minutes=row.interval_minutes,
        cron=row.cron,
        files_max=row.files_max,
        next_run_ms=row.next_run_ms,
        deleted_percent_max=row.deleted_percent_max,
        deleted_files_max=row.deleted_files_max,
        finds_tables=row.finds_tables,
        token_hash=row.token_hash,
    )
