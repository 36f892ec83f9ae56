"""Brings one table that was registered in place into step with the bucket, in one snapshot.

What lies there is listed, or looked at object by object where events said which ones changed.  What
the table holds is in its manifests, and what of that came from discovery in the inventory: both
change in one transaction, so a process may die anywhere.  Engines' commits in between are built
upon, never undone.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final

from sqlalchemy import Connection, Engine

from graticule.db import catalogs as catalogs_db
from graticule.db import discovered_files as discovered_files_db
from graticule.db import tables as tables_db
from graticule.db.discovered_files import Inventory, InventoryChange
from graticule.db.engine import read, write
from graticule.discovery.diff import KnownFile
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import (
    CatalogError,
    CommitConflict,
    CommitStateUnknown,
    NoSuchTable,
)
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.services.commits import Commits
from graticule.services.credentials import Credentials
from graticule.services.documents import Documents
from graticule.services.file_inspection import Inspector
from graticule.services.snapshot_writing import Revision, SnapshotWriter
from graticule.services.sync_attempt import Attempt, Status
from graticule.services.table_changes import TableChange
from graticule.services.table_listing import Looked, TableSyncRequest, look
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

ATTEMPTS_MAX: Final = 30
LOST_MAX: Final = 3
"""Attempts lost to engines on this machine before they are made to wait for one."""
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 1.0
KEYS_REPORTED_MAX: Final = 10_000


class TableSyncs:
    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        credentials: Credentials,
        commits: Commits,
        workers: InspectionWorkers,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._credentials = credentials
        self._commits = commits
        self._workers = workers
        self._now_ms = now_ms

    def sync(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        table_id: str,
        request: TableSyncRequest,
    ) -> Json:
        """Bring the table into step; says what became of it.

        Raises:
            NoSuchTable: it was dropped.
            CatalogError: why nothing was changed.  A listing that fails is never an empty one.
            CommitStateUnknown: the outcome cannot be told; the next sync finds out.
        """
        store = self._credentials.store_for(catalog.integration, in_background=True)
        inspector = Inspector(store, self._workers, request.go_on)
        looked: Looked | None = None
        record: TableRecord | None = None
        for number in range(1, ATTEMPTS_MAX + 1):
            request.go_on()
            with self._undisturbed(catalog, record, number):
                record = self._record(table_id)
                document = self._documents.parsed(record, catalog.integration)
                inventory = self._inventory(store, record, document)
                if looked is None:
                    looked = look(
                        store,
                        record,
                        inventory.files,
                        request,
                        excluded=self._catalog_roots(catalog),
                    )
                attempt = Attempt(
                    store,
                    record,
                    document,
                    inventory,
                    looked=looked,
                    request=request,
                    inspector=inspector,
                )
                folder = record.location.join("metadata").uri
                outcome = attempt.prepare(folder, now_ms=self._now_ms())
                if isinstance(outcome, dict):
                    self._settle(record, attempt, outcome)
                    landed = attempt.landed_before() if request.is_repeated else None
                    return landed or outcome
                with suppress(CommitConflict):
                    commit_revision(
                        self._commits,
                        principal,
                        catalog,
                        store,
                        change=attempt.change(outcome),
                        revision=outcome,
                        inventory=attempt.inventory_change(outcome),
                    )
                    return attempt.committed(outcome)
            pause_s = min(PAUSE_S_MAX, PAUSE_S * number)
            time.sleep(pause_s * (0.5 + secrets.randbelow(100) / 100))
        name = table_id if record is None else record.identifier
        raise CommitConflict(f"`{name}` was changed by others again and again")

    def _undisturbed(
        self, catalog: OpenCatalog, record: TableRecord | None, number: int
    ) -> AbstractContextManager[None]:
        """An engine that commits without a pause would be first every time.

        `record` is the table's row as the attempt before found it.
        """
        if record is None or number <= LOST_MAX:
            return nullcontext()
        return self._commits.undisturbed(catalog, record.identifier)

    def _record(self, table_id: str) -> TableRecord:
        with read(self._engine) as conn:
            record = tables_db.load_by_id(conn, table_id)
        if record is None:
            raise NoSuchTable("the table was dropped")
        return record

    def _inventory(self, store: ObjectStore, record: TableRecord, document: Json) -> Inventory:
        """What is known of the table's files; from its manifests where nothing was written down."""
        with read(self._engine) as conn:
            inventory = discovered_files_db.load(conn, record.id)
        if inventory.revision:
            return inventory
        writer = SnapshotWriter(
            store, document, metadata.current_schema(document), folder="", token=""
        )
        bucket = f"s3://{record.location.bucket}/"
        own = record.location.prefix
        known = (
            KnownFile(entry.path.removeprefix(bucket), "", entry.size_bytes)
            for entry in writer.entries()
            if entry.path.startswith(record.sources) and not entry.path.startswith(own)
        )
        return Inventory(0, {file.key: file for file in known})

    def _catalog_roots(self, catalog: OpenCatalog) -> tuple[str, ...]:
        """Where catalogs keep their own tables: no data of any other."""
        with read(self._engine) as conn:
            roots = catalogs_db.locations_on(conn, catalog.integration.id)
        return tuple(root.key_prefix for root in roots)

    def _settle(self, record: TableRecord, attempt: Attempt, outcome: Json) -> None:
        """No snapshot is due; but what was looked at in vain need not be looked at again."""
        change = attempt.bookkeeping()
        if outcome["status"] != Status.NEEDS_CONFIRMATION and change is not None:
            with write(self._engine) as conn:
                discovered_files_db.change(conn, record.id, change)


def commit_revision(
    commits: Commits,
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

    def also(conn: Connection, records: Sequence[TableRecord]) -> None:
        for record in records:
            if not discovered_files_db.change(conn, record.id, inventory):
                raise CommitConflict("another sync of the table was first")

    try:
        for at, data in revision.files.items():
            store.put_if_absent(at, data)
        commits.commit(principal, catalog, [change], also=also)
    except CommitStateUnknown:
        raise
    except BaseException:
        with suppress(CatalogError):
            store.delete(list(revision.files))
        raise
