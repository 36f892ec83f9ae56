"""Jobs in SQL, on both engines: who works at what until when, and what is never done twice."""

from dataclasses import replace

import pytest

from graticule.db import jobs
from graticule.db.engine import read, write
from graticule.domain.job import Job, JobKind, JobState
from support.rows import NOW, create_catalogs

LEASE_S = 10
LEASE_MS = LEASE_S * 1000
JOB = Job(
    id="01",
    organisation_id="o",
    kind=JobKind.SCAN,
    subject_id="c",
    key="scan c",
    parameters={"prefix": "s3://lake/raw"},
    requested_by="ana",
    created_at_ms=NOW,
    run_after_ms=NOW,
)


@pytest.fixture
def db(database):
    with write(database) as conn:
        create_catalogs(conn, "c")
    return database


def enqueue(db, job=JOB, **options):
    with write(db) as conn:
        return jobs.enqueue(conn, job, **options)


def claim(db, now_ms=NOW, owner="w", kinds=tuple(JobKind)):
    with write(db) as conn:
        return jobs.claim(conn, owner, kinds, now_ms=now_ms, lease_s=LEASE_S)


def finish(db, job, state=JobState.SUCCEEDED, **options):
    with write(db) as conn:
        return jobs.finish(conn, job, state, now_ms=NOW + 5, **options)


def load(db, job_id="01"):
    with read(db) as conn:
        return jobs.find(conn, "o", job_id)


def claimed(job, owner="w", now_ms=NOW, **changes):
    return replace(
        job,
        **{
            "state": JobState.RUNNING,
            "attempts": 1,
            "lease_owner": owner,
            "lease_until_ms": now_ms + LEASE_MS,
            **changes,
        },
    )


def test_a_job_comes_back_as_it_was_ordered_and_only_to_its_organisation(db):
    assert enqueue(db) == JOB
    assert load(db) == JOB
    with read(db) as conn:
        assert jobs.find(conn, "elsewhere", "01") is None
        assert jobs.active(conn, "scan c") == JOB


def test_one_job_of_a_key_is_active_at_a_time(db):
    enqueue(db)
    second = replace(JOB, id="02")

    assert enqueue(db, second) == JOB
    running = claim(db)
    assert enqueue(db, second) == running
    finish(db, running)
    assert enqueue(db, second) == second


def test_a_job_asked_for_again_after_it_began_runs_once_more(db):
    enqueue(db)
    enqueue(db, replace(JOB, id="02"), again=True)  # has not begun: misses nothing
    first = claim(db)
    assert first.requests == 1
    enqueue(db, replace(JOB, id="03"), again=True)

    assert finish(db, first, result={"n": 1}) is JobState.QUEUED
    second = claim(db, NOW + 5)
    assert (second.id, second.requests, second.attempts) == ("01", 2, 1)
    assert finish(db, second, result={"n": 2}) is JobState.SUCCEEDED
    assert load(db).result == {"n": 2}


def test_jobs_are_claimed_in_order_each_once_and_not_before_their_time(db):
    enqueue(db, replace(JOB, id="02", key="b", run_after_ms=NOW + 1))
    enqueue(db, replace(JOB, id="01", key="a"))
    enqueue(db, replace(JOB, id="03", key="c", kind=JobKind.INDEX))

    assert claim(db, NOW - 1) is None
    assert claim(db, NOW, kinds=[JobKind.SYNC]) is None
    scans = [JobKind.SCAN]
    found = [claim(db, NOW + 1, kinds=scans) for _ in range(3)]
    assert [job and job.id for job in found] == ["01", "02", None]
    with read(db) as conn:
        assert jobs.is_due(conn, [JobKind.INDEX], now_ms=NOW)
        assert not jobs.is_due(conn, scans, now_ms=NOW + 1)


def test_a_lease_that_ran_out_goes_to_another_worker_and_the_first_can_change_nothing(db):
    enqueue(db)
    first = claim(db, owner="first")
    assert claim(db, NOW + LEASE_MS - 1, owner="second") is None
    second = claim(db, NOW + LEASE_MS, owner="second")

    dead = "the process that worked on it ended without a word"
    assert second == claimed(JOB, "second", NOW + LEASE_MS, attempts=2, error=dead)
    with write(db) as conn:
        assert jobs.beat(conn, first, now_ms=NOW, lease_s=99, progress={}) is None
        assert not jobs.keep_checkpoint(conn, first, {"at": 1})
        assert not jobs.holds(conn, first)
        assert not jobs.give_back(conn, first, run_after_ms=NOW)
        assert jobs.finish(conn, first, JobState.SUCCEEDED, now_ms=NOW) is None
        assert jobs.holds(conn, second)
    assert load(db) == second


def test_a_beat_prolongs_the_lease_and_shows_progress(db):
    enqueue(db)
    job = claim(db)
    with write(db) as conn:
        later = NOW + LEASE_MS - 1
        assert jobs.beat(conn, job, now_ms=later, lease_s=LEASE_S, progress={"files": 7}) is True
        assert jobs.beat(conn, job, now_ms=later, lease_s=LEASE_S, progress=None) is True

    assert claim(db, NOW + LEASE_MS) is None
    assert load(db).progress == {"files": 7}


def test_a_job_that_gets_nowhere_is_given_up_and_one_that_does_is_not(db):
    enqueue(db)
    now_ms = NOW
    for attempt in range(1, jobs.ATTEMPTS_MAX + 1):
        job = claim(db, now_ms)
        assert job.attempts == attempt
        now_ms += LEASE_MS
        if attempt == 2:
            with write(db) as conn:
                assert jobs.keep_checkpoint(conn, job, {"at": 9})
            break
    for attempt in range(2, jobs.ATTEMPTS_MAX + 1):
        job = claim(db, now_ms)
        assert (job.attempts, job.checkpoint) == (attempt, {"at": 9})
        now_ms += LEASE_MS

    assert claim(db, now_ms) is None
    given_up = load(db)
    assert given_up.state is JobState.FAILED
    assert given_up.error == "the process that worked on it ended without a word"


def test_a_job_given_back_is_tried_later_with_its_reason(db):
    enqueue(db)
    with write(db) as conn:
        assert jobs.give_back(conn, claimed_now(conn), run_after_ms=NOW + 7, error="store away")
    assert claim(db, NOW + 6) is None
    again = claim(db, NOW + 7)
    assert (again.attempts, again.error) == (2, "store away")
    with write(db) as conn:
        assert jobs.give_back(conn, again, run_after_ms=NOW, counts=False)
    assert load(db).attempts == 1


def claimed_now(conn):
    return jobs.claim(conn, "w", list(JobKind), now_ms=NOW, lease_s=LEASE_S)


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_hears_of_it(db):
    enqueue(db)
    enqueue(db, replace(JOB, id="02", key="other", run_after_ms=NOW + 1))
    running = claim(db)
    with write(db) as conn:
        assert jobs.cancel(conn, "elsewhere", "01", now_ms=NOW) is None
        assert jobs.cancel(conn, "o", "02", now_ms=NOW).state is JobState.CANCELLED
        assert jobs.cancel(conn, "o", "01", now_ms=NOW).is_cancelling
        assert jobs.beat(conn, running, now_ms=NOW, lease_s=1, progress=None) is False
    assert finish(db, running, JobState.CANCELLED) is JobState.CANCELLED
    with write(db) as conn:
        ended = jobs.cancel(conn, "o", "01", now_ms=NOW + 99)
    assert (ended.state, ended.finished_at_ms) == (JobState.CANCELLED, NOW + 5)


def test_a_job_to_be_cancelled_whose_worker_died_is_not_run_again(db):
    enqueue(db)
    claim(db)
    with write(db) as conn:
        jobs.cancel(conn, "o", "01", now_ms=NOW)

    assert claim(db, NOW + LEASE_MS) is None
    assert load(db).state is JobState.CANCELLED


def test_lists_are_narrowed_paged_counted_and_forgotten(db):
    for number in range(1, 6):
        enqueue(db, replace(JOB, id=f"0{number}", key=f"{number}"))
    enqueue(db, replace(JOB, id="06", key="6", kind=JobKind.INDEX, subject_id="t"))
    finish(db, claim(db))
    with write(db) as conn:
        assert ids(jobs.page(conn, "o", limit=2)) == ["06", "05"]
        assert ids(jobs.page(conn, "o", after="05", limit=2)) == ["04", "03"]
        assert ids(jobs.page(conn, "o", kind=JobKind.INDEX, limit=9)) == ["06"]
        assert ids(jobs.page(conn, "o", subject_id="t", limit=9)) == ["06"]
        assert ids(jobs.page(conn, "o", state=JobState.SUCCEEDED, limit=9)) == ["01"]
        assert jobs.page(conn, "elsewhere", limit=9) == []
        assert jobs.counts(conn) == {
            (JobKind.SCAN, JobState.QUEUED): 4,
            (JobKind.INDEX, JobState.QUEUED): 1,
        }
        assert jobs.remove_finished(conn, before_ms=NOW + 5, limit=9) == 0
        assert jobs.remove_finished(conn, before_ms=NOW + 6, limit=9) == 1


def ids(found):
    return [job.id for job in found]


@pytest.mark.postgres
def test_two_workers_at_once_take_two_jobs(postgres_database):
    db = postgres_database
    with write(db) as conn:
        create_catalogs(conn, "c")
    enqueue(db)
    enqueue(db, replace(JOB, id="02", key="other"))
    with write(db) as one, write(db) as other:
        assert {claimed_now(one).id, claimed_now(other).id} == {"01", "02"}
        assert claimed_now(other) is None
