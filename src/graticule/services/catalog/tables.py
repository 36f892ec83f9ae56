"""What can be done with tables, commits apart.  Transactions and authorisation live here."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.delegation import VENDED, Delegations
from graticule.access.policy import Action, require
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.domain.audit import EventType, of_table
from graticule.domain.catalog import AccessLevel, OpenCatalog, TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitStateUnknown,
)
from graticule.domain.grants import Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.properties import check_properties
from graticule.services.catalog import objects, table_locations, tabular_names
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.idempotency import landed_table, result_of
from graticule.services.catalog.objects import AllowedTable, no_such_table
from graticule.services.catalog.table_changes import new_record
from graticule.services.catalog.table_loading import (
    ALL_SNAPSHOTS,
    Held,
    LoadedTable,
    Unchanged,
    etag_of,
)
from graticule.services.catalog.table_storage import TableStorage, VendedStorage
from graticule.services.events import audit_trail
from graticule.services.integrations.credentials import Credentials
from graticule.services.pages import Page
from graticule.storage.metadata_files import MetadataFiles

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewTable:
    """What a client asks for when it creates a table."""

    identifier: TableIdentifier
    schema: Json
    partition_spec: Json | None = None
    write_order: Json | None = None
    location: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    is_staged: bool = False


class Tables:
    def __init__(
        self,
        engine: Engine,
        files: MetadataFiles,
        documents: Documents,
        credentials: Credentials,
        storage: TableStorage,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._files = files
        self._documents = documents
        self._credentials = credentials
        self._storage = storage
        self._now_ms = now_ms

    def list_names(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        after: str = "",
        limit: int | None = None,
    ) -> Page:
        """The names of a namespace's tables, in order.

        Raises:
            NoSuchNamespace: it is not there.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            return tabular_names.list_names(
                conn,
                principal,
                catalog,
                namespace,
                kind=tables_db.TABLE,
                after=after,
                limit=limit,
            )

    def create(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        new: NewTable,
        *,
        delegate: Delegations,
        request: IdempotentRequest | None = None,
    ) -> LoadedTable:
        """Create a table, or stage one: decide its metadata and vend for it, but record nothing.

        The location is checked before anything is written or vended.

        Raises:
            NoSuchNamespace: its namespace is not there, or not for this principal to know of.
            Forbidden: the namespace is not its to write.
            AlreadyExists: a table or view has the name.
            InvalidLocation: the location asked for is not for this catalog to give.
            ReadOnlyStorage: nothing may be written there.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return self._load_again(principal, catalog, new.identifier, request, delegate=delegate)
        catalog.integration.require_writable()
        check_properties(new.properties)
        table_id = str(uuid7())
        if new.location:
            location = table_locations.check_requested(catalog, new.location)
        else:
            location = table_locations.generate(catalog, table_id)
        now_ms = self._now_ms()
        with read(self._engine) as conn:
            namespace = objects.namespace(
                conn, principal, catalog, new.identifier.namespace, Privilege.WRITE
            )
            refuse_taken(
                tables_db.kind_of(conn, catalog.catalog.id, new.identifier), new.identifier
            )
            tables_db.refuse_overlap(conn, location, but_not=table_id)
        document = metadata.new_table(
            schema=new.schema,
            partition_spec=new.partition_spec,
            sort_order=new.write_order,
            location=location.uri,
            properties=new.properties,
            table_uuid=str(uuid7()),
            now_ms=now_ms,
        )
        table_locations.check_path_properties(document["properties"], location)
        record = new_record(
            catalog, namespace.id, new.identifier, document, location, now_ms=now_ms
        )
        encoded = metadata.encode(document)
        # Before the table lands: a store that vends nothing must not leave one behind.
        storage = self._storage.storage_of(
            principal,
            catalog,
            record,
            access=AccessLevel.WRITE,
            delegate=delegate,
            is_staged=new.is_staged,
        )
        if not new.is_staged:
            self._land_new(principal, catalog, record, document, encoded, request=request)
        return LoadedTable.of(record, encoded, storage, is_staged=new.is_staged)

    def load(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        delegate: Delegations,
        snapshots: str = ALL_SNAPSHOTS,
        held: Held | None = None,
    ) -> LoadedTable | Unchanged:
        """The table with its current metadata, unless what the client holds is just that.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
            Forbidden: it may be seen, but not read.
            NoSuchFile: its metadata is neither in the database nor in the store.
        """
        require(principal, Action.READ_CATALOG)
        found = self._require(principal, catalog, identifier, Privilege.READ)
        record = found.record
        read_document = self._documents.encoded
        if snapshots == "refs":
            read_document = self._documents.refs_only
        # Before anything is handed out and told: work that would wait for it begins again.
        document = None if held else read_document(record, catalog.integration)
        storage = self._storage.storage_of(
            principal, catalog, record, access=found.access, delegate=delegate
        )
        etag = etag_of(record, snapshots=snapshots, storage=storage)
        if held is not None and held.has(etag, storage):
            return Unchanged(etag)
        if document is None:
            document = read_document(record, catalog.integration)
        return LoadedTable(identifier, record.metadata_location, document, storage, etag)

    def exists(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> None:
        """Raises NoSuchTable unless the table is there, and for this principal to know of."""
        require(principal, Action.READ_CATALOG)
        self._require(principal, catalog, identifier, Privilege.BROWSE)

    def open(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> tuple[TableRecord, Json]:
        """The row and the parsed document, for other services.  The document is shared."""
        record = self.readable(principal, catalog, identifier).record
        return record, self._documents.parsed(record, catalog.integration)

    def readable(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> AllowedTable:
        """The row of a table that may be read, for services that need no document."""
        require(principal, Action.READ_CATALOG)
        return self._require(principal, catalog, identifier, Privilege.READ)

    def require_creatable(
        self, principal: Principal, catalog: OpenCatalog, namespace: Namespace
    ) -> None:
        """Raises NoSuchNamespace or Forbidden unless the principal may make tables in there."""
        with read(self._engine) as conn:
            objects.namespace(conn, principal, catalog, namespace, Privilege.WRITE)

    def vend(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        delegate: Delegations = VENDED,
    ) -> VendedStorage:
        """How to reach the table's files: a fresh credential, unless more is accepted."""
        found = self.readable(principal, catalog, identifier)
        return self._storage.storage_of(
            principal,
            catalog,
            found.record,
            access=found.access,
            delegate=delegate,
            needs_keys=delegate == VENDED,
        )

    def rename(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        source: TableIdentifier,
        destination: TableIdentifier,
        *,
        request: IdempotentRequest | None = None,
    ) -> None:
        """Give a table another name, also in another namespace.  Its location stays.

        Raises:
            NoSuchTable: the source is not there, or not for this principal to know of.
            NoSuchNamespace: so with the destination's namespace.
            Forbidden: the source is not its to manage, or that namespace not its to write.
            AlreadyExists: a table or view has the destination's name.
        """
        require(principal, Action.WRITE_CATALOG)
        with write(self._engine) as conn:
            idempotency_db.claim(conn, request)
            renamed = tabular_names.rename(
                conn,
                principal,
                catalog,
                source,
                destination,
                kind=tables_db.TABLE,
                now_ms=self._now_ms(),
            )
            self._tell(
                conn,
                principal,
                EventType.TABLE_RENAMED,
                renamed,
                Privilege.MANAGE,
                before=str(source),
            )

    def _tell(
        self,
        conn: Connection,
        principal: Principal,
        type_: EventType,
        record: TableRecord,
        by: Privilege,
        **details: str | bool,
    ) -> None:
        audit_trail.record(
            conn,
            principal,
            type_,
            of_table(record),
            now_ms=self._now_ms(),
            by=by,
            details=details,
        )

    def _require(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        needed: Privilege,
    ) -> AllowedTable:
        return objects.look_up_table(self._engine, principal, catalog, identifier, needed)

    def _load_again(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        request: IdempotentRequest,
        *,
        delegate: Delegations,
    ) -> LoadedTable:
        """The table that an earlier request with the same key created, as it is now."""
        found = landed_table(self._engine, principal, catalog, request)
        if found is None:
            raise no_such_table(identifier)
        record = found.record
        storage = self._storage.storage_of(
            principal, catalog, record, access=found.access, delegate=delegate
        )
        document = self._documents.encoded(record, catalog.integration)
        return LoadedTable.of(record, document, storage)

    def _land_new(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        record: TableRecord,
        document: Json,
        encoded: bytes,
        *,
        request: IdempotentRequest | None,
    ) -> None:
        store = self._credentials.store_for(catalog.integration)
        try:
            self._files.write(store, record.metadata_location, encoded)
            with write(self._engine) as conn:
                idempotency_db.claim(conn, request, result_of(record))
                tables_db.create(conn, record, encoded)
                grants_db.own_table(conn, principal, record)
                self._tell(conn, principal, EventType.TABLE_CREATED, record, Privilege.WRITE)
        except CommitStateUnknown:
            raise
        except Exception:
            with suppress(CatalogError):
                self._files.delete(store, record.metadata_location)
            raise
        self._documents.keep(record, document, encoded)


def refuse_taken(kind: str | None, identifier: TableIdentifier) -> None:
    """Refuse a new table's name that a table or view has; clients read these very words.

    Raises:
        AlreadyExists: it is taken.
    """
    if kind == tables_db.VIEW:
        raise AlreadyExists(f"View with same name already exists: {identifier}")
    if kind is not None:
        raise AlreadyExists(f"Table already exists: {identifier}")
