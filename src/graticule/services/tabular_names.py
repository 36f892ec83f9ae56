"""What tables and views share: one name space, and so one way to be listed, renamed or missed."""

from sqlalchemy import Connection

from graticule.db import namespaces as namespaces_db
from graticule.db import tables as tables_db
from graticule.domain.errors import AlreadyExists, NoSuchTable, NoSuchView
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.services.namespaces import Page, page


def no_such_table(identifier: TableIdentifier) -> NoSuchTable:
    return NoSuchTable(f"Table does not exist: {identifier}")


def no_such_view(identifier: TableIdentifier) -> NoSuchView:
    return NoSuchView(f"View does not exist: {identifier}")


_NO_SUCH = {tables_db.TABLE: no_such_table, tables_db.VIEW: no_such_view}


def list_names(
    conn: Connection,
    catalog_id: str,
    namespace: Namespace,
    *,
    kind: str,
    after: str,
    limit: int | None,
) -> Page:
    """The names of a namespace's tables or views, in order.

    Raises:
        NoSuchNamespace: it is not there.
    """
    record = namespaces_db.require(conn, catalog_id, namespace)
    found = tables_db.list_names(
        conn, record.id, kind=kind, after=after, limit=None if limit is None else limit + 1
    )
    return page(found, limit, key=str)


def rename(
    conn: Connection,
    catalog_id: str,
    source: TableIdentifier,
    destination: TableIdentifier,
    *,
    kind: str,
    now_ms: int,
) -> None:
    """Give a table or view another name, also in another namespace.  To its own name is fine.

    Raises:
        NoSuchTable, NoSuchView: the source is not there.
        NoSuchNamespace: the destination's namespace is not there.
        AlreadyExists: a table or view has the destination's name.
    """
    record = tables_db.load(conn, catalog_id, source, kind=kind)
    if record is None:
        raise _NO_SUCH[kind](source)
    namespace = namespaces_db.require(conn, catalog_id, destination.namespace)
    if source == destination:
        return
    taken = tables_db.kind_of(conn, catalog_id, destination)
    if taken is not None:
        raise AlreadyExists(
            f"Cannot rename {source} to {destination}. {taken.capitalize()} already exists"
        )
    renamed = tables_db.rename(
        conn, record.id, namespace_id=namespace.id, to=destination, now_ms=now_ms
    )
    if not renamed:
        raise _NO_SUCH[kind](source)
