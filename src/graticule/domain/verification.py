"""What verifying an integration finds, and the record that is kept of it.

A finding is a named check.  Its id is lasting: documentation, consoles and scripts refer to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from graticule.domain.catalog import BucketType

DOCS_URL: Final = "https://github.com/graticule-catalog/graticule/blob/main/docs/verify-access.md"
"""The page that explains every check, one heading each."""


class CheckStatus(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.  `detail` is what was seen, or why nothing was tried.

    `remedy` is what an admin does about a failure; with a pass it is advice.
    """

    id: str
    title: str
    status: CheckStatus
    ms: int
    detail: str
    remedy: str = ""

    @property
    def docs(self) -> str:
        """Where the check is explained."""
        return f"{DOCS_URL}#{self.id}"


@dataclass(frozen=True, slots=True)
class Report:
    """Every check of one verification, in order.

    `requester_pays` is None when the store did not tell.
    """

    checks: tuple[Check, ...]
    bucket_type: BucketType
    requester_pays: bool | None = None

    @property
    def passed(self) -> bool:
        """True if nothing failed.  What had to be skipped says why in its detail."""
        return all(check.status is not CheckStatus.FAIL for check in self.checks)


class Trigger(StrEnum):
    """Why an integration was verified."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    CHANGED = "changed"
    REFUSED = "refused"
    """The store refused something in the course of business."""


class VerificationState(StrEnum):
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    OUTDATED = "outdated"
    """The integration was changed meanwhile: the findings are about something else."""
    INTERRUPTED = "interrupted"
    """The server that ran it stopped."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The record of one verification, also while it runs.

    `checks` are those that are done.  `waiting` tells what a running one waits for.
    `requested_by` is the name of a member, None when nobody asked.
    """

    id: str
    integration_id: str
    trigger: Trigger
    requested_by: str | None
    state: VerificationState
    checks: Sequence[Check]
    waiting: str
    bucket_type: BucketType
    started_at_ms: int
    ends_by_ms: int
    """A verification that still runs after this does not run any more."""
    finished_at_ms: int | None = None

    @property
    def is_running(self) -> bool:
        return self.state is VerificationState.RUNNING


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Something else that lies in the same bucket: its name and its `s3://` location."""

    name: str
    location: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the server's own records say about the place: verification itself asks no database."""

    integrations: tuple[Neighbour, ...] = ()
    """Other integrations of the organisation on the same bucket."""
    catalogs: tuple[Neighbour, ...] = ()
    """Catalogs that use the integration, and must lie inside of it."""
