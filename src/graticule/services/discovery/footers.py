"""What the footers of a place's files say: read once for each version of a file, then known.

Files are read in threads and looked into by processes; what they found is written batch by batch,
so a look that is cut off goes on with the rest.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

from graticule.db import file_inspections as inspections_db
from graticule.db.engine import read, transact
from graticule.db.file_inspections import KeptInspection
from graticule.discovery.bunches import NOT_INSPECTED
from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.inspection_codec import CODEC_VERSION, fields_from_bytes, from_bytes
from graticule.discovery.schema_merge import Fields
from graticule.domain.batches import batched
from graticule.domain.errors import (
    CatalogError,
    NoSuchFile,
    StorageRefused,
    UnreadableFile,
)
from graticule.services.discovery.bucket_listing import Place
from graticule.services.discovery.scan_watch import Watch
from graticule.storage.aws_errors import PRECONDITION_CODES
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import ReadRange
from graticule.storage.s3 import ObjectStore

Json = dict[str, Any]
T = TypeVar("T")

FETCHES_AT_ONCE: Final = 16
FILES_A_TASK: Final = 8
TASKS_AHEAD: Final = 2 * FETCHES_AT_ONCE
FLUSH_FILES: Final = 250
FLUSH_S: Final = 0.5
WINDOW_FILES: Final = 200
"""Inspections that are in memory at once, of all that are known."""


class Footers:
    """Looks into the files of one place."""

    def __init__(
        self,
        engine: Engine,
        workers: InspectionWorkers,
        store: ObjectStore,
        place: Place,
        watch: Watch,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._store = store
        self._place = place
        self._watch = watch

    def complete(
        self, files: Callable[[], Iterable[StoredObject]], *, progress: Json, checkpoint: Json
    ) -> tuple[int, bool]:
        """Inspect those files that are not known as they are.

        Answers how many files there are, and False if the store refused some.  `files` gives all
        of them in the order of keys, once to be counted and once to be inspected.

        Raises:
            StorageUnavailable: the store fell silent; what was found until then is kept.
        """
        count = pending = 0
        for some in batched(files(), inspections_db.KEYS_AT_ONCE):
            count += len(some)
            pending += len(self._unknown(some))
        progress = {**progress, "phase": "inspecting", "files": count}
        if not pending:
            self._watch.progress({**progress, "inspected": count})
            return count, True
        done, is_final = count - pending, True
        began_at, flushed_at = time.monotonic(), time.monotonic()
        found: list[KeptInspection] = []
        for number, kept in enumerate(self._inspected(self.unknown(files())), 1):
            found.append(kept)
            is_final = is_final and kept.is_final
            elapsed_s = max(time.monotonic() - began_at, 1e-3)
            self._watch.progress(
                {
                    **progress,
                    "inspected": done + number,
                    "files_per_s": round(number / elapsed_s, 1),
                    "eta_s": round((pending - number) * elapsed_s / number),
                }
            )
            if len(found) >= FLUSH_FILES or time.monotonic() - flushed_at > FLUSH_S:
                self._flush(found, checkpoint)
                found, flushed_at = [], time.monotonic()
        self._flush(found, checkpoint)
        return count, is_final

    def unknown(self, files: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """Those that are not known as they are."""
        batches = batched(files, inspections_db.KEYS_AT_ONCE)
        return (stored for some in batches for stored in self._unknown(some))

    def _unknown(self, files: Sequence[StoredObject]) -> list[StoredObject]:
        with read(self._engine) as conn:
            known = inspections_db.versions(
                conn,
                self._place.integration_id,
                [stored.key for stored in files],
                codec_version=CODEC_VERSION,
            )
        return [
            stored for stored in files if known.get(stored.key) != (stored.size_bytes, stored.etag)
        ]

    def _inspected(self, pending: Iterable[StoredObject]) -> Iterator[KeptInspection]:
        """What is found, in the order of the files; a few are always on their way."""
        coming: deque[Future[list[KeptInspection]]] = deque()
        with ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="inspect") as pool:
            try:
                for some in batched(pending, FILES_A_TASK):
                    coming.append(pool.submit(self._inspect_some, some))
                    if len(coming) >= TASKS_AHEAD:
                        yield from coming.popleft().result()
                while coming:
                    yield from coming.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _inspect_some(self, files: Sequence[StoredObject]) -> list[KeptInspection]:
        outcomes = self._workers.inspect_to_bytes(
            (reader_of(self._store, stored), stored.size_bytes) for stored in files
        )
        return [_kept(*each) for each in zip(files, outcomes, strict=True)]

    def _flush(self, found: Sequence[KeptInspection], checkpoint: Json) -> None:
        if not found:
            return

        def keep(conn: Connection) -> None:
            inspections_db.keep(conn, self._place.integration_id, found)
            self._watch.checkpoint(checkpoint, conn=conn)

        transact(self._engine, keep)


def _kept(stored: StoredObject, outcome: bytes | CatalogError) -> KeptInspection:
    """The inspection, or why there is none: one bad file is a line in the report."""
    kept = KeptInspection(stored.key, stored.size_bytes, stored.etag, None, None)
    match outcome:
        case bytes():
            return kept._replace(inspection=outcome)
        case UnreadableFile():
            return kept._replace(error=outcome.message)
        case NoSuchFile():
            return kept._replace(error="removed since it was listed", is_final=False)
        case StorageRefused() if outcome.context.get("code") in PRECONDITION_CODES:
            reason = "replaced since it was listed; scan again"
            return kept._replace(error=reason, is_final=False)
        case _:
            return kept._replace(error=f"cannot be read: {outcome.message}", is_final=False)


def reader_of(store: ObjectStore, stored: StoredObject) -> ReadRange:
    """Reads ranges of one version of one object."""
    uri = f"s3://{store.root.bucket}/{stored.key}"
    etag = stored.etag or None
    return lambda offset, length: store.get(uri, range=(offset, length), etag=etag)


class KnownFooters(Mapping[str, FileInspection | str]):
    """What is known of a place's files, by key: an inspection, or why there is none.

    Read from the database as it is asked for, some files at a time: quickest in the order of keys.
    """

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place
        self._window: dict[str, KeptInspection] = {}

    def __getitem__(self, key: str) -> FileInspection | str:
        return self._read(key, from_bytes)

    def fields_of(self, key: str) -> Fields | str | None:
        """Only the fields, which files of one table share; None if nothing is known of the file."""
        try:
            return self._read(key, fields_from_bytes)
        except KeyError:
            return None

    def _read(self, key: str, decode: Callable[[bytes], T]) -> T | str:
        kept = self._window.get(key)
        if kept is None:
            self._load(key)
            kept = self._window[key]
        if kept.inspection is None:
            return kept.error or NOT_INSPECTED
        try:
            return decode(kept.inspection)
        except ValueError:
            return "not inspected by this version; scan again"

    def _load(self, key: str) -> None:
        with read(self._engine) as conn:
            rows = inspections_db.from_key(
                conn,
                self._place.integration_id,
                key,
                last=self._place.keys.last,
                limit=WINDOW_FILES,
            )
        self._window = {row.key: row for row in rows}

    def __iter__(self) -> Iterator[str]:
        keys = self._place.keys
        after = keys.after
        while True:
            with read(self._engine) as conn:
                rows = inspections_db.from_key(
                    conn, keys.integration_id, after, last=keys.last, limit=WINDOW_FILES
                )
            rows = [row for row in rows if row.key > after]
            if not rows:
                return
            yield from (row.key for row in rows)
            after = rows[-1].key

    def __len__(self) -> int:
        keys = self._place.keys
        with read(self._engine) as conn:
            return inspections_db.count(conn, keys.integration_id, after=keys.after, last=keys.last)
