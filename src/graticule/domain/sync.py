"""A sync: tables registered in place brought into step with the bucket, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class SyncState(StrEnum):
    """running → succeeded, needs-confirmation or failed; undone from succeeded.

    needs-confirmation → running again when confirmed, or discarded.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    NEEDS_CONFIRMATION = "needs-confirmation"
    DISCARDED = "discarded"
    FAILED = "failed"
    UNDONE = "undone"


class SyncTrigger(StrEnum):
    REQUEST = "request"
    SCHEDULE = "schedule"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Sync:
    id: str
    catalog_id: str
    state: SyncState
    trigger: SyncTrigger
    parameters: Mapping[str, Any]
    """What was asked for."""
    report: Mapping[str, Any] | None
    """What became of each table; None until there is something to tell."""
    requested_by: str
    created_at_ms: int
    updated_at_ms: int
    """When something of it was written down last."""
    finished_at_ms: int | None = None


class TableSchedule(StrEnum):
    """When a table is synced by itself."""

    CATALOG = "catalog"
    """When its catalog is."""
    OWN = "own"
    """By a schedule of its own; events of its files count as well."""
    OFF = "off"
    """Only when somebody names it."""


@dataclass(frozen=True, slots=True)
class TableSyncSettings:
    """Where a table is kept in step otherwise than its catalog; None is as the catalog has it."""

    table_id: str
    schedule: TableSchedule = TableSchedule.CATALOG
    interval_minutes: int | None = None
    cron: str | None = None
    next_run_ms: int | None = None
    deleted_percent_max: int | None = None
    deleted_files_max: int | None = None
    files_max: int | None = None


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """How a catalog is kept in step: every so many minutes, or by a cron expression in UTC.

    Without either nothing happens by itself.  `files_max` are the files that one sync takes into a
    table; the rest is the next one's.  `finds_tables` scans for data that belongs to no table after
    each scheduled sync.
    """

    catalog_id: str
    interval_minutes: int | None = None
    cron: str | None = None
    files_max: int | None = None
    next_run_ms: int | None = None
    deleted_percent_max: int = 20
    deleted_files_max: int = 10
    finds_tables: bool = False
    token_hash: str | None = None
