"""Lookups find what was committed last, by whichever process, and do not wait on SQLite."""

import sqlite3
from dataclasses import replace

import pytest

from graticule.db import granted_tables, grants, tables
from graticule.db.engine import is_sqlite, read, write
from graticule.db.tables import Swap
from graticule.domain import waiting
from graticule.domain.waiting import WouldWait
from support.database import opened
from support.principals import ANA, BEN
from support.rows import CATALOG, NOW, record_at, with_catalog

T = record_at("t")
OWNER = replace(BEN, organisation_id="o")
ADMIN = replace(ANA, organisation_id="o")


@pytest.fixture(params=[ADMIN, OWNER], ids=["admin", "owner"])
def look_up(request):
    """Looks a table up as one who sees everything, and as one who sees what it was granted."""

    def row(engine, catalog, identifier, *, kind=tables.TABLE):
        found = granted_tables.look_up(engine, request.param, catalog, identifier)
        return found.record if found is not None and found.kind == kind else None

    return row


@pytest.fixture
def db(database):
    with_catalog(database)
    with write(database) as conn:
        tables.create(conn, T, b"{}")
        grants.own_table(conn, OWNER, T)
    return database


def url_of(engine):
    return engine.url.render_as_string(hide_password=False)


def test_a_lookup_finds_the_row_that_a_transaction_finds(db, look_up):
    with read(db) as conn:
        expected = tables.load(conn, CATALOG, T.identifier)
    assert expected == T
    assert look_up(db, CATALOG, T.identifier) == expected
    assert look_up(db, CATALOG, T.identifier, kind=tables.VIEW) is None
    assert look_up(db, "another catalog", T.identifier) is None


def test_a_lookup_sees_every_commit_of_another_process_at_once(db, look_up):
    with opened(url_of(db)) as other:
        expected = T.metadata_location
        for number in range(1, 20):
            at = f"{T.location}metadata/{number}.metadata.json"
            with write(other) as conn:
                swap = Swap("t", expected, at, b"{}")
                assert tables.swap_metadata_location(conn, swap, now_ms=NOW + number)
                seen = look_up(db, CATALOG, T.identifier)
                assert seen is not None
                assert seen.metadata_location == expected  # not committed yet
            seen = look_up(db, CATALOG, T.identifier)
            assert seen is not None
            assert (seen.metadata_location, seen.version) == (at, T.version + number)
            expected = at


def test_a_lookup_waits_for_nobody_on_sqlite_and_asks_before_it_waits_for_postgresql(db, look_up):
    def at_once():
        with waiting.forbidden():
            return look_up(db, CATALOG, T.identifier)

    if is_sqlite(db):
        with write(db):  # nor for whoever is writing
            assert at_once() == T
    else:
        with pytest.raises(WouldWait):
            at_once()
    for transaction in (read, write):
        with pytest.raises(WouldWait), waiting.forbidden(), transaction(db):
            pass


def test_a_file_that_is_locked_is_waited_for_only_where_that_is_allowed(sqlite_database, look_up):
    with_catalog(sqlite_database)
    with write(sqlite_database) as conn:
        tables.create(conn, T, b"{}")
        grants.own_table(conn, OWNER, T)
    sqlite_database.dispose()
    alone = sqlite3.connect(sqlite_database.url.database, isolation_level=None)
    try:
        alone.execute("PRAGMA locking_mode = EXCLUSIVE")
        alone.execute("BEGIN IMMEDIATE")
        with pytest.raises(WouldWait), waiting.forbidden():
            look_up(sqlite_database, CATALOG, T.identifier)
    finally:
        alone.close()
    assert look_up(sqlite_database, CATALOG, T.identifier) == T
