"""Registers one proposal: manifests that refer to its files in place, and one commit.

Files are gone through one after the other, their entries wait on disk, and manifests are stored as
they are written: a table of a million files takes as much memory as one of a thousand.
"""

import secrets
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.db import inventories as inventories_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, transact
from graticule.discovery.bunches import Inspections
from graticule.discovery.diff import KnownFile
from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.proposal import Proposal, ProposedFile
from graticule.discovery.registration import (
    DISCOVERED_BY,
    EntryBuilder,
    TableDefinition,
    define_table,
    file_box_of,
)
from graticule.domain.batches import batched
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import AlreadyExists, UnreadableFile
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.planning.files import DataFileEntry
from graticule.services.catalog import table_locations
from graticule.services.catalog.pending_snapshots import PendingSnapshot, PendingSnapshots
from graticule.services.catalog.table_changes import TableChange
from graticule.services.discovery.bucket_survey import Survey, registered_as
from graticule.services.discovery.footers import reader_of
from graticule.services.discovery.table_sources import refuse_changed, safe_sources
from graticule.services.integrations.credentials import Credentials
from graticule.spatial.bounding_box import BoxStatus
from graticule.storage import manifest_writer
from graticule.storage.entry_spill import EntrySpill
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.manifests import Manifest
from graticule.storage.parquet_computed import COMPUTE_BUDGET_BYTES
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

FORMAT_VERSION: Final = 2
FILES_AT_ONCE: Final = 200
INVENTORY_ROWS_AT_ONCE: Final = 2000
"""In one transaction, for which others that write to the database may have to wait."""
READS_AT_ONCE: Final = 4
"""Files whose geometries are read at once; each may take the compute budget in memory."""


class Registration:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        snapshots: PendingSnapshots,
        workers: InspectionWorkers,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._snapshots = snapshots
        self._workers = workers
        self._now_ms = now_ms

    def register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        survey: Survey,
        proposal: Proposal,
        identifier: TableIdentifier,
        *,
        at: Location | None = None,
    ) -> None:
        """Make the table.  Nothing is left behind when it cannot be made.

        `at` is its location if the files were written for it and lie there.  Then they are its own:
        no source of it, and nothing that a sync would look for.

        Raises:
            AlreadyExists: a table has the name, or reads these files already.
            InvalidLocation: no credential could open its files without opening another table's.
            UnreadableFile: a file broke since the scan.
            WrongState: a file was replaced or removed since the scan.
        """
        store = self._credentials.store_for(catalog.integration, in_background=True)
        location = at or table_locations.generate(catalog, str(uuid7()))
        sources: tuple[str, ...] = ()
        if at is None:
            registered = self._registered(catalog, survey, proposal)
            refuse_changed(store, proposal, survey.location.bucket)
            sources = safe_sources(survey.location, proposal, location, registered)
        definition = define_table(replace(proposal, sources=sources), bucket=survey.location.bucket)
        folder = location.join("metadata").uri
        with (
            self._spilled(store, survey, proposal, definition) as (spill, order),
            self._snapshots.begin(
                catalog, store, folder, token=str(uuid7()), owns_folder=at is None
            ) as pending,
        ):
            entries = spill.entries(map(int, order))  # as a list they are four times as large
            first = _FirstSnapshot.store(pending, definition, folder, entries)
            if at is None:
                self._write_inventory(pending.token, spill, order, first.manifests)
            updates = [
                *_table_updates(definition, location),
                *first.updates(size_bytes=spill.size_bytes, now_ms=self._now_ms()),
            ]
            change = TableChange(
                identifier=identifier,
                requirements=[{"type": "assert-create"}],
                updates=updates,
                sources=definition.sources,
            )
            adopt = None if at is not None else partial(_adopt, inventory_id=pending.token)
            pending.commit(principal, change, also=adopt)

    @contextmanager
    def _spilled(
        self, store: ObjectStore, survey: Survey, proposal: Proposal, definition: TableDefinition
    ) -> Iterator[tuple[EntrySpill, npt.NDArray[np.int64]]]:
        """The entries of all files, by key, and their order along a Hilbert curve."""
        builder = EntryBuilder(
            proposal, definition.schema, definition.partition_spec, survey.location.bucket
        )
        with EntrySpill() as spill:
            for file, inspection in _with_boxes(store, self._workers, proposal, survey.inspections):
                spill.add(file.etag, builder.add(file, inspection))
            order = builder.order()
            del builder  # and with it the centres
            yield spill, order

    def _write_inventory(
        self,
        inventory_id: str,
        spill: EntrySpill,
        order: npt.NDArray[np.int64],
        manifests: Sequence[Manifest],
    ) -> None:
        """What a sync will compare the bucket with, and where it will find each entry.

        Others write meanwhile: it is nobody's inventory until the commit makes it the table's.
        """
        transact(self._engine, inventories_db.begin, inventory_id)
        held_by = array("i", bytes(4 * len(order)))
        np.frombuffer(held_by, np.int32)[order] = (
            np.arange(len(order)) // manifest_writer.MANIFEST_ENTRIES_MAX
        )
        known = (
            KnownFile(
                file.path.partition("://")[2].partition("/")[2],
                file.etag,
                file.size_bytes,
                manifest=manifests[number].name,
            )
            for file, number in zip(spill.files(), held_by, strict=True)
        )
        for some in batched(known, INVENTORY_ROWS_AT_ONCE):
            transact(self._engine, inventories_db.extend, inventory_id, some)

    def _registered(
        self, catalog: OpenCatalog, survey: Survey, proposal: Proposal
    ) -> Sequence[str]:
        """The keys and folders that registered tables read already, on this integration."""
        with read(self._engine) as conn:
            by_source = tables_db.tables_by_source(conn, catalog.catalog.id)
            sources = tables_db.sources_on(conn, catalog.integration.id)
        known = registered_as(survey, proposal, by_source)
        if known is not None:
            raise AlreadyExists(f"`{proposal.root}` is registered already, as `{known}`")
        bucket = f"s3://{survey.location.bucket}/"
        return sorted(source.removeprefix(bucket) for source in sources)


def _adopt(conn: Connection, records: Sequence[TableRecord], *, inventory_id: str) -> None:
    for record in records:
        inventories_db.adopt(conn, inventory_id, record.id)


def _with_boxes(
    store: ObjectStore, workers: InspectionWorkers, proposal: Proposal, found: Inspections
) -> Iterator[tuple[ProposedFile, FileInspection]]:
    """A proposal's files with their inspections; geometries are read where footers know no box."""

    def complete(file: ProposedFile) -> FileInspection:
        inspection = found[file.key]
        if isinstance(inspection, str):
            raise UnreadableFile(f"`{file.key}`: {inspection}")
        if proposal.place is None or proposal.place.column is None:
            return inspection
        if file_box_of(proposal.place, inspection).status is not BoxStatus.UNKNOWN:
            return inspection
        stored = StoredObject(file.key, file.size_bytes, file.etag)
        return workers.inspect(
            reader_of(store, stored), file.size_bytes, budget_bytes=COMPUTE_BUDGET_BYTES
        )

    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="boxes") as pool:
        for some in batched(proposal.files, FILES_AT_ONCE):
            yield from zip(some, pool.map(complete, some), strict=True)


def _table_updates(definition: TableDefinition, location: Location) -> list[Json]:
    """Everything a new table consists of, as a client that creates one by commit sends it."""
    return [
        {"action": "assign-uuid", "uuid": str(uuid7())},
        {"action": "upgrade-format-version", "format-version": FORMAT_VERSION},
        {"action": "add-schema", "schema": definition.schema},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "add-spec", "spec": definition.partition_spec},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": location.uri},
        {"action": "set-properties", "updates": dict(definition.properties)},
    ]


@dataclass(frozen=True, slots=True)
class _FirstSnapshot:
    """The snapshot of a new table, whose files are stored."""

    snapshot_id: int
    manifest_list: str
    manifests: Sequence[Manifest]

    @classmethod
    def store(
        cls,
        pending: PendingSnapshot,
        definition: TableDefinition,
        folder: str,
        entries: Iterable[DataFileEntry],
    ) -> "_FirstSnapshot":
        """Store manifests as they are written, and the list of them."""
        snapshot_id = secrets.randbits(62) + 1
        manifests: list[Manifest] = []
        for made in manifest_writer.stream_manifests(
            entries,
            schema=definition.schema,
            spec=definition.partition_spec,
            snapshot_id=snapshot_id,
            folder=folder,
            token=pending.token,
        ):
            pending.put(made.manifest.path, made.data)
            manifests.append(made.manifest)
        manifest_list = manifest_writer.manifest_list_path(
            folder, token=pending.token, snapshot_id=snapshot_id
        )
        pending.put(
            manifest_list,
            manifest_writer.write_manifest_list(
                manifests, snapshot_id=snapshot_id, parent_snapshot_id=None, sequence_number=1
            ),
        )
        return cls(snapshot_id, manifest_list, manifests)

    def updates(self, *, size_bytes: int, now_ms: int) -> list[Json]:
        counts = {
            "data-files": sum(manifest.added_files_count or 0 for manifest in self.manifests),
            "files-size": size_bytes,
            "records": sum(manifest.added_rows_count or 0 for manifest in self.manifests),
        }
        summary = {
            "operation": "append",
            **{f"added-{name}": str(count) for name, count in counts.items()},
            **{f"total-{name}": str(count) for name, count in counts.items()},
            "total-delete-files": "0",
            "total-position-deletes": "0",
            "total-equality-deletes": "0",
            "manifests-created": str(len(self.manifests)),
            DISCOVERED_BY: "registration",
        }
        snapshot = {
            "snapshot-id": self.snapshot_id,
            "sequence-number": 1,
            "timestamp-ms": now_ms,
            "manifest-list": self.manifest_list,
            "summary": summary,
            "schema-id": 0,
        }
        ref = {"ref-name": "main", "type": "branch", "snapshot-id": self.snapshot_id}
        return [
            {"action": "add-snapshot", "snapshot": snapshot},
            {"action": "set-snapshot-ref", **ref},
        ]
