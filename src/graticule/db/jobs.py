"""Jobs in SQL: what is to be done, who is at it until when, and what came of it.

Functions over a connection; services open and commit.  A lease names one attempt: whoever lost it
can change nothing any more, because every change asks for the owner.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from graticule.db.engine import is_sqlite
from graticule.db.schema import jobs, scans
from graticule.domain.errors import Unavailable
from graticule.domain.job import Job, JobKind, JobState

Json = Mapping[str, Any]

ATTEMPTS_MAX: Final = 5
"""Without getting any further."""

_c = jobs.c
_ACTIVE: Final = (JobState.QUEUED, JobState.RUNNING)
_ENQUEUE_ATTEMPTS_MAX: Final = 3
_DIED: Final = "the process that worked on it ended without a word"


def enqueue(conn: Connection, job: Job, *, again: bool = False) -> Job:
    """Order a job in the caller's transaction; returns it, or the active one of the same key.

    With `again`, a job of that key that has begun already, and so may have missed what it is asked
    for now, is run once more when it is done.
    """
    dialect = sqlite_insert if is_sqlite(conn) else postgres_insert
    wanted = dialect(jobs).values(**_values(job)).on_conflict_do_nothing()
    for _ in range(_ENQUEUE_ATTEMPTS_MAX):
        if conn.execute(wanted).rowcount == 1:
            return job
        active = select(jobs).where(_c.key == job.key, _c.state.in_(_ACTIVE))
        row = conn.execute(active.with_for_update()).one_or_none()
        if row is None:
            continue  # it ended just now
        found = _job(row)
        if again and found.state is JobState.RUNNING:
            found = replace(found, requests=found.requests + 1)
            asked = update(jobs).where(_c.id == found.id)
            conn.execute(asked.values(requests=found.requests))
        return found
    raise Unavailable(f"the job `{job.key}` could not be ordered; try again")


def is_due(conn: Connection, kinds: Collection[JobKind], *, now_ms: int) -> bool:
    """True if `claim` may find something.  Takes no lock."""
    return conn.execute(select(_c.id).where(_due(kinds, now_ms)).limit(1)).first() is not None


def claim(
    conn: Connection, owner: str, kinds: Collection[JobKind], *, now_ms: int, lease_s: float
) -> Job | None:
    """Take the job that has waited longest, for nobody else to take while the lease lasts.

    Jobs whose worker died are taken over, but for those that were to be cancelled, and those that
    were tried too often: these end here.
    """
    while True:
        due = (
            select(jobs)
            .where(_due(kinds, now_ms))
            .order_by(_c.run_after_ms, _c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        row = conn.execute(due).one_or_none()
        if row is None:
            return None
        job = _job(row)
        own = update(jobs).where(_c.id == job.id)
        if job.is_cancelling:
            conn.execute(own.values(**_ended(JobState.CANCELLED, now_ms)))
            continue
        if job.attempts >= ATTEMPTS_MAX:
            failed = _ended(JobState.FAILED, now_ms) | {"error": job.error or _DIED}
            conn.execute(own.values(**failed))
            continue
        is_orphan = job.state is JobState.RUNNING
        claimed = replace(
            job,
            state=JobState.RUNNING,
            attempts=job.attempts + 1,
            error=_DIED if is_orphan else job.error,
            lease_owner=owner,
            lease_until_ms=now_ms + round(lease_s * 1000),
        )
        conn.execute(
            own.values(
                state=claimed.state,
                attempts=claimed.attempts,
                error=claimed.error,
                lease_owner=claimed.lease_owner,
                lease_until_ms=claimed.lease_until_ms,
            )
        )
        return claimed


def beat(
    conn: Connection, job: Job, *, now_ms: int, lease_s: float, progress: Json | None
) -> bool | None:
    """Prolong the lease and show progress.  True to go on, False if the job is to be cancelled.

    None if the lease is lost.
    """
    values: dict[str, Any] = {"lease_until_ms": now_ms + round(lease_s * 1000)}
    if progress is not None:
        values["progress"] = json.dumps(progress)
    beaten = update(jobs).where(_held(job)).values(**values).returning(_c.is_cancelling)
    row = conn.execute(beaten).one_or_none()
    return None if row is None else not row.is_cancelling


def keep_checkpoint(conn: Connection, job: Job, checkpoint: Json) -> bool:
    """Write down where to go on; attempts are counted afresh.  False if the lease is lost."""
    kept = update(jobs).where(_held(job)).values(checkpoint=json.dumps(checkpoint), attempts=1)
    return conn.execute(kept).rowcount == 1


def holds(conn: Connection, job: Job) -> bool:
    """True if the lease is still the job's, and stays so until the transaction ends."""
    own = select(_c.id).where(_held(job)).with_for_update()
    return conn.execute(own).one_or_none() is not None


def finish(
    conn: Connection,
    job: Job,
    state: JobState,
    *,
    now_ms: int,
    result: Json | None = None,
    error: str | None = None,
    progress: Json | None = None,
) -> JobState | None:
    """Say how a job ended, in one of the states that are an end.

    One that was asked for again meanwhile goes back to the queue.  Returns the state it is in now,
    None if the lease is lost.
    """
    row = conn.execute(
        select(_c.requests, _c.progress).where(_held(job)).with_for_update()
    ).one_or_none()
    if row is None:
        return None
    values = _ended(state, now_ms)
    values |= {"result": None if result is None else json.dumps(result), "error": error}
    values["progress"] = row.progress if progress is None else json.dumps(progress)
    if row.requests > job.requests and state is not JobState.CANCELLED:
        values |= {"state": JobState.QUEUED, "run_after_ms": now_ms, "attempts": 0}
        values |= {"finished_at_ms": None, "checkpoint": None}
    conn.execute(update(jobs).where(_held(job)).values(**values))
    return JobState(values["state"])


def give_back(
    conn: Connection,
    job: Job,
    *,
    run_after_ms: int,
    error: str | None = None,
    counts: bool = True,
    progress: Json | None = None,
) -> bool:
    """Let go of a job that is to be tried again; without `counts` this was no attempt.

    Without progress the one that was shown last stays.  False if the lease is lost.
    """
    values: dict[str, Any] = {
        "state": JobState.QUEUED,
        "run_after_ms": run_after_ms,
        "error": error,
        "lease_owner": None,
        "lease_until_ms": None,
    }
    if progress is not None:
        values["progress"] = json.dumps(progress)
    if not counts:
        values["attempts"] = _c.attempts - 1
    return conn.execute(update(jobs).where(_held(job)).values(**values)).rowcount == 1


def amend(
    conn: Connection, organisation_id: str, job_id: str, parameters: Json, *, now_ms: int
) -> Job | None:
    """Change some of a job's parameters, for its next attempt, which is due at once.

    One that has ended stays as it is.  None if the organisation has none of that id.
    """
    job = find(conn, organisation_id, job_id, to_change=True)
    if job is None or not job.state.is_active:
        return job
    values: dict[str, Any] = {"parameters": json.dumps({**job.parameters, **parameters})}
    if job.state is JobState.QUEUED:
        values["run_after_ms"] = now_ms
    changed = update(jobs).where(_c.id == job.id).values(**values).returning(*jobs.c)
    return _job(conn.execute(changed).one())


def cancel(conn: Connection, organisation_id: str, job_id: str, *, now_ms: int) -> Job | None:
    """Cancel a job: at once if nobody is at it, else at its next sign of progress.

    A job that has ended stays as it is.  None if the organisation has none of that id.
    """
    job = find(conn, organisation_id, job_id, to_change=True)
    if job is None or not job.state.is_active:
        return job
    is_held = job.state is JobState.RUNNING and (job.lease_until_ms or 0) > now_ms
    values = {"is_cancelling": True} if is_held else _ended(JobState.CANCELLED, now_ms)
    changed = update(jobs).where(_c.id == job.id).values(**values).returning(*jobs.c)
    return _job(conn.execute(changed).one())


def find(
    conn: Connection, organisation_id: str, job_id: str, *, to_change: bool = False
) -> Job | None:
    """One job; `to_change` keeps it as it is until the transaction ends."""
    own = select(jobs).where(_c.id == job_id, _c.organisation_id == organisation_id)
    row = conn.execute(own.with_for_update() if to_change else own).one_or_none()
    return _job(row) if row is not None else None


def change_parameters(conn: Connection, job: Job) -> None:
    """Keep other parameters of a job that this transaction has ordered, or found to change."""
    changed = update(jobs).where(_c.id == job.id)
    conn.execute(changed.values(parameters=json.dumps(job.parameters)))


def active(conn: Connection, key: str) -> Job | None:
    """The job of this key that waits or runs."""
    row = conn.execute(select(jobs).where(_c.key == key, _c.state.in_(_ACTIVE))).one_or_none()
    return _job(row) if row is not None else None


def page(
    conn: Connection,
    organisation_id: str,
    *,
    kind: JobKind | None = None,
    state: JobState | None = None,
    subject_id: str | None = None,
    after: str | None = None,
    limit: int,
) -> list[Job]:
    """Jobs of an organisation, newest first; `after` is the id of the oldest that was seen."""
    query = select(jobs).where(_c.organisation_id == organisation_id)
    for column, value in ((_c.kind, kind), (_c.state, state), (_c.subject_id, subject_id)):
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        query = query.where(_c.id < after)
    return [_job(row) for row in conn.execute(query.order_by(_c.id.desc()).limit(limit))]


def counts(conn: Connection) -> dict[tuple[JobKind, JobState], int]:
    """How many jobs of each kind wait, and how many run."""
    query = (
        select(_c.kind, _c.state, func.count())
        .where(_c.state.in_(_ACTIVE))
        .group_by(_c.kind, _c.state)
    )
    return {
        (JobKind(kind), JobState(state)): count for kind, state, count in conn.execute(query).all()
    }


def remove_finished(conn: Connection, *, before_ms: int, limit: int) -> int:
    """Forget jobs that ended earlier, the oldest first; returns how many.

    That of a scan stays as long as the scan does, which has its end from there.
    """
    is_scan = exists().where(scans.c.id == _c.id)
    old = select(_c.id).where(_c.finished_at_ms < before_ms, ~is_scan).order_by(_c.finished_at_ms)
    return conn.execute(delete(jobs).where(_c.id.in_(old.limit(limit)))).rowcount


def _due(kinds: Collection[JobKind], now_ms: int) -> Any:
    return and_(
        _c.state.in_(_ACTIVE),
        _c.kind.in_(kinds),
        or_(
            and_(_c.state == JobState.QUEUED, _c.run_after_ms <= now_ms),
            and_(_c.state == JobState.RUNNING, _c.lease_until_ms <= now_ms),
        ),
    )


def _held(job: Job) -> Any:
    return and_(_c.id == job.id, _c.state == JobState.RUNNING, _c.lease_owner == job.lease_owner)


def _ended(state: JobState, now_ms: int) -> dict[str, Any]:
    return {
        "state": state,
        "finished_at_ms": now_ms,
        "lease_owner": None,
        "lease_until_ms": None,
    }


def _values(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "organisation_id": job.organisation_id,
        "kind": job.kind,
        "subject_id": job.subject_id,
        "key": job.key,
        "state": job.state,
        "parameters": json.dumps(job.parameters),
        "progress": _text(job.progress),
        "checkpoint": _text(job.checkpoint),
        "result": _text(job.result),
        "error": job.error,
        "attempts": job.attempts,
        "requests": job.requests,
        "is_cancelling": job.is_cancelling,
        "run_after_ms": job.run_after_ms,
        "lease_owner": job.lease_owner,
        "lease_until_ms": job.lease_until_ms,
        "requested_by": job.requested_by,
        "created_at_ms": job.created_at_ms,
        "finished_at_ms": job.finished_at_ms,
    }


def _text(value: Json | None) -> str | None:
    return None if value is None else json.dumps(value)


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        organisation_id=row.organisation_id,
        kind=JobKind(row.kind),
        subject_id=row.subject_id,
        key=row.key,
        parameters=_json(row.parameters),
        requested_by=row.requested_by,
        created_at_ms=row.created_at_ms,
        run_after_ms=row.run_after_ms,
        state=JobState(row.state),
        progress=_json(row.progress),
        checkpoint=_json(row.checkpoint),
        result=_json(row.result),
        error=row.error,
        attempts=row.attempts,
        requests=row.requests,
        is_cancelling=bool(row.is_cancelling),
        lease_owner=row.lease_owner,
        lease_until_ms=row.lease_until_ms,
        finished_at_ms=row.finished_at_ms,
    )
