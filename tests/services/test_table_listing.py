"""What lies where a table reads, against what is known of it, page by page."""

from dataclasses import replace

import pytest

from graticule.db import inventories, tables
from graticule.db.engine import read, write
from graticule.db.inventories import InventoryChange
from graticule.discovery.diff import DeletionGuard, Diff, FileState, KnownFile
from graticule.discovery.grouping import StoredObject
from graticule.services.syncing.known_files import InventoryFiles, ManifestFiles
from graticule.services.syncing.table_listing import TableSyncRequest, look
from graticule.storage.listings import ObjectSummary
from support.rows import record_at, with_catalog

NAMES = [f"a/part-{number:02}.parquet" for number in range(12)]
KNOWN = [KnownFile(name, "e", 1, manifest="m") for name in NAMES]
RECORD = record_at("t", sources=("s3://lake/a/", "s3://lake/b/one.parquet"))


class Store:
    """Lists three at a time, in an order that no store that can be run here has: any."""

    def __init__(self, *objects):
        self._objects = objects

    def list(self, folder):
        below = [row for row in self._objects if row[0].startswith(folder.key_prefix)]
        for start in range(0, len(below), 3):
            rows = below[start : start + 3]
            yield [ObjectSummary(key, size, etag, 0) for key, size, etag in rows]

    def size_and_etag(self, uri):
        key = uri.removeprefix("s3://lake/")
        return next(((size, etag) for at, size, etag in self._objects if at == key), None)


def looked(store, known, **asked):
    request = TableSyncRequest("s", DeletionGuard(), **asked)
    return look(store, RECORD, known, request, excluded=("a/own/",))


@pytest.fixture
def inventory(database):
    """Of all files in the database."""
    with_catalog(database)
    with write(database) as conn:
        tables.create(conn, replace(RECORD, namespace_id="n"), b"{}")
        inventories.change(conn, RECORD.id, InventoryChange(0, known=KNOWN))
    with read(database) as conn:
        return InventoryFiles(database, inventories.of_table(conn, RECORD.id))


def objects(*, without=(), changed=(), new=()):
    rows = [(name, 1, "f" if name in changed else "e") for name in NAMES if name not in without]
    return sorted([*rows, *((name, 1, "e") for name in new)])


CHANGES = {
    "without": [NAMES[0], NAMES[7], NAMES[11]],
    "changed": [NAMES[4]],
    "new": ["a/part-99.parquet", "a/_SUCCESS", "a/own/x.parquet", "b/one.parquet", "c/part-0.csv"],
}
CHANGED = Diff(
    added=(StoredObject("a/part-99.parquet", 1, "e"), StoredObject("b/one.parquet", 1, "e")),
    overwritten=((KNOWN[4], StoredObject(NAMES[4], 1, "f")),),
    vanished=(KNOWN[0], KNOWN[7], KNOWN[11]),
    unchanged_count=8,
)


@pytest.mark.parametrize("order", ["by key", "backwards"])
def test_what_differs_is_found_in_any_order_of_listing(inventory, order):
    rows = objects(**CHANGES)
    found = looked(Store(*(rows if order == "by key" else rows[::-1])), inventory)
    assert (found.difference, found.revision) == (CHANGED, 1)


def test_events_name_what_to_look_at_and_the_rest_is_as_it_was(inventory):
    keys = {*CHANGES["without"], NAMES[4], *CHANGES["new"]}
    found = looked(Store(*objects(**CHANGES)), inventory, keys=keys)
    assert found.difference == CHANGED


def test_of_pages_that_are_as_they_were_no_file_is_looked_at(inventory, monkeypatch):
    asked = []
    real = inventory.between

    def between(after, until):
        asked.append((after, until))
        return real(after, until)

    monkeypatch.setattr(inventory, "between", between)
    found = looked(Store(*objects()), inventory)
    assert found.difference == Diff(unchanged_count=12)
    assert asked == [(NAMES[11], None)]  # only what may be behind the last page


def test_what_was_left_out_is_looked_at_again_if_that_is_asked_for(inventory, database):
    with write(database) as conn:
        out = replace(KNOWN[3], state=FileState.LEFT_OUT)
        inventories.change(conn, RECORD.id, InventoryChange(1, known=[out]))
    store = Store(*objects())
    assert looked(store, inventory).difference.is_empty
    [(before, _)] = looked(store, inventory, again=True).difference.overwritten
    assert before == out


def test_where_nothing_was_written_down_etags_are_learnt_from_the_listing():
    known = ManifestFiles(replace(file, etag="") for file in reversed(KNOWN))
    found = looked(Store(*objects(without=[NAMES[1]])), known)
    assert found.difference.vanished == (replace(KNOWN[1], etag=""),)
    assert found.etags == {name: "e" for name in NAMES if name != NAMES[1]}
