"""Orders the data files of a table to be looked into, where no statistics say where their rows are.

A table, or else its catalog, may say by a property that its files are not to be read.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.db import jobs as jobs_db
from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import read, transact
from graticule.domain.errors import InvalidRequest
from graticule.domain.job import Job, JobKind

COMPUTE_BOXES: Final = "graticule.compute-boxes"
"""Property of a catalog or a table; the table's word counts."""
_VALUES: Final = ("true", "false")

ORDERED_AT_ONCE: Final = 100
REQUESTER: Final = "boxes"


def are_wanted(catalog: Mapping[str, str], table: Mapping[str, str]) -> bool:
    """Whether files may be read, by the properties of both; yes unless one says no."""
    value = table.get(COMPUTE_BOXES, catalog.get(COMPUTE_BOXES, "true"))
    return value.strip().lower() != "false"


def check_boxes(properties: Mapping[str, str]) -> None:
    """Raises InvalidRequest if the properties neither allow nor forbid to read files."""
    value = properties.get(COMPUTE_BOXES)
    if value is not None and value not in _VALUES:
        raise InvalidRequest(f"`{COMPUTE_BOXES}` must be `true` or `false`, not `{value[:50]}`")


class BoxOrders:
    """Finds the tables whose indexes lack boxes: those too that were there before anybody read."""

    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def order_due(self, stopping: threading.Event) -> None:
        with read(self._engine) as conn:
            lacking = spatial_indexes_db.lacking_boxes(conn, limit=ORDERED_AT_ONCE)
        for table_id, organisation_id in lacking:
            if stopping.is_set():
                return
            self.order(table_id, organisation_id)

    def order(self, table_id: str, organisation_id: str) -> None:
        """Order what one table lacks; a job that is at it begins again when it is done."""
        now_ms = self._now_ms()
        job = Job(
            id=str(uuid7()),
            organisation_id=organisation_id,
            kind=JobKind.BOXES,
            subject_id=table_id,
            key=f"boxes/{table_id}",
            parameters={},
            requested_by=REQUESTER,
            created_at_ms=now_ms,
            run_after_ms=now_ms,
        )

        def order(conn: Connection) -> None:
            jobs_db.enqueue(conn, job, again=True)
            spatial_indexes_db.boxes_ordered(conn, table_id)

        transact(self._engine, order)
