"""Registers one proposal: manifests that refer to its files in place, and one commit.

Files are gone through one after the other, their entries wait on disk, and manifests are stored as
they are written: a table of a million files takes as much memory as one of a thousand.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.db import discovered_files as discovered_files_db
from graticule.db import tables as tables_db
from graticule.db.discovered_files import InventoryChange
from graticule.db.engine import read
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
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitStateUnknown,
    UnreadableFile,
)
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.services.catalog import table_locations
from graticule.services.catalog.commits import Commits
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
READS_AT_ONCE: Final = 4
"""Files whose geometries are read at once; each may take the compute budget in memory."""


class Registration:
    def __init__(
        self,
        engine: Engine,
        credentials: Credentials,
        commits: Commits,
        workers: InspectionWorkers,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._credentials = credentials
        self._commits = commits
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
        bucket = survey.location.bucket
        sources: tuple[str, ...] = ()
        if at is None:
            registered = self._registered(catalog, survey, proposal)
            refuse_changed(store, proposal, bucket)
            sources = safe_sources(survey.location, proposal, location, registered)
        proposal = replace(proposal, sources=sources)
        definition = define_table(proposal, bucket=bucket)
        snapshot_id = secrets.randbits(62) + 1
        folder = location.join("metadata").uri
        token = str(uuid7())
        list_at = manifest_writer.manifest_list_path(folder, token=token, snapshot_id=snapshot_id)
        written: list[str] = []
        size_bytes = 0
        with EntrySpill() as spill:
            builder = EntryBuilder(proposal, definition.schema, definition.partition_spec, bucket)
            for file, inspection in _with_boxes(store, self._workers, proposal, survey.inspections):
                spill.add(file.etag, builder.add(file, inspection))
                size_bytes += file.size_bytes
            order = builder.order()
            manifests: list[Manifest] = []
            try:
                for made in manifest_writer.stream_manifests(
                    (entry for _, entry in spill.read(order)),
                    schema=definition.schema,
                    spec=definition.partition_spec,
                    snapshot_id=snapshot_id,
                    folder=folder,
                    token=token,
                ):
                    written.append(made.manifest.path)
                    store.put_if_absent(made.manifest.path, made.data)
                    manifests.append(made.manifest)
                manifest_list = manifest_writer.write_manifest_list(
                    manifests, snapshot_id=snapshot_id, parent_snapshot_id=None, sequence_number=1
                )
                written.append(list_at)
                store.put_if_absent(list_at, manifest_list)
                change = TableChange(
                    identifier=identifier,
                    requirements=[{"type": "assert-create"}],
                    updates=[
                        *_table_updates(definition, location),
                        *_snapshot_updates(
                            snapshot_id,
                            list_at,
                            manifests,
                            size_bytes=size_bytes,
                            now_ms=self._now_ms(),
                        ),
                    ],
                    sources=definition.sources,
                )
                known = _KnownFiles(spill, order, manifests)
                self._commits.commit(
                    principal,
                    catalog,
                    [change],
                    also=None if at is not None else partial(_keep_inventory, known=known),
                )
            except CommitStateUnknown:
                raise
            except CatalogError:
                with suppress(CatalogError):
                    store.delete(written)
                raise

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


class _KnownFiles(Iterable[KnownFile]):
    """What a sync will compare the bucket with, and where it will find each entry."""

    def __init__(
        self, spill: EntrySpill, order: npt.NDArray[np.int64], manifests: Sequence[Manifest]
    ) -> None:
        self._spill = spill
        self._order = order
        self._manifests = manifests

    def __iter__(self) -> Iterator[KnownFile]:
        for number, (etag, entry) in enumerate(self._spill.read(self._order)):
            manifest = self._manifests[number // manifest_writer.MANIFEST_ENTRIES_MAX]
            key = entry.path.partition("://")[2].partition("/")[2]
            yield KnownFile(key, etag, entry.size_bytes, manifest=manifest.name)


def _keep_inventory(
    conn: Connection, records: Sequence[TableRecord], known: Iterable[KnownFile]
) -> None:
    for record in records:
        discovered_files_db.change(conn, record.id, InventoryChange(revision=0, known=known))


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
        files = iter(proposal.files)
        while some := list(islice(files, FILES_AT_ONCE)):
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


def _snapshot_updates(
    snapshot_id: int,
    manifest_list: str,
    manifests: Sequence[Manifest],
    *,
    size_bytes: int,
    now_ms: int,
) -> list[Json]:
    counts = {
        "data-files": sum(manifest.added_files_count or 0 for manifest in manifests),
        "files-size": size_bytes,
        "records": sum(manifest.added_rows_count or 0 for manifest in manifests),
    }
    summary = {
        "operation": "append",
        **{f"added-{name}": str(count) for name, count in counts.items()},
        **{f"total-{name}": str(count) for name, count in counts.items()},
        "total-delete-files": "0",
        "total-position-deletes": "0",
        "total-equality-deletes": "0",
        "manifests-created": str(len(manifests)),
        DISCOVERED_BY: "registration",
    }
    snapshot = {
        "snapshot-id": snapshot_id,
        "sequence-number": 1,
        "timestamp-ms": now_ms,
        "manifest-list": manifest_list,
        "summary": summary,
        "schema-id": 0,
    }
    ref = {"ref-name": "main", "type": "branch", "snapshot-id": snapshot_id}
    return [
        {"action": "add-snapshot", "snapshot": snapshot},
        {"action": "set-snapshot-ref", **ref},
    ]
