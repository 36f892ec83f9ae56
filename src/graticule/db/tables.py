"""Tables and views in SQL: one row for each, and the one statement that makes a commit atomic."""

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from graticule.db import grants as grants_db
from graticule.db.change import Change
from graticule.db.engine import serialise_on, violates
from graticule.db.schema import catalogs, namespaces, purges, table_documents, tables
from graticule.domain.catalog import TableRecord
from graticule.domain.errors import (
    AlreadyExists,
    CatalogError,
    InvalidLocation,
    NoSuchNamespace,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.location import Location
from graticule.domain.spliced import Content

DOCUMENT_COPY_BYTES_MAX: Final = 256 * 1024
"""Larger metadata documents are not copied into the database; they are read from the store.

Or every commit to a table with a long history would write all of it a second time.
"""

PACKED_FROM_BYTES: Final = 32 * 1024
"""Smaller copies are kept as they are, longer ones compressed."""

TABLE: Final = "table"
VIEW: Final = "view"

_ZLIB_LEVEL: Final = 1
_JSON_BEGINS: Final = b"{"
_AFTER_ANY_KEY: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Swap:
    """The new state of one table, valid if it still points at `expected`."""

    table_id: str
    expected: str
    metadata_location: str
    document: Content
    moves_to: Location | None = None
    """Where the table lies from now on, if that is somewhere else."""


def record_of(row: Row[Any]) -> TableRecord:
    return TableRecord(
        id=row.id,
        catalog_id=row.catalog_id,
        namespace_id=row.namespace_id,
        identifier=TableIdentifier(Namespace.from_path(row.namespace_path), row.name),
        table_uuid=row.table_uuid,
        location=Location.stored(row.location),
        metadata_location=row.metadata_location,
        version=row.version,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        sources=tuple(json.loads(row.sources)) if row.sources else (),
    )


# Built once: putting a statement together takes longer than running it.
NAMED: Final[Select[Any]] = (
    select(tables, namespaces.c.path.label("namespace_path"))
    .join(namespaces, namespaces.c.id == tables.c.namespace_id)
    .where(
        namespaces.c.catalog_id == bindparam("catalog"),
        namespaces.c.path == bindparam("namespace"),
        tables.c.name == bindparam("table"),
    )
)


def row_of(conn: Connection, catalog_id: str, identifier: TableIdentifier) -> Row[Any] | None:
    """The row of a table or view by its name."""
    named = {
        "catalog": catalog_id,
        "namespace": identifier.namespace.path,
        "table": identifier.name,
    }
    return conn.execute(NAMED, named).one_or_none()


def load(
    conn: Connection, catalog_id: str, identifier: TableIdentifier, *, kind: str = TABLE
) -> TableRecord | None:
    """A table or view by its name, whoever asks: see `db.granted_tables` for a principal's."""
    row = row_of(conn, catalog_id, identifier)
    return record_of(row) if row is not None and row.kind == kind else None


def load_by_id(conn: Connection, table_id: str) -> TableRecord | None:
    """A table or view by its own id, whatever it is called by now."""
    query = (
        select(tables, namespaces.c.path.label("namespace_path"))
        .join(namespaces, namespaces.c.id == tables.c.namespace_id)
        .where(tables.c.id == table_id)
    )
    row = conn.execute(query).one_or_none()
    return record_of(row) if row is not None else None


def kind_of(conn: Connection, catalog_id: str, identifier: TableIdentifier) -> str | None:
    """`table`, `view`, or None: both share one name space."""
    row = row_of(conn, catalog_id, identifier)
    return str(row.kind) if row is not None else None


def read_document(conn: Connection, table_id: str, metadata_location: str) -> bytes | None:
    """The database's copy of a metadata file, if it holds this very version."""
    data = conn.execute(
        select(table_documents.c.document).where(
            table_documents.c.table_id == table_id,
            table_documents.c.metadata_location == metadata_location,
        )
    ).scalar_one_or_none()
    return _unpacked(data) if data is not None else None


def create(conn: Connection, record: TableRecord, document: Content, *, kind: str = TABLE) -> None:
    """Insert a table or view.

    Raises:
        AlreadyExists: the name, the uuid or the location is taken.
        InvalidLocation: the location overlaps another table's.
    """
    claim_location(conn, record.location, but_not=record.id)
    try:
        conn.execute(
            insert(tables).values(
                id=record.id,
                catalog_id=record.catalog_id,
                namespace_id=record.namespace_id,
                name=record.identifier.name,
                kind=kind,
                table_uuid=record.table_uuid,
                location=record.location.prefix,
                sources=json.dumps(list(record.sources)) if record.sources else None,
                metadata_location=record.metadata_location,
                version=record.version,
                created_at_ms=record.created_at_ms,
                updated_at_ms=record.updated_at_ms,
            )
        )
    except IntegrityError as error:
        raise _refusal(error, record, kind) from error
    _keep_document(conn, record.id, record.metadata_location, document)


def _refusal(error: IntegrityError, record: TableRecord, kind: str) -> CatalogError:
    """What stood in the way of a new row.  All but the name are races lost to somebody else."""
    if violates(error, tables, "namespace_id", "name"):
        return AlreadyExists(f"{kind.capitalize()} already exists: {record.identifier}")
    if violates(error, tables, "catalog_id", "table_uuid"):
        return AlreadyExists(f"the catalog has the UUID `{record.table_uuid}` already")
    return NoSuchNamespace(f"Namespace does not exist: {record.identifier.namespace}")


def claim_location(conn: Connection, location: Location, *, but_not: str) -> None:
    """As `refuse_overlap`, and nobody can take an overlapping one until the transaction ends."""
    serialise_on(conn, f"locations in {location.bucket}")
    refuse_overlap(conn, location, but_not=but_not)


def refuse_sources(conn: Connection, integration_id: str, location: Location) -> None:
    """Refuse a location in, around or at what a table on the integration reads in place.

    Whoever may write a table may write all of its location, so over the other one's files too.

    Raises:
        InvalidLocation: it is there.
    """
    for source in sources_on(conn, integration_id):
        if source.startswith(location.prefix) or (
            source.endswith("/") and location.prefix.startswith(source)
        ):
            raise InvalidLocation(
                f"files at `{location}` belong to a table that was registered in place"
            )


def refuse_overlap(conn: Connection, location: Location, *, but_not: str) -> None:
    """Refuse a location that lies in, around, or at that of any other table or view of this server.

    A dropped table whose files are still to be purged counts: they are deleted by name.

    Raises:
        InvalidLocation: it does.  The message does not say whose, which may be a secret.
    """
    above = [ancestor.prefix for ancestor in location.ancestors()]
    taken = (
        select(tables.c.id)
        .where(
            tables.c.id != but_not,
            or_(
                tables.c.location.in_([location.prefix, *above]),
                and_(
                    tables.c.location > location.prefix,
                    tables.c.location < location.prefix + _AFTER_ANY_KEY,
                ),
            ),
        )
        .limit(1)
    )
    if conn.execute(taken).first() is not None:
        raise InvalidLocation(
            f"location `{location}` overlaps that of another table or view; "
            "leave it out to have one made"
        )
    purged = select(purges.c.id).where(
        or_(
            purges.c.location.in_([location.prefix, *above]),
            purges.c.location.startswith(location.prefix, autoescape=True),
        )
    )
    if conn.execute(purged.limit(1)).first() is not None:
        raise InvalidLocation(
            f"the files of a dropped table are still being deleted at `{location}`; try again later"
        )


_SWAP: Final = (
    update(tables)
    .where(
        tables.c.id == bindparam("table"),
        tables.c.metadata_location == bindparam("expected"),
    )
    .values(
        metadata_location=bindparam("new_metadata_location"),
        version=tables.c.version + 1,
        updated_at_ms=bindparam("now_ms"),
    )
)
_SWAP_IN_PLACE: Final = Change(_SWAP)
_SWAP_AND_MOVE: Final = Change(_SWAP.values(location=bindparam("new_location")))


def swap_metadata_location(conn: Connection, swap: Swap, *, now_ms: int) -> bool:
    """Point the table at its new metadata file if it still points at the expected one.  Atomic."""
    values: dict[str, str | int] = {
        "table": swap.table_id,
        "expected": swap.expected,
        "new_metadata_location": swap.metadata_location,
        "now_ms": now_ms,
    }
    if swap.moves_to is None:  # nor is the index of locations written
        swapped = _SWAP_IN_PLACE(conn, **values)
    else:
        swapped = _SWAP_AND_MOVE(conn, **values, new_location=swap.moves_to.prefix)
    if swapped != 1:
        return False
    _keep_document(conn, swap.table_id, swap.metadata_location, swap.document)
    return True


_REPLACE_DOCUMENT: Final = Change(
    update(table_documents)
    .where(table_documents.c.table_id == bindparam("table"))
    .values(metadata_location=bindparam("at"), document=bindparam("copy"))
)
_INSERT_DOCUMENT: Final = Change(
    insert(table_documents).values(
        table_id=bindparam("table"), metadata_location=bindparam("at"), document=bindparam("copy")
    )
)
_DELETE_DOCUMENT: Final = Change(
    delete(table_documents).where(table_documents.c.table_id == bindparam("table"))
)


def _keep_document(
    conn: Connection, table_id: str, metadata_location: str, document: Content
) -> None:
    """Put the document in place of the table's older one.  The table's row is locked by now."""
    if len(document) > DOCUMENT_COPY_BYTES_MAX:
        _DELETE_DOCUMENT(conn, table=table_id)
        return
    copy = _packed(bytes(document))
    if not _REPLACE_DOCUMENT(conn, table=table_id, at=metadata_location, copy=copy):
        _INSERT_DOCUMENT(conn, table=table_id, at=metadata_location, copy=copy)


def _packed(document: bytes) -> bytes:
    """A document as it is kept: one that fits into few pages anyway is not worth packing."""
    if len(document) <= PACKED_FROM_BYTES and document.startswith(_JSON_BEGINS):
        return document
    return zlib.compress(document, _ZLIB_LEVEL)


def _unpacked(kept: bytes) -> bytes:
    # No zlib stream begins as JSON objects do.
    return kept if kept.startswith(_JSON_BEGINS) else zlib.decompress(kept)


def metadata_locations(conn: Connection, table_ids: Iterable[str]) -> dict[str, str]:
    """Where these tables point now; tables that are gone are missing."""
    query = select(tables.c.id, tables.c.metadata_location).where(tables.c.id.in_(list(table_ids)))
    return {row.id: row.metadata_location for row in conn.execute(query)}


def tables_by_source(conn: Connection, catalog_id: str) -> dict[str, TableIdentifier]:
    """Tables whose files were there before them, by each of the places they read.

    Those are tables registered in place, and Iceberg tables adopted where they lay.
    """
    home = func.substr(tables.c.location, 1, func.length(catalogs.c.location))
    query = (
        select(tables.c.name, tables.c.sources, tables.c.location, namespaces.c.path)
        .join(namespaces, namespaces.c.id == tables.c.namespace_id)
        .join(catalogs, catalogs.c.id == tables.c.catalog_id)
        .where(
            tables.c.catalog_id == catalog_id,
            or_(tables.c.sources.is_not(None), home != catalogs.c.location),
        )
    )
    return {
        source: TableIdentifier(Namespace.from_path(row.path), row.name)
        for row in conn.execute(query)
        for source in (json.loads(row.sources) if row.sources else [row.location])
    }


def names_in_use(conn: Connection, catalog_id: str) -> frozenset[TableIdentifier]:
    """The names of all tables and views of a catalog."""
    query = select(tables.c.name, namespaces.c.path).join(
        namespaces, namespaces.c.id == tables.c.namespace_id
    )
    rows = conn.execute(query.where(tables.c.catalog_id == catalog_id))
    return frozenset(TableIdentifier(Namespace.from_path(row.path), row.name) for row in rows)


def sources_on(conn: Connection, integration_id: str) -> set[str]:
    """All places that tables of any catalog on an integration read in place."""
    query = (
        select(tables.c.sources)
        .join(catalogs, catalogs.c.id == tables.c.catalog_id)
        .where(catalogs.c.integration_id == integration_id, tables.c.sources.is_not(None))
    )
    return {source for sources in conn.execute(query).scalars() for source in json.loads(sources)}


def list_names(
    conn: Connection, namespace_id: str, *, kind: str, after: str, limit: int | None
) -> Sequence[str]:
    """Names in order, those after `after`; all of them without a limit."""
    return (
        conn.execute(
            select(tables.c.name)
            .where(
                tables.c.namespace_id == namespace_id, tables.c.kind == kind, tables.c.name > after
            )
            .order_by(tables.c.name)
            .limit(limit)
        )
        .scalars()
        .all()
    )


def rename(
    conn: Connection, table_id: str, *, namespace_id: str, to: TableIdentifier, now_ms: int
) -> bool:
    """Give a table another name.  False if it is gone.

    Raises:
        AlreadyExists: a table or view has the name.
    """
    try:
        renamed = conn.execute(
            update(tables)
            .where(tables.c.id == table_id)
            .values(namespace_id=namespace_id, name=to.name, updated_at_ms=now_ms)
        )
    except IntegrityError as error:
        raise AlreadyExists(f"Table already exists: {to}") from error
    grants_db.move_table(conn, table_id, namespace_id=namespace_id, to=to)
    return renamed.rowcount == 1


def drop(conn: Connection, table_id: str, *, expected: str | None = None) -> bool:
    """Forget a table; its files stay.  What is kept about it goes with it.

    False if it was gone already, or does not point at the `expected` metadata file any more.
    """
    gone = delete(tables).where(tables.c.id == table_id)
    if expected is not None:
        gone = gone.where(tables.c.metadata_location == expected)
    return conn.execute(gone).rowcount == 1
