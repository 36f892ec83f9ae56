"""What happens to a stored index that is damaged: nobody uses it, and a job builds it anew."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import transact
from graticule.domain.audit import EventType, of_table
from graticule.services.catalog.index_orders import REPAIRER, order_repair
from graticule.services.catalog.wanted_indexes import WantedIndex
from graticule.services.events import audit_trail
from graticule.services.jobs.job_context import as_server
from graticule.services.planning.stored_indexes import UnusableIndex


class IndexRepairs:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def order(self, wanted: WantedIndex, found: UnusableIndex) -> bool:
        """Order one job, however many meet the damage, the first of whom tells the audit log.

        False where nothing can be repaired, as in storage that nothing is written to.  An index
        that somebody has replaced meanwhile needs no repair.
        """
        if wanted.table.catalog.integration.read_only:
            return False

        def order(conn: Connection) -> None:
            now_ms = self._now_ms()
            record, damage = wanted.table.record, found.damage
            if not spatial_indexes_db.is_in_use(conn, record.id, found.location):
                return
            if spatial_indexes_db.mark_damaged(
                conn, record.id, found.location, damage, now_ms=now_ms
            ):
                audit_trail.record(
                    conn,
                    as_server(wanted.table.catalog.catalog.organisation_id, REPAIRER),
                    EventType.INDEX_DAMAGED,
                    of_table(record),
                    now_ms=now_ms,
                    details={
                        "location": found.location,
                        "snapshot-id": wanted.key.snapshot_id,
                        "damage": damage,
                    },
                )
            order_repair(conn, wanted, damage=damage, now_ms=now_ms)

        transact(self._engine, order)
        return True
