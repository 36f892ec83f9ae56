"""What can be done with tables, commits apart.  Transactions and authorisation live here."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.access.policy import Action, access_level, require
from graticule.db import namespaces as namespaces_db
from graticule.db import tables as tables_db
from graticule.db.engine import read, write
from graticule.domain.catalog import AccessLevel, OpenCatalog, StorageCredential, TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    CommitStateUnknown,
    InvalidLocation,
    NoSuchFile,
    NoSuchTable,
)
from graticule.domain.identifiers import NAMESPACE_SEPARATOR, Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata
from graticule.iceberg.properties import check_properties
from graticule.services import table_locations
from graticule.services.commits import new_record
from graticule.services.credentials import Credentials, client_config, place_config
from graticule.services.documents import Documents
from graticule.services.namespaces import Page, page
from graticule.storage.iam_policy import LocationGrant
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


@dataclass(frozen=True, slots=True)
class VendedStorage:
    """How a client reaches a table's files: properties for its file IO, and for which URIs."""

    prefix: str
    config: Mapping[str, str]
    credential: StorageCredential | None


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """A table as a client gets it.  `metadata_location` is None for a staged create."""

    identifier: TableIdentifier
    metadata_location: str | None
    document: bytes
    storage: VendedStorage
    etag: str


class Tables:
    def __init__(
        self,
        engine: Engine,
        files: MetadataFiles,
        documents: Documents,
        credentials: Credentials,
        *,
        now_ms: Callable[[], int],
    ) -> None:
        self._engine = engine
        self._files = files
        self._documents = documents
        self._credentials = credentials
        self._now_ms = now_ms

    def list_names(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        namespace: Namespace,
        *,
        kind: str = "table",
        after: str = "",
        limit: int | None = None,
    ) -> Page:
        """The names of a namespace's tables, in order.

        Raises:
            NoSuchNamespace: it is not there.
        """
        require(principal, Action.READ_CATALOG)
        with read(self._engine) as conn:
            record = namespaces_db.require(conn, catalog.catalog.id, namespace)
            found = tables_db.list_names(
                conn,
                record.id,
                kind=kind,
                after=after,
                limit=None if limit is None else limit + 1,
            )
        return page(found, limit, key=str)

    def create(
        self, principal: Principal, catalog: OpenCatalog, new: NewTable, *, delegate: bool
    ) -> LoadedTable:
        """Create a table, or stage one: decide its metadata and vend for it, but record nothing.

        The location is checked before anything is written or vended.

        Raises:
            NoSuchNamespace: its namespace is not there.
            AlreadyExists: a table or view has the name.
            InvalidLocation: the location asked for is not for this catalog to give.
        """
        require(principal, Action.WRITE_CATALOG)
        check_properties(new.properties)
        table_id = str(uuid7())
        if new.location:
            location = table_locations.check_requested(catalog, new.location)
        else:
            location = table_locations.generate(catalog, table_id)
        now_ms = self._now_ms()
        with read(self._engine) as conn:
            namespace = namespaces_db.require(conn, catalog.catalog.id, new.identifier.namespace)
            self._refuse_taken(tables_db.kind_of(conn, catalog.catalog.id, new.identifier), new)
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
        if not new.is_staged:
            self._land_new(catalog, record, document, encoded)
        storage = self._storage(principal, catalog, record, delegate=delegate)
        return LoadedTable(
            identifier=new.identifier,
            metadata_location=None if new.is_staged else record.metadata_location,
            document=encoded,
            storage=storage,
            etag=_etag(record, "all", storage),
        )

    def load(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        *,
        delegate: bool,
        snapshots: str = "all",
        if_none_match: str | None = None,
    ) -> LoadedTable | None:
        """The table with its current metadata; None when the client's ETag is still the one.

        The ETag changes with the metadata and with the vended credential, so that no client keeps
        a table beyond the life of the credential it came with.

        Raises:
            NoSuchTable: it is not there, or not for this principal to know of.
        """
        require(principal, Action.READ_CATALOG)
        record = self._require(catalog, identifier)
        storage = self._storage(principal, catalog, record, delegate=delegate)
        etag = _etag(record, snapshots, storage)
        if if_none_match is not None and if_none_match.removeprefix("W/") == etag:
            return None
        if snapshots == "refs":
            document = self._documents.refs_only(record, catalog.integration)
        else:
            document = self._documents.encoded(record, catalog.integration)
        return LoadedTable(identifier, record.metadata_location, document, storage, etag)

    def exists(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> None:
        """Raises NoSuchTable unless the table is there."""
        require(principal, Action.READ_CATALOG)
        self._require(catalog, identifier)

    def open(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> tuple[TableRecord, Json]:
        """The row and the parsed document, for other services.  The document is shared."""
        require(principal, Action.READ_CATALOG)
        record = self._require(catalog, identifier)
        return record, self._documents.parsed(record, catalog.integration)

    def vend(
        self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier
    ) -> VendedStorage:
        """A fresh credential for the table, as the refresh endpoint hands it out."""
        require(principal, Action.READ_CATALOG)
        record = self._require(catalog, identifier)
        return self._storage(principal, catalog, record, delegate=True)

    def register(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        identifier: TableIdentifier,
        metadata_location: str,
        *,
        overwrite: bool,
        delegate: bool,
    ) -> LoadedTable:
        """Adopt a table whose metadata file lies in the integration's bucket.

        Raises:
            NoSuchFile: there is no such metadata file.
            InvalidLocation: the file, or the table it describes, lies elsewhere or in the way.
            AlreadyExists: a table or view has the name, and `overwrite` is not asked for.
        """
        require(principal, Action.WRITE_CATALOG)
        root = catalog.integration.location
        file = Location.parse(metadata_location)
        if not file.is_within(root):
            raise InvalidLocation(
                f"`{metadata_location}` does not lie below `{root.prefix}`, "
                f"the storage of catalog `{catalog.catalog.name}`"
            )
        with read(self._engine) as conn:
            namespace = namespaces_db.require(conn, catalog.catalog.id, identifier.namespace)
            existing = tables_db.load(conn, catalog.catalog.id, identifier)
            kind = tables_db.kind_of(conn, catalog.catalog.id, identifier)
        if kind is not None and not (overwrite and kind == "table"):
            raise AlreadyExists(f"{kind.capitalize()} already exists: {identifier}")
        try:
            encoded = self._files.read(self._credentials.store_for(catalog.integration), file.uri)
        except NoSuchFile as error:
            raise NoSuchFile(f"Failed to open input stream for file: {file}") from error
        document = metadata.decode(encoded)
        metadata.check_document(document)
        location = Location.parse(document["location"])
        if not location.is_within(root) or location == root:
            raise InvalidLocation(
                f"the table described by `{file}` lives at `{location}`, "
                f"which is not below `{root.prefix}`"
            )
        if not file.is_within(location):
            raise InvalidLocation(
                f"`{file}` does not lie below the location `{location}` of the table it describes"
            )
        record = new_record(
            catalog,
            namespace.id,
            identifier,
            document,
            location,
            now_ms=self._now_ms(),
            metadata_location=file.uri,
        )
        with write(self._engine) as conn:
            if existing is not None:
                tables_db.drop(conn, existing.id)
            tables_db.create(conn, record, encoded)
        self._documents.keep(record.metadata_location, document, encoded)
        storage = self._storage(principal, catalog, record, delegate=delegate)
        return LoadedTable(
            identifier, record.metadata_location, encoded, storage, _etag(record, "all", storage)
        )

    def rename(
        self,
        principal: Principal,
        catalog: OpenCatalog,
        source: TableIdentifier,
        destination: TableIdentifier,
    ) -> None:
        """Give a table another name, also in another namespace.  Its location stays.

        Raises:
            NoSuchTable: the source is not there.
            NoSuchNamespace: the destination's namespace is not there.
            AlreadyExists: a table or view has the destination's name.
        """
        require(principal, Action.WRITE_CATALOG)
        with write(self._engine) as conn:
            record = tables_db.load(conn, catalog.catalog.id, source)
            if record is None:
                raise _no_such_table(source)
            namespace = namespaces_db.require(conn, catalog.catalog.id, destination.namespace)
            if source != destination and not tables_db.rename(
                conn,
                record.id,
                namespace_id=namespace.id,
                to=destination,
                now_ms=self._now_ms(),
            ):
                raise _no_such_table(source)

    def drop(self, principal: Principal, catalog: OpenCatalog, identifier: TableIdentifier) -> None:
        """Forget a table.  Its files stay where they are.

        Raises:
            NoSuchTable: it is not there.
        """
        require(principal, Action.WRITE_CATALOG)
        with write(self._engine) as conn:
            record = tables_db.load(conn, catalog.catalog.id, identifier)
            if record is None or not tables_db.drop(conn, record.id):
                raise _no_such_table(identifier)

    def _require(self, catalog: OpenCatalog, identifier: TableIdentifier) -> TableRecord:
        with read(self._engine) as conn:
            record = tables_db.load(conn, catalog.catalog.id, identifier)
        if record is None:
            raise _no_such_table(identifier)
        return record

    def _storage(
        self, principal: Principal, catalog: OpenCatalog, record: TableRecord, *, delegate: bool
    ) -> VendedStorage:
        integration = catalog.integration
        prefix = _selector(record)
        if not delegate:
            return VendedStorage(prefix, place_config(integration), None)
        grants = [LocationGrant(record.location.prefix, access_level(principal))]
        grants += [LocationGrant(source, AccessLevel.READ) for source in record.sources]
        credential = self._credentials.vend(principal, integration, grants)
        config = client_config(
            integration, credential, refresh_endpoint=refresh_endpoint(catalog, record.identifier)
        )
        return VendedStorage(prefix, config, credential)

    def _land_new(
        self, catalog: OpenCatalog, record: TableRecord, document: Json, encoded: bytes
    ) -> None:
        store = self._credentials.store_for(catalog.integration)
        try:
            self._files.write(store, record.metadata_location, encoded)
            with write(self._engine) as conn:
                tables_db.create(conn, record, encoded)
        except CommitStateUnknown:
            raise
        except Exception:
            with suppress(CatalogError):
                self._files.delete(store, record.metadata_location)
            raise
        self._documents.keep(record.metadata_location, document, encoded)

    @staticmethod
    def _refuse_taken(kind: str | None, new: NewTable) -> None:
        if kind == "view":
            raise AlreadyExists(f"View with same name already exists: {new.identifier}")
        if kind is not None:
            raise AlreadyExists(f"Table already exists: {new.identifier}")


def refresh_endpoint(catalog: OpenCatalog, identifier: TableIdentifier) -> str:
    """Where a client fetches fresh credentials, relative to the catalog's base URI."""
    namespace = quote(NAMESPACE_SEPARATOR, safe="").join(
        quote(level, safe="") for level in identifier.namespace.levels
    )
    name = quote(identifier.name, safe="")
    return f"v1/{catalog.catalog.id}/namespaces/{namespace}/tables/{name}/credentials"


def _selector(record: TableRecord) -> str:
    """The URI prefix by which clients choose this credential for a file.

    Only a selector: what the credential opens is in its policy.  PyIceberg chooses one credential
    by the metadata location for all files, so a table that reads elsewhere in its bucket needs a
    prefix that covers both.
    """
    if not record.sources:
        return record.location.prefix
    return f"s3://{record.location.bucket}/"


def _etag(record: TableRecord, snapshots: str, storage: VendedStorage) -> str:
    vended = storage.credential.access_key_id if storage.credential else ""
    text = f"{record.metadata_location}|{snapshots}|{vended}|{record.identifier}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _no_such_table(identifier: TableIdentifier) -> NoSuchTable:
    return NoSuchTable(f"Table does not exist: {identifier}")
