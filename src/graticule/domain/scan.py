"""A scan: one look at what lies in a catalog's storage, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ScanState(StrEnum):
    """running → proposed → registered; failed from anywhere."""

    RUNNING = "running"
    PROPOSED = "proposed"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Scan:
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
    """The last sign of life."""
    finished_at_ms: int | None = None
