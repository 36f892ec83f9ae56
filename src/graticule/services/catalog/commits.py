"""Commits: requirements and updates on one table or several, all or nothing.

The one door through which a table's pointer moves; engines and discovery both use it.

No answer may lie: `CommitConflict` and every 4xx promise that nothing landed, because clients then
delete the files they wrote.  Whatever may have landed is `CommitStateUnknown`.
No database connection is held while talking to the store.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Engine

from graticule.access.policy import Action, require
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import tables as tables_db
from graticule.db.engine import SerialisationFailure, read, write
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import (
    CatalogError,
    CommitStateUnknown,
    InvalidRequest,
    NoSuchFile,
    Unavailable,
)
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.spliced import Content
from graticule.domain.tenancy import Principal
from graticule.iceberg import requirements
from graticule.services import meters
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.groups import Board, Groups, Place
from graticule.services.catalog.idempotency import landed_table, result_of
from graticule.services.catalog.index_orders import order_after_commit
from graticule.services.catalog.shared_writes import SharedWrites
from graticule.services.catalog.table_changes import (
    Asked,
    Changing,
    Prepared,
    TableChange,
    TableChanges,
)
from graticule.services.catalog.turns import Turns, key_of
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.storage.metadata_files import MetadataFiles

Json = dict[str, Any]

TABLES_PER_COMMIT_MAX: Final = 100

Also = Callable[[Connection, Sequence[TableRecord]], None]
"""What has to be in the database with a commit or not at all; gets the tables as they are then."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A table after the commit, and its metadata document."""

    record: TableRecord
    document: Content


class _SwapLost(Exception):
    """Ends the transaction of a commit whose table moved on."""


class Commits:
    def __init__(
        self,
        engine: Engine,
        files: MetadataFiles,
        documents: Documents,
        credentials: Credentials,
        turns: Turns,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._files = files
        self._documents = documents
        self._credentials = credentials
        self._now_ms = now_ms
        self._turns = turns
        self._changes = TableChanges(engine, documents, now_ms=now_ms)
        self._groups: Groups[Asked, Committed] = Groups()
        self._writes = SharedWrites(engine)

    def commit(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        changes: Sequence[TableChange],
        *,
        request: IdempotentRequest | None = None,
        also: Also | None = None,
    ) -> list[Committed]:
        """Apply the changes, each to its table, all or none of them, and `also` with them.

        A swap lost to another writer is retried while the requirements hold.  A commit that this
        table already holds (a client or proxy sent it again) is answered as the success it was.

        Raises:
            NoSuchTable: a table to change is not there, or not for this principal to know of.
            Forbidden: a table, or the namespace of a new one, is not its to write.
            CommitConflict: a requirement does not hold; nothing landed.
            InvalidUpdate: an update makes no sense; nothing landed.
            CommitStateUnknown: the outcome cannot be told.
            ReadOnlyStorage: nothing may be written there.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return [self._committed_before(principal, catalog, request)]
        catalog.integration.require_writable()
        identifiers = [change.identifier for change in changes]
        if len(set(identifiers)) != len(identifiers):
            raise InvalidRequest("a transaction may change each table only once")
        if len(changes) > TABLES_PER_COMMIT_MAX:
            raise InvalidRequest(f"a transaction may change at most {TABLES_PER_COMMIT_MAX} tables")

        with meters.counted_commit():
            if (
                len(changes) == 1
                and request is None
                and also is None
                and not requirements.is_create(changes[0].requirements)
                and not self._turns.is_held_here(key_of(catalog, identifiers[0]))
            ):
                return [self._commit_together(catalog, Asked(principal, changes[0]))]

            def attempt() -> list[Committed] | None:
                prepared = [
                    self._changes.prepare(catalog, Asked(principal, each)) for each in changes
                ]
                if not self._land(catalog, prepared, request, also):
                    return None
                return self._finish(catalog, prepared)

            return self._turns.until_landed(catalog, identifiers, attempt)

    def undisturbed(
        self, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> AbstractContextManager[None]:
        """Keep others on this machine from committing to a table; this thread may.

        For work that is lost to every commit in between, once it has lost a few times: everybody
        else waits as long as it lasts.

        Raises:
            Overloaded: others hold the table for too long.
        """
        return self._turns.take([key_of(catalog, identifier)])

    def _commit_together(self, catalog: OpenCatalog, asked: Asked) -> Committed:
        """One table's change, in one metadata file with those of others that wait for it."""
        identifier = asked.change.identifier
        work = partial(self._work_together, catalog, identifier)
        return self._groups.together(key_of(catalog, identifier), asked, work)

    def _work_together(
        self, catalog: OpenCatalog, identifier: TableIdentifier, board: Board[Asked, Committed]
    ) -> None:
        aboard: Sequence[Place[Asked, Committed]] = ()

        def attempt() -> bool | None:
            nonlocal aboard
            aboard = aboard or board()
            return self._land_group(catalog, aboard) or None

        self._turns.until_landed(catalog, [identifier], attempt)

    def _land_group(self, catalog: OpenCatalog, aboard: Sequence[Place[Asked, Committed]]) -> bool:
        """Apply the changes one after the other, each if it may be, and land what they make.

        Nobody is told anything before that: what one was refused for may be what another changed.
        """
        table: Changing | None = None
        refused: dict[Place[Asked, Committed], Exception] = {}
        for place in aboard:
            try:
                table = self._changes.apply(catalog, place.item, table)
            except Exception as error:  # noqa: BLE001  its own, and no reason to refuse the others
                refused[place] = error
        if table is not None:
            prepared = self._changes.encode(catalog, table)
            if not self._land(catalog, [prepared], None):
                return False
            [committed] = self._finish(catalog, [prepared])
        for place in aboard:
            if place in refused:
                place.fail(refused[place])
            else:
                place.settle(committed)
        return True

    def _committed_before(
        self, principal: Principal, catalog: OpenCatalog, request: IdempotentRequest
    ) -> Committed:
        """The table that an earlier request with the same key changed, as it is now."""
        try:
            found = landed_table(self._engine, principal, catalog, request)
            if found is not None:
                document = self._documents.encoded(found.record, catalog.integration)
                return Committed(found.record, document)
        except NoSuchFile:
            pass
        raise CommitStateUnknown("the commit landed, but the table is gone since, or yours no more")

    def _land(
        self,
        catalog: OpenCatalog,
        prepared: Sequence[Prepared],
        request: IdempotentRequest | None,
        also: Also | None = None,
    ) -> bool:
        """Write the metadata files, then move all pointers in one transaction.

        False when another writer was first; then nothing landed and our files are gone again.
        """
        # In one order for everybody, so that two transactions over the same tables cannot deadlock.
        written = sorted(
            (part for part in prepared if part.is_written), key=lambda part: part.record.id
        )
        if not written and request is None:
            return True
        # Several tables are answered without their documents, so nothing is kept for that.
        result = result_of(prepared[0].record) if len(prepared) == 1 else None
        store = self._credentials.store_for(catalog.integration)
        try:
            for part in written:
                self._files.write(store, part.record.metadata_location, part.encoded)
            if also is None:
                self._writes.run(partial(self._move, written, request, result))
            else:
                with write(self._engine) as conn:
                    self._move(written, request, result, conn)
                    also(conn, [part.record for part in written])
        except (_SwapLost, SerialisationFailure):
            self._discard(catalog, written)
            return False
        except CommitStateUnknown as error:
            self._resolve_unknown(written, error)
        except Exception:
            self._discard(catalog, written)
            raise
        return True

    def _move(
        self,
        written: Sequence[Prepared],
        request: IdempotentRequest | None,
        result: Json | None,
        conn: Connection,
    ) -> None:
        """Move the pointers of one commit, within a transaction that may hold others'."""
        idempotency_db.claim(conn, request, result)
        for part in written:
            self._swap(conn, part)
            if part.moves_snapshots:
                order_after_commit(conn, part.principals[-1], part.record, part.applied.document)

    @staticmethod
    def _swap(conn: Connection, part: Prepared) -> None:
        if part.base is None:
            [principal] = part.principals
            tables_db.create(conn, part.record, part.encoded)
            grants_db.own_table(conn, principal, part.record)
            _tell(conn, principal, EventType.TABLE_CREATED, part.record)
            return
        is_moved = part.record.location != part.base.location
        if is_moved:
            tables_db.claim_location(conn, part.record.location, but_not=part.record.id)
        swap = tables_db.Swap(
            table_id=part.record.id,
            expected=part.base.metadata_location,
            metadata_location=part.record.metadata_location,
            document=part.encoded,
            moves_to=part.record.location if is_moved else None,
        )
        if not tables_db.swap_metadata_location(conn, swap, now_ms=part.record.updated_at_ms):
            raise _SwapLost
        for principal in part.principals:
            _tell(conn, principal, EventType.TABLE_COMMITTED, part.record)

    def _resolve_unknown(self, written: Sequence[Prepared], error: CommitStateUnknown) -> None:
        """The database's answer to the commit was lost: look whether the pointers moved.

        Seeing our own metadata locations proves that it landed.  Anything else proves nothing,
        since the old state may be what a commit still under way has not replaced yet.
        """
        expected = {part.record.id: part.record.metadata_location for part in written}
        with suppress(Unavailable), read(self._engine) as conn:
            if tables_db.metadata_locations(conn, expected) == expected:
                return
        raise error

    def _discard(self, catalog: OpenCatalog, written: Sequence[Prepared]) -> None:
        """Delete the metadata files of a commit that did not land.  Best effort: orphans only."""
        with suppress(CatalogError):
            store = self._credentials.store_for(catalog.integration)
            for part in written:
                self._files.delete(store, part.record.metadata_location)

    def _finish(self, catalog: OpenCatalog, prepared: Sequence[Prepared]) -> list[Committed]:
        """After the commit point: nothing here may fail the request."""
        for part in prepared:
            if not part.is_written:
                continue
            self._documents.keep(part.record, part.applied.document, part.encoded)
            self._delete_expired(catalog, part)
        return [Committed(part.record, part.encoded) for part in prepared]

    def _delete_expired(self, catalog: OpenCatalog, part: Prepared) -> None:
        properties = part.applied.document.get("properties") or {}
        enabled = properties.get("write.metadata.delete-after-commit.enabled", "false")
        if str(enabled).lower() != "true":
            return
        own = [
            file
            for file in part.applied.expired_metadata_files
            if file.startswith(part.record.location.prefix)
        ]
        with suppress(CatalogError):
            store = self._credentials.store_for(catalog.integration)
            for file in own:
                self._files.delete(store, file)


def _tell(conn: Connection, principal: Principal, type_: EventType, record: TableRecord) -> None:
    audit_trail.record(
        conn,
        principal,
        type_,
        of_table(record),
        now_ms=record.updated_at_ms,
        by=Privilege.WRITE,
        details={"metadata-location": record.metadata_location, "version": record.version},
    )
