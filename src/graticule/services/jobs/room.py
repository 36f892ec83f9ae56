"""What is built in this room: what is done in the background."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from graticule.domain.job import JobKind
from graticule.services.jobs.job_run import Handler
from graticule.services.jobs.job_worker import JobWorker
from graticule.services.jobs.jobs import Jobs


@dataclass(frozen=True, kw_only=True)
class JobsRoom:
    jobs: Jobs
    job_worker: JobWorker


def open_jobs(
    engine: Engine,
    handlers: Mapping[JobKind, Handler],
    *,
    now_ms: Callable[[], int],
    threads: int,
    lease_s: float,
    turn: Path,
) -> JobsRoom:
    """`handlers` may be filled until the worker starts."""
    return JobsRoom(
        jobs=Jobs(engine, now_ms=now_ms),
        job_worker=JobWorker(
            engine, handlers, now_ms=now_ms, threads=threads, lease_s=lease_s, turn=turn
        ),
    )
