"""Where the stored index of each snapshot lies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import spatial_indexes
from graticule.domain.errors import NoSuchTable


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """One index file of a table."""

    snapshot_id: int
    location: str
    created_at_ms: int


def location(conn: Connection, table_id: str, snapshot_id: int, place: str) -> str | None:
    """URI of the index file of one snapshot and geometry column; None if there is none."""
    return conn.execute(
        select(spatial_indexes.c.index_location).where(
            spatial_indexes.c.table_id == table_id,
            spatial_indexes.c.snapshot_id == snapshot_id,
            spatial_indexes.c.place == place,
        )
    ).scalar_one_or_none()


def snapshots(conn: Connection, table_id: str, place: str) -> list[int]:
    """The snapshots that have an index of a geometry column."""
    return list(
        conn.execute(
            select(spatial_indexes.c.snapshot_id).where(
                spatial_indexes.c.table_id == table_id, spatial_indexes.c.place == place
            )
        ).scalars()
    )


def of_table(conn: Connection, table_id: str) -> list[StoredIndex]:
    """All index files of a table."""
    rows = conn.execute(
        select(
            spatial_indexes.c.snapshot_id,
            spatial_indexes.c.index_location,
            spatial_indexes.c.created_at_ms,
        ).where(spatial_indexes.c.table_id == table_id)
    )
    return [StoredIndex(row.snapshot_id, row.index_location, row.created_at_ms) for row in rows]


def put(conn: Connection, *, table_id: str, snapshot_id: int, place: str, **row: Any) -> str | None:
    """Record an index file in place of the one known before, whose location is the answer.

    Raises:
        NoSuchTable: the table was dropped.
    """
    before = location(conn, table_id, snapshot_id, place)
    conn.execute(
        delete(spatial_indexes).where(
            spatial_indexes.c.table_id == table_id,
            spatial_indexes.c.snapshot_id == snapshot_id,
            spatial_indexes.c.place == place,
        )
    )
    values = {"table_id": table_id, "snapshot_id": snapshot_id, "place": place, **row}
    try:
        conn.execute(insert(spatial_indexes).values(values))
    except IntegrityError as error:
        raise NoSuchTable("the table was dropped") from error
    return before


def remove(conn: Connection, table_id: str, locations: Sequence[str]) -> None:
    """Forget index files."""
    conn.execute(
        delete(spatial_indexes).where(
            spatial_indexes.c.table_id == table_id,
            spatial_indexes.c.index_location.in_(locations),
        )
    )
