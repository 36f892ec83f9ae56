"""Lookups find what was committed last, by whichever process, and do not wait on SQLite."""

import sqlite3

import pytest

from graticule.db import tables
from graticule.db.engine import is_sqlite, read, write
from graticule.db.tables import Swap
from graticule.domain import waiting
from graticule.domain.waiting import WouldWait
from support.database import opened
from support.rows import CATALOG, NOW, record_at, with_catalog

T = record_at("t")


@pytest.fixture
def db(database):
    with_catalog(database)
    with write(database) as conn:
        tables.create(conn, T, b"{}")
    return database


def url_of(engine):
    return engine.url.render_as_string(hide_password=False)


def test_a_lookup_finds_the_row_that_a_transaction_finds(db):
    with read(db) as conn:
        expected = tables.load(conn, CATALOG, T.identifier)
    assert expected == T
    assert tables.look_up(db, CATALOG, T.identifier) == expected
    assert tables.look_up(db, CATALOG, T.identifier, kind=tables.VIEW) is None
    assert tables.look_up(db, "another catalog", T.identifier) is None


def test_a_lookup_sees_every_commit_of_another_process_at_once(db):
    with opened(url_of(db)) as other:
        expected = T.metadata_location
        for number in range(1, 20):
            at = f"{T.location}metadata/{number}.metadata.json"
            with write(other) as conn:
                swap = Swap("t", expected, at, T.location, b"{}")
                assert tables.swap_metadata_location(conn, swap, now_ms=NOW + number)
                seen = tables.look_up(db, CATALOG, T.identifier)
                assert seen is not None
                assert seen.metadata_location == expected  # not committed yet
            seen = tables.look_up(db, CATALOG, T.identifier)
            assert seen is not None
            assert (seen.metadata_location, seen.version) == (at, T.version + number)
            expected = at


def test_a_lookup_waits_for_nobody_on_sqlite_and_asks_before_it_waits_for_postgresql(db):
    def look_up():
        with waiting.forbidden():
            return tables.look_up(db, CATALOG, T.identifier)

    if is_sqlite(db):
        with write(db):  # nor for whoever is writing
            assert look_up() == T
    else:
        with pytest.raises(WouldWait):
            look_up()
    for transaction in (read, write):
        with pytest.raises(WouldWait), waiting.forbidden(), transaction(db):
            pass


def test_a_file_that_is_locked_is_waited_for_only_where_that_is_allowed(sqlite_database):
    with_catalog(sqlite_database)
    with write(sqlite_database) as conn:
        tables.create(conn, T, b"{}")
    sqlite_database.dispose()
    alone = sqlite3.connect(sqlite_database.url.database, isolation_level=None)
    try:
        alone.execute("PRAGMA locking_mode = EXCLUSIVE")
        alone.execute("BEGIN IMMEDIATE")
        with pytest.raises(WouldWait), waiting.forbidden():
            tables.look_up(sqlite_database, CATALOG, T.identifier)
    finally:
        alone.close()
    assert tables.look_up(sqlite_database, CATALOG, T.identifier) == T
