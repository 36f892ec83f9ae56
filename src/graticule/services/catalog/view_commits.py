"""Commits to views: the one door through which a view's pointer moves.

A view is a row like a table's: the pointer, the locations and the swap are the same.  As with
tables a 4xx promises that nothing landed, whatever may have landed is `CommitStateUnknown`, and no
database connection is held while talking to the store.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import idempotency as idempotency_db
from graticule.db import tables as tables_db
from graticule.db.engine import SerialisationFailure, read, write
from graticule.domain.audit import EventType, of_view
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import (
    CatalogError,
    CommitStateUnknown,
    Unavailable,
)
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata, requirements, view_metadata, view_updates
from graticule.services.catalog import objects, table_locations
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.idempotency import landed_table, result_of
from graticule.services.catalog.objects import no_such_view
from graticule.services.catalog.turns import Turns
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.storage.metadata_files import MetadataFiles

Json = dict[str, Any]
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedView:
    """A view as a client gets it."""

    identifier: TableIdentifier
    metadata_location: str
    document: bytes


@dataclass(frozen=True, slots=True)
class ViewChange:
    """What a client asks of one view."""

    identifier: TableIdentifier
    requirements: Sequence[Json]
    updates: Sequence[Json]


class _SwapLost(Exception):
    """Ends the transaction of a commit whose view moved on."""


class ViewCommits:
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
        change: ViewChange,
        *,
        request: IdempotentRequest | None = None,
    ) -> LoadedView:
        """Apply updates to a view while the requirements hold.

        A swap lost to another writer is retried on what that one left, so that two replacements
        made from the same state both succeed.  A commit without effect writes nothing.

        Raises:
            NoSuchView: it is not there, or not for this principal to know of.
            Forbidden: it is not its to write.
            CommitConflict: a requirement does not hold, or others were faster too often.
            InvalidUpdate: an update makes no sense.
            CommitStateUnknown: the outcome cannot be told.
            ReadOnlyStorage: nothing may be written there.
        """
        require(principal, Action.WRITE_CATALOG)
        identifier = change.identifier
        if request is not None and request.landed is not None:
            return self.load_again(principal, catalog, identifier, request)
        catalog.integration.require_writable()
        return self._turns.until_landed(
            catalog,
            [identifier],
            partial(self._commit_once, principal, catalog, change, request),
        )

    def require(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        needed: Privilege,
    ) -> TableRecord:
        """The view's row.

        Raises:
            NoSuchView: there is none, or it is not for this principal to know of.
            Forbidden: it may be seen, but `needed` is not held on it.
        """
        return objects.look_up_table(
            self._engine, principal, catalog, identifier, needed, kind=tables_db.VIEW
        ).record

    def load(self, catalog: OpenCatalog, record: TableRecord) -> LoadedView:
        document = self._documents.encoded(record, catalog.integration)
        return LoadedView(record.identifier, record.metadata_location, document)

    def load_again(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: IdempotentRequest,
    ) -> LoadedView:
        """The view that an earlier request with the same key changed, as it is now."""
        found = landed_table(self._engine, principal, catalog, request)
        if found is None:
            raise no_such_view(identifier)
        return self.load(catalog, found.record)

    def land(
        self,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        point: Callable[[Connection, bytes], None],
    ) -> LoadedView:
        """Write the metadata file, then `point` the row at it.  What does not land is deleted."""
        encoded = metadata.encode(document)
        store = self._credentials.store_for(catalog.integration)
        try:
            self._files.write(store, record.metadata_location, encoded)
            with write(self._engine) as conn:
                point(conn, encoded)
        except CommitStateUnknown as error:
            self._resolve_unknown(record, error)
        except Exception:
            with suppress(CatalogError):
                self._files.delete(store, record.metadata_location)
            raise
        self._documents.keep(record, document, encoded)
        log.debug(
            "view committed",
            view=str(record.identifier),
            view_id=record.id,
            version=record.version,
        )
        return LoadedView(record.identifier, record.metadata_location, encoded)

    def _commit_once(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        change: ViewChange,
        request: IdempotentRequest | None,
    ) -> LoadedView | None:
        """One attempt on the view as it is now; None when another writer was first."""
        base = self.require(principal, catalog, change.identifier, Privilege.WRITE)
        document = self._documents.parsed(base, catalog.integration)
        requirements.check_view(change.requirements, document)
        now_ms = self._now_ms()
        applied = view_updates.apply(change.updates, document, now_ms=now_ms)
        if not applied.changed:
            if request is not None:  # or it would be carried out later, when it does change things
                with write(self._engine) as conn:
                    idempotency_db.claim(conn, request, result_of(base))
            return self.load(catalog, base)
        changed = applied.document
        location = base.location
        if changed["location"].rstrip("/") != document["location"].rstrip("/"):
            location = table_locations.check_requested(catalog, changed["location"])
        table_locations.check_path_properties(changed["properties"], location)
        record = replace(
            base,
            location=location,
            metadata_location=new_metadata_location(changed, location, base.metadata_location),
            version=base.version + 1,
            updated_at_ms=now_ms,
        )

        def point(conn: Connection, encoded: bytes) -> None:
            _swap(conn, base, record, encoded)
            idempotency_db.claim(conn, request, result_of(record))
            audit_trail.record(
                conn,
                principal,
                EventType.VIEW_REPLACED,
                of_view(record),
                now_ms=now_ms,
                by=Privilege.WRITE,
                details={"metadata-location": record.metadata_location, "version": record.version},
            )

        try:
            return self.land(catalog, record, changed, point)
        except (_SwapLost, SerialisationFailure):
            return None

    def _resolve_unknown(self, record: TableRecord, error: CommitStateUnknown) -> None:
        """The database's answer was lost.  Seeing our own file proves that the commit landed;
        anything else proves nothing, since a commit still under way may replace it.
        """
        expected = {record.id: record.metadata_location}
        with suppress(Unavailable), read(self._engine) as conn:
            if tables_db.metadata_locations(conn, expected) == expected:
                return
        raise error


def new_metadata_location(document: Json, location: Location, previous: str | None) -> str:
    """Where the document goes, which follows the file `previous`."""
    name = metadata.next_metadata_file_name(
        previous, uuid=str(uuid7()), gzip=view_metadata.is_compressed(document)
    )
    folder = table_locations.metadata_folder(view_metadata.properties(document), location)
    return folder.join(name).uri


def _swap(conn: Connection, base: TableRecord, record: TableRecord, encoded: bytes) -> None:
    is_moved = record.location != base.location
    if is_moved:
        tables_db.claim_location(conn, record.location, but_not=record.id)
    swap = tables_db.Swap(
        table_id=record.id,
        expected=base.metadata_location,
        metadata_location=record.metadata_location,
        document=encoded,
        moves_to=record.location if is_moved else None,
    )
    if not tables_db.swap_metadata_location(conn, swap, now_ms=record.updated_at_ms):
        raise _SwapLost
