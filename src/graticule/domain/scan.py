"""A scan: one look at what lies in a catalog's storage, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ScanState(StrEnum):
    """running → proposed → registered; failed or cancelled from running."""

    RUNNING = "running"
    PROPOSED = "proposed"
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ScanEngine(StrEnum):
    """Who inspects the files.  Everything else the server does in any case."""

    SERVER = "server"
    SPARK = "spark"


@dataclass(frozen=True, slots=True)
class Scan:
    """The job that carries it out has the same id."""

    id: str
    catalog_id: str
    prefix: str
    """The location that is scanned."""
    state: ScanState
    progress: Mapping[str, Any]
    """Counters, as they stand."""
    report: Mapping[str, Any] | None
    """What was found; None while it runs."""
    requested_by: str
    created_at_ms: int
    updated_at_ms: int
    finished_at_ms: int | None = None
    digest: str | None = None
    """Equal for scans that cannot but propose the same."""


@dataclass(frozen=True, slots=True)
class ScanPolicy:
    """What the scans of a catalog pass over, and what they register by themselves.

    `ignored` are patterns as `discovery.ignoring` reads them.  `auto_approve` is the confidence
    that a proposal needs to be registered without being asked about; None asks about all.
    """

    ignored: tuple[str, ...] = ()
    auto_approve: str | None = None
