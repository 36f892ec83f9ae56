"""Jobs as they are run: once, again after what may pass, not at all when nobody wants them."""

import threading
from dataclasses import replace

import pytest

from graticule.db import jobs as jobs_db
from graticule.db.engine import read, write
from graticule.domain.errors import InvalidRequest, StorageUnavailable
from graticule.domain.job import Job, JobInterrupted, JobKind, JobState, JobWaits, LeaseLost
from graticule.services.jobs import job_worker
from graticule.services.jobs.job_worker import JobWorker
from support import patience
from support.rows import NOW, create_catalogs

PATIENCE_S = 20
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


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(job_worker, "POLL_S", 0.02)
    monkeypatch.setattr(job_worker, "CLOSE_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
def db(database):
    with write(database) as conn:
        create_catalogs(conn, "c")
        jobs_db.enqueue(conn, JOB)
    return database


class Bench:
    """A worker whose only handler is the test's, and a clock that stands still."""

    def __init__(self, db, handler, **options):
        self.db, self.now_ms = db, NOW
        self.worker = JobWorker(
            db,
            {JobKind.SCAN: handler},
            now_ms=lambda: self.now_ms,
            threads=2,
            **{"lease_s": 0.3, **options},
        )

    def __enter__(self):
        self.worker.start()
        return self

    def __exit__(self, *_):
        self.worker.close()

    def job(self):
        with read(self.db) as conn:
            return jobs_db.find(conn, "o", "01")

    def until(self, is_so):
        return patience.until(lambda: found if is_so(found := self.job()) else None)

    def until_ended(self):
        return self.until(lambda job: not job.state.is_active)


def test_a_job_is_done_once_with_its_progress_and_result(db):
    seen = []

    def handler(job, run):
        seen.append(job.id)
        run.progress({"files": 7})
        return {"tables": 1}

    with Bench(db, handler) as bench:
        ended = bench.until_ended()
    assert seen == ["01"]
    assert (ended.state, ended.result, ended.progress) == (
        JobState.SUCCEEDED,
        {"tables": 1},
        {"files": 7},
    )


def test_what_may_pass_is_tried_again_from_the_checkpoint_after_a_pause(db):
    begun = []

    def handler(job, run):
        begun.append(job.checkpoint)
        if len(begun) == 1:
            run.checkpoint({"page": 3})
            raise StorageUnavailable("the store stalls")
        return {}

    with Bench(db, handler) as bench:
        waiting = bench.until(lambda job: job.state is JobState.QUEUED and job.error)
        assert waiting.error == "the store stalls"
        assert waiting.run_after_ms == NOW + job_worker.RETRY_S * 1000
        bench.now_ms = waiting.run_after_ms
        assert bench.until_ended().state is JobState.SUCCEEDED
    assert begun == [None, {"page": 3}]


def test_a_job_that_waits_is_looked_at_again_and_that_is_no_attempt(db):
    seen = []

    def handler(job, run):
        seen.append((job.attempts, job.parameters))
        run.progress({"looked": len(seen)})
        if not job.parameters:
            raise JobWaits(60)
        return {}

    with Bench(db, handler) as bench:
        for looked in range(1, jobs_db.ATTEMPTS_MAX + 2):
            waiting = bench.until(
                lambda job, looked=looked: (
                    job.state is JobState.QUEUED and job.progress == {"looked": looked}
                )
            )
            assert waiting == replace(
                JOB, run_after_ms=bench.now_ms + 60_000, progress={"looked": looked}
            )
            bench.now_ms = waiting.run_after_ms
        bench.until(lambda job: job.run_after_ms > bench.now_ms)
        with write(db) as conn:
            jobs_db.amend(conn, "o", "01", {"engine": "server"}, now_ms=bench.now_ms)
        ended = bench.until_ended()
    assert ended.state is JobState.SUCCEEDED
    assert {attempts for attempts, _ in seen} == {1}
    assert seen[-1] == (1, {"engine": "server"})


def test_what_will_not_pass_fails_at_once_with_its_reason(db):
    def handler(_job, _run):
        raise InvalidRequest("there is no such folder")

    with Bench(db, handler) as bench:
        ended = bench.until_ended()
    assert (ended.state, ended.error, ended.attempts) == (
        JobState.FAILED,
        "there is no such folder",
        1,
    )


def test_a_fault_of_ours_is_tried_a_few_times_and_told_without_its_text(db):
    attempts = []

    def handler(_job, _run):
        attempts.append(1)
        raise RuntimeError("select * from secrets")

    with Bench(db, handler) as bench:
        for _ in range(jobs_db.ATTEMPTS_MAX - 1):
            waiting = bench.until(lambda job: job.run_after_ms > bench.now_ms)
            bench.now_ms = waiting.run_after_ms
        ended = bench.until_ended()
    assert len(attempts) == jobs_db.ATTEMPTS_MAX
    assert ended.state is JobState.FAILED
    assert ended.error == "the job failed; the log has the reason under job id 01"


def test_a_running_job_stops_when_it_is_cancelled(db):
    begun = threading.Event()

    def handler(_job, run):
        while True:
            run.progress({})
            begun.set()
            threading.Event().wait(0.01)

    with Bench(db, handler) as bench:
        assert begun.wait(PATIENCE_S)
        with write(db) as conn:
            assert jobs_db.cancel(conn, "o", "01", now_ms=NOW).is_cancelling
        assert bench.until_ended().state is JobState.CANCELLED


def test_a_worker_that_is_stopped_gives_the_job_back_and_another_goes_on(db):
    begun, ended = threading.Event(), []

    def handler(job, run):
        if job.checkpoint is not None:
            return {"from": job.checkpoint}
        run.checkpoint({"page": 1})
        begun.set()
        while True:
            try:
                run.go_on()
            except JobInterrupted:
                ended.append("here")
                raise
            threading.Event().wait(0.01)

    with Bench(db, handler) as bench:
        assert begun.wait(PATIENCE_S)
    given_back = bench.job()
    assert ended == ["here"]
    assert (given_back.state, given_back.attempts) == (JobState.QUEUED, 0)
    with Bench(db, handler) as bench:
        assert bench.until_ended().result == {"from": {"page": 1}}


def test_a_job_taken_over_can_write_nothing_any_more(db):
    taken, refused = threading.Event(), threading.Event()

    def handler(_job, run):
        assert taken.wait(PATIENCE_S)
        with pytest.raises(LeaseLost), write(db) as conn:
            run.require_lease(conn)
        with pytest.raises(LeaseLost):
            run.checkpoint({"late": True})
        refused.set()
        return {"late": True}

    with Bench(db, handler, lease_s=30) as bench:
        bench.until(lambda job: job.state is JobState.RUNNING)
        with write(db) as conn:
            other = jobs_db.claim(conn, "other", [JobKind.SCAN], now_ms=NOW + 30_000, lease_s=30)
        taken.set()
        assert refused.wait(PATIENCE_S)
    assert bench.job() == other


def test_of_processes_that_share_a_file_one_runs_jobs_until_it_ends(db, tmp_path):
    turn = tmp_path / "jobs.lock"
    done_by = []

    def by(name):
        return lambda _job, _run: done_by.append(name) or {}

    with Bench(db, by("first"), turn=turn) as first:
        first.until_ended()
        with Bench(db, by("second"), turn=turn):
            with write(db) as conn:
                jobs_db.enqueue(conn, replace(JOB, id="02", key="other"))
            while len(done_by) < 2:
                threading.Event().wait(0.02)
            assert done_by == ["first", "first"]
            first.worker.close()
            with write(db) as conn:
                jobs_db.enqueue(conn, replace(JOB, id="03", key="another"))
            while len(done_by) < 3:
                threading.Event().wait(0.02)
    assert done_by == ["first", "first", "second"]
