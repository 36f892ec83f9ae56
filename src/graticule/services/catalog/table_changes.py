"""What a commit would make of a table: requirements checked, updates applied, nothing written.

Changes of several writers may be applied one after the other, and become one metadata file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine
from uuid6 import uuid7

from graticule.db import tables as tables_db
from graticule.db.engine import read
from graticule.domain.catalog import NamespaceRecord, OpenCatalog, TableRecord
from graticule.domain.errors import AlreadyExists, CommitConflict
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.location import Location
from graticule.domain.spliced import Content
from graticule.domain.tenancy import Principal
from graticule.iceberg import metadata, replays, requirements, updates
from graticule.iceberg.properties import check_properties
from graticule.services.catalog import objects, table_locations
from graticule.services.catalog.documents import Documents
from graticule.services.catalog.index_orders import moves_snapshots

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a client asks of one table."""

    identifier: TableIdentifier
    requirements: Sequence[Json]
    updates: Sequence[Json]
    sources: tuple[str, ...] = ()
    """Places a new table reads beside its location.  Only discovery may set them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One table's part of a commit, with its metadata file decided but not yet written."""

    base: TableRecord | None
    record: TableRecord
    applied: updates.Applied
    encoded: Content
    principals: tuple[Principal, ...]
    """Whose changes it holds."""
    moves_snapshots: bool = False

    @property
    def is_written(self) -> bool:
        return self.base is None or self.base.metadata_location != self.record.metadata_location


@dataclass(frozen=True, slots=True)
class Changing:
    """A table with changes applied one after the other, of one writer or of several."""

    base: TableRecord
    location: Location
    applied: updates.Applied
    """`changed` tells of all of them together."""
    now_ms: int
    principals: tuple[Principal, ...] = ()
    moves_snapshots: bool = False
    """Whether the current snapshot may be another one, or some are gone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A change and who asks for it."""

    principal: Principal
    change: TableChange


class TableChanges:
    def __init__(self, engine: Engine, documents: Documents, *, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._documents = documents
        self._now_ms = now_ms

    def prepare(self, catalog: OpenCatalog, asked: Asked) -> Prepared:
        """Check the requirements and apply the updates to the table as it is now."""
        change = asked.change
        if not requirements.is_create(change.requirements):
            return self.encode(catalog, self.apply(catalog, asked, None))
        with read(self._engine) as conn:
            # Whoever may not make a table in a namespace is not told what is there.
            namespace = objects.namespace(
                conn, asked.principal, catalog, change.identifier.namespace, Privilege.WRITE
            )
            record = tables_db.load(conn, catalog.catalog.id, change.identifier)
        if record is None:
            return self._prepare_create(catalog, asked, namespace)
        document = self._documents.parsed(record, catalog.integration)
        if replays.is_same_creation(change.updates, document):
            return self.encode(catalog, _unchanged(record, document, self._now_ms()))
        raise AlreadyExists(f"Requirement failed: table already exists: {change.identifier}")

    def apply(self, catalog: OpenCatalog, asked: Asked, before: Changing | None) -> Changing:
        """The table with the change, made to what is there now or to what is about to be."""
        change = asked.change
        record = objects.look_up_table(
            self._engine, asked.principal, catalog, change.identifier, Privilege.WRITE
        ).record
        now_ms = self._now_ms()
        if before is None:
            document = self._documents.parsed(record, catalog.integration)
            before = _unchanged(record, document, now_ms)
        document = before.applied.document
        try:
            requirements.check_all(change.requirements, document)
        except CommitConflict:
            if not replays.is_already_applied(change.updates, document):
                raise
            return before  # the table holds it: its answer was lost, not the commit
        is_first = not before.applied.changed
        applied = updates.apply(
            change.updates,
            document,
            now_ms=now_ms,
            metadata_location=before.base.metadata_location if is_first else None,
        )
        if not applied.changed:
            return before
        location = before.location
        if applied.document["location"].rstrip("/") != document["location"].rstrip("/"):
            location = table_locations.check_requested(catalog, applied.document["location"])
        _check_properties(change, applied.document, location)
        if not is_first:
            expired = before.applied.expired_metadata_files
            applied = replace(applied, expired_metadata_files=expired)
        return Changing(
            before.base,
            location,
            applied,
            now_ms,
            (*before.principals, asked.principal),
            before.moves_snapshots or moves_snapshots(change.updates),
        )

    def encode(self, catalog: OpenCatalog, table: Changing) -> Prepared:
        record, applied = table.base, table.applied
        if applied.changed:
            record = _moved(record, applied.document, table.location, now_ms=table.now_ms)
            encoded: Content = metadata.spliced(applied.document)
        else:
            encoded = self._documents.encoded(record, catalog.integration)
        return Prepared(
            base=table.base,
            record=record,
            applied=applied,
            encoded=encoded,
            principals=table.principals,
            moves_snapshots=table.moves_snapshots,
        )

    def _prepare_create(
        self, catalog: OpenCatalog, asked: Asked, namespace: NamespaceRecord
    ) -> Prepared:
        change = asked.change
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
        return Prepared(
            base=None,
            record=record,
            applied=applied,
            encoded=metadata.encode(document),
            principals=(asked.principal,),
            moves_snapshots=moves_snapshots(change.updates),
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


def _unchanged(record: TableRecord, document: Json, now_ms: int) -> Changing:
    applied = updates.Applied(document, changed=False, expired_metadata_files=())
    return Changing(record, record.location, applied, now_ms)


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
