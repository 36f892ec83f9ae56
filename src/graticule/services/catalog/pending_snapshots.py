"""Files of snapshots on their way into tables: stored, committed, and removed where that fails.

Before the first file is stored a note of the snapshot is written down, and its commit takes the
note away in the very transaction that moves the table's pointer.  So of a snapshot it can always be
told whether it landed: where the note is gone it did, and where the note was withdrawn it never
will.  Files are removed only of the latter, at once or, where a process died, by upkeep.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import structlog
from sqlalchemy import Connection, Engine

from graticule.access.keyring import Keyring
from graticule.db import integrations as integrations_db
from graticule.db import inventories as inventories_db
from graticule.db import pending_snapshots as pending_db
from graticule.db.engine import read, transact
from graticule.db.pending_snapshots import Note
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import CatalogError, CommitConflict, CommitStateUnknown
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.services.catalog.commits import Also, Commits
from graticule.services.catalog.table_changes import TableChange
from graticule.services.integrations.credentials import Credentials
from graticule.storage.s3 import ObjectStore

log = structlog.get_logger(__name__)

PENDING_S_MAX: Final = 24 * 3600
"""So long after it was begun a snapshot is taken for one that nobody is at any more."""
REMAINS_AT_ONCE: Final = 100


class _GivenUp(CommitConflict):
    """The note was withdrawn before the commit, whose files are gone."""


class PendingSnapshot:
    """One of them, begun by `PendingSnapshots`.  `token` has to be in the names of its files."""

    def __init__(
        self,
        engine: Engine,
        commits: Commits,
        catalog: OpenCatalog,
        store: ObjectStore,
        note: Note,
        *,
        is_told_apart: Callable[[], bool],
    ) -> None:
        """`is_told_apart` is true while only a commit can have taken the note away."""
        self.token = note.token
        self.has_landed = False
        self._note = note
        self._is_told_apart = is_told_apart
        self._engine = engine
        self._commits = commits
        self._catalog = catalog
        self._store = store
        self._written: list[str] = []

    def put(self, path: str, data: bytes) -> None:
        """Store one of its files."""
        self._written.append(path)
        self._store.put(path, data)

    def commit(
        self, principal: Principal, change: TableChange, *, also: Also | None = None
    ) -> None:
        """Commit the change that brings the snapshot into its table, and `also` with it.

        Raises:
            CommitConflict: the table has moved on; nothing landed.
            CommitStateUnknown: the outcome cannot be told.  Its files stay until it can.
            CatalogError: whatever else the commit was refused for; nothing landed.
        """

        def land(conn: Connection, records: Sequence[TableRecord]) -> None:
            if not pending_db.land(conn, self.token):
                raise _GivenUp("it took so long that the files of its snapshot were removed")
            if also is not None:
                also(conn, records)

        try:
            self._commits.commit(principal, self._catalog, [change], also=land)
        except _GivenUp:
            raise
        except Exception as error:
            if not self._landed_in_spite_of(error):
                if isinstance(error, CommitStateUnknown):
                    raise CommitConflict(
                        "an answer to the commit was lost, and nothing had landed; try again"
                    ) from error
                raise
        self.has_landed = True

    def abandon(self) -> None:
        """Remove what was stored, unless it landed or that cannot be told now."""
        if self.has_landed:
            return
        with suppress(CatalogError):
            if transact(self._engine, pending_db.withdraw, self.token):
                # A commit whose outcome could not be told has left its metadata file there.
                own = _files(self._store, self._note) if self._note.owns_folder else self._written
                self._store.delete(own)
                transact(self._engine, pending_db.forget, self.token)

    def _landed_in_spite_of(self, error: Exception) -> bool:
        """What became of a commit that failed.  Once this answers False it never lands.

        Raises:
            CommitStateUnknown: the database does not say.
        """
        with suppress(CatalogError):
            if transact(self._engine, pending_db.withdraw, self.token):
                return False
            if self._is_told_apart():
                return True
        raise CommitStateUnknown("the database does not say whether the commit landed") from error


class PendingSnapshots:
    def __init__(
        self,
        engine: Engine,
        keyring: Keyring,
        credentials: Credentials,
        commits: Commits,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._keyring = keyring
        self._credentials = credentials
        self._commits = commits
        self._now_ms = now_ms

    @contextmanager
    def begin(
        self,
        catalog: OpenCatalog,
        store: ObjectStore,
        folder: str,
        *,
        token: str,
        owns_folder: bool = False,
    ) -> Iterator[PendingSnapshot]:
        """A snapshot whose files go to `folder`; what is not committed in the block is removed.

        `owns_folder` says that the folder is a new table's: then all in it is removed.
        """
        note = Note(token, catalog.integration.id, folder, owns_folder)
        transact(self._engine, pending_db.create, note, now_ms=self._now_ms())
        over_ms = self._now_ms() + PENDING_S_MAX * 1000
        pending = PendingSnapshot(
            self._engine,
            self._commits,
            catalog,
            store,
            note,
            is_told_apart=lambda: self._now_ms() < over_ms,
        )
        try:
            yield pending
        finally:
            pending.abandon()

    def remove_remains(self, stopping: threading.Event) -> None:
        """Remove the files of snapshots that nobody is at, and inventories that are nobody's."""
        before_ms = self._now_ms() - PENDING_S_MAX * 1000
        with read(self._engine) as conn:
            left = pending_db.left(conn, begun_before_ms=before_ms, limit=REMAINS_AT_ONCE)
        for note in left:
            if stopping.is_set():
                return
            try:
                self._remove(note)
            except CatalogError as error:
                log.warning("files of a snapshot not removed", at=note.folder, reason=error.message)
        with read(self._engine) as conn:
            unowned = inventories_db.unowned(conn, limit=REMAINS_AT_ONCE)
        for inventory_id in unowned:
            while not stopping.is_set() and transact(
                self._engine, inventories_db.remove_some, inventory_id
            ):
                pass

    def _remove(self, note: Note) -> None:
        if not transact(self._engine, pending_db.withdraw, note.token):
            return  # it landed just now
        with read(self._engine) as conn:
            integration = integrations_db.load(conn, self._keyring, note.integration_id)
        if integration is not None:
            store = self._credentials.store_for(integration, in_background=True)
            own = _files(store, note)
            store.delete(own)
            log.info("files of a snapshot removed", at=note.folder, files=len(own))
        transact(self._engine, pending_db.forget, note.token)


def _files(store: ObjectStore, note: Note) -> list[str]:
    """What lies there of a snapshot."""
    folder = Location.parse(note.folder)
    return [
        f"s3://{folder.bucket}/{row.key}"
        for rows in store.list(folder)
        for row in rows
        if note.owns_folder or note.token in row.key.rpartition("/")[2]
    ]
