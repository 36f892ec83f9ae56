"""Purges in SQL: dropped tables whose files are still to be deleted, and who is at it.

A lease is a `not_before_ms` in the future: whoever set it works, and if that process dies, another
one takes over when the time has come.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from graticule.db.schema import catalogs, purges
from graticule.domain.catalog import TableRecord
from graticule.domain.location import Location


@dataclass(frozen=True, slots=True)
class Purge:
    """`attempts` counts those that began, this one included."""

    id: str
    catalog_id: str
    integration_id: str
    location: Location
    metadata_location: str
    attempts: int


def create(conn: Connection, record: TableRecord, *, purge_id: str, now_ms: int) -> None:
    """Order the files of a table deleted, in the transaction that drops it."""
    conn.execute(
        insert(purges).values(
            id=purge_id,
            catalog_id=record.catalog_id,
            location=record.location.prefix,
            metadata_location=record.metadata_location,
            attempts=0,
            requested_at_ms=now_ms,
            not_before_ms=now_ms,
        )
    )


def lease(conn: Connection, *, now_ms: int, until_ms: int) -> Purge | None:
    """Take the purge that has waited longest, for nobody else to take before `until_ms`."""
    due = (
        select(purges, catalogs.c.integration_id)
        .join(catalogs, catalogs.c.id == purges.c.catalog_id)
        .where(purges.c.not_before_ms <= now_ms)
        .order_by(purges.c.not_before_ms, purges.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=purges)
    )
    row = conn.execute(due).one_or_none()
    if row is None:
        return None
    conn.execute(
        update(purges)
        .where(purges.c.id == row.id)
        .values(not_before_ms=until_ms, attempts=row.attempts + 1)
    )
    return Purge(
        id=row.id,
        catalog_id=row.catalog_id,
        integration_id=row.integration_id,
        location=Location.parse(row.location),
        metadata_location=row.metadata_location,
        attempts=row.attempts + 1,
    )


def postpone(conn: Connection, purge: Purge, *, until_ms: int, error: str | None = None) -> bool:
    """Move the end of the lease, or say when to try again and why it failed.

    False if the lease ran out and somebody else has the purge by now.
    """
    moved = update(purges).where(purges.c.id == purge.id, purges.c.attempts == purge.attempts)
    return conn.execute(moved.values(not_before_ms=until_ms, error=error)).rowcount == 1


def finish(conn: Connection, purge: Purge) -> None:
    """Forget a purge: it is done, or given up."""
    conn.execute(delete(purges).where(purges.c.id == purge.id))
