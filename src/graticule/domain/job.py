"""A job: work that outlives the request that asked for it, done by whichever process is free.

Values only.  `db.jobs` keeps them, `services.jobs` runs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = Mapping[str, Any]


class JobKind(StrEnum):
    """What is done.  Each kind has one handler, in `wiring`."""

    SCAN = "scan"
    SYNC = "sync"
    INDEX = "index"
    CONVERT = "convert"
    BOXES = "boxes"


class JobState(StrEnum):
    """queued → running → succeeded, failed or cancelled; back to queued to be tried again."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        return self in {JobState.QUEUED, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work about the thing `subject_id`.

    At most one job of a `key` is active at a time.  `attempts` counts those since the job last got
    any further, this one included.
    """

    id: str
    organisation_id: str
    kind: JobKind
    subject_id: str
    key: str
    parameters: Json
    requested_by: str
    created_at_ms: int
    run_after_ms: int
    """Not to be begun earlier."""
    state: JobState = JobState.QUEUED
    progress: Json | None = None
    """What to show to people."""
    checkpoint: Json | None = None
    """Where the next attempt goes on."""
    result: Json | None = None
    error: str | None = None
    """Why it failed, or why its last attempt did."""
    attempts: int = 0
    requests: int = 1
    """How often it was asked for while it was active; see `db.jobs.enqueue`."""
    is_cancelling: bool = False
    lease_owner: str | None = None
    lease_until_ms: int | None = None
    finished_at_ms: int | None = None


class JobStopped(Exception):
    """Base of what ends a handler before its end: it has to let this through."""


class JobCancelled(JobStopped):
    """Somebody does not want the job any more."""


class JobInterrupted(JobStopped):
    """The process stops; another one goes on from the last checkpoint."""


class JobWaits(JobStopped):
    """What the job needs is still to come: look again after a while.  That was no attempt."""

    def __init__(self, pause_s: float) -> None:
        super().__init__()
        self.pause_s = pause_s


class LeaseLost(JobStopped):
    """The job was silent for too long, and is another worker's now: nothing may be written."""
