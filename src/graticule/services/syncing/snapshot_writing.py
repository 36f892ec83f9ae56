"""Writes a snapshot in which files of a table come and go.  Committing it is the caller's matter.

Manifests that hold none of the files concerned are carried over as they are, and mostly not even
read: whoever asks says in which manifest an entry was last seen.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from graticule.discovery.registration import DISCOVERED_BY
from graticule.domain.batches import batched
from graticule.domain.errors import UnreadableFile
from graticule.iceberg import metadata
from graticule.planning.files import DATA, DataFileEntry
from graticule.storage import manifest_writer
from graticule.storage.manifests import Manifest, read_manifest, read_manifest_list
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]

FETCHES_AT_ONCE: Final = 16
SMALL_ENTRIES: Final = 250
_OF: Final = ".of."
"""In the name of a manifest: before the line of the one whose entries it took over."""
_NUMBER: Final = re.compile(r"-m\d+\.avro$")
SMALL_MANIFESTS_MAX: Final = 100
"""When so many manifests of few entries have gathered, a sync puts them together."""


@dataclass(frozen=True, slots=True)
class FileChanges:
    """What becomes of a table's files.

    `remove` has paths, each with the name of the manifest that held it last, or nothing.  `restore`
    are entries that an earlier snapshot removed, with their own sequence numbers, so that deletes
    of rows count for them as before.
    """

    remove: Mapping[str, str] = field(default_factory=dict)
    add: Sequence[DataFileEntry] = ()
    restore: Sequence[DataFileEntry] = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """A snapshot whose files have yet to be stored: `files` by their paths, all in `folder`, with
    `token` in their names.

    `missing` are paths that were to be removed and are not there: an engine took them out, and they
    are not added again either.  `present` are those to be added that an engine has added already.
    `held_by` has the manifest's name for every path whose entry is where no hint would lead.
    """

    snapshot: Json
    folder: str
    token: str
    files: Mapping[str, bytes]
    removed: Sequence[DataFileEntry]
    added: Sequence[DataFileEntry]
    missing: frozenset[str]
    present: frozenset[str]
    held_by: Mapping[str, str]

    @property
    def is_empty(self) -> bool:
        return not self.removed and not self.added


class SnapshotWriter:
    """Works out the next snapshot of one table as it is in `document`."""

    def __init__(
        self, store: ObjectStore, document: Json, schema: Json, *, folder: str, token: str
    ) -> None:
        """`schema` is the current one once the snapshot is there; `folder` takes its files."""
        self._store = store
        self._document = document
        self._format_version: manifest_writer.FormatVersion = (
            3 if metadata.format_version(document) == 3 else 2
        )
        self._schema = schema
        self._folder = folder
        self._token = token
        self._read: dict[str, list[DataFileEntry]] = {}

    def revise(
        self,
        changes: FileChanges,
        *,
        snapshot_id: int,
        now_ms: int,
        said_by: str,
        summary: Mapping[str, str],
    ) -> Revision:
        """The snapshot that follows the current one.

        Raises:
            NoSuchFile: the manifest list or a manifest is gone.
            UnreadableFile: one of them is not what it should be.
        """
        manifests = self._manifests()
        removed: list[DataFileEntry] = []
        written: list[manifest_writer.WrittenManifest] = []
        held_by: dict[str, str] = {}
        touched: list[Manifest] = []
        for manifest, entries, is_hinted in self._holding(manifests, changes.remove):
            touched.append(manifest)
            removed += [entry for entry in entries if entry.path in changes.remove]
            kept = [entry for entry in entries if entry.path not in changes.remove]
            token = f"{self._token}-{len(touched)}{_OF}{line_of(manifest.name)}"
            for one, some in self._write(kept, (), snapshot_id, token):
                written.append(one)
                if not is_hinted:
                    held_by |= {entry.path: one.manifest.name for entry in some}
        missing = frozenset(changes.remove) - {entry.path for entry in removed}
        paths = {entry.path for entry in (*changes.add, *changes.restore)} - set(changes.remove)
        present = frozenset(self._found_elsewhere(manifests, paths))
        add, restore = (
            [entry for entry in some if entry.path not in present | missing]
            for some in (changes.add, changes.restore)
        )
        batches: list[tuple[Sequence[DataFileEntry], Sequence[DataFileEntry]]]
        batches = [(add, ()), (restore, ())]
        batches += [
            ((), [entry for entry in removed if entry.spec_id == spec_id])
            for spec_id in dict.fromkeys(entry.spec_id for entry in removed)
        ]
        small = self._small(manifests, touched)
        batches += [(self._entries_of(some), ()) for some in small]
        merged = {manifest.path for some in small for manifest in some}
        for number, (entries, deleted) in enumerate(batches):
            for one, some in self._write(entries, deleted, snapshot_id, f"{self._token}-b{number}"):
                written.append(one)
                held_by |= {entry.path: one.manifest.name for entry in some}
        replaced = {manifest.path for manifest in touched} | merged
        rest = [manifest for manifest in manifests if manifest.path not in replaced]
        sequence_number = int(self._document.get("last-sequence-number") or 0) + 1
        parent_id = metadata.current_snapshot_id(self._document)
        list_at = manifest_writer.manifest_list_path(
            self._folder, token=self._token, snapshot_id=snapshot_id
        )
        listed = [one.manifest for one in written] + rest
        row_ids: Json = {}
        if self._format_version == 3:
            first_row_id = int(self._document.get("next-row-id") or 0)
            listed, next_row_id = manifest_writer.with_row_ids(listed, first_row_id)
            row_ids = {"first-row-id": first_row_id, "added-rows": next_row_id - first_row_id}
        files = {one.manifest.path: one.data for one in written}
        files[list_at] = manifest_writer.write_manifest_list(
            listed,
            snapshot_id=snapshot_id,
            parent_snapshot_id=parent_id,
            sequence_number=sequence_number,
            first_row_id=row_ids.get("first-row-id"),
        )
        added = [*add, *restore]
        snapshot: Json = {
            "snapshot-id": snapshot_id,
            "sequence-number": sequence_number,
            "timestamp-ms": max(now_ms, int(self._document["last-updated-ms"])),
            "manifest-list": list_at,
            "summary": {
                **self._summary(added, removed, listed, created=len(written)),
                "manifests-kept": str(len(rest)),
                "manifests-replaced": str(len(replaced)),
                DISCOVERED_BY: said_by,
                **summary,
            },
            "schema-id": int(self._schema["schema-id"]),
            **row_ids,
        }
        if parent_id is not None:
            snapshot["parent-snapshot-id"] = parent_id
        return Revision(
            snapshot=snapshot,
            folder=self._folder,
            token=self._token,
            files=files,
            removed=removed,
            added=added,
            missing=missing,
            present=present,
            held_by=held_by,
        )

    def entries(self) -> Iterator[DataFileEntry]:
        """All live data files."""
        manifests = [manifest for manifest in self._manifests() if not manifest.holds_deletes]
        yield from self._entries_of(manifests)

    def find(self, paths: Mapping[str, str]) -> list[DataFileEntry]:
        """The live entries of these paths, each with the manifest that held it last."""
        return [
            entry
            for _, entries, _ in self._holding(self._manifests(), paths)
            for entry in entries
            if entry.path in paths
        ]

    def _manifests(self) -> list[Manifest]:
        """Those that hold anything, delete files included."""
        snapshot = metadata.current_snapshot(self._document)
        if snapshot is None:
            return []
        at = snapshot.get("manifest-list")
        if not isinstance(at, str):
            raise UnreadableFile("the current snapshot has no manifest list")
        listed = read_manifest_list(self._store.get(at), of=at)
        return [manifest for manifest in listed if manifest.may_hold_live_files]

    def _holding(
        self, manifests: Sequence[Manifest], wanted: Mapping[str, str]
    ) -> Iterator[tuple[Manifest, Sequence[DataFileEntry], bool]]:
        """The manifests that hold any of the wanted paths, each with its entries.

        First those that hints lead to, and only if these do not hold everything, wherever else it
        may be; the third says which.  Nothing is kept: a few files of each manifest may be all of
        a table's manifests.
        """
        hints = {line_of(name) for name in wanted.values()}
        left = set(wanted)
        data = [manifest for manifest in manifests if not manifest.holds_deletes]
        hinted = [manifest for manifest in data if line_of(manifest.name) in hints]
        others = [manifest for manifest in data if line_of(manifest.name) not in hints]
        for some, is_hinted in ((hinted, True), (others, False)):
            for batch in batched(some, FETCHES_AT_ONCE):
                if not left:
                    return
                for manifest, entries in self._read_all(batch):
                    found = left & {entry.path for entry in entries}
                    if found:
                        left -= found
                        yield manifest, entries, is_hinted

    def _read_all(
        self, manifests: Sequence[Manifest]
    ) -> Iterator[tuple[Manifest, list[DataFileEntry]]]:
        with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="manifests") as pool:
            fetched = pool.map(lambda manifest: self._store.get(manifest.path), manifests)
            for manifest, data in zip(manifests, fetched, strict=True):
                yield manifest, [e for e in read_manifest(data, manifest) if e.content == DATA]

    def _found_elsewhere(
        self, manifests: Sequence[Manifest], paths: Collection[str]
    ) -> Iterator[str]:
        """Those of the paths that engines have brought in by themselves.

        Only in manifests that were not written here: what was, is known without looking.
        """
        if not paths:
            return
        own = {
            int(snapshot["snapshot-id"])
            for snapshot in metadata.snapshots(self._document)
            if DISCOVERED_BY in (snapshot.get("summary") or {})
        }
        foreign = [
            manifest
            for manifest in manifests
            if not manifest.holds_deletes and manifest.added_snapshot_id not in own
        ]
        self._fetch(foreign)
        for manifest in foreign:
            yield from (e.path for e in self._entries(manifest) if e.path in paths)

    def _small(
        self, manifests: Sequence[Manifest], touched: Sequence[Manifest]
    ) -> list[list[Manifest]]:
        """Manifests to be put together, by partition spec, once there are too many of few."""
        at_hand = {manifest.path for manifest in touched}
        by_spec: dict[int, list[Manifest]] = {}
        for manifest in manifests:
            count = manifest.entry_count
            if manifest.holds_deletes or manifest.path in at_hand or count is None:
                continue
            if count <= SMALL_ENTRIES:
                by_spec.setdefault(manifest.spec_id, []).append(manifest)
        return [some for some in by_spec.values() if len(some) > SMALL_MANIFESTS_MAX]

    def _entries_of(self, manifests: Sequence[Manifest]) -> list[DataFileEntry]:
        self._fetch(manifests)
        return [entry for manifest in manifests for entry in self._entries(manifest)]

    def _entries(self, manifest: Manifest) -> list[DataFileEntry]:
        self._fetch([manifest])
        return self._read[manifest.path]

    def _fetch(self, manifests: Sequence[Manifest]) -> None:
        todo = [manifest for manifest in manifests if manifest.path not in self._read]
        if todo:
            self._read |= {manifest.path: entries for manifest, entries in self._read_all(todo)}

    def _write(
        self,
        entries: Sequence[DataFileEntry],
        deleted: Sequence[DataFileEntry],
        snapshot_id: int,
        token: str,
    ) -> Iterator[tuple[manifest_writer.WrittenManifest, Sequence[DataFileEntry]]]:
        """Manifests of entries of one partition spec, each with those it holds alive."""
        if not entries and not deleted:
            return
        spec_id = next(iter((*entries, *deleted))).spec_id
        spec = metadata.partition_spec_by_id(self._document, spec_id)
        if spec is None:
            raise UnreadableFile(f"the table has no partition spec {spec_id}, which its files use")
        written = manifest_writer.write_manifests(
            entries,
            schema=self._schema,
            spec=spec,
            snapshot_id=snapshot_id,
            folder=self._folder,
            token=token,
            format_version=self._format_version,
            deleted=deleted,
        )
        size = manifest_writer.MANIFEST_ENTRIES_MAX
        for number, one in enumerate(written):
            yield one, entries[number * size : (number + 1) * size]

    def _summary(
        self,
        added: Sequence[DataFileEntry],
        removed: Sequence[DataFileEntry],
        manifests: Sequence[Manifest],
        *,
        created: int,
    ) -> dict[str, str]:
        current = metadata.current_snapshot(self._document) or {}
        before: Mapping[str, str] = current.get("summary") or {}
        operation = "append" if not removed else "overwrite" if added else "delete"
        counts: dict[str, int] = {}
        for name, files in (("added", added), ("deleted", removed)):
            if not files:
                continue
            size = "added-files-size" if name == "added" else "removed-files-size"
            counts |= {
                f"{name}-data-files": len(files),
                f"{name}-records": sum(entry.record_count for entry in files),
                size: sum(entry.size_bytes for entry in files),
            }
        counts |= _totals(manifests)
        size_before = before.get("total-files-size", "")
        if size_before.isdecimal():
            change = counts.get("added-files-size", 0) - counts.get("removed-files-size", 0)
            counts["total-files-size"] = max(0, int(size_before) + change)
        deletes = ("total-delete-files", "total-position-deletes", "total-equality-deletes")
        kept = {name: before.get(name, "0") for name in deletes}
        return {
            "operation": operation,
            **{name: str(count) for name, count in counts.items()},
            **kept,
            "manifests-created": str(created),
        }


def line_of(name: str) -> str:
    """What the names of a manifest and of those have in common that its entries moved on to.

    So where an entry is told to be leads to it for good, and need not be told anew.
    """
    _, is_moved, line = name.partition(_OF)
    return _NUMBER.sub("", line) if is_moved else name.removesuffix(".avro")


def _totals(manifests: Sequence[Manifest]) -> dict[str, int]:
    data = [manifest for manifest in manifests if not manifest.holds_deletes]
    files = [(m.added_files_count, m.existing_files_count) for m in data]
    rows = [(m.added_rows_count, m.existing_rows_count) for m in data]
    if any(None in pair for pair in (*files, *rows)):
        return {}
    return {
        "total-data-files": sum(sum(filter(None, pair)) for pair in files),
        "total-records": sum(sum(filter(None, pair)) for pair in rows),
    }
