"""Deletes the files of tables that were dropped with purge; runs in the background, on any replica.

Only what one table's own metadata names and what lies below its own location is deleted, by name:
never a folder, so that nothing that came there otherwise is lost.  Files read in place elsewhere,
and those that a table registered in place reads, stay.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import structlog
from sqlalchemy import Engine

from graticule.access.keyring import Keyring
from graticule.db import integrations as integrations_db
from graticule.db import purges as purges_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.db.purges import Purge
from graticule.domain.batches import batched
from graticule.domain.errors import (
    CatalogError,
    InvalidLocation,
    NoSuchFile,
    Unavailable,
    UnreadableFile,
)
from graticule.domain.location import SCHEMES
from graticule.iceberg import metadata
from graticule.services.integrations.credentials import Credentials
from graticule.services.planning.stored_indexes import GEO_FOLDER
from graticule.storage.manifests import Manifest, read_manifest, read_manifest_list
from graticule.storage.metadata_files import MetadataFiles
from graticule.storage.s3 import DELETE_BATCH_KEYS, ObjectStore

Json = dict[str, Any]
log = structlog.get_logger(__name__)

LEASE_S: Final = 300
"""After this long without a sign of life another replica takes a purge over."""
BEAT_S: Final = 60
RETRY_S: Final = 30
"""Before the second attempt; doubles with each."""
RETRY_S_MAX: Final = 6 * 3600
ATTEMPTS_MAX: Final = 12
"""Over about a day.  Then the files stay, and the log says where."""


class LeaseLost(Exception):
    """Another replica has the purge, or this process stops: it goes on from the start elsewhere."""


class Purging:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        files: MetadataFiles,
        credentials: Credentials,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._files = files
        self._credentials = credentials
        self._now_ms = now_ms

    def run_due(self, stopping: threading.Event) -> None:
        """Carry out every purge whose time has come, one after the other."""
        while not stopping.is_set():
            with write(self._engine) as conn:
                now_ms = self._now_ms()
                purge = purges_db.lease(conn, now_ms=now_ms, until_ms=now_ms + LEASE_S * 1000)
            if purge is None:
                return
            self._run(purge, stopping)

    def _run(self, purge: Purge, stopping: threading.Event) -> None:
        try:
            count = self._purge(purge, _Lease(self._engine, purge, stopping, self._now_ms))
        except LeaseLost:
            return
        except Exception as error:
            reason = error.message if isinstance(error, CatalogError) else type(error).__name__
            if purge.attempts >= ATTEMPTS_MAX:
                log.exception("purge given up", location=purge.location.uri)
                with write(self._engine) as conn:
                    purges_db.finish(conn, purge)
                return
            log.warning("purge failed", location=purge.location.uri, reason=reason)
            wait_s = min(RETRY_S * 2 ** (purge.attempts - 1), RETRY_S_MAX)
            with write(self._engine) as conn:
                until_ms = self._now_ms() + wait_s * 1000
                purges_db.postpone(conn, purge, until_ms=until_ms, error=reason)
        else:
            with write(self._engine) as conn:
                purges_db.finish(conn, purge)
            log.info("table purged", location=purge.location.uri, files=count)

    def _purge(self, purge: Purge, lease: "_Lease") -> int:
        """Delete the files, what names others after what it names; returns how many.

        So a purge that was cut short finds the rest again.
        """
        with read(self._engine) as conn:
            integration = integrations_db.load(conn, self._keyring, purge.integration_id)
            read_in_place = tables_db.sources_on(conn, purge.integration_id)
        if integration is None:
            raise Unavailable("the storage integration is gone")
        store = self._credentials.store_for(integration, in_background=True)
        try:
            document = metadata.decode(self._files.read(store, purge.metadata_location))
        except NoSuchFile:
            return 0  # the last file of all: an earlier attempt came this far
        doomed = _Doomed(store, purge, frozenset(read_in_place), lease)
        manifests = _manifests(store, document)
        for manifest in manifests.values():
            doomed.delete(_content_files(store, manifest))
        doomed.delete(manifests)
        doomed.delete(_named(document))
        doomed.delete(_indexes(store, purge))
        doomed.delete([purge.metadata_location])
        return doomed.count


class _Lease:
    """Shows now and then that its holder lives."""

    def __init__(
        self, engine: Engine, purge: Purge, stopping: threading.Event, now_ms: Callable[[], int]
    ) -> None:
        self._engine = engine
        self._purge = purge
        self._stopping = stopping
        self._now_ms = now_ms
        self._beat_ms = now_ms()

    def renew(self) -> None:
        """Raises LeaseLost when the work is not ours to go on with."""
        if self._stopping.is_set():
            raise LeaseLost
        now_ms = self._now_ms()
        if now_ms - self._beat_ms < BEAT_S * 1000:
            return
        self._beat_ms = now_ms
        with write(self._engine) as conn:
            if not purges_db.postpone(conn, self._purge, until_ms=now_ms + LEASE_S * 1000):
                raise LeaseLost


class _Doomed:
    """Deletes what is the table's own among the paths it is given, batch by batch."""

    def __init__(
        self, store: ObjectStore, purge: Purge, read_in_place: frozenset[str], lease: _Lease
    ) -> None:
        self.count = 0
        self._store = store
        self._prefix = purge.location.prefix
        self._files = frozenset(source for source in read_in_place if not source.endswith("/"))
        self._folders = tuple(source for source in read_in_place if source.endswith("/"))
        self._lease = lease

    def delete(self, paths: Iterable[str]) -> None:
        own = (path for path in map(_canonical, paths) if self._is_own(path))
        for batch in batched(own, DELETE_BATCH_KEYS):
            self._lease.renew()
            self._store.delete(batch)
            self.count += len(batch)

    def _is_own(self, path: str) -> bool:
        return (
            path.startswith(self._prefix)
            and len(path) > len(self._prefix)
            and {".", ".."}.isdisjoint(path.split("/"))
            and path not in self._files
            and not path.startswith(self._folders)
        )


def _canonical(path: str) -> str:
    scheme, separator, rest = path.partition("://")
    return f"s3://{rest}" if separator and scheme in SCHEMES else path


def _manifests(store: ObjectStore, document: Json) -> dict[str, Manifest]:
    """The manifests of all snapshots, each once.  What is gone already is no reason to stop."""
    found: dict[str, Manifest] = {}
    for snapshot in metadata.snapshots(document):
        for path in snapshot.get("manifests") or []:  # version 1, before there were lists
            found.setdefault(str(path), Manifest(str(path), 0, 0, 0))
        at = snapshot.get("manifest-list")
        if not isinstance(at, str):
            continue
        data = _get(store, at)
        if data is None:
            continue
        try:
            found.update((manifest.path, manifest) for manifest in read_manifest_list(data, of=at))
        except UnreadableFile as error:
            log.warning("manifest list not purged from", at=at, reason=error.message)
    return found


def _content_files(store: ObjectStore, manifest: Manifest) -> Iterator[str]:
    data = _get(store, manifest.path)
    if data is None:
        return
    try:
        yield from (entry.path for entry in read_manifest(data, manifest))
    except UnreadableFile as error:
        log.warning("manifest not purged from", at=manifest.path, reason=error.message)


def _named(document: Json) -> Iterator[str]:
    """What the document itself names: manifest lists, statistics, older metadata files."""
    named = (
        [snapshot.get("manifest-list") for snapshot in metadata.snapshots(document)]
        + [item.get("statistics-path") for item in document.get("statistics") or []]
        + [item.get("statistics-path") for item in document.get("partition-statistics") or []]
        + [entry.get("metadata-file") for entry in document.get("metadata-log") or []]
    )
    return (path for path in named if isinstance(path, str))


def _indexes(store: ObjectStore, purge: Purge) -> Iterator[str]:
    """Our own index files, which nobody else writes: the folder is this server's."""
    folder = purge.location.join("metadata", GEO_FOLDER)
    return (f"s3://{folder.bucket}/{row.key}" for rows in store.list(folder) for row in rows)


def _get(store: ObjectStore, path: str) -> bytes | None:
    """The file, or None if it is gone or lies where this integration cannot look."""
    try:
        return store.get(path)
    except (NoSuchFile, InvalidLocation):
        return None
