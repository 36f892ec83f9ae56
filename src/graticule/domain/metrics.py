"""What a client reported about a scan or a commit of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricsReport:
    """`report` is what the client sent, as JSON text.  Ids grow with time."""

    id: str
    table_id: str
    report_type: str
    snapshot_id: int | None
    principal: str
    report: str
    received_at_ms: int
