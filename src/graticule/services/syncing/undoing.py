"""Takes back what discovery did: a sync by a new snapshot, a registration by dropping the table.

Only references change: data stays where it lies.  What later commits built upon is not pulled from
under them, and an entry comes back only if its file still is what it was.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import randbits
from typing import Any, Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import inventories as inventories_db
from graticule.db import syncs as syncs_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, transact
from graticule.db.inventories import Inventory, InventoryChange
from graticule.discovery.diff import FileState, KnownFile
from graticule.domain.audit import EventType, Subject, SubjectKind
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import InvalidRequest, NoSuchFile, NoSuchTable, WrongState
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.sync import Sync, SyncState
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.planning.files import DataFileEntry
from graticule.services.catalog import objects
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.table_changes import TableChange
from graticule.services.catalog.table_removal import TableRemoval
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.services.syncing.snapshot_commits import SnapshotCommits
from graticule.services.syncing.snapshot_writing import FileChanges, Revision, SnapshotWriter
from graticule.services.syncing.sync_attempt import main_at, snapshots_of_sync
from graticule.services.syncing.syncing import Syncing
from graticule.storage.manifests import ADDED, DELETED, read_manifest_list, read_statuses
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

UNDONE_SYNC_ID: Final = "graticule.undoes-sync-id"
_NEVER: Final = frozenset({SyncState.RUNNING, SyncState.UNDONE})


@dataclass(frozen=True, slots=True)
class _Plan:
    """How one table goes back, from its state as it is now."""

    record: TableRecord
    document: Json
    revision: Revision
    inventory: InventoryChange


class Undoing:
    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        credentials: Credentials,
        commits: SnapshotCommits,
        *,
        removal: TableRemoval,
        syncing: Syncing,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._credentials = credentials
        self._commits = commits
        self._removal = removal
        self._syncing = syncing
        self._now_ms = now_ms

    def undo_registration(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> None:
        """Forget a table that was registered in place.  Nothing in the bucket is touched.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            InvalidRequest: it was not registered over files in the bucket.
        """
        require(principal, Action.SCAN_CATALOG)
        found = objects.look_up_table(
            self._engine, principal, catalog, identifier, Privilege.MANAGE
        )
        if not found.record.sources:
            raise InvalidRequest(
                f"`{identifier}` was not registered over files in the bucket; "
                "drop it if it is not wanted any more"
            )
        self._removal.drop(principal, catalog, identifier)

    def undo_sync(self, principal: Principal, catalog: OpenCatalog, sync_id: str) -> Sync:
        """Give every table that a sync changed a snapshot without what the sync did.

        Files that it took in stay out until they change, or are asked for again.

        Raises:
            NoSuchSync: this catalog has none of that id.
            WrongState: it runs, was undone before, or cannot be undone; nothing was changed.
            CommitConflict: tables are being written to; those that are back stay so, try again.
        """
        sync = self._syncing.get(principal, catalog, sync_id)
        require(principal, Action.WRITE_CATALOG)
        if sync.state in _NEVER:
            raise WrongState(f"sync `{sync_id}` is {sync.state} and cannot be undone")
        catalog.integration.require_writable()
        store = self._credentials.store_for(catalog.integration, in_background=True)
        plans = [
            plan
            for table_id in self._tables_in_place(catalog)
            if (plan := self._plan(catalog, store, table_id, sync)) is not None
        ]
        if not plans:
            raise WrongState(f"sync `{sync_id}` changed no table, or none that still knows of it")
        undone = {
            plan.record.id: self._carry_out(principal, catalog, store, plan, sync) for plan in plans
        }
        report = {**(sync.report or {})}
        report["tables"] = [
            {**outcome, "undo_snapshot_id": undone[outcome["table_id"]]}
            if undone.get(outcome["table_id"]) is not None
            else outcome
            for outcome in report.get("tables", ())
        ]
        transact(self._engine, self._end, principal, sync, report, plans)
        return self._syncing.get(principal, catalog, sync_id)

    def _end(
        self,
        conn: Connection,
        principal: Principal,
        sync: Sync,
        report: Json,
        plans: Sequence[_Plan],
    ) -> None:
        now_ms = self._now_ms()
        syncs_db.move(
            conn,
            sync.id,
            expected=sync.state,
            to=SyncState.UNDONE,
            now_ms=now_ms,
            report=report,
        )
        subject = Subject(SubjectKind.SYNC, sync.id, sync.id, sync.catalog_id)
        audit_trail.record(
            conn,
            principal,
            EventType.SYNC_UNDONE,
            subject,
            now_ms=now_ms,
            details={"tables": [str(plan.record.identifier) for plan in plans]},
        )

    def _tables_in_place(self, catalog: OpenCatalog) -> Sequence[str]:
        with read(self._engine) as conn:
            return list(inventories_db.tables_in_place(conn, catalog.catalog.id))

    def _carry_out(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        store: ObjectStore,
        plan: _Plan,
        sync: Sync,
    ) -> int | None:
        """Commit the plan, or a newer one if the table moves on; the id of the new snapshot.

        None if the table was dropped meanwhile.
        """

        def attempt(record: TableRecord) -> int | None:
            now: _Plan | None = plan
            if record.version != plan.record.version:
                now = self._plan(catalog, store, record.id, sync)
            if now is None:  # somebody else has undone it
                document = self._documents.parsed(record, catalog.integration)
                made = snapshots_of_sync(document, sync.id, key=UNDONE_SYNC_ID)
                return int(made[0]["snapshot-id"]) if made else None
            self._commits.commit(
                principal,
                catalog,
                store,
                change=_change(now),
                revision=now.revision,
                inventory=now.inventory,
            )
            return int(now.revision.snapshot["snapshot-id"])

        try:
            return self._commits.until_landed(catalog, plan.record.id, attempt)
        except NoSuchTable:
            return None

    def _plan(
        self, catalog: OpenCatalog, store: ObjectStore, table_id: str, sync: Sync
    ) -> _Plan | None:
        """How the table goes back; None if the sync did nothing to it, or was undone in it.

        Raises:
            WrongState: it cannot, and why.
        """
        with read(self._engine) as conn:
            record = tables_db.load_by_id(conn, table_id)
            inventory = inventories_db.of_table(conn, table_id)
        if record is None:
            return None
        store = store.confined(record.places)
        document = self._documents.parsed(record, catalog.integration)
        made = snapshots_of_sync(document, sync.id)
        if not made or snapshots_of_sync(document, sync.id, key=UNDONE_SYNC_ID):
            return None
        schema = metadata.current_schema(document)
        folder = record.location.join("metadata").uri
        writer = SnapshotWriter(store, document, schema, folder=folder, token=str(uuid7()))
        bucket = f"s3://{record.location.bucket}/"
        try:
            added, removed = _done_by(store, made)
            files = self._known_among(
                inventory, [path.removeprefix(bucket) for path in (*added, *removed)]
            )
            wanted = {
                path: file.manifest if (file := files.get(path.removeprefix(bucket))) else ""
                for path in (*added, *removed)
            }
            live = {entry.path: entry for entry in writer.find(wanted)}
        except NoSuchFile as error:
            raise WrongState(
                f"the sync is too long ago to be undone in `{record.identifier}`: {error.message}"
            ) from error
        _refuse_built_upon(record, added, removed, live)
        back = {path: _still(store, record, entry) for path, entry in removed.items()}
        changes = FileChanges(
            remove={path: wanted[path] for path in added}, restore=list(removed.values())
        )
        revision = writer.revise(
            changes,
            snapshot_id=randbits(62) + 1,
            now_ms=self._now_ms(),
            said_by="undo",
            summary={UNDONE_SYNC_ID: sync.id},
        )
        known = [
            replace(file, state=FileState.UNDONE, reason=f"sync {sync.id} was undone", manifest="")
            for path in added
            if (file := files.get(path.removeprefix(bucket))) is not None
        ]
        known += [
            KnownFile(
                path.removeprefix(bucket),
                etag,
                removed[path].size_bytes,
                manifest=revision.held_by.get(path, ""),
            )
            for path, etag in back.items()
        ]
        moved = [
            (path.removeprefix(bucket), name)
            for path, name in revision.held_by.items()
            if path not in back
        ]
        known_in = 0 if inventory is None else inventory.revision
        change = InventoryChange(known_in, known=known, moved=moved)
        return _Plan(record, document, revision, change)

    def _known_among(
        self, inventory: Inventory | None, keys: Sequence[str]
    ) -> Mapping[str, KnownFile]:
        if inventory is None:
            return {}
        with read(self._engine) as conn:
            return inventories_db.among(conn, inventory.id, keys)


def _change(plan: _Plan) -> TableChange:
    """The commit, which holds only if nobody else commits first."""
    document = plan.document
    return TableChange(
        plan.record.identifier,
        [
            {"type": "assert-table-uuid", "uuid": document["table-uuid"]},
            {
                "type": "assert-ref-snapshot-id",
                "ref": "main",
                "snapshot-id": metadata.current_snapshot_id(document),
            },
        ],
        [
            {"action": "add-snapshot", "snapshot": plan.revision.snapshot},
            main_at(document, int(plan.revision.snapshot["snapshot-id"])),
        ],
    )


def _done_by(
    store: ObjectStore, snapshots: Sequence[Json]
) -> tuple[dict[str, DataFileEntry], dict[str, DataFileEntry]]:
    """What the snapshots, newest first, brought into the table and took out of it, by path."""
    added: dict[str, DataFileEntry] = {}
    removed: dict[str, DataFileEntry] = {}
    for snapshot in snapshots:
        listed = read_manifest_list(store.get(snapshot["manifest-list"]))
        own = [
            manifest
            for manifest in listed
            if manifest.added_snapshot_id == snapshot["snapshot-id"] and not manifest.holds_deletes
        ]
        for manifest in own:
            for status, entry in read_statuses(store.get(manifest.path), manifest):
                if status == DELETED:
                    removed[entry.path] = entry
                elif status == ADDED and entry.path not in added:
                    added[entry.path] = entry
    return added, removed


def _refuse_built_upon(
    record: TableRecord,
    added: dict[str, DataFileEntry],
    removed: dict[str, DataFileEntry],
    live: dict[str, DataFileEntry],
) -> None:
    """Refuse what cannot be had back, or what later commits went on from.

    Raises:
        WrongState: names the first such file.
    """
    for path, entry in added.items():
        if path in removed:
            raise WrongState(
                f"the sync cannot be undone in `{record.identifier}`: "
                f"`{path}` was overwritten in the bucket, and what it held before is gone"
            )
        now = live.get(path)
        if now is None or now.sequence_number != entry.sequence_number:
            raise WrongState(
                f"the sync cannot be undone in `{record.identifier}`: "
                f"later commits have replaced or taken out `{path}`; undo those first"
            )
    for path in removed:
        if path in live and path not in added:
            raise WrongState(
                f"the sync cannot be undone in `{record.identifier}`: "
                f"`{path}` is back in the table already"
            )


def _still(store: ObjectStore, record: TableRecord, entry: DataFileEntry) -> str:
    """The ETag of a file that is to be read again.

    Raises:
        WrongState: it is not there, or another one.
    """
    found = store.size_and_etag(entry.path)
    if found is None or found[0] != entry.size_bytes:
        raise WrongState(
            f"the sync cannot be undone in `{record.identifier}`: `{entry.path}` is not in the "
            "bucket any more as it was, and a table that names it could not be read"
        )
    return found[1]
