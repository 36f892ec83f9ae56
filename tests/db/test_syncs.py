"""What discovery knows of files, syncs, their settings and what events named, on both databases."""

from dataclasses import replace

import pytest

from graticule.db import dirty_objects as dirty
from graticule.db import inventories as files
from graticule.db import jobs, syncs, tables
from graticule.db import pending_snapshots as pending
from graticule.db import sync_settings as settings
from graticule.db import table_sync_settings as own
from graticule.db.engine import read, write
from graticule.db.inventories import InventoryChange
from graticule.discovery.diff import FileState, KnownFile
from graticule.domain.errors import WrongState
from graticule.domain.job import Job, JobKind
from graticule.domain.sync import (
    Sync,
    SyncSettings,
    SyncState,
    SyncTrigger,
    TableSchedule,
    TableSyncSettings,
)
from support.rows import NOW, create_catalogs, record_at

A, B = KnownFile("a", "e1", 10, manifest="m0"), KnownFile("b", "e2", 20, manifest="m0")


@pytest.fixture
def table(namespace, database):
    record = replace(record_at("t"), namespace_id=namespace.id)
    with write(database) as conn:
        tables.create(conn, record, b"{}")
    return record.id


def known(database, table):
    """The revision, and the files by key."""
    with read(database) as conn:
        found = files.of_table(conn, table)
        if found is None:
            return 0, {}
        known = files.between(conn, found.id, "", None, limit=9999)
        return found.revision, {file.key: file for file in known}


def change(database, table, *args, **wanted):
    with write(database) as conn:
        return files.change(conn, table, InventoryChange(*args, **wanted))


def test_what_is_known_changes_only_from_the_state_it_was_worked_out_from(database, table):
    assert known(database, table) == (0, {})
    assert change(database, table, 0, known=[A, B])
    assert not change(database, table, 0, known=[A])
    assert not change(database, table, 2, forgotten=["a"])
    assert known(database, table) == (1, {"a": A, "b": B})
    newer = KnownFile("a", "e3", 11, FileState.LEFT_OUT, "why")
    assert change(database, table, 1, known=[newer], moved=[("b", "m1")])
    assert not change(database, table, 1, forgotten=["a", "b"])
    moved = replace(B, manifest="m1")
    assert known(database, table) == (2, {"a": newer, "b": moved})
    assert change(database, table, 2, forgotten=["a"])
    assert known(database, table) == (3, {"b": moved})


def test_files_are_gone_through_by_key_in_ranges(database, table):
    many = [KnownFile(f"k{number:02}", "e", number) for number in range(20)]
    change(database, table, 0, known=[*many, KnownFile("z", "e", 1, FileState.LEFT_OUT)])
    with read(database) as conn:
        known_as = files.of_table(conn, table).id
        assert files.between(conn, known_as, "k03", "k07", limit=9) == many[4:8]
        assert files.between(conn, known_as, "k03", None, limit=2) == many[4:6]
        versions = files.versions_between(conn, known_as, "k03", "k05", limit=9)
        assert versions == [("k04", "e", 4), ("k05", "e", 5)]
        assert files.among(conn, known_as, ["k01", "x"]) == {"k01": many[1]}
        assert files.count(conn, known_as) == 21
        assert files.count(conn, known_as, FileState.TAKEN) == 20


def test_more_files_than_one_statement_takes(database, table):
    many = [KnownFile(f"k{number:05}", "e", number) for number in range(2_500)]
    assert change(database, table, 0, known=many)
    assert list(known(database, table)[1].values()) == many
    assert change(database, table, 1, forgotten=[file.key for file in many[:2_400]])
    assert len(known(database, table)[1]) == 100


def test_an_inventory_is_written_before_its_table_is_there_and_removed_bit_by_bit(database, table):
    many = [KnownFile(f"k{number:05}", "e", number) for number in range(1_500)]
    with write(database) as conn:
        files.begin(conn, "i1")
        files.extend(conn, "i1", many)
        files.begin(conn, "i2")
        pending.create(conn, pending.Note("i2", "i", "s3://lake/f", True), now_ms=NOW)
        assert files.unowned(conn, limit=9) == ["i1"]  # whoever writes the other is still at it
        assert files.adopt(conn, "i1", table)
        assert not files.adopt(conn, "i2", table)
        assert files.unowned(conn, limit=9) == []
    assert list(known(database, table)[1].values()) == many
    with write(database) as conn:
        tables.drop(conn, table)
        assert files.unowned(conn, limit=9) == ["i1"]
        assert [files.remove_some(conn, "i1") for _ in range(3)] == [True, True, False]
        assert files.unowned(conn, limit=9) == []


def test_of_a_snapshot_it_can_always_be_told_whether_it_landed(database, table):
    notes = [pending.Note(token, "i", "s3://lake/f", False) for token in ("a", "b")]
    with write(database) as conn:
        for note in notes:
            pending.create(conn, note, now_ms=NOW)
        assert pending.left(conn, begun_before_ms=NOW, limit=9) == []
        assert pending.left(conn, begun_before_ms=NOW + 1, limit=9) == notes
        assert pending.land(conn, "a")
        assert not pending.withdraw(conn, "a")
        assert pending.withdraw(conn, "b")
        assert not pending.land(conn, "b")
        assert pending.left(conn, begun_before_ms=NOW, limit=9) == notes[1:]
        pending.forget(conn, "b")
        assert pending.left(conn, begun_before_ms=NOW + 1, limit=9) == []


def marked(database, **changed):
    with write(database) as conn:
        return dirty.mark(conn, "c", changed, now_ms=NOW)


@pytest.fixture
def catalog(database):
    with write(database) as conn:
        create_catalogs(conn, "c", "d")
    return "c"


def test_an_older_event_is_no_news_and_a_newer_one_outlives_who_looks(database, catalog):
    assert marked(database, a="0055", b="") == 2
    assert marked(database, a="0054") == 0
    assert marked(database, a="00550") == 0
    with read(database) as conn:
        seen = dirty.load(conn, catalog)
    assert seen == {"a": "0055", "b": ""}
    assert marked(database, a="00551") == 1
    with write(database) as conn:
        dirty.forget(conn, catalog, seen)
        assert dirty.load(conn, catalog) == {"a": "00551"}
        assert dirty.catalogs_with_any(conn) == [catalog]


def test_a_run_that_is_due_is_one_processs(database, catalog):
    usual = SyncSettings(catalog)
    with write(database) as conn:
        assert settings.load(conn, catalog) == usual
        wanted = replace(
            usual, interval_minutes=5, cron="x", files_max=3, next_run_ms=NOW, finds_tables=True
        )
        settings.keep(conn, wanted)
        assert settings.load(conn, catalog) == wanted
        assert settings.due(conn, now_ms=NOW - 1) == []
        [due] = settings.due(conn, now_ms=NOW)
        assert settings.take_turn(conn, due, next_run_ms=NOW + 300_000)
        assert not settings.take_turn(conn, due, next_run_ms=NOW + 300_000)
        assert settings.due(conn, now_ms=NOW) == []


def test_a_tables_own_settings_are_due_by_catalog_and_gone_with_the_table(database, table):
    usual = TableSyncSettings(table)
    wanted = replace(
        usual, schedule=TableSchedule.OWN, cron="0 3 * * *", next_run_ms=NOW, files_max=9
    )
    with write(database) as conn:
        assert own.load(conn, table) == usual
        own.keep(conn, usual)
        own.keep(conn, wanted)
        assert own.load(conn, table) == wanted
        catalog_id = tables.load_by_id(conn, table).catalog_id
        assert own.of_catalog(conn, catalog_id) == {table: wanted}
        assert own.due(conn, now_ms=NOW - 1) == {}
        assert own.due(conn, now_ms=NOW) == {catalog_id: [wanted]}
        assert own.take_turn(conn, wanted, next_run_ms=NOW + 1)
        assert not own.take_turn(conn, wanted, next_run_ms=NOW + 1)
        tables.drop(conn, table)
        assert own.of_catalog(conn, catalog_id) == {}


def test_one_sync_at_a_time_and_one_whose_job_is_gone_has_failed(database, catalog):
    sync = Sync("s1", catalog, SyncState.RUNNING, SyncTrigger.REQUEST, {}, None, "ana", NOW, NOW)
    with write(database) as conn:
        syncs.create(conn, sync)
        jobs.enqueue(
            conn,
            Job("j", "o", JobKind.SYNC, catalog, syncs.job_key("s1"), {}, "ana", NOW, NOW),
        )
    with pytest.raises(WrongState, match="s1"), write(database) as conn:
        syncs.create(conn, replace(sync, id="s2"))
    with write(database) as conn:
        syncs.create(conn, replace(sync, id="s3", catalog_id="d"))
        jobs.cancel(conn, "o", "j", now_ms=NOW)
    with write(database) as conn:
        syncs.create(conn, replace(sync, id="s2"))
        states = {found.id: found.state for found in syncs.page(conn, "c", after=None, limit=9)}
    assert states == {"s2": SyncState.RUNNING, "s1": SyncState.FAILED}
