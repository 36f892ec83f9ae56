"""Where the stored index of each snapshot lies."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import catalogs, spatial_indexes, tables
from graticule.domain.errors import NoSuchTable
from graticule.domain.stored_index import StoredIndex

_c = spatial_indexes.c


def find(conn: Connection, table_id: str, snapshot_id: int, place: str) -> StoredIndex | None:
    """The index file of one snapshot and geometry column."""
    row = conn.execute(
        select(spatial_indexes).where(_is(table_id, snapshot_id, place))
    ).one_or_none()
    return None if row is None else _index(row)


def snapshots(conn: Connection, table_id: str, place: str) -> list[int]:
    """The snapshots that have an index of a geometry column."""
    return list(
        conn.execute(
            select(_c.snapshot_id).where(_c.table_id == table_id, _c.place == place)
        ).scalars()
    )


def of_table(conn: Connection, table_id: str) -> list[StoredIndex]:
    """All index files of a table, the newest first."""
    own = select(spatial_indexes).where(_c.table_id == table_id)
    newest = own.order_by(_c.created_at_ms.desc(), _c.snapshot_id.desc(), _c.place)
    return [_index(row) for row in conn.execute(newest)]


def mark_damaged(
    conn: Connection, table_id: str, location: str, damage: str, *, now_ms: int
) -> bool:
    """Have nobody use an index file any more; True for who finds the damage first."""
    sound = update(spatial_indexes).where(_is_at(table_id, location), _c.damage.is_(None))
    return conn.execute(sound.values(damage=damage, damaged_at_ms=now_ms)).rowcount > 0


def is_in_use(conn: Connection, table_id: str, location: str) -> bool:
    """False once another file is in place of this one."""
    return conn.execute(select(exists().where(_is_at(table_id, location)))).scalar_one()


def put(conn: Connection, *, table_id: str, snapshot_id: int, place: str, **row: Any) -> str | None:
    """Record an index file in place of the one known before, whose location is the answer.

    Raises:
        NoSuchTable: the table was dropped.
    """
    before = find(conn, table_id, snapshot_id, place)
    conn.execute(delete(spatial_indexes).where(_is(table_id, snapshot_id, place)))
    values = {"table_id": table_id, "snapshot_id": snapshot_id, "place": place, **row}
    try:
        conn.execute(insert(spatial_indexes).values(values))
    except IntegrityError as error:
        raise NoSuchTable("the table was dropped") from error
    return None if before is None else before.location


def remove(conn: Connection, table_id: str, locations: Sequence[str]) -> None:
    """Forget index files."""
    conn.execute(
        delete(spatial_indexes).where(
            _c.table_id == table_id,
            _c.index_location.in_(locations),
        )
    )


def lacking_boxes(conn: Connection, *, limit: int) -> list[tuple[str, str]]:
    """Tables with an index whose files a job might say more of than their statistics, and the
    organisations that they belong to.
    """
    lacks = exists().where(_c.table_id == tables.c.id, _c.lacks_boxes)
    query = (
        select(tables.c.id, catalogs.c.organisation_id)
        .join(catalogs, catalogs.c.id == tables.c.catalog_id)
        .where(lacks)
    )
    return [(row.id, row.organisation_id) for row in conn.execute(query.limit(limit))]


def boxes_ordered(conn: Connection, table_id: str) -> None:
    """A job will say of a table's files what there is to say."""
    of_table = update(spatial_indexes).where(_c.table_id == table_id, _c.lacks_boxes)
    conn.execute(of_table.values(lacks_boxes=False))


def places(conn: Connection, table_id: str) -> set[str]:
    """Of what a table has indexes."""
    query = select(_c.place).where(_c.table_id == table_id)
    return set(conn.execute(query.distinct()).scalars())


def _is_at(table_id: str, location: str) -> ColumnElement[bool]:
    return and_(_c.table_id == table_id, _c.index_location == location)


def _is(table_id: str, snapshot_id: int, place: str) -> ColumnElement[bool]:
    return and_(_c.table_id == table_id, _c.snapshot_id == snapshot_id, _c.place == place)


def _index(row: Row[Any]) -> StoredIndex:
    return StoredIndex(
        snapshot_id=row.snapshot_id,
        place=row.place,
        location=row.index_location,
        file_count=row.file_count,
        unknown_count=row.unknown_count,
        created_at_ms=row.created_at_ms,
        damage=row.damage,
        damaged_at_ms=row.damaged_at_ms,
    )
