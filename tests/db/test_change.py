"""A prepared change does what SQLAlchemy would do, on both engines."""

from contextlib import suppress

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.change import Change
from graticule.db.engine import read, write
from graticule.db.schema import namespaces
from support.rows import CATALOG, NOW, with_catalog

RENAME = Change(
    update(namespaces)
    .where(namespaces.c.path == bindparam("old"))
    .values(path=bindparam("new"), created_at_ms=namespaces.c.created_at_ms + 1)
)
INSERT = Change(
    insert(namespaces).values(
        id=bindparam("new_id"),
        catalog_id=CATALOG,
        path=bindparam("new_path"),
        parent="",
        properties="{}",
        created_at_ms=NOW,
    )
)


@pytest.fixture
def db(database):
    with_catalog(database)
    return database


def paths(db):
    with read(db) as conn:
        rows = conn.execute(select(namespaces.c.path, namespaces.c.created_at_ms))
        return {(row.path, row.created_at_ms) for row in rows}


def test_it_tells_how_many_rows_it_changed(db):
    with write(db) as conn:
        assert RENAME(conn, old="ns", new="renamed") == 1
        assert RENAME(conn, old="ns", new="renamed") == 0

    assert paths(db) == {("renamed", NOW + 1)}


def test_it_is_part_of_its_transaction(db):
    before = paths(db)
    with suppress(ZeroDivisionError), write(db) as conn:
        assert RENAME(conn, old="ns", new="renamed") == 1 / 0

    assert paths(db) == before


def test_a_constraint_that_it_breaks_is_reported_as_ever(db):
    with pytest.raises(IntegrityError), write(db) as conn:
        INSERT(conn, new_id="other", new_path="ns")
