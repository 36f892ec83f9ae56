"""What can be done with views, commits apart.  Transactions and authorisation live here.

Views share the name space and the places of tables.  Nothing is vended for one: a view has no data.
No metadata file that was ever current is deleted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine
from uuid6 import uuid7

from graticule.access.policy import Action, require
from graticule.db import catalogs as catalogs_db
from graticule.db import grants as grants_db
from graticule.db import idempotency as idempotency_db
from graticule.db import namespaces as namespaces_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.domain.audit import EventType, of_view
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import AlreadyExists
from graticule.domain.grants import ObjectKind, Privilege
from graticule.domain.idempotency import IdempotentRequest
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata, view_metadata, view_updates
from graticule.iceberg.properties import check_properties
from graticule.services.catalog import objects, table_locations, tabular_names
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.idempotency import result_of
from graticule.services.catalog.objects import no_such_view
from graticule.services.catalog.view_commits import (
    LoadedView,
    ViewCommits,
    new_metadata_location,
)
from graticule.services.events import audit_trail
from graticule.services.pages import Page

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewView:
    """What a client asks for when it creates a view."""

    identifier: TableIdentifier
    schema: Json
    version: Json
    location: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


class Views:
    def __init__(
        self,
        engine: Engine,
        documents: Documents,
        commits: ViewCommits,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._documents = documents
        self._commits = commits
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
        """The names of a namespace's views, in order.

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
                kind=tables_db.VIEW,
                after=after,
                limit=limit,
            )

    def create(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        new: NewView,
        *,
        request: IdempotentRequest | None = None,
    ) -> LoadedView:
        """Create a view with its first version.

        Raises:
            NoSuchNamespace: its namespace is not there, or not for this principal to know of.
            Forbidden: the namespace is not its to write.
            AlreadyExists: a table or view has the name.
            InvalidLocation: the location asked for is not for this catalog to give.
            InvalidUpdate: the schema, the version or a property is not legal.
            ReadOnlyStorage: nothing may be written there.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return self._commits.load_again(principal, catalog, new.identifier, request)
        catalog.integration.require_writable()
        view_id = str(uuid7())
        if new.location:
            location = table_locations.check_requested(catalog, new.location)
        else:
            location = table_locations.generate(catalog, view_id)
        now_ms = self._now_ms()
        document = view_updates.new_view(
            schema=new.schema,
            version=new.version,
            location=location.uri,
            properties=new.properties,
            view_uuid=str(uuid7()),
            now_ms=now_ms,
        )
        table_locations.check_path_properties(document["properties"], location)
        namespace_id = self._require_free(principal, catalog, new.identifier, location, view_id)
        record = TableRecord(
            id=view_id,
            catalog_id=catalog.catalog.id,
            namespace_id=namespace_id,
            identifier=new.identifier,
            table_uuid=document["view-uuid"],
            location=location,
            metadata_location=new_metadata_location(document, location, None),
            version=0,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        return self._commits.land(
            catalog,
            record,
            document,
            lambda conn, encoded: _insert(
                conn, principal, EventType.VIEW_CREATED, record, encoded, request=request
            ),
        )

    def load(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> LoadedView:
        """The view with its current metadata.

        Raises:
            NoSuchView: it is not there, or not for this principal to know of.
            Forbidden: it may be seen, but no more.
            NoSuchFile: its metadata file is gone.
        """
        require(principal, Action.READ_CATALOG)
        record = self._commits.require(principal, catalog, identifier, Privilege.READ)
        return self._commits.load(catalog, record)

    def exists(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> None:
        """Raises NoSuchView unless the view is there, and for this principal to know of."""
        require(principal, Action.READ_CATALOG)
        self._commits.require(principal, catalog, identifier, Privilege.BROWSE)

    def register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        metadata_location: str,
        *,
        request: IdempotentRequest | None = None,
    ) -> LoadedView:
        """Adopt a view whose metadata file lies in the integration's bucket.

        Raises:
            NoSuchNamespace: its namespace is not there, or not for this principal to know of.
            Forbidden: the namespace is not its to write.
            NoSuchFile: there is no such metadata file.
            InvalidLocation: the file, or the view it describes, lies elsewhere or in the way.
            InvalidRequest: the file is not view metadata, or has a property that is refused.
            AlreadyExists: a table or view has the name, or one of the catalog has that UUID.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return self._commits.load_again(principal, catalog, identifier, request)
        file = table_locations.check_in_storage(catalog, metadata_location)
        with read(self._engine) as conn:
            namespace = objects.namespace(
                conn, principal, catalog, identifier.namespace, Privilege.WRITE
            )
            _refuse_taken(conn, catalog.catalog.id, identifier)
        encoded = self._documents.read_file(file.uri, catalog.integration)
        document = metadata.decode(encoded)
        view_metadata.check_document(document)
        properties = view_metadata.properties(document)
        check_properties(properties)
        location = table_locations.check_described(catalog, file, document["location"], what="view")
        table_locations.check_path_properties(properties, location)
        now_ms = self._now_ms()
        record = TableRecord(
            id=str(uuid7()),
            catalog_id=catalog.catalog.id,
            namespace_id=namespace.id,
            identifier=identifier,
            table_uuid=document["view-uuid"],
            location=location,
            metadata_location=file.uri,
            version=0,
            created_at_ms=now_ms,
            updated_at_ms=now_ms,
        )
        with write(self._engine) as conn:
            catalogs_db.refuse_around(conn, catalog.integration.id, location)
            tables_db.refuse_sources(conn, catalog.integration.id, location)
            _insert(conn, principal, EventType.VIEW_REGISTERED, record, encoded, request=request)
        return LoadedView(identifier, file.uri, encoded)

    def rename(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        source: TableIdentifier,
        destination: TableIdentifier,
        *,
        request: IdempotentRequest | None = None,
    ) -> None:
        """Give a view another name, also in another namespace.  Its location stays.

        Raises:
            NoSuchView: the source is not there, or not for this principal to know of.
            NoSuchNamespace: so with the destination's namespace.
            Forbidden: the source is not its to manage, or that namespace not its to write.
            AlreadyExists: a table or view has the destination's name.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return
        with write(self._engine) as conn:
            renamed = tabular_names.rename(
                conn,
                principal,
                catalog,
                source,
                destination,
                kind=tables_db.VIEW,
                now_ms=self._now_ms(),
            )
            idempotency_db.claim(conn, request)
            audit_trail.record(
                conn,
                principal,
                EventType.VIEW_RENAMED,
                of_view(renamed),
                now_ms=self._now_ms(),
                by=Privilege.MANAGE,
                details={"before": str(source)},
            )

    def drop(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        request: IdempotentRequest | None = None,
    ) -> None:
        """Forget a view.  Its metadata files stay where they are.

        Raises:
            NoSuchView: it is not there, or not for this principal to know of.
            Forbidden: it may be seen, but no more.
        """
        require(principal, Action.WRITE_CATALOG)
        if request is not None and request.landed is not None:
            return
        with write(self._engine) as conn:
            record = objects.table(
                conn, principal, catalog, identifier, Privilege.MANAGE, kind=tables_db.VIEW
            ).record
            if not tables_db.drop(conn, record.id):
                raise no_such_view(identifier)
            idempotency_db.claim(conn, request)
            audit_trail.record(
                conn,
                principal,
                EventType.VIEW_DROPPED,
                of_view(record),
                now_ms=self._now_ms(),
                by=Privilege.MANAGE,
            )

    def _require_free(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        location: Location,
        view_id: str,
    ) -> str:
        """The id of the namespace, in which the name must be free as the location must be.

        Looked at before anything is written; the insertion decides.
        """
        with read(self._engine) as conn:
            namespace = objects.namespace(
                conn, principal, catalog, identifier.namespace, Privilege.WRITE
            )
            _refuse_taken(conn, catalog.catalog.id, identifier)
            tables_db.refuse_overlap(conn, location, but_not=view_id)
        return namespace.id


def _insert(
    conn: Connection,
    principal: Principal,
    type_: EventType,
    record: TableRecord,
    encoded: bytes,
    *,
    request: IdempotentRequest | None,
) -> None:
    namespaces_db.require(conn, record.catalog_id, record.identifier.namespace)
    _refuse_taken(conn, record.catalog_id, record.identifier)
    tables_db.create(conn, record, encoded, kind=tables_db.VIEW)
    grants_db.own_table(conn, principal, record, kind=ObjectKind.VIEW)
    idempotency_db.claim(conn, request, result_of(record))
    audit_trail.record(
        conn,
        principal,
        type_,
        of_view(record),
        now_ms=record.created_at_ms,
        by=Privilege.WRITE,
    )


def _refuse_taken(conn: Connection, catalog_id: str, identifier: TableIdentifier) -> None:
    match tables_db.kind_of(conn, catalog_id, identifier):
        case tables_db.TABLE:
            raise AlreadyExists(f"Table with same name already exists: {identifier}")
        case tables_db.VIEW:
            raise AlreadyExists(f"View already exists: {identifier}")
