"""One try at a table that is to be brought into step: what to commit, from its state as it is now.

Changes nothing itself; `table_sync` commits, and tries again from the next state if it has to.
"""

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, Final

from uuid6 import uuid7

from graticule.db.inventories import InventoryChange
from graticule.discovery.diff import Diff, FileState, KnownFile, digest_of
from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.table_files import TakenIn, entries_of, rules_of, take_in
from graticule.domain.catalog import TableRecord
from graticule.iceberg import metadata
from graticule.services.catalog.table_changes import TableChange
from graticule.services.discovery.file_inspection import Inspector
from graticule.services.syncing.known_files import KnownFiles
from graticule.services.syncing.snapshot_writing import FileChanges, Revision, SnapshotWriter
from graticule.services.syncing.table_listing import Looked, TableSyncRequest
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

KEYS_REPORTED_MAX: Final = 10_000
ADDED_AT_ONCE_MAX: Final = 10_000
"""New files of one snapshot: they are in memory with their statistics, 4 kB for each of a table of
two columns, 40 kB for each of sixty."""
POSTPONED: Final = "postponed"
"""In what is told of a sync of some keys: those that it has not looked into.  Not for reports."""
SYNC_ID: Final = "graticule.sync-id"
"""In a snapshot's summary: which sync made it."""


class Status(StrEnum):
    """What became of a table, in reports."""

    UNCHANGED = "unchanged"
    COMMITTED = "committed"
    NEEDS_CONFIRMATION = "needs-confirmation"
    FAILED = "failed"


class Attempt:
    """One try at a table, from its state as it is now."""

    def __init__(
        self,
        store: ObjectStore,
        record: TableRecord,
        document: Json,
        known: KnownFiles,
        *,
        looked: Looked,
        request: TableSyncRequest,
        inspector: Inspector,
    ) -> None:
        self._store = store
        self._record = record
        self._document = document
        self._known = known
        self._looked = looked
        self._request = request
        self._inspector = inspector
        self._bucket = record.location.bucket
        self._diff = Diff()
        self._taken = TakenIn(rules_of(document), (), {})
        self._remaining = 0
        self._left_out: dict[str, str] = {}
        self._found: dict[str, StoredObject] = {}
        self._returned: frozenset[str] = frozenset()

    def prepare(self, folder: str, *, now_ms: int) -> Revision | Json:
        """The snapshot that is due, or what to say where none is."""
        found = self._looked.difference
        if self._request.files_max is None or self._request.again:
            # What is left out again and again must not keep others from their turn.
            found, self._remaining = found.first_added(ADDED_AT_ONCE_MAX)
        else:
            found, self._remaining = found.first(self._request.files_max)
        self._diff = found
        if found.is_empty:
            return self._outcome(Status.UNCHANGED)
        guard = self._request.guard
        # Where nothing can be lost, nobody asks how much there is.
        taken = self._known.count_taken() if found.vanished or found.overwritten else 0
        if guard.stops(found.vanished_keys, taken):
            return self._outcome(Status.NEEDS_CONFIRMATION, lost=found.vanished_keys)
        self._returned = self._inspector.still_there(self._uri(k) for k in found.vanished_keys)
        fresh = [*found.added, *(now for _, now in found.overwritten)]
        self._inspect(fresh)
        lost = [key for key in found.vanished_keys if self._uri(key) not in self._returned]
        unfit = [old.key for old, _ in self._overwritten() if old.key in self._left_out]
        lost += unfit
        if guard.stops(lost, taken, perhaps=self._like_these(unfit)):
            return self._outcome(Status.NEEDS_CONFIRMATION, lost=lost)
        writer = SnapshotWriter(
            self._store, self._document, self._schema(), folder=folder, token=str(uuid7())
        )
        replaced = {old.key: old for old, _ in self._overwritten()}
        held_by = {file.key: file.manifest for file in (*found.vanished, *replaced.values())}
        changes = FileChanges(
            remove={self._uri(key): held_by[key] for key in (*lost, *replaced)},
            add=entries_of(self._taken, bucket=self._bucket),
        )
        if not changes.remove and not changes.add:
            return self._outcome(Status.UNCHANGED)
        revision = writer.revise(
            changes,
            snapshot_id=secrets.randbits(62) + 1,
            now_ms=now_ms,
            said_by="sync",
            summary={SYNC_ID: self._request.sync_id},
        )
        self._note_engines(revision)
        return self._outcome(Status.UNCHANGED) if revision.is_empty else revision

    def _like_these(self, unfit: Sequence[str]) -> int:
        """Of replaced files that are not looked into yet, how many will be out as well.

        As many of them as of those that were looked into.
        """
        seen = len(self._diff.overwritten)
        waiting = len(self._looked.difference.overwritten) - seen
        return -(-len(unfit) * waiting // seen) if seen else 0

    def _overwritten(self) -> list[tuple[KnownFile, StoredObject]]:
        """Files of the table that are others now, and could be looked at."""
        return [
            (old, now)
            for old, now in self._diff.overwritten
            if old.state is FileState.TAKEN and now.key in self._found
        ]

    def _inspect(self, objects: Sequence[StoredObject]) -> None:
        rules = rules_of(self._document)
        inspected: list[tuple[StoredObject, FileInspection]] = []
        for stored, result in self._inspector.inspect(self._bucket, objects, rules):
            if result is None:
                continue  # it changed just now: the next sync sees what it has become
            self._found[stored.key] = stored
            if isinstance(result, str):
                self._left_out[stored.key] = result
            else:
                inspected.append((stored, result))
        self._taken = take_in(rules, inspected)
        self._left_out |= self._taken.left_out

    def _note_engines(self, revision: Revision) -> None:
        """Leave alone what engines did with these files by themselves."""
        there = {now.key for _, now in self._diff.overwritten}
        for path in revision.missing:
            key = self._key(path)
            if key in there:
                self._left_out[key] = (
                    "it was replaced after an engine's commit had taken it out of the table"
                )

    def _schema(self) -> Json:
        """The schema once the files are in, with the id that it will have."""
        current = metadata.current_schema(self._document)
        if not self._evolves:
            return current
        ids = [int(schema["schema-id"]) for schema in metadata.schemas(self._document)]
        return self._taken.rules.schema.table_document | {"schema-id": max(ids) + 1}

    @property
    def _evolves(self) -> bool:
        return self._taken.rules.schema != rules_of(self._document).schema

    def change(self, revision: Revision) -> TableChange:
        """The commit, which holds only if nobody else commits first."""
        document = self._document
        requirements: list[Json] = [
            {"type": "assert-table-uuid", "uuid": document["table-uuid"]},
            {
                "type": "assert-ref-snapshot-id",
                "ref": "main",
                "snapshot-id": metadata.current_snapshot_id(document),
            },
            {
                "type": "assert-current-schema-id",
                "current-schema-id": metadata.current_schema_id(document),
            },
        ]
        updates: list[Json] = []
        if self._evolves:
            requirements.append(
                {
                    "type": "assert-last-assigned-field-id",
                    "last-assigned-field-id": document["last-column-id"],
                }
            )
            updates += self._evolution()
        updates += [
            {"action": "add-snapshot", "snapshot": revision.snapshot},
            main_at(document, revision.snapshot["snapshot-id"]),
        ]
        return TableChange(self._record.identifier, requirements, updates)

    def _evolution(self) -> list[Json]:
        mapping = self._taken.rules.name_mapping_property
        return [
            {"action": "add-schema", "schema": self._schema()},
            {"action": "set-current-schema", "schema-id": -1},
            {"action": "set-properties", "updates": mapping},
        ]

    def inventory_change(self, revision: Revision) -> InventoryChange:
        """What is known once the snapshot is there."""
        written = {self._key(path): name for path, name in revision.held_by.items()}
        touched = {*self._found, *self._gone()}
        return InventoryChange(
            revision=self._known.revision,
            known=[*self._bootstrap(touched, written), *self._known_now(revision, written)],
            forgotten=self._gone(),
            moved=[
                (key, name)
                for key, name in written.items()
                if key not in touched and self._known.revision
            ],
        )

    def bookkeeping(self) -> InventoryChange | None:
        """What is known where no snapshot is due; None if that is nothing new."""
        known = list(self._known_now(None, {}))
        gone = self._gone()
        if not known and not gone and self._known.revision:
            return None
        return InventoryChange(
            revision=self._known.revision,
            known=[*self._bootstrap({*self._found, *gone}, {}), *known],
            forgotten=gone,
        )

    def _gone(self) -> list[str]:
        gone = [file.key for file in self._diff.forgotten]
        return gone + [
            key for key in self._diff.vanished_keys if self._uri(key) not in self._returned
        ]

    def _bootstrap(
        self, touched: Collection[str], written: Mapping[str, str]
    ) -> Iterable[KnownFile]:
        """Of a table about which nothing was written down: everything, now that it is known."""
        if self._known.revision:
            return
        for file in self._known.between("", None):
            if file.key not in touched:
                etag = self._looked.etags.get(file.key, file.etag)
                yield replace(file, etag=etag, manifest=written.get(file.key, ""))

    def _known_now(
        self, revision: Revision | None, written: Mapping[str, str]
    ) -> Iterable[KnownFile]:
        present = frozenset() if revision is None else revision.present
        for key, stored in self._found.items():
            state, reason = FileState.TAKEN, ""
            if key in self._left_out:
                state, reason = FileState.LEFT_OUT, self._left_out[key]
            elif self._uri(key) in present:
                state, reason = FileState.FOREIGN, "an engine added it to the table"
            yield KnownFile(
                key, stored.etag, stored.size_bytes, state, reason, written.get(key, "")
            )

    def committed(self, revision: Revision) -> Json:
        """What to tell of a snapshot that landed."""
        return self._outcome(Status.COMMITTED) | _told_of(revision.snapshot, is_current=True)

    def landed_before(self) -> Json | None:
        """What to tell of this very sync's snapshot, if the table has one already."""
        snapshots = snapshots_of_sync(self._document, self._request.sync_id)
        if not snapshots:
            return None
        snapshot = snapshots[0]
        summary = snapshot["summary"]
        added, deleted = (
            int(summary.get(f"{name}-data-files", "0")) for name in ("added", "deleted")
        )
        counts = {"added": added, "overwritten": 0, "vanished": deleted}
        return self._outcome(Status.COMMITTED) | counts | _told_of(snapshot)

    def _outcome(self, status: Status, *, lost: Sequence[str] = ()) -> Json:
        vanished = [k for k in self._diff.vanished_keys if self._uri(k) not in self._returned]
        taken = {stored.key for stored, _ in self._taken.files} - set(self._left_out)
        outcome: Json = {
            "table_id": self._record.id,
            "table": str(self._record.identifier),
            "status": status.value,
            **_files_of(metadata.current_snapshot(self._document)),
            "added": sum(stored.key in taken for stored in self._diff.added),
            "overwritten": sum(now.key in taken for _, now in self._diff.overwritten),
            "vanished": len(vanished),
            "remaining": self._remaining,
            "left_out": [
                {"key": key, "reason": reason}
                for key, reason in sorted(self._left_out.items())[:KEYS_REPORTED_MAX]
            ],
            "unclaimed": self._looked.strays_count,
        }
        if self._request.keys is not None and status != Status.NEEDS_CONFIRMATION:
            outcome[POSTPONED] = self._postponed()
        if status == Status.NEEDS_CONFIRMATION:
            outcome["lost"] = list(lost[:KEYS_REPORTED_MAX])
            outcome |= {"lost_count": len(lost), "lost_digest": digest_of(lost)}
        return outcome

    def _postponed(self) -> list[str]:
        all_, now = self._looked.difference, self._diff
        waiting = {stored.key for stored in (*all_.added, *(new for _, new in all_.overwritten))}
        return sorted(
            waiting - {stored.key for stored in (*now.added, *(new for _, new in now.overwritten))}
        )

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    def _key(self, path: str) -> str:
        return path.removeprefix(f"s3://{self._bucket}/")


def snapshots_of_sync(document: Json, sync_id: str, *, key: str = SYNC_ID) -> list[Json]:
    """The snapshots that a sync gave the table, the newest first; one as a rule."""
    return [
        snapshot
        for snapshot in reversed(metadata.snapshots(document))
        if (snapshot.get("summary") or {}).get(key) == sync_id
    ]


def _files_of(snapshot: Json | None) -> Json:
    """How many data files the table has, whoever added them, if its snapshot says so."""
    total = "0" if snapshot is None else snapshot["summary"].get("total-data-files", "")
    return {"files": int(total)} if total.isdecimal() else {}


def _told_of(snapshot: Json, *, is_current: bool = False) -> Json:
    return {
        **(_files_of(snapshot) if is_current else {}),
        "operation": snapshot["summary"]["operation"],
        "snapshot_id": snapshot["snapshot-id"],
        "parent_snapshot_id": snapshot.get("parent-snapshot-id"),
    }


def main_at(document: Json, snapshot_id: int) -> Json:
    """The update that moves `main`, which keeps what it says of retention."""
    ref = metadata.refs(document).get("main", {})
    return {
        "action": "set-snapshot-ref",
        "ref-name": "main",
        **ref,
        "type": "branch",
        "snapshot-id": snapshot_id,
    }
