from dataclasses import replace

import pytest

from graticule.db import scans
from graticule.db.engine import read, write
from graticule.domain.errors import WrongState
from graticule.domain.scan import Scan, ScanState
from support.rows import NOW, create_catalogs

SCAN = Scan(
    id="01",
    catalog_id="c",
    prefix="s3://lake/raw",
    state=ScanState.RUNNING,
    progress={},
    report=None,
    requested_by="ana",
    created_at_ms=NOW,
    updated_at_ms=NOW,
)


@pytest.fixture
def db(database):
    with write(database) as conn:
        create_catalogs(conn, "c", "d")
    return database


def create(db, scan):
    with write(db) as conn:
        scans.create(conn, scan)


def load(db, scan_id="01"):
    with read(db) as conn:
        return scans.load(conn, "c", scan_id)


def test_a_scan_comes_back_as_it_was_kept(db):
    create(db, SCAN)

    assert load(db) == SCAN
    with read(db) as conn:
        assert scans.load(conn, "d", "01") is None


def test_one_scan_of_a_catalog_runs_at_a_time(db):
    create(db, SCAN)

    with pytest.raises(WrongState, match="scan `01` of this catalog is still running"):
        create(db, replace(SCAN, id="02"))
    create(db, replace(SCAN, id="03", catalog_id="d"))


def test_a_scan_whose_process_went_silent_makes_room(db):
    create(db, SCAN)
    later = NOW + scans.SILENCE_MS_MAX + 1

    create(db, replace(SCAN, id="02", created_at_ms=later, updated_at_ms=later))

    found = load(db)
    assert (found.state, found.finished_at_ms) == (ScanState.FAILED, later)
    assert "stopped while the scan was running" in found.report["error"]


def test_a_beating_scan_is_left_alone_and_shows_its_progress(db):
    create(db, SCAN)
    beat = NOW + scans.SILENCE_MS_MAX
    with write(db) as conn:
        assert scans.beat(conn, "01", {"objects": 7}, now_ms=beat)
        assert scans.fail_interrupted(conn, now_ms=beat + 1000) == 0

    assert load(db) == replace(SCAN, progress={"objects": 7}, updated_at_ms=beat)


def test_a_scan_moves_on_only_from_the_state_it_is_in(db):
    create(db, SCAN)
    proposed = {"expected": ScanState.RUNNING, "to": ScanState.PROPOSED, "now_ms": NOW + 5}
    with write(db) as conn:
        assert scans.move(conn, "01", **proposed, report={"proposals": []})
        assert not scans.move(conn, "01", **proposed)
        assert not scans.beat(conn, "01", {}, now_ms=NOW + 6)

    assert load(db) == replace(
        SCAN,
        state=ScanState.PROPOSED,
        report={"proposals": []},
        updated_at_ms=NOW + 5,
        finished_at_ms=NOW + 5,
    )


def test_pages_of_scans_are_newest_first_and_complete(db):
    for number in range(1, 6):
        create(db, replace(SCAN, id=f"0{number}", state=ScanState.PROPOSED))
    create(db, replace(SCAN, id="09", catalog_id="d"))

    found, after = [], None
    with read(db) as conn:
        while page := scans.page(conn, "c", after=after, limit=2):
            found.extend(scan.id for scan in page)
            after = page[-1].id
    assert found == ["05", "04", "03", "02", "01"]
