"""One attempt at a job, as its handler sees it: how to show progress, and when to stop.

What runs handlers is `services.jobs.job_worker`.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine

from graticule.db import jobs as jobs_db
from graticule.db.engine import transact, write
from graticule.domain.job import Job, JobCancelled, JobStopped, LeaseLost

Json = dict[str, Any]

Handler = Callable[[Job, "JobRun"], Json]
"""Does a job and returns its result.  It may be run again after it was cut off anywhere, so what it
writes must bear that; it lets `JobStopped` through, and raises `CatalogError` for what people are
to read."""


class JobRun:
    """One attempt at a job, as its handler sees it.  Safe to use from the handler's threads."""

    def __init__(
        self, engine: Engine, job: Job, *, now_ms: Callable[[], int], lease_s: float
    ) -> None:
        self.job: Final = job
        self._engine = engine
        self._now_ms = now_ms
        self._lease_s = lease_s
        self._guard = threading.Lock()
        self._progress: Json | None = None
        self._stopped: type[JobStopped] | None = None
        self._lease_until_ms = job.lease_until_ms or 0

    def progress(self, progress: Json) -> None:
        """Show how far it has come.  Costs nothing: it is written with the next beat.

        Raises:
            JobStopped: do not go on.
        """
        with self._guard:
            self._progress = progress
        self.go_on()

    def go_on(self) -> None:
        """Raises JobStopped when somebody or something wants the handler to end."""
        stopped = self._stopped
        if stopped is None and self._now_ms() >= self._lease_until_ms:
            stopped = LeaseLost
        if stopped is not None:
            raise stopped

    def checkpoint(self, checkpoint: Json, *, conn: Connection | None = None) -> None:
        """Write down where another attempt goes on: at once, or with the caller's transaction.

        Raises:
            JobStopped: do not go on.  Nothing was written if the lease is lost.
        """
        if conn is not None:
            self._keep_checkpoint(conn, checkpoint)
            return
        transact(self._engine, self._keep_checkpoint, checkpoint)
        self.go_on()

    def _keep_checkpoint(self, conn: Connection, checkpoint: Json) -> None:
        if not jobs_db.keep_checkpoint(conn, self.job, checkpoint):
            raise LeaseLost

    def require_lease(self, conn: Connection) -> None:
        """In a transaction that only the holder of the lease may commit.

        Raises:
            LeaseLost: it is somebody else's by now.
        """
        if not jobs_db.holds(conn, self.job):
            raise LeaseLost

    def stop(self, why: type[JobStopped]) -> None:
        """Ask the handler to end, at its next sign of progress."""
        if self._stopped is None:
            self._stopped = why

    @property
    def shown(self) -> Json | None:
        with self._guard:
            return self._progress

    def beat(self) -> None:
        """Prolong the lease, show progress, and hear whether the job is still wanted."""
        now_ms = self._now_ms()
        with write(self._engine) as conn:
            goes_on = jobs_db.beat(
                conn, self.job, now_ms=now_ms, lease_s=self._lease_s, progress=self.shown
            )
        if goes_on is None:
            self.stop(LeaseLost)
            return
        self._lease_until_ms = now_ms + round(self._lease_s * 1000)
        if not goes_on:
            self.stop(JobCancelled)
