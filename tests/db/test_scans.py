"""Scans in SQL, on both engines: what their jobs say while they run, and what stays."""

from dataclasses import replace

import pytest

from graticule.db import jobs, scans
from graticule.db.engine import read, write
from graticule.domain.job import Job, JobKind, JobState
from graticule.domain.scan import Scan, ScanState
from support.rows import NOW, create_catalogs

SCAN = Scan(
    id="01",
    catalog_id="c",
    prefix="s3://lake/raw/",
    state=ScanState.RUNNING,
    progress={"phase": "waiting"},
    report=None,
    requested_by="ana",
    created_at_ms=NOW,
    updated_at_ms=NOW,
)
JOB = Job(
    id="01",
    organisation_id="o",
    kind=JobKind.SCAN,
    subject_id="c",
    key="scan c",
    parameters={},
    requested_by="ana",
    created_at_ms=NOW,
    run_after_ms=NOW,
)


@pytest.fixture
def db(database):
    with write(database) as conn:
        create_catalogs(conn, "c", "d")
    return database


def create(db, scan=SCAN, job=JOB):
    with write(db) as conn:
        scans.create(conn, scan)
        if job is not None:
            jobs.enqueue(conn, job)


def load(db, scan_id="01"):
    with read(db) as conn:
        return scans.load(conn, "c", scan_id)


def claimed(conn):
    return jobs.claim(conn, "w", [JobKind.SCAN], now_ms=NOW, lease_s=9)


def test_a_scan_comes_back_as_it_was_kept(db):
    create(db)

    assert load(db) == SCAN
    with read(db) as conn:
        assert scans.load(conn, "d", "01") is None


def test_while_it_runs_its_job_says_how_far_it_is(db):
    create(db)
    with write(db) as conn:
        jobs.beat(conn, claimed(conn), now_ms=NOW, lease_s=9, progress={"objects": 7})

    assert load(db) == replace(SCAN, progress={"objects": 7})


@pytest.mark.parametrize(
    ("ended", "state", "reason"),
    [
        (JobState.CANCELLED, ScanState.CANCELLED, "the scan was cancelled"),
        (JobState.FAILED, ScanState.FAILED, "the store said no"),
    ],
)
def test_how_its_job_ended_is_how_it_ended(db, ended, state, reason):
    create(db)
    with write(db) as conn:
        error = reason if ended is JobState.FAILED else None
        jobs.finish(
            conn, claimed(conn), ended, now_ms=NOW + 5, error=error, progress={"objects": 7}
        )

    found = replace(SCAN, state=state, report={"error": reason}, finished_at_ms=NOW + 5)
    assert load(db) == replace(found, progress={"objects": 7})


def test_the_job_of_a_scan_is_remembered_with_it(db):
    create(db)
    with write(db) as conn:
        jobs.cancel(conn, "o", "01", now_ms=NOW)
        assert jobs.remove_finished(conn, before_ms=NOW + 1, limit=9) == 0
    assert load(db).state is ScanState.CANCELLED


def test_a_scan_without_a_job_was_interrupted(db):
    create(db, job=None)

    found = load(db)
    assert (found.state, found.finished_at_ms) == (ScanState.FAILED, NOW)
    assert "stopped while the scan was running" in found.report["error"]


def test_a_scan_moves_on_only_from_the_state_it_is_in(db):
    create(db)
    proposed = {"expected": ScanState.RUNNING, "to": ScanState.PROPOSED, "now_ms": NOW + 5}
    with write(db) as conn:
        assert scans.move(conn, "01", **proposed, report={"tables": []}, digest="d")
        assert not scans.move(conn, "01", **proposed)

    found = replace(SCAN, state=ScanState.PROPOSED, report={"tables": []}, digest="d")
    assert load(db) == replace(found, updated_at_ms=NOW + 5, finished_at_ms=NOW + 5)


def test_the_newest_scan_of_the_same_files_of_a_place_is_found(db):
    proposed = replace(SCAN, state=ScanState.PROPOSED, digest="d", report={})
    create(db, proposed, None)
    create(db, replace(proposed, id="02", state=ScanState.REGISTERED), None)
    create(db, replace(proposed, id="03", prefix="s3://lake/"), None)
    create(db, replace(proposed, id="04", digest="e"), None)
    create(db, replace(proposed, id="05", catalog_id="d"), None)
    with read(db) as conn:
        assert scans.with_digest(conn, "c", "s3://lake/raw/", "d").id == "02"
        assert scans.with_digest(conn, "c", "s3://lake/raw/", "f") is None


def test_pages_of_scans_are_newest_first_and_complete(db):
    for number in range(1, 6):
        create(db, replace(SCAN, id=f"0{number}", state=ScanState.PROPOSED), None)
    create(db, replace(SCAN, id="09", catalog_id="d"), None)

    found, after = [], None
    with read(db) as conn:
        while page := scans.page(conn, "c", after=after, limit=2):
            found.extend(scan.id for scan in page)
            after = page[-1].id
    assert found == ["05", "04", "03", "02", "01"]
