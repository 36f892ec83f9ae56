"""Registers one proposal: manifests that refer to its files in place, and one commit.

What the table may read beside its own location is decided here: a folder only if no other table's
files are in it, since whoever may read the table is handed a credential for it.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.db import discovered_files as discovered_files_db
from graticule.db import tables as tables_db
from graticule.db.discovered_files import InventoryChange
from graticule.db.engine import read
from graticule.discovery.diff import KnownFile
from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.proposal import Proposal, ProposedFile
from graticule.discovery.registration import (
    DISCOVERED_BY,
    TableDefinition,
    data_files,
    define_table,
    file_box_of,
)
from graticule.domain.catalog import AccessLevel, OpenCatalog, TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitStateUnknown,
    InvalidLocation,
    UnreadableFile,
    WrongState,
)
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.planning.files import DataFileEntry
from graticule.services import table_locations
from graticule.services.bucket_survey import Survey, registered_as
from graticule.services.commits import Commits
from graticule.services.credentials import Credentials
from graticule.services.footers import reader_of
from graticule.services.table_changes import TableChange
from graticule.spatial.bounding_box import BoxStatus
from graticule.storage import manifest_writer
from graticule.storage.iam_policy import LocationGrant, fits
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet_computed import COMPUTE_BUDGET_BYTES
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

FORMAT_VERSION: Final = 2
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
            _refuse_changed(store, survey, proposal)
            sources = _safe_sources(survey, proposal, location, registered)
        proposal = replace(proposal, sources=sources)
        inspections = _with_boxes(store, self._workers, proposal, survey.inspections)
        definition = define_table(proposal, bucket=bucket)
        entries = data_files(
            proposal,
            inspections,
            schema=definition.schema,
            partition_spec=definition.partition_spec,
            bucket=bucket,
        )
        snapshot_id = secrets.randbits(62) + 1
        folder = location.join("metadata").uri
        token = str(uuid7())
        manifests = manifest_writer.write_manifests(
            entries,
            schema=definition.schema,
            spec=definition.partition_spec,
            snapshot_id=snapshot_id,
            folder=folder,
            token=token,
        )
        list_at = manifest_writer.manifest_list_path(folder, token=token, snapshot_id=snapshot_id)
        manifest_list = manifest_writer.write_manifest_list(
            [written.manifest for written in manifests],
            snapshot_id=snapshot_id,
            parent_snapshot_id=None,
            sequence_number=1,
        )
        files = {written.manifest.path: written.data for written in manifests}
        files[list_at] = manifest_list
        change = TableChange(
            identifier=identifier,
            requirements=[{"type": "assert-create"}],
            updates=[
                *_table_updates(definition, location),
                *_snapshot_updates(
                    proposal,
                    snapshot_id,
                    manifest_list=list_at,
                    manifests=len(manifests),
                    now_ms=self._now_ms(),
                ),
            ],
            sources=definition.sources,
        )
        try:
            for uri, data in files.items():
                store.put_if_absent(uri, data)
            self._commits.commit(
                principal,
                catalog,
                [change],
                also=None
                if at is not None
                else partial(_keep_inventory, known=_known_files(proposal, entries, manifests)),
            )
        except CommitStateUnknown:
            raise
        except CatalogError:
            with suppress(CatalogError):
                store.delete(list(files))
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


def _known_files(
    proposal: Proposal,
    entries: Sequence[DataFileEntry],
    manifests: Sequence[manifest_writer.WrittenManifest],
) -> list[KnownFile]:
    """What a sync will compare the bucket with, and where it will find each entry."""
    held_by = {
        entry.path.partition("://")[2].partition("/")[2]: manifests[
            position // manifest_writer.MANIFEST_ENTRIES_MAX
        ]
        for position, entry in enumerate(entries)
    }
    return [
        KnownFile(file.key, file.etag, file.size_bytes, manifest=held_by[file.key].manifest.name)
        for file in proposal.files
    ]


def _keep_inventory(
    conn: Connection, records: Sequence[TableRecord], known: Sequence[KnownFile]
) -> None:
    for record in records:
        discovered_files_db.change(conn, record.id, InventoryChange(revision=0, known=known))


def _refuse_changed(store: ObjectStore, survey: Survey, proposal: Proposal) -> None:
    """Refuse files that are not those that were inspected: their statistics would be lies."""
    bucket = survey.location.bucket
    for source in proposal.sources:
        uri = f"s3://{bucket}/{source}"
        files = [file for file in proposal.files if file.key.startswith(source)]
        if source.endswith("/") or not source:
            folder = Location(bucket, source.rstrip("/"))
            etags = {row.key: row.etag for rows in store.list(folder) for row in rows}
            changed = next((f for f in files if etags.get(f.key) != f.etag), None)
        else:
            changed = next((f for f in files if not store.holds_version(uri, f.etag)), None)
        if changed is not None:
            raise WrongState(f"`{changed.key}` was replaced or removed since the scan; scan again")


def _safe_sources(
    survey: Survey, proposal: Proposal, location: Location, registered: Sequence[str]
) -> tuple[str, ...]:
    """What a reader of the table is let read: its folders, or its files one by one.

    `registered` are the folders and files that other tables read.

    Raises:
        InvalidLocation: other tables' files lie among its own and there are too many to name, or
            its own lie in a folder that readers of another table may open.
    """
    bucket = survey.location.bucket

    def grants(sources: Sequence[str]) -> list[LocationGrant]:
        own = LocationGrant(location.prefix, AccessLevel.WRITE)
        read = [LocationGrant(f"s3://{bucket}/{key}", AccessLevel.READ) for key in sources]
        return [own, *read]

    own_keys = {file.key for file in proposal.files}
    others = [
        file.key
        for table in survey.proposals.tables
        if table is not proposal
        for file in table.files
        if file.key not in own_keys
    ]
    others += [source for source in registered if source not in proposal.sources]
    for folder in registered:
        if folder.endswith("/") and folder not in proposal.sources:
            inside = next((key for key in own_keys if key.startswith(folder)), None)
            if inside is not None:
                raise InvalidLocation(
                    f"`{inside}` lies in `{folder}`, all of which readers of another table may open"
                )
    folders = tuple(source for source in proposal.sources if source.endswith("/"))
    neighbour = next((key for key in others if key.startswith(folders)), None) if folders else None
    whole_bucket = any(source in {"", "/"} for source in proposal.sources)
    if neighbour is None and not whole_bucket and fits(grants(proposal.sources)):
        return proposal.sources
    if fits(grants(sorted(own_keys))):
        return tuple(sorted(own_keys))
    reason = (
        "they lie at the root of the bucket"
        if whole_bucket
        else f"files of another table, such as `{neighbour}`, lie among them"
    )
    raise InvalidLocation(
        f"the {len(own_keys)} files of `{proposal.root or survey.location.prefix}` cannot be "
        f"opened for readers of one table alone: {reason}; move them to a folder of their own"
    )


def _with_boxes(
    store: ObjectStore,
    workers: InspectionWorkers,
    proposal: Proposal,
    found: Mapping[str, FileInspection | str],
) -> dict[str, FileInspection]:
    """The inspections of a proposal's files; geometries are read where footers know no box."""

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
        inspections = pool.map(complete, proposal.files)
        return {
            file.key: inspection
            for file, inspection in zip(proposal.files, inspections, strict=True)
        }


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
    proposal: Proposal, snapshot_id: int, *, manifest_list: str, manifests: int, now_ms: int
) -> list[Json]:
    counts = {
        "data-files": len(proposal.files),
        "files-size": proposal.size_bytes,
        "records": proposal.rows,
    }
    summary = {
        "operation": "append",
        **{f"added-{name}": str(count) for name, count in counts.items()},
        **{f"total-{name}": str(count) for name, count in counts.items()},
        "total-delete-files": "0",
        "total-position-deletes": "0",
        "total-equality-deletes": "0",
        "manifests-created": str(manifests),
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
