"""What happens to a stored index that is damaged: nobody uses it, and a job builds it anew."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine

from graticule.db import spatial_indexes as spatial_indexes_db
from graticule.db.engine import transact
from graticule.services.catalog.index_orders import order_repair
from graticule.services.catalog.wanted_indexes import WantedIndex
from graticule.services.planning.stored_indexes import UnusableIndex


class IndexRepairs:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._now_ms = now_ms

    def order(self, wanted: WantedIndex, found: UnusableIndex) -> bool:
        """Order one job, however many meet the damage; False where nothing can be repaired.

        So it is in storage that nothing is written to.  An index that somebody has replaced
        meanwhile needs no repair.
        """
        if wanted.table.catalog.integration.read_only:
            return False

        def order(conn: Connection) -> None:
            now_ms = self._now_ms()
            if spatial_indexes_db.mark_damaged(
                conn, wanted.key.table_id, found.location, found.damage, now_ms=now_ms
            ):
                order_repair(conn, wanted, damage=found.damage, now_ms=now_ms)

        transact(self._engine, order)
        return True
