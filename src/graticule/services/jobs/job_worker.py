"""Runs jobs in threads of this process: claims them, shows that they live, tries them again.

Any number of processes may do so over one database.  What a job does is its handler's matter, and
what a handler must know is in `job_run`.  Whoever orders a job does that in a transaction
of its own, by `db.jobs.enqueue`.
"""

import fcntl
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from graticule.db import jobs as jobs_db
from graticule.db.engine import read, transact, write
from graticule.domain.errors import (
    CatalogError,
    CommitConflict,
    CommitStateUnknown,
    KeyClaimed,
    Overloaded,
    StorageUnavailable,
    Unavailable,
)
from graticule.domain.job import (
    Job,
    JobCancelled,
    JobInterrupted,
    JobKind,
    JobState,
    JobWaits,
    LeaseLost,
)
from graticule.services import meters
from graticule.services.jobs.job_run import Handler, JobRun

Json = dict[str, Any]
log = structlog.get_logger(__name__)

LEASE_S: Final = 30.0
"""After this long without a sign of life another worker takes a job over."""
BEATS_PER_LEASE: Final = 15
"""So a cancellation is heard after two seconds."""
POLL_S: Final = 1.0
RETRY_S: Final = 5.0
"""Before the second attempt; doubles with each."""
RETRY_S_MAX: Final = 600.0
CLOSE_TIMEOUT_S: Final = 15.0
KEPT_DAYS: Final = 30
REMOVED_AT_ONCE: Final = 500
_DAY_MS: Final = 86_400_000

_PASSING: Final = (
    CommitConflict,
    CommitStateUnknown,
    KeyClaimed,
    Overloaded,
    StorageUnavailable,
    Unavailable,
)
"""What may be over by the next attempt.  Other refusals need somebody to change something."""


class JobWorker:
    """Runs what is due, `threads` jobs at once, from `start` to `close`.

    With a `turn` file, only one process of those that share it runs jobs at a time.
    """

    def __init__(
        self,
        engine: Engine,
        handlers: Mapping[JobKind, Handler],
        *,
        now_ms: Callable[[], int],
        threads: int,
        lease_s: float = LEASE_S,
        turn: Path | None = None,
    ) -> None:
        self._engine = engine
        self._handlers = handlers
        self._now_ms = now_ms
        self._lease_s = lease_s
        self._turn_file = turn
        self._turn: int | None = None
        self._name = f"{platform.node()[:64]}:{os.getpid()}"
        self._slots = threading.BoundedSemaphore(threads)
        self._stopping = threading.Event()
        self._due = threading.Event()
        self._guard = threading.Lock()
        self._running: dict[JobRun, threading.Thread] = {}
        self._threads: list[threading.Thread] = []

    def start(self, *, alone: bool = False) -> None:
        """Begin to run jobs; `alone` without waiting for a turn among processes."""
        if alone:
            self._turn_file = None
        for target in (self._dispatch, self._beat):
            thread = threading.Thread(target=target, name=f"jobs{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def wake(self) -> None:
        """Look at once: there may be something to do."""
        self._due.set()

    def close(self) -> None:
        """Let what runs come to its next checkpoint, and give it back to the queue."""
        self._stopping.set()
        self._due.set()
        with self._guard:
            running = dict(self._running)
        for run in running:
            run.stop(JobInterrupted)
        ends_at = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in (*running.values(), *self._threads):
            thread.join(max(0.0, ends_at - time.monotonic()))
        if self._turn is not None:
            os.close(self._turn)
            self._turn = None

    def remove_finished(self, stopping: threading.Event) -> None:
        """Forget jobs that ended a month ago, batch by batch."""
        before_ms = self._now_ms() - KEPT_DAYS * _DAY_MS
        removed = REMOVED_AT_ONCE
        while removed == REMOVED_AT_ONCE and not stopping.is_set():
            with write(self._engine) as conn:
                removed = jobs_db.remove_finished(conn, before_ms=before_ms, limit=REMOVED_AT_ONCE)

    # The two threads of its own

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()
            if not self._slots.acquire(timeout=POLL_S):
                continue
            job = None
            try:
                if not self._stopping.is_set() and self._has_turn():
                    job = self._claim()
            except CatalogError as error:
                log.warning("jobs cannot be looked for", reason=error.message)
            except Exception:
                log.exception("jobs cannot be looked for")
            if job is None:
                self._slots.release()
                self._due.wait(POLL_S)
                continue
            run = JobRun(self._engine, job, now_ms=self._now_ms, lease_s=self._lease_s)
            thread = threading.Thread(
                target=self._run, args=(run,), name=f"job {job.kind}", daemon=True
            )
            with self._guard:
                self._running[run] = thread
            thread.start()

    def _beat(self) -> None:
        while not self._stopping.wait(self._lease_s / BEATS_PER_LEASE):
            with self._guard:
                running = list(self._running)
            for run in running:
                try:
                    run.beat()
                except CatalogError as error:
                    # The next beat may get through; else the lease runs out, which the run notices.
                    log.warning("job does not beat", job_id=run.job.id, reason=error.message)
                except Exception:
                    log.exception("job does not beat", job_id=run.job.id)

    def _claim(self) -> Job | None:
        now_ms = self._now_ms()
        kinds = list(self._handlers)
        with read(self._engine) as conn:
            if not jobs_db.is_due(conn, kinds, now_ms=now_ms):
                return None
        owner = f"{self._name}:{secrets.token_hex(8)}"
        with write(self._engine) as conn:
            return jobs_db.claim(conn, owner, kinds, now_ms=now_ms, lease_s=self._lease_s)

    def _has_turn(self) -> bool:
        """True in one of the processes that share the file; the kernel passes it on."""
        if self._turn_file is None or self._turn is not None:
            return True
        try:
            file = os.open(self._turn_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return True  # leases keep processes apart as well
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._turn = file
        return True

    # In a thread of each job

    def _run(self, run: JobRun) -> None:
        try:
            state = self._outcome(run)
            if state is not None:
                meters.count_job(run.job.kind, state)
        except CatalogError as error:
            # The database is away: the lease runs out, and somebody takes the job up again.
            log.warning("job left behind", job_id=run.job.id, reason=error.message)
        except Exception:
            log.exception("job left behind", job_id=run.job.id)
        finally:
            with self._guard:
                self._running.pop(run, None)
            self._slots.release()
            self._due.set()

    def _outcome(self, run: JobRun) -> JobState | None:
        """Do the job and write down how that ended; None unless it did."""
        job = run.job
        try:
            result = self._handlers[job.kind](job, run)
        except LeaseLost:
            log.warning("job lost to another worker", job_id=job.id, kind=job.kind)
            return None
        except JobCancelled:
            return self._finish(run, JobState.CANCELLED)
        except JobInterrupted:
            self._give_back(run, run_after_ms=self._now_ms(), counts=False)
            return None
        except JobWaits as waits:
            self._give_back(
                run, run_after_ms=self._now_ms() + round(waits.pause_s * 1000), counts=False
            )
            return None
        except Exception as error:  # noqa: BLE001 - kept and told below
            return self._failed(run, error)
        return self._finish(run, JobState.SUCCEEDED, result=result)

    def _failed(self, run: JobRun, error: Exception) -> JobState | None:
        job = run.job
        is_told = isinstance(error, CatalogError)
        reason = (
            error.message
            if isinstance(error, CatalogError)
            else (f"the job failed; the log has the reason under job id {job.id}")
        )
        if not is_told:
            log.error("job failed", job_id=job.id, kind=job.kind, exc_info=error)
        with read(self._engine) as conn:  # a checkpoint counts attempts afresh
            known = jobs_db.find(conn, job.organisation_id, job.id)
        attempts = known.attempts if known is not None else job.attempts
        if (is_told and not isinstance(error, _PASSING)) or attempts >= jobs_db.ATTEMPTS_MAX:
            return self._finish(run, JobState.FAILED, error=reason)
        wait_s = min(RETRY_S * 2 ** (attempts - 1), RETRY_S_MAX)
        log.warning("job will be tried again", job_id=job.id, kind=job.kind, reason=reason)
        self._give_back(run, run_after_ms=self._now_ms() + round(wait_s * 1000), error=reason)
        return None

    def _finish(
        self, run: JobRun, state: JobState, *, result: Json | None = None, error: str | None = None
    ) -> JobState | None:
        ended = transact(
            self._engine,
            jobs_db.finish,
            run.job,
            state,
            now_ms=self._now_ms(),
            result=result,
            error=error,
            progress=run.shown,
        )
        if ended is None:
            return None
        tell = log.info if state is not JobState.FAILED else log.warning
        tell("job ended", job_id=run.job.id, kind=run.job.kind, state=state, error=error)
        return state

    def _give_back(
        self, run: JobRun, *, run_after_ms: int, error: str | None = None, counts: bool = True
    ) -> None:
        transact(
            self._engine,
            jobs_db.give_back,
            run.job,
            run_after_ms=run_after_ms,
            error=error,
            counts=counts,
            progress=run.shown,
        )
