"""Snapshots that the server makes itself: whatever breaks, they are in the table whole, or nowhere.

At every step of a registration and of a sync something fails, or the process ends.  Then the table
reads all of its files, or is as it was; and once upkeep has come by nothing of the rest is left.
"""

import copy
import threading

import pytest
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy import func, select

from graticule.db import inventories, pending_snapshots
from graticule.db.engine import read
from graticule.db.schema import inventories as inventories_table
from graticule.db.schema import inventory_files
from graticule.db.schema import pending_snapshots as notes_table
from graticule.domain.errors import CommitConflict, CommitStateUnknown, Unavailable
from graticule.services.catalog.commits import Commits
from graticule.services.catalog.pending_snapshots import PENDING_S_MAX, PendingSnapshot
from support.lake import cities
from support.syncs import Syncs

PARIS, LIMA, OSLO = (1, 2.35, 48.86), (2, -77.03, -12.05), (3, 10.75, 59.91)


class Killed(BaseException):
    """The process ends here: nothing that would clean up runs."""


class Breakage:
    """Breaks one step once, in the way that `error` says."""

    def __init__(self, monkeypatch, error):
        self._monkeypatch = monkeypatch
        self._error = error
        self._is_over = False
        if isinstance(error, Killed):
            monkeypatch.setattr(PendingSnapshot, "abandon", lambda _: None)

    def at(self, owner, name, *, call=1, after=False):
        real, calls = getattr(owner, name), [0]

        def broken(*args, **kwargs):
            calls[0] += 1
            if self._is_over or calls[0] < call:
                return real(*args, **kwargs)
            self._is_over = True
            if after:
                real(*args, **kwargs)
            raise self._error

        self._monkeypatch.setattr(owner, name, broken)


STEPS = {
    "the note is written": lambda b: b.at(pending_snapshots, "create", after=True),
    "the first manifest is stored": lambda b: b.at(PendingSnapshot, "put"),
    "the manifest list is stored": lambda b: b.at(PendingSnapshot, "put", call=2, after=True),
    "the metadata file is written": lambda b: b.at(Commits, "_land"),
    "the transaction ends": lambda b: b.at(pending_snapshots, "land", after=True),
    "the inventory is written": lambda b: b.at(inventories, "extend", after=True),
    "the commit has landed": lambda b: b.at(Commits, "_land", after=True),
}
LANDED = {"the commit has landed"}
ERRORS = {
    "fails": lambda: Unavailable("somewhere"),
    "breaks": lambda: RuntimeError("a fault of ours"),
    "hears nothing": lambda: CommitStateUnknown("no answer"),
    "is killed": lambda: Killed("gone"),
}


def notes(server):
    with read(server.services.engine) as conn:
        return conn.execute(select(notes_table.c.token)).all()


def left(server):
    """Notes, and inventories and their files that are no table's."""
    nobodys = select(inventories_table.c.id).where(inventories_table.c.table_id.is_(None))
    files = (
        select(func.count())
        .select_from(inventory_files)
        .where(inventory_files.c.inventory_id.in_(nobodys))
    )
    with read(server.services.engine) as conn:
        inventories = len(conn.execute(nobodys).all())
        return len(notes(server)), inventories, conn.execute(files).scalar_one()


def keys(raw):
    """What lies below the catalog but for indexes, which jobs make."""
    pages = raw.s3.get_paginator("list_objects_v2").paginate(
        Bucket="lake", Prefix=f"{raw.catalog.id}/"
    )
    found = [row["Key"] for page in pages for row in page.get("Contents", [])]
    return {key for key in found if "/geo/" not in key}


def come_by(server):
    """Upkeep, when nobody can be at anything any more."""
    later = copy.copy(server.services.pending_snapshots)
    now_ms = later._now_ms
    later._now_ms = lambda: now_ms() + PENDING_S_MAX * 1000 + 1
    later.remove_remains(threading.Event())


def ids(raw):
    try:
        loaded = raw.catalog.pyiceberg().load_table("found.cities")
    except NoSuchTableError:
        return None
    return sorted(loaded.scan().to_arrow()["id"].to_pylist())


@pytest.mark.parametrize(
    ("step", "error"),
    [
        *((step, "is killed") for step in STEPS),
        ("the first manifest is stored", "fails"),
        ("the inventory is written", "breaks"),
        ("the metadata file is written", "hears nothing"),
        ("the transaction ends", "hears nothing"),
        ("the transaction ends", "breaks"),
        ("the commit has landed", "hears nothing"),
        ("the commit has landed", "breaks"),
    ],
)
def test_a_registration_that_breaks_is_whole_or_nowhere(raw, server, monkeypatch, step, error):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    scan = raw.scan()
    before = keys(raw)
    with monkeypatch.context() as patches:
        STEPS[step](Breakage(patches, ERRORS[error]()))
        try:
            answer = raw.register(scan)
        except Exception:  # noqa: BLE001 - the connection of a process that was killed
            answer = None
    has_landed = step in LANDED
    assert ids(raw) == ([1, 2] if has_landed else None)
    if answer is not None and answer.status_code == 200:
        [outcome] = answer.json()["tables"]
        assert has_landed == (outcome["error"] is None), answer.text
    if error != "is killed":
        assert notes(server) == []
        assert has_landed or keys(raw) == before
    come_by(server)
    assert left(server) == (0, 0, 0)
    if has_landed:
        assert ids(raw) == [1, 2]
        return
    assert keys(raw) == before
    raw.register(scan)
    assert ids(raw) == [1, 2]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("the manifest list is stored", "fails"),
        ("the transaction ends", "hears nothing"),
        ("the commit has landed", "hears nothing"),
        ("the commit has landed", "breaks"),
    ],
)
def test_a_sync_that_breaks_is_whole_or_nowhere(raw, server, monkeypatch, step, error):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    raw.register(raw.scan())
    before = keys(raw)
    raw.put("cities/part-1.parquet", cities(OSLO))
    syncs = Syncs(raw)
    with monkeypatch.context() as patches:
        STEPS[step](Breakage(patches, ERRORS[error]()))
        patches.setattr("graticule.services.jobs.job_worker.RETRY_S", 0.01, raising=False)
        sync = syncs.run()
    if step in LANDED:
        assert [table["status"] for table in sync["tables"]] == ["committed"]
    if ids(raw) == [1, 2]:
        assert keys(raw) == before
        assert [table["status"] for table in syncs.run()["tables"]] == ["committed"]
    assert (ids(raw), notes(server)) == ([1, 2, 3], [])


def test_a_snapshot_that_was_given_up_is_not_committed_any_more(raw, server, monkeypatch):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    scan = raw.scan()
    real = PendingSnapshot.commit

    def too_late(self, *args, **kwargs):
        come_by(server)
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patches:
        patches.setattr(PendingSnapshot, "commit", too_late)
        answer = raw.register(scan)
    assert "took so long" in answer.text
    assert (ids(raw), notes(server)) == (None, [])


def test_the_inventory_of_a_table_that_is_gone_is_removed(raw, server):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    raw.register(raw.scan())
    come_by(server)
    raw.catalog.pyiceberg().drop_table("found.cities")
    assert left(server) == (0, 1, 1)
    come_by(server)
    assert left(server) == (0, 0, 0)


def test_whoever_lost_a_race_is_told_so_and_leaves_nothing(raw, server, monkeypatch):
    raw.put("cities/part-0.parquet", cities(PARIS, LIMA))
    scan = raw.scan()
    before = keys(raw)
    with monkeypatch.context() as patches:
        Breakage(patches, CommitConflict("somebody was first")).at(Commits, "_land")
        answer = raw.register(scan)
    assert "somebody was first" in answer.text
    assert (ids(raw), notes(server), keys(raw)) == (None, [], before)
