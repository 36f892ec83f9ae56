"""Commits: requirements and updates on one table or several, all or nothing.

The one door through which a table's pointer moves; engines and discovery both use it.

No answer may lie: `CommitConflict` and every 4xx promise that nothing landed, because clients then
delete the files they wrote.  Whatever may have landed is `CommitStateUnknown`.
No database connection is held while talking to the store.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import tables as tables_db
from graticule.db.engine import SerialisationFailure, read, write
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import NamespaceRecord, OpenCatalog, TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitConflict,
    CommitStateUnknown,
    InvalidRequest,
    NoSuchFile,
    Unavailable,
)
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata, replays, requirements, updates
from graticule.iceberg.properties import check_properties
from graticule.services import audit_trail, meters, objects, table_locations
from graticule.services.credentials import Credentials
from graticule.services.documents import Documents
from graticule.services.idempotency import landed_table, result_of
from graticule.services.turns import Turns
from graticule.storage.metadata_files import MetadataFiles

Json = dict[str, Any]
log = structlog.get_logger(__name__)

TABLES_PER_COMMIT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a client asks of one table."""

    identifier: TableIdentifier
    requirements: Sequence[Json]
    updates: Sequence[Json]
    sources: tuple[str, ...] = ()
    """Places a new table reads beside its location.  Only discovery may set them."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A table after the commit, and its metadata document."""

    record: TableRecord
    document: bytes


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One table's part of a commit, with its metadata file decided but not yet written."""

    base: TableRecord | None
    record: TableRecord
    applied: updates.Applied
    encoded: bytes

    @property
    def is_written(self) -> bool:
        return self.base is None or self.base.metadata_location != self.record.metadata_location


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

    def commit(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        changes: Sequence[TableChange],
        *,
        request: IdempotentRequest | None = None,
    ) -> list[Committed]:
        """Apply the changes, each to its table, all or none of them.

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

        def attempt(number: int) -> list[Committed] | None:
            prepared = [self._prepare(principal, catalog, change) for change in changes]
            if not self._land(principal, catalog, prepared, request):
                return None
            return self._finish(catalog, prepared, number)

        with meters.counted_commit():
            return self._turns.until_landed(catalog, identifiers, attempt)

    def _prepare(
        self, principal: Principal, catalog: OpenCatalog, change: TableChange
    ) -> _Prepared:
        """Check the requirements and apply the updates to the table as it is now."""
        is_create = requirements.is_create(change.requirements)
        record = self._record(principal, catalog, change.identifier, is_create=is_create)
        if isinstance(record, NamespaceRecord):
            return self._prepare_create(catalog, change, record)
        document = self._documents.parsed(record, catalog.integration)
        if is_create:
            if replays.is_same_creation(change.updates, document):
                return self._replayed(catalog, record, document)
            raise AlreadyExists(f"Requirement failed: table already exists: {change.identifier}")
        now_ms = self._now_ms()
        try:
            requirements.check_all(change.requirements, document)
        except CommitConflict:
            if not replays.is_already_applied(change.updates, document):
                raise
            return self._replayed(catalog, record, document)
        applied = updates.apply(
            change.updates, document, now_ms=now_ms, metadata_location=record.metadata_location
        )
        if not applied.changed:
            return self._unchanged(catalog, record, applied)
        location = record.location
        if applied.document["location"].rstrip("/") != document["location"].rstrip("/"):
            location = table_locations.check_requested(catalog, applied.document["location"])
        _check_properties(change, applied.document, location)
        return _Prepared(
            base=record,
            record=_moved(record, applied.document, location, now_ms=now_ms),
            applied=applied,
            encoded=metadata.encode(applied.document),
        )

    def _record(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        is_create: bool,
    ) -> TableRecord | NamespaceRecord:
        """The table's row; for one that is to be created and is not there yet, its namespace's.

        Whoever may not make a table in a namespace is not told what is there.
        """
        if not is_create:
            return objects.look_up_table(
                self._engine, principal, catalog, identifier, Privilege.WRITE
            ).record
        with read(self._engine) as conn:
            namespace = objects.namespace(
                conn, principal, catalog, identifier.namespace, Privilege.WRITE
            )
            return tables_db.load(conn, catalog.catalog.id, identifier) or namespace

    def _prepare_create(
        self, catalog: OpenCatalog, change: TableChange, namespace: NamespaceRecord
    ) -> _Prepared:
        requirements.check_all(change.requirements, None)
        now_ms = self._now_ms()
        applied = updates.apply(change.updates, None, now_ms=now_ms, metadata_location=None)
        document = applied.document
        location = table_locations.check_requested(catalog, document["location"])
        _check_properties(change, document, location)
        with read(self._engine) as conn:
            if tables_db.kind_of(conn, catalog.catalog.id, change.identifier) == tables_db.VIEW:
                raise AlreadyExists(f"View with same name already exists: {change.identifier}")
        record = new_record(
            catalog,
            namespace.id,
            change.identifier,
            document,
            location,
            now_ms=now_ms,
            sources=change.sources,
        )
        return _Prepared(
            base=None, record=record, applied=applied, encoded=metadata.encode(document)
        )

    def _replayed(self, catalog: OpenCatalog, record: TableRecord, document: Json) -> _Prepared:
        """A commit that the table holds already: its answer was lost, not the commit."""
        unchanged = updates.Applied(document, changed=False, expired_metadata_files=())
        return self._unchanged(catalog, record, unchanged)

    def _unchanged(
        self, catalog: OpenCatalog, record: TableRecord, applied: updates.Applied
    ) -> _Prepared:
        encoded = self._documents.encoded(record, catalog.integration)
        return _Prepared(base=record, record=record, applied=applied, encoded=encoded)

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
        principal: Principal,
        catalog: OpenCatalog,
        prepared: Sequence[_Prepared],
        request: IdempotentRequest | None,
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
            with write(self._engine) as conn:
                idempotency_db.claim(conn, request, result)
                for part in written:
                    self._swap(conn, principal, part)
        except (_SwapLost, SerialisationFailure):
            self._discard(catalog, written)
            return False
        except CommitStateUnknown as error:
            self._resolve_unknown(written, error)
        except Exception:
            self._discard(catalog, written)
            raise
        return True

    @staticmethod
    def _swap(conn: Connection, principal: Principal, part: _Prepared) -> None:
        if part.base is None:
            tables_db.create(conn, part.record, part.encoded)
            grants_db.own_table(conn, principal, part.record)
            _tell(conn, principal, EventType.TABLE_CREATED, part.record)
            return
        if part.record.location != part.base.location:
            tables_db.claim_location(conn, part.record.location, but_not=part.record.id)
        swap = tables_db.Swap(
            table_id=part.record.id,
            expected=part.base.metadata_location,
            metadata_location=part.record.metadata_location,
            location=part.record.location,
            document=part.encoded,
        )
        if not tables_db.swap_metadata_location(conn, swap, now_ms=part.record.updated_at_ms):
            raise _SwapLost
        _tell(conn, principal, EventType.TABLE_COMMITTED, part.record)

    def _resolve_unknown(self, written: Sequence[_Prepared], error: CommitStateUnknown) -> None:
        """The database's answer to the commit was lost: look whether the pointers moved.

        Seeing our own metadata locations proves that it landed.  Anything else proves nothing,
        since the old state may be what a commit still under way has not replaced yet.
        """
        expected = {part.record.id: part.record.metadata_location for part in written}
        with suppress(Unavailable), read(self._engine) as conn:
            if tables_db.metadata_locations(conn, expected) == expected:
                return
        raise error

    def _discard(self, catalog: OpenCatalog, written: Sequence[_Prepared]) -> None:
        """Delete the metadata files of a commit that did not land.  Best effort: orphans only."""
        with suppress(CatalogError):
            store = self._credentials.store_for(catalog.integration)
            for part in written:
                self._files.delete(store, part.record.metadata_location)

    def _finish(
        self, catalog: OpenCatalog, prepared: Sequence[_Prepared], attempt: int
    ) -> list[Committed]:
        """After the commit point: nothing here may fail the request."""
        for part in prepared:
            if not part.is_written:
                continue
            self._documents.keep(part.record, part.applied.document, part.encoded)
            self._delete_expired(catalog, part)
            log.debug(
                "table committed",
                table=str(part.record.identifier),
                table_id=part.record.id,
                version=part.record.version,
                attempts=attempt,
            )
        return [Committed(part.record, part.encoded) for part in prepared]

    def _delete_expired(self, catalog: OpenCatalog, part: _Prepared) -> None:
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


def new_record(
    catalog: OpenCatalog,
    namespace_id: str,
    identifier: TableIdentifier,
    document: Json,
    location: Location,
    *,
    now_ms: int,
    sources: tuple[str, ...] = (),
    metadata_location: str | None = None,
) -> TableRecord:
    """The row of a new table.  Its metadata file gets a name unless it has one already."""
    return TableRecord(
        id=str(uuid7()),
        catalog_id=catalog.catalog.id,
        namespace_id=namespace_id,
        identifier=identifier,
        table_uuid=document["table-uuid"],
        location=location,
        metadata_location=metadata_location or _metadata_location(document, location, None),
        version=0,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
        sources=sources,
    )


def _moved(record: TableRecord, document: Json, location: Location, *, now_ms: int) -> TableRecord:
    return TableRecord(
        id=record.id,
        catalog_id=record.catalog_id,
        namespace_id=record.namespace_id,
        identifier=record.identifier,
        table_uuid=record.table_uuid,
        location=location,
        metadata_location=_metadata_location(document, location, record.metadata_location),
        version=record.version + 1,
        created_at_ms=record.created_at_ms,
        updated_at_ms=now_ms,
        sources=record.sources,
    )


def _metadata_location(document: Json, location: Location, previous: str | None) -> str:
    properties = document.get("properties") or {}
    codec = str(properties.get("write.metadata.compression-codec", "none")).lower()
    name = metadata.next_metadata_file_name(previous, uuid=str(uuid7()), gzip=codec == "gzip")
    return table_locations.metadata_folder(properties, location).join(name).uri


def _check_properties(change: TableChange, document: Json, location: Location) -> None:
    """Check what this change sets: a table may keep an old property that is refused today."""
    for update in change.updates:
        if str(update.get("action", "")).lower() == "set-properties":
            check_properties(update.get("updates") or update.get("updated") or {})
    table_locations.check_path_properties(document.get("properties") or {}, location)
