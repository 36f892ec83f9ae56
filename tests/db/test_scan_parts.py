"""Parts of scans: settled once, and remembered until nothing of them is left in the bucket."""

import pytest

from graticule.db import jobs as jobs_db
from graticule.db import scan_parts as parts_db
from graticule.db import scans as scans_db
from graticule.db.engine import read, write
from graticule.db.scan_parts import HandedPart, PartState, Remains
from graticule.domain.job import Job, JobKind
from graticule.domain.scan import Scan, ScanState
from support.rows import NOW, create_catalogs

ONE = HandedPart("part-000000-a", 2, ("a/", "b/"), PartState.OUT)
TWO = HandedPart("part-000001-b", 1, (), PartState.OUT)
HOUR_MS = 3_600_000


@pytest.fixture
def db(database):
    scan = Scan(
        id="01",
        catalog_id="c",
        prefix="s3://lake/",
        state=ScanState.RUNNING,
        progress={},
        report=None,
        requested_by="ana",
        created_at_ms=NOW,
        updated_at_ms=NOW,
    )
    job = Job("01", "o", JobKind.SCAN, "c", "scan c", {}, "ana", NOW, NOW)
    with write(database) as conn:
        create_catalogs(conn, "c")
        jobs_db.enqueue(conn, job)
        scans_db.create(conn, scan)
        for part in (TWO, ONE):
            parts_db.create(conn, "01", part)
    return database


def parts(db):
    with read(db) as conn:
        return parts_db.of_scan(conn, "01")


def test_a_part_is_settled_by_whoever_comes_first(db):
    assert parts(db) == [ONE, TWO]
    with write(db) as conn:
        assert parts_db.settle(conn, "01", ONE.name, PartState.TAKEN)
        assert parts_db.settle(conn, "01", TWO.name, PartState.REFUSED, reason="no")
        assert not parts_db.settle(conn, "01", ONE.name, PartState.REFUSED, reason="late")
        assert not parts_db.settle(conn, "01", "another", PartState.TAKEN)
    refused = replace_part(TWO, PartState.REFUSED, "no")
    assert parts(db) == [replace_part(ONE, PartState.TAKEN, None), refused]


def replace_part(part, state, reason):
    return part._replace(state=state, reason=reason)


def remains(db, before_ms):
    with read(db) as conn:
        return parts_db.remains(conn, ended_before_ms=before_ms)


def test_what_is_left_of_a_scan_is_removed_at_its_end_and_forgotten_later(db):
    assert remains(db, NOW + HOUR_MS) == []
    with write(db) as conn:
        jobs_db.cancel(conn, "o", "01", now_ms=NOW)
    left = Remains("01", "c", "o", NOW, is_removed=False)
    assert remains(db, NOW) == [left]
    with write(db) as conn:
        parts_db.mark_removed(conn, "01")
    assert remains(db, NOW) == []
    assert remains(db, NOW + HOUR_MS) == [left._replace(is_removed=True)]
    with write(db) as conn:
        parts_db.forget(conn, "01")
    assert (remains(db, NOW + HOUR_MS), parts(db)) == ([], [])
