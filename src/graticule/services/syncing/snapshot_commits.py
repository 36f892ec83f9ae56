"""Lands snapshots that are worked out from a table as it is: for syncs, and for undoing them.

Every commit in between makes such work void, so it begins again from what others left; and as an
engine that commits without a pause would be first every time, others wait once it has lost a few.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Final, TypeVar

from sqlalchemy import Connection, Engine

from graticule.db import inventories as inventories_db
from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.db.inventories import InventoryChange
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import CommitConflict, NoSuchTable
from graticule.domain.tenancy import Principal
from graticule.services.catalog.commits import Commits
from graticule.services.catalog.pending_snapshots import PendingSnapshots
from graticule.services.catalog.table_changes import TableChange
from graticule.services.syncing.snapshot_writing import Revision
from graticule.storage.s3 import ObjectStore

T = TypeVar("T")

ATTEMPTS_MAX: Final = 30
LOST_MAX: Final = 3
"""Attempts lost to engines on this machine before they are made to wait for one."""
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 1.0


class SnapshotCommits:
    def __init__(self, engine: Engine, commits: Commits, snapshots: PendingSnapshots) -> None:
        self._engine = engine
        self._commits = commits
        self._snapshots = snapshots

    def until_landed(
        self,
        catalog: OpenCatalog,
        table_id: str,
        attempt: Callable[[TableRecord], T],
        *,
        go_on: Callable[[], None] = lambda: None,
    ) -> T:
        """What `attempt` makes of the table's row; begun again when it raises CommitConflict.

        `go_on` is asked before each attempt, and raises what is to end them.

        Raises:
            NoSuchTable: the table was dropped.
            CommitConflict: others, on other machines, were first every time.
        """
        record: TableRecord | None = None
        for number in range(1, ATTEMPTS_MAX + 1):
            go_on()
            with self._undisturbed(catalog, record, number):
                record = self._record(table_id)
                with suppress(CommitConflict):
                    return attempt(record)
            pause_s = min(PAUSE_S_MAX, PAUSE_S * number)
            time.sleep(pause_s * (0.5 + secrets.randbelow(100) / 100))
        name = table_id if record is None else record.identifier
        raise CommitConflict(f"`{name}` was changed by others again and again")

    def commit(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        store: ObjectStore,
        *,
        change: TableChange,
        revision: Revision,
        inventory: InventoryChange,
    ) -> None:
        """Store the files of a snapshot and commit it, together with what is known of the files.

        Raises:
            CommitConflict: the table, or what is known of it, has moved on; nothing landed.
            CommitStateUnknown: the outcome cannot be told.
        """

        def keep_inventory(conn: Connection, records: Sequence[TableRecord]) -> None:
            for record in records:
                if not inventories_db.change(conn, record.id, inventory):
                    raise CommitConflict("another sync of the table was first")

        with self._snapshots.begin(
            catalog, store, revision.folder, token=revision.token
        ) as pending:
            for at, data in revision.files.items():
                pending.put(at, data)
            pending.commit(principal, change, also=keep_inventory)

    def _undisturbed(
        self, catalog: OpenCatalog, record: TableRecord | None, number: int
    ) -> AbstractContextManager[None]:
        """`record` is the table's row as the attempt before found it."""
        if record is None or number <= LOST_MAX:
            return nullcontext()
        return self._commits.undisturbed(catalog, record.identifier)

    def _record(self, table_id: str) -> TableRecord:
        with read(self._engine) as conn:
            record = tables_db.load_by_id(conn, table_id)
        if record is None:
            raise NoSuchTable("the table was dropped")
        return record
