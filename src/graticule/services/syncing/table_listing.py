"""What lies where a table reads: all of it listed, or only what events said has changed."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graticule.discovery.diff import DeletionGuard, KnownFile
from graticule.discovery.grouping import StoredObject
from graticule.discovery.table_files import members
from graticule.domain.catalog import TableRecord
from graticule.domain.location import Location
from graticule.storage.s3 import ObjectStore


@dataclass(frozen=True, slots=True)
class TableSyncRequest:
    """How to sync one table.

    `keys` narrows it to objects that may have changed; without it everything is listed.  `again`
    takes up anew what was left out or undone before.
    """

    sync_id: str
    guard: DeletionGuard
    keys: Collection[str] | None = None
    again: bool = False
    files_max: int | None = None
    """How many files are taken in at most; the rest is left for the next sync."""
    is_repeated: bool = False
    """An earlier try may have been cut off after its commit: then that is what to tell of."""
    go_on: Callable[[], None] = field(default=lambda: None)
    """Called now and then; may raise to stop."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What lies there by key, and data files among it that are no table's."""

    present: Mapping[str, StoredObject]
    strays: Sequence[StoredObject]


def look(
    store: ObjectStore,
    record: TableRecord,
    known: Mapping[str, KnownFile],
    request: TableSyncRequest,
    *,
    excluded: tuple[str, ...],
) -> Looked:
    """What lies in a table's sources, but for the folders whose keys begin as `excluded` say.

    Raises:
        InvalidLocation: a source is not in the integration any more.
        StorageRefused, StorageUnavailable: it cannot be listed.
    """
    bucket = f"s3://{record.location.bucket}/"
    present: dict[str, StoredObject] = {}
    strays: list[StoredObject] = []
    for source in record.sources:
        key = source.removeprefix(bucket)
        if not source.endswith("/"):
            if request.keys is not None and key not in request.keys:
                found = _as_known(known[key]) if key in known else None
            else:
                found = _stat(store, source, key)
            if found is not None:
                present[key] = found
            continue
        if request.keys is None:
            listed = _listed(store, Location(record.location.bucket, key.rstrip("/")), request)
        else:
            listed = _patched(store, bucket, known, key, request)
        below = [stored for stored in listed if not stored.key.startswith(excluded)]
        files, others = members(below, key, known)
        present |= {stored.key: stored for stored in files}
        strays += others
    return Looked(present, tuple(strays))


def _listed(
    store: ObjectStore, folder: Location, request: TableSyncRequest
) -> Iterable[StoredObject]:
    for rows in store.list(folder):
        request.go_on()
        for row in rows:
            yield StoredObject(row.key, row.size_bytes, row.etag)


def _patched(
    store: ObjectStore,
    bucket: str,
    known: Mapping[str, KnownFile],
    folder: str,
    request: TableSyncRequest,
) -> Iterable[StoredObject]:
    """What is known to lie in a folder, with what became of the keys that may have changed."""
    changed = request.keys or ()
    for key, file in known.items():
        if key.startswith(folder) and key not in changed:
            yield _as_known(file)
    for key in changed:
        if key.startswith(folder):
            request.go_on()
            found = _stat(store, bucket + key, key)
            if found is not None:
                yield found


def _as_known(file: KnownFile) -> StoredObject:
    return StoredObject(file.key, file.size_bytes, file.etag)


def _stat(store: ObjectStore, uri: str, key: str) -> StoredObject | None:
    found = store.size_and_etag(uri)
    return None if found is None else StoredObject(key, *found)
