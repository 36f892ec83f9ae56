"""Where the stored index of each snapshot lies."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from graticule.db.schema import spatial_indexes


def location(conn: Connection, table_id: str, snapshot_id: int, place: str) -> str | None:
    """URI of the index file of one snapshot and geometry column; None if there is none."""
    return conn.execute(
        select(spatial_indexes.c.index_location).where(
            spatial_indexes.c.table_id == table_id,
            spatial_indexes.c.snapshot_id == snapshot_id,
            spatial_indexes.c.place == place,
        )
    ).scalar_one_or_none()


def locations(conn: Connection, table_id: str, place: str) -> dict[int, str]:
    """URIs of the index files of a geometry column by snapshot."""
    rows = conn.execute(
        select(spatial_indexes.c.snapshot_id, spatial_indexes.c.index_location).where(
            spatial_indexes.c.table_id == table_id, spatial_indexes.c.place == place
        )
    )
    return {row.snapshot_id: row.index_location for row in rows}


def put(conn: Connection, *, table_id: str, snapshot_id: int, place: str, **row: Any) -> None:
    """Record an index file in place of the one known before."""
    conn.execute(
        delete(spatial_indexes).where(
            spatial_indexes.c.table_id == table_id,
            spatial_indexes.c.snapshot_id == snapshot_id,
            spatial_indexes.c.place == place,
        )
    )
    conn.execute(
        insert(spatial_indexes).values(
            table_id=table_id, snapshot_id=snapshot_id, place=place, **row
        )
    )
