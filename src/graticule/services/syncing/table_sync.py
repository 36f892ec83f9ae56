"""Brings one table that was registered in place into step with the bucket, in one snapshot.

What lies there is listed, or looked at object by object where events said which ones changed.  What
the table holds is in its manifests, and what of that came from discovery in the inventory: both
change in one transaction, so a process may die anywhere.  Engines' commits in between are built
upon, never undone.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine

from graticule.db import catalogs as catalogs_db
from graticule.db import inventories as inventories_db
from graticule.db.engine import read, write
from graticule.discovery.diff import KnownFile
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.services.catalog.documents import Documents
from graticule.services.discovery.file_inspection import Inspector
from graticule.services.integrations.credentials import Credentials
from graticule.services.syncing.known_files import InventoryFiles, KnownFiles, ManifestFiles
from graticule.services.syncing.snapshot_commits import SnapshotCommits
from graticule.services.syncing.snapshot_writing import SnapshotWriter
from graticule.services.syncing.sync_attempt import (
    KEYS_REPORTED_MAX,
    POSTPONED,
    Attempt,
    Status,
)
from graticule.services.syncing.table_listing import Looked, TableSyncRequest, look
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]


class TableSyncs:
    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        credentials: Credentials,
        commits: SnapshotCommits,
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

        In one snapshot, or, of very many new files, in several.

        Raises:
            NoSuchTable: it was dropped.
            CatalogError: why nothing was changed.  A listing that fails is never an empty one.
            CommitStateUnknown: the outcome cannot be told; the next sync finds out.
        """
        outcome = self._snapshot(principal, catalog, table_id, request)
        while _goes_on(outcome, request):
            rest = replace(request, is_repeated=False)
            further = self._snapshot(principal, catalog, table_id, rest)
            is_stuck = further.get("remaining", 0) >= outcome["remaining"]
            outcome = _together(outcome, further)
            if is_stuck:
                break
        return outcome

    def _snapshot(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        table_id: str,
        request: TableSyncRequest,
    ) -> Json:
        store = self._credentials.store_for(catalog.integration, in_background=True)
        inspector = Inspector(store, self._workers, request.go_on)
        looked: Looked | None = None

        def attempt(record: TableRecord) -> Json:
            nonlocal looked
            document = self._documents.parsed(record, catalog.integration)
            own = store.confined(record.places)
            known = self._known(own, record, document)
            # What is known only from manifests may have changed with every commit.
            if looked is None or not known.revision or looked.revision != known.revision:
                looked = look(
                    store,
                    record,
                    known,
                    request,
                    excluded=self._catalog_roots(catalog),
                )
            trial = Attempt(
                own,
                record,
                document,
                known,
                looked=looked,
                request=request,
                inspector=inspector,
            )
            folder = record.location.join("metadata").uri
            outcome = trial.prepare(folder, now_ms=self._now_ms())
            if isinstance(outcome, dict):
                self._settle(record, trial, outcome)
                landed = trial.landed_before() if request.is_repeated else None
                return landed or outcome
            self._commits.commit(
                principal,
                catalog,
                store,
                change=trial.change(outcome),
                revision=outcome,
                inventory=trial.inventory_change(outcome),
            )
            return trial.committed(outcome)

        return self._commits.until_landed(catalog, table_id, attempt, go_on=request.go_on)

    def _known(self, store: ObjectStore, record: TableRecord, document: Json) -> KnownFiles:
        """What is known of the table's files; from its manifests where nothing was written down."""
        with read(self._engine) as conn:
            inventory = inventories_db.of_table(conn, record.id)
        if inventory is not None:
            return InventoryFiles(self._engine, inventory)
        writer = SnapshotWriter(
            store, document, metadata.current_schema(document), folder="", token=""
        )
        bucket = f"s3://{record.location.bucket}/"
        own = record.location.prefix
        return ManifestFiles(
            KnownFile(entry.path.removeprefix(bucket), "", entry.size_bytes)
            for entry in writer.entries()
            if entry.path.startswith(record.sources) and not entry.path.startswith(own)
        )

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
                inventories_db.change(conn, record.id, change)


def _goes_on(outcome: Json, request: TableSyncRequest) -> bool:
    """True if there are more new files than one snapshot takes, and nobody limited the sync."""
    is_done = outcome["status"] in {Status.COMMITTED, Status.UNCHANGED}
    return is_done and bool(outcome.get("remaining")) and request.files_max is None


def _together(outcome: Json, further: Json) -> Json:
    """What became of a table by one snapshot after the other."""
    counts = {name: outcome[name] + further[name] for name in ("added", "overwritten", "vanished")}
    left_out = (outcome["left_out"] + further["left_out"])[:KEYS_REPORTED_MAX]
    if further["status"] == Status.UNCHANGED:
        rest = {name: further[name] for name in ("remaining", POSTPONED) if name in further}
        further = outcome | rest
    return further | counts | {"left_out": left_out}
