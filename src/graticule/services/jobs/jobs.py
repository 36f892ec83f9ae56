"""Jobs as people see them: listed, shown, cancelled.  `job_worker` runs them."""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.db import jobs as jobs_db
from graticule.db.engine import read, transact
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.errors import NoSuchJob
from graticule.domain.job import Job, JobKind, JobState
from graticule.domain.tenancy import Principal
from graticule.services.events import audit_trail
from graticule.services.pages import Page, page


class Jobs:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def list(
        self,
        principal: Principal,
        *,
        kind: JobKind | None = None,
        state: JobState | None = None,
        subject_id: str | None = None,
        after: str | None = None,
        limit: int,
    ) -> Page:
        """Jobs of the caller's organisation, newest first."""
        require(principal, Action.MANAGE_JOBS)
        with read(self._engine) as conn:
            found = jobs_db.page(
                conn,
                principal.organisation_id,
                kind=kind,
                state=state,
                subject_id=subject_id,
                after=after,
                limit=limit + 1,
            )
        return page(found, limit, key=lambda job: job.id)

    def get(self, principal: Principal, job_id: str) -> Job:
        """One job, also while it runs.

        Raises:
            NoSuchJob: the organisation has none of that id.
        """
        require(principal, Action.MANAGE_JOBS)
        with read(self._engine) as conn:
            found = jobs_db.find(conn, principal.organisation_id, job_id)
        if found is None:
            raise _no_such(job_id)
        return found

    def cancel(self, principal: Principal, job_id: str) -> Job:
        """Cancel a job that waits, or ask the one that runs to stop.  One that ended stays so.

        Raises:
            NoSuchJob: the organisation has none of that id.
        """
        require(principal, Action.MANAGE_JOBS)
        return transact(self._engine, self._cancel, principal, job_id)

    def counts(self) -> Mapping[tuple[JobKind, JobState], int]:
        """How many jobs of each kind wait, and how many run, for all organisations."""
        with read(self._engine) as conn:
            return jobs_db.counts(conn)

    def _cancel(self, conn: Connection, principal: Principal, job_id: str) -> Job:
        now_ms = self._now_ms()
        found = jobs_db.cancel(conn, principal.organisation_id, job_id, now_ms=now_ms)
        if found is None:
            raise _no_such(job_id)
        if found.is_cancelling or found.finished_at_ms == now_ms:
            subject = Subject(SubjectKind.JOB, found.id, found.kind.value)
            details = {"subject_id": found.subject_id}
            audit_trail.record(
                conn,
                principal,
                EventType.JOB_CANCELLED,
                subject,
                now_ms=now_ms,
                details=details,
            )
        return found


def _no_such(job_id: str) -> NoSuchJob:
    return NoSuchJob(f"there is no job `{job_id}`")
