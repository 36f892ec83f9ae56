"""What lies where a table reads, against what is known of it: all of it listed, or only what events
said has changed.

A listing in the order of keys is compared page by page, and nothing of it is kept but what differs.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from operator import ge
from typing import Final

from graticule.db.bucket_objects import BEHIND_ALL
from graticule.discovery.diff import Comparison, DeletionGuard, Diff
from graticule.discovery.grouping import StoredObject
from graticule.discovery.path_grammar import reason_to_ignore
from graticule.discovery.table_files import members
from graticule.domain.batches import batched
from graticule.domain.catalog import TableRecord
from graticule.domain.location import Location
from graticule.services.discovery.file_inspection import REQUESTS_AT_ONCE
from graticule.services.syncing.known_files import KnownFiles, Version
from graticule.storage.s3 import ObjectStore

PAGE_KEYS: Final = 1000


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
    """How what lies there differs from what is known, in this revision."""

    revision: int
    difference: Diff
    strays_count: int
    """Data files among it that are no table's."""
    etags: Mapping[str, str]
    """Of unchanged files, where nothing was written down of the table's."""


def look(
    store: ObjectStore,
    record: TableRecord,
    known: KnownFiles,
    request: TableSyncRequest,
    *,
    excluded: tuple[str, ...],
) -> Looked:
    """What lies in a table's sources, but for the folders whose keys begin as `excluded` say.

    Raises:
        InvalidLocation: a source is not in the integration any more.
        StorageRefused, StorageUnavailable: it cannot be listed.
    """
    places = _Places.of(store, record, request, excluded)
    etags: dict[str, str] = {}
    if request.keys is not None:
        found = _asked(places, known, request.keys, again=request.again)
    else:
        try:
            found = _listed(places.pages(), known, etags, again=request.again)
        except _Unordered:
            versions = sorted(version for page in places.pages() for version in page)
            found = _listed(batched(versions, PAGE_KEYS), known, etags, again=request.again)
    added, strays = places.own_among(found, known)
    return Looked(known.revision, replace(found, added=tuple(added)), len(strays), etags)


class _Unordered(Exception):
    """The store does not list in the order of keys."""


def _listed(
    pages: Iterable[Sequence[Version]], known: KnownFiles, etags: dict[str, str], *, again: bool
) -> Diff:
    """What is known against pages in the order of keys, a page at a time."""
    comparison = Comparison(again=again)
    after = ""
    for page in pages:
        if not page:
            continue
        keys = [version[0] for version in page]
        if keys[0] <= after or any(map(ge, keys, islice(keys, 1, None))):
            raise _Unordered
        until = keys[-1]
        if not again and known.are(after, until, page):
            comparison.add_unchanged(len(page))
        else:
            comparison.add(known.between(after, until), map(_stored, page))
        if not known.revision:
            etags |= {key: etag for key, etag, _ in page}
        after = until
    comparison.add(known.between(after, None), ())
    return comparison.diff()


def _asked(places: "_Places", known: KnownFiles, keys: Collection[str], *, again: bool) -> Diff:
    """What is known against the objects of these keys; all others are taken for unchanged."""
    own = sorted(key for key in keys if places.hold(key))
    before = known.among(own)
    comparison = Comparison(again=again)
    comparison.add(before.values(), places.objects(own))
    comparison.add_unchanged(known.count() - len(before))
    return comparison.diff()


def _stored(version: Version) -> StoredObject:
    key, etag, size_bytes = version
    return StoredObject(key, size_bytes, etag)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a table reads: folders and files, as keys in order, none inside of another."""

    store: ObjectStore
    bucket: str
    keys: Sequence[str]
    named: frozenset[str]
    folders: tuple[str, ...]
    excluded: tuple[str, ...]
    go_on: Callable[[], None]

    @classmethod
    def of(
        cls,
        store: ObjectStore,
        record: TableRecord,
        request: TableSyncRequest,
        excluded: tuple[str, ...],
    ) -> "_Places":
        bucket = record.location.bucket
        keys: list[str] = []
        for key in sorted(source.removeprefix(f"s3://{bucket}/") for source in record.sources):
            if not (keys and _is_folder(keys[-1]) and key.startswith(keys[-1])):
                keys.append(key)
        folders = tuple(key for key in keys if _is_folder(key))
        return cls(store, bucket, keys, frozenset(keys), folders, excluded, request.go_on)

    def hold(self, key: str) -> bool:
        """True if the object may be one of the table's."""
        if key in self.named:
            return True
        return key.startswith(self.folders) and not key.startswith(self.excluded)

    def pages(self) -> Iterator[Sequence[Version]]:
        """All that lies there."""
        for key in self.keys:
            if not _is_folder(key):
                yield [(file.key, file.etag, file.size_bytes) for file in self.objects([key])]
                continue
            for rows in self.store.list(Location(self.bucket, key.rstrip("/"))):
                self.go_on()
                versions = [(row[0], row[2], row[1]) for row in rows]
                if self.excluded:
                    versions = [each for each in versions if not each[0].startswith(self.excluded)]
                yield versions

    def objects(self, keys: Sequence[str]) -> Iterator[StoredObject]:
        """Those of these that are there, asked one by one."""

        def stat(key: str) -> StoredObject | None:
            self.go_on()
            found = self.store.size_and_etag(f"s3://{self.bucket}/{key}")
            return None if found is None else StoredObject(key, *found)

        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="sync") as pool:
            yield from filter(None, pool.map(stat, keys))

    def own_among(
        self, found: Diff, known: KnownFiles
    ) -> tuple[list[StoredObject], list[StoredObject]]:
        """Of what is new, the table's own files, and data that is no table's."""
        taken = [stored for stored in found.added if stored.key in self.named]
        strays: list[StoredObject] = []
        gone = frozenset(file.key for file in (*found.vanished, *found.forgotten))
        for folder in self.folders:
            new = {
                stored.key: stored
                for stored in found.added
                if stored.key.startswith(folder) and stored.key not in self.named
            }
            if all(reason_to_ignore(key, stored.size_bytes) for key, stored in new.items()):
                continue  # nothing that could be data, so nothing has to be grouped
            own, others = members(_Lying(known, folder, gone, new), folder, new)
            taken += own
            strays += others
        return sorted(taken, key=lambda stored: stored.key), strays


class _Lying:
    """All that lies in a folder: what is known and there, and what is new."""

    def __init__(
        self,
        known: KnownFiles,
        folder: str,
        gone: frozenset[str],
        new: Mapping[str, StoredObject],
    ) -> None:
        self._known = known
        self._folder = folder
        self._gone = gone
        self._new = new

    def __iter__(self) -> Iterator[StoredObject]:
        until = self._folder + BEHIND_ALL if self._folder else None
        known = (
            StoredObject(file.key, file.size_bytes, file.etag)
            for file in self._known.between(self._folder, until)
            if file.key not in self._gone
        )
        return merge(known, self._new.values(), key=lambda stored: stored.key)

    def below(self, prefix: str) -> Iterator[StoredObject]:
        return (stored for stored in self if stored.key.startswith(prefix))


def _is_folder(key: str) -> bool:
    return not key or key.endswith("/")
