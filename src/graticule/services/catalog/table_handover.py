"""Tables that come by their metadata file, or go by it: register and unregister.

The file stays as it is: other catalogs may read it still.
"""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.delegation import Delegations
from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import AccessLevel, NamespaceRecord, OpenCatalog, TableRecord
from graticule.domain.errors import Unavailable
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.properties import check_properties
from graticule.services.catalog import objects, table_locations
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.idempotency import landed_table, result_of
from graticule.services.catalog.index_orders import index_files_of, order_removal
from graticule.services.catalog.objects import AllowedTable, no_such_table
from graticule.services.catalog.table_changes import new_record
from graticule.services.catalog.table_loading import LoadedTable
from graticule.services.catalog.table_storage import TableStorage
from graticule.services.catalog.tables import refuse_taken
from graticule.services.events import audit_trail

UNREGISTER_ATTEMPTS_MAX: Final = 4
"""Commits that may come in between reading a table's document and letting go of the table."""


class TableHandover:
    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        storage: TableStorage,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._storage = storage
        self._now_ms = now_ms

    def register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        metadata_location: str,
        *,
        overwrite: bool,
        delegate: Delegations,
        request: IdempotentRequest | None = None,
    ) -> LoadedTable:
        """Adopt a table whose metadata file lies in the integration's bucket.

        Raises:
            NoSuchNamespace: its namespace is not there, or not for this principal to know of.
            Forbidden: the namespace is not its to write, or what is to be overwritten to manage.
            NoSuchFile: there is no such metadata file.
            InvalidLocation: the file, or the table it describes, lies elsewhere or in the way.
            InvalidUpdate: the document has a property that could redirect credentials.
            AlreadyExists: a table or view has the name, and `overwrite` is not asked for.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            known = landed_table(self._engine, principal, catalog, request)
            if known is None:
                raise no_such_table(identifier)
            encoded = self._documents.encoded(known.record, catalog.integration)
            return self._loaded(principal, catalog, known, encoded, delegate=delegate)
        file = table_locations.check_in_storage(catalog, metadata_location)
        with read(self._engine) as conn:
            self._require_free(conn, principal, catalog, identifier, overwrite=overwrite)
        encoded = self._documents.read_file(file.uri, catalog.integration)
        document = metadata.decode(encoded)
        metadata.check_document(document)
        properties = metadata.properties(document)
        check_properties(properties)
        location = table_locations.check_described(
            catalog, file, document["location"], what="table"
        )
        table_locations.check_path_properties(properties, location)
        # Version 1 may go without a UUID; the row needs one, the document stays as it is.
        identified = document | {"table-uuid": metadata.table_uuid(document) or str(uuid7())}
        with write(self._engine) as conn:
            namespace = self._require_free(
                conn, principal, catalog, identifier, overwrite=overwrite
            )
            record = new_record(
                catalog,
                namespace.id,
                identifier,
                identified,
                location,
                now_ms=self._now_ms(),
                metadata_location=file.uri,
            )
            idempotency_db.claim(conn, request, result_of(record))
            existing = tables_db.load(conn, catalog.catalog.id, identifier)
            if existing is not None:
                files = index_files_of(conn, existing)
                tables_db.drop(conn, existing.id)
                order_removal(conn, principal, existing, files)
            catalogs_db.refuse_around(conn, catalog.integration.id, location)
            tables_db.refuse_sources(conn, catalog.integration.id, location)
            tables_db.create(conn, record, encoded)
            grants_db.own_table(conn, principal, record)
            self._tell(conn, principal, EventType.TABLE_REGISTERED, record, Privilege.WRITE)
        self._documents.keep(record, document, encoded)
        own = AllowedTable(record, AccessLevel.WRITE)
        return self._loaded(principal, catalog, own, encoded, delegate=delegate)

    def unregister(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        request: IdempotentRequest | None = None,
    ) -> tuple[str, bytes]:
        """Let go of a table: where its metadata file is, and the document in it.

        Every commit before is in the document, and none can follow.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            Forbidden: it is not its to manage.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            at = request.landed["metadata-location"]
            return at, self._documents.read_file(at, catalog.integration)
        for _ in range(UNREGISTER_ATTEMPTS_MAX):
            with read(self._engine) as conn:
                found = objects.table(conn, principal, catalog, identifier, Privilege.MANAGE)
            record = found.record
            encoded = self._documents.encoded(record, catalog.integration)
            at = record.metadata_location
            with write(self._engine) as conn:
                files = index_files_of(conn, record)
                if tables_db.drop(conn, record.id, expected=at):
                    order_removal(conn, principal, record, files)
                    idempotency_db.claim(conn, request, {"metadata-location": at})
                    by = Privilege.MANAGE
                    self._tell(conn, principal, EventType.TABLE_UNREGISTERED, record, by)
                    return at, encoded
        raise Unavailable(f"`{identifier}` is being written to; it is still here, try again")

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        record: TableRecord,
        by: Privilege,
    ) -> None:
        audit_trail.record(
            conn,
            principal,
            type_,
            of_table(record),
            now_ms=self._now_ms(),
            by=by,
            details={"metadata-location": record.metadata_location},
        )

    @staticmethod
    def _require_free(
        conn: Connection,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        overwrite: bool,
    ) -> NamespaceRecord:
        """The namespace to register in; what is to be overwritten must be managed."""
        namespace = objects.namespace(
            conn, principal, catalog, identifier.namespace, Privilege.WRITE
        )
        kind = tables_db.kind_of(conn, catalog.catalog.id, identifier)
        if not (overwrite and kind == tables_db.TABLE):
            refuse_taken(kind, identifier)
        elif kind is not None:
            objects.table(conn, principal, catalog, identifier, Privilege.MANAGE)
        return namespace

    def _loaded(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        found: AllowedTable,
        encoded: bytes,
        *,
        delegate: Delegations,
    ) -> LoadedTable:
        record = found.record
        storage = self._storage.storage_of(
            principal, catalog, record, access=found.access, delegate=delegate
        )
        return LoadedTable.of(record, encoded, storage)
