"""Metrics reports that clients send after scans and commits: kept for people to look at."""

import json
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import metrics as metrics_db
from graticule.db.engine import read, write
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.metrics import MetricsReport
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.pages import Page, page

Json = dict[str, Any]

REPORTS_PER_TABLE_MAX: Final = 100
REPORT_BYTES_MAX: Final = 64 * 1024
"""Of one report.  A larger one is accepted and not kept: its sender could do nothing about it."""
TYPE_CHARACTERS_MAX: Final = 32
UNKNOWN_TYPE: Final = "unknown"

_LONG_MAX: Final = 2**63 - 1


class Metrics:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def report(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier, report: Json
    ) -> None:
        """Keep a report of any type.  The oldest ones of the table make room.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            Forbidden: it may be seen, but not read.
        """
        require(principal, Action.READ_CATALOG)
        record = self._require(principal, catalog, identifier)
        text = json.dumps(report, separators=(",", ":"))
        if len(text) > REPORT_BYTES_MAX:
            return
        kept = MetricsReport(
            id=str(uuid7()),
            table_id=record.id,
            report_type=_type_of(report),
            snapshot_id=_snapshot_of(report),
            principal=principal.name,
            report=text,
            received_at_ms=self._now_ms(),
        )
        with write(self._engine) as conn:
            metrics_db.add(conn, kept, keep=REPORTS_PER_TABLE_MAX)

    def list(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        after: str | None,
        limit: int,
    ) -> Page:
        """The reports on a table, newest first.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            Forbidden: it may be seen, but not read.
        """
        require(principal, Action.READ_CATALOG)
        record = self._require(principal, catalog, identifier)
        with read(self._engine) as conn:
            found = metrics_db.page(conn, record.id, after=after, limit=limit + 1)
        return page(found, limit, key=lambda report: report.id)

    def _require(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> TableRecord:
        with read(self._engine) as conn:
            return objects.table(conn, principal, catalog, identifier, Privilege.READ).record


def _type_of(report: Json) -> str:
    value = report.get("report-type")
    if not isinstance(value, str) or not 0 < len(value) <= TYPE_CHARACTERS_MAX:
        return UNKNOWN_TYPE
    return value if value.isprintable() else UNKNOWN_TYPE


def _snapshot_of(report: Json) -> int | None:
    value = report.get("snapshot-id")
    is_id = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LONG_MAX
    return value if is_id else None
