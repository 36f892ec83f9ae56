"""Looks into files that came or changed, for a sync.  What it saw once it does not read again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from graticule.discovery.grouping import StoredObject
from graticule.discovery.inspection import FileInspection
from graticule.discovery.table_files import TableRules
from graticule.domain.errors import (
    CatalogError,
    NoSuchFile,
    StorageUnavailable,
    Unavailable,
    UnreadableFile,
)
from graticule.services.discovery.footers import reader_of
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet_computed import COMPUTE_BUDGET_BYTES
from graticule.storage.s3 import ObjectStore

REQUESTS_AT_ONCE: Final = 16

Result = FileInspection | str | None
"""A text says why the file cannot be read; None that it changed while it was looked at."""


class Inspector:
    """`go_on` is called for every file, and may raise to stop."""

    def __init__(
        self, store: ObjectStore, workers: InspectionWorkers, go_on: Callable[[], None]
    ) -> None:
        self._store = store
        self._workers = workers
        self._go_on = go_on
        self._seen: dict[StoredObject, Result] = {}

    def inspect(
        self, bucket: str, objects: Sequence[StoredObject], rules: TableRules
    ) -> Iterator[tuple[StoredObject, Result]]:
        """Each object with what its file says, in the order given.

        Raises:
            StorageUnavailable: the store does not answer, which says nothing about any file.
        """

        def look(stored: StoredObject) -> Result:
            if stored not in self._seen:
                self._seen[stored] = self._look(f"s3://{bucket}/{stored.key}", stored, rules)
            return self._seen[stored]

        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="sync") as pool:
            try:
                for stored, result in zip(objects, pool.map(look, objects), strict=True):
                    self._go_on()
                    yield stored, result
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def still_there(self, uris: Iterable[str]) -> frozenset[str]:
        """Those that are there after all: a listing may be behind."""
        asked = list(uris)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="sync") as pool:
            there = pool.map(self._store.exists, asked)
            return frozenset(uri for uri, is_there in zip(asked, there, strict=True) if is_there)

    def _look(self, uri: str, stored: StoredObject, rules: TableRules) -> Result:
        try:
            read = reader_of(self._store, stored)
            found = self._workers.inspect(read, stored.size_bytes)
            if rules.needs_computing(found):
                found = self._workers.inspect(
                    read, stored.size_bytes, budget_bytes=COMPUTE_BUDGET_BYTES
                )
            result: Result = found
        except (StorageUnavailable, Unavailable):
            raise
        except NoSuchFile:
            return None
        except UnreadableFile as error:
            result = error.message
        except CatalogError as error:
            result = f"cannot be read: {error.message}"
        # Statistics of one version under the ETag of another would be lies ever after.
        return result if not stored.etag or self._store.holds_version(uri, stored.etag) else None
