"""Brings what is known of a folder's objects into step with the store, page by page.

Where a page changes something, its rows and the place to go on from are written in one transaction:
a listing that is cut off goes on there, and one that finds nothing new writes next to nothing.  A
page that is known as it is, byte by byte, is not even read.  Nothing is taken for gone before a
listing came to its end.

Most stores list in the order of keys; then a page stands for a range, and what is known in between
and not on it is missing.  Where the order is another, the number of objects says whether anything
is gone; only then the folder is listed once more, with all of it taken for missing until seen.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from sqlalchemy import Connection, Engine

from graticule.db import bucket_objects as objects_db
from graticule.db import listing_pages as pages_db
from graticule.db.bucket_objects import KeyRange, ListedObject
from graticule.db.engine import read, transact, write
from graticule.db.listing_pages import KnownPage
from graticule.domain.errors import StorageRefused, StorageUnavailable
from graticule.domain.location import Location
from graticule.services.discovery.scan_watch import Watch
from graticule.storage.listings import UnreadPage
from graticule.storage.s3 import ObjectStore
from graticule.storage.verification.probe import PROBE_FOLDER

Json = dict[str, Any]

FLUSH_ROWS: Final = 5000
FLUSH_S: Final = 2.0
"""The most that is listed again after the process died, besides the rows."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of an integration's bucket, but for the folders where catalogs keep their own."""

    integration_id: str
    location: Location
    excluded: Sequence[Location] = ()

    @property
    def keys(self) -> KeyRange:
        return KeyRange.below(self.integration_id, self.location.key_prefix)


@dataclass(frozen=True, slots=True)
class Listing:
    """How far a listing is.  As JSON it is what another process goes on from.

    `digest` is that of all that the store said of objects so far, page by page.
    """

    mark_ms: int
    """Unlike that of any other listing of the place."""
    continuation: str | None = None
    last_key: str = ""
    objects: int = 0
    bytes: int = 0
    changed: int = 0
    gone: int = 0
    digest: str = ""
    is_ordered: bool = True
    is_second: bool = False
    """All that is known was taken for missing, and what is found is not."""
    is_complete: bool = False

    def to_json(self) -> Json:
        return asdict(self)


class BucketListing:
    """One listing of one place."""

    def __init__(self, engine: Engine, store: ObjectStore, place: Place, watch: Watch) -> None:
        self._engine = engine
        self._store = store
        self._place = place
        self._watch = watch
        self._own = tuple(folder.key_prefix for folder in place.excluded)
        self._changed: list[ListedObject] = []
        self._missing: list[str] = []
        self._known: list[KnownPage] = []
        self._seed = "\n".join([place.location.key_prefix, *self._own]).encode()

    def run(self, state: Listing) -> Listing:
        """List from where `state` is to the end, and forget what is gone.

        Raises:
            StorageRefused: the store does not let us list.
        """
        state = self._to_the_end(state)
        keys = self._place.keys
        if not state.is_ordered and not state.is_second:
            with read(self._engine) as conn:
                known = objects_db.count(conn, keys)
            if known != state.objects:
                again = Listing(state.mark_ms, is_ordered=False, is_second=True)
                self._write(lambda conn: self._doubt_all(conn, again), again)
                return self.run(again)
        gone = 0

        def forget(conn: Connection) -> None:
            nonlocal gone
            gone = objects_db.remove_missing(conn, keys)

        done = replace(state, continuation=None, is_complete=True)
        if state.gone or state.is_second:
            self._write(forget, done)
        return replace(done, gone=gone)

    def _to_the_end(self, state: Listing) -> Listing:
        flushed_at = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="list") as ahead:
            coming = ahead.submit(self._page, state.continuation, state.last_key)
            while True:
                page, digest = coming.result()
                if page.continuation is not None:
                    if page.continuation == state.continuation:
                        raise StorageUnavailable(
                            f"listing `{self._place.location}`: the store repeats the same page"
                        )
                    # The next page travels while this one is compared.
                    coming = ahead.submit(self._page, page.continuation, "")
                state = self._take(state, page, digest)
                self._watch.progress(
                    {"phase": "listing", "objects": state.objects, "bytes": state.bytes}
                )
                is_last = page.continuation is None
                is_much = len(self._changed) + len(self._missing) >= FLUSH_ROWS
                if is_last or is_much or time.monotonic() - flushed_at > FLUSH_S:
                    self._flush(state)
                    flushed_at = time.monotonic()
                if is_last:
                    return state

    def _doubt_all(self, conn: Connection, again: Listing) -> None:
        keys = self._place.keys
        objects_db.mark_all_missing(conn, keys, since_ms=again.mark_ms)
        pages_db.forget(conn, keys.integration_id, keys.after, keys.last)

    def _page(self, continuation: str | None, last_key: str) -> tuple[UnreadPage, str]:
        """A page with its digest: in a thread beside the one that compares."""
        folder = self._place.location
        try:
            page = self._store.list_unread(
                folder, continuation=continuation, start_after=last_key or None
            )
        except StorageRefused:
            if continuation is None or not last_key:
                raise
            # Tokens may end sooner than we come back; where the last page ended does not.
            page = self._store.list_unread(folder, start_after=last_key)
        hashed = blake2b(self._seed + bytes([page.continuation is None]), digest_size=16)
        hashed.update(page.entries)
        return page, hashed.hexdigest()

    def _take(self, state: Listing, page: UnreadPage, digest: str) -> Listing:
        """Find what a page changes; nothing is written yet."""
        keys = self._place.keys
        after = state.last_key or keys.after
        if state.is_ordered:
            with read(self._engine) as conn:
                known = pages_db.find(conn, keys.integration_id, after, digest)
            if known is not None:
                return replace(
                    state,
                    continuation=page.continuation,
                    last_key=known.last_key,
                    objects=state.objects + known.object_count,
                    bytes=state.bytes + known.size_bytes,
                    digest=_digest(state.digest, digest),
                )
        state = replace(state, digest=_digest(state.digest, digest))
        return self._compare(state, page, digest)

    def _compare(self, state: Listing, page: UnreadPage, digest: str) -> Listing:
        keys = self._place.keys
        after = state.last_key or keys.after
        every = page.read()
        files = tuple(
            row
            for row in every
            if PROBE_FOLDER not in row.key
            and row.key != keys.after
            and not row.key.startswith(self._own)
            and "\0" not in row.key
        )
        listed = [row.key for row in every]
        last_key = listed[-1] if listed else state.last_key
        is_ordered = (
            state.is_ordered
            and listed == sorted(listed)
            and (not listed or not state.last_key or listed[0] > state.last_key)
        )
        until = keys.last if page.continuation is None else last_key
        size_bytes = sum(row.size_bytes for row in files)
        with read(self._engine) as conn:
            if is_ordered:
                known = objects_db.known_in(conn, KeyRange(keys.integration_id, after, until))
            else:
                known = objects_db.known_among(
                    conn, keys.integration_id, [row.key for row in files]
                )
        changed = [
            ListedObject(*row)
            for row in files
            if known.pop(row.key, None) != (row.size_bytes, row.etag, None)
        ]
        self._changed += changed
        gone = 0
        if is_ordered:
            gone = len(known)
            counts = (len(files), size_bytes)
            self._known.append(KnownPage(after, until, last_key, digest, *counts))
            self._missing += [key for key, row in known.items() if row.missing_since_ms is None]
        elif state.is_ordered:
            self._misunderstood()
        return replace(
            state,
            continuation=page.continuation,
            last_key=last_key,
            objects=state.objects + len(files),
            bytes=state.bytes + size_bytes,
            changed=state.changed + len(changed),
            gone=state.gone + gone if is_ordered else 0,
            is_ordered=is_ordered,
        )

    def _misunderstood(self) -> None:
        """The store has an order of its own: what was taken for missing may yet come."""
        self._missing, self._known = [], []
        keys = self._place.keys
        with write(self._engine) as conn:
            objects_db.unmark(conn, keys)
            pages_db.forget(conn, keys.integration_id, keys.after, keys.last)

    def _flush(self, state: Listing) -> None:
        changed, missing, known = self._changed, self._missing, self._known
        self._changed, self._missing, self._known = [], [], []
        integration_id = self._place.integration_id

        def keep(conn: Connection) -> None:
            objects_db.keep(conn, integration_id, changed)
            objects_db.mark_missing(conn, integration_id, missing, since_ms=state.mark_ms)
            touched = [*(row.key for row in changed), *missing]
            if touched:
                pages_db.forget(conn, integration_id, min(touched), max(touched))
            pages_db.keep(conn, integration_id, known)

        self._write(keep, state)

    def _write(self, act: Callable[[Connection], None], state: Listing) -> None:
        def both(conn: Connection) -> None:
            act(conn)
            self._watch.checkpoint({"listing": state.to_json()}, conn=conn)

        transact(self._engine, both)


def _digest(before: str, page: str) -> str:
    return blake2b(f"{before} {page}".encode(), digest_size=16).hexdigest()
