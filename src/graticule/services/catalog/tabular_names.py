"""What tables and views share: one name space, and so one way to be listed or renamed."""

from dataclasses import replace

from sqlalchemy import Connection

from graticule.db import granted_tables
from graticule.db import tables as tables_db
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import AlreadyExists
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.pages import Page, page


def list_names(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    namespace: Namespace,
    *,
    kind: str,
    after: str,
    limit: int | None,
) -> Page:
    """The names of those of a namespace's tables or views that may be seen, in order.

    Raises:
        NoSuchNamespace: it is not there, or not for this principal to know of.
    """
    found = objects.visible_namespace(conn, principal, catalog, namespace)
    at_most = None if limit is None else limit + 1
    if found.standing.holds(Privilege.BROWSE):
        names = tables_db.list_names(conn, found.record.id, kind=kind, after=after, limit=at_most)
    else:
        names = granted_tables.list_names(
            conn, principal, found.record, kind=kind, after=after, limit=at_most
        )
    return page(names, limit, key=str)


def rename(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    source: TableIdentifier,
    destination: TableIdentifier,
    *,
    kind: str,
    now_ms: int,
) -> TableRecord:
    """Give a table or view another name, also in another namespace.  To its own name is fine.

    What it is renamed to must be free, which nobody is told who could not make a table there.

    Raises:
        NoSuchTable, NoSuchView: the source is not there, or not for this principal to know of.
        NoSuchNamespace: so with the destination's namespace.
        Forbidden: the source is not its to manage, or the destination's namespace not to write.
        AlreadyExists: a table or view has the destination's name.
    """
    record = objects.table(conn, principal, catalog, source, Privilege.MANAGE, kind=kind).record
    namespace = objects.namespace(conn, principal, catalog, destination.namespace, Privilege.WRITE)
    if source == destination:
        return record
    taken = tables_db.kind_of(conn, catalog.catalog.id, destination)
    if taken is not None:
        raise AlreadyExists(
            f"Cannot rename {source} to {destination}. {taken.capitalize()} already exists"
        )
    renamed = tables_db.rename(
        conn, record.id, namespace_id=namespace.id, to=destination, now_ms=now_ms
    )
    if not renamed:
        raise objects.NO_SUCH[kind](source)
    return replace(record, namespace_id=namespace.id, identifier=destination)
