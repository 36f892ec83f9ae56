"""Finds namespaces, tables and views for a principal, who may do at least what is asked.

The one place where a name becomes a row for somebody: what is absent and what may not be seen fail
alike, and what is seen but not allowed fails with the privilege that is missing.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from graticule.access import grants as rule
from graticule.access.grants import access_level
from graticule.db import catalogs as catalogs_db
from graticule.db import granted_tables
from graticule.db import namespaces as namespaces_db
from graticule.db import tables as tables_db
from graticule.db.granted_tables import FoundTable
from graticule.db.namespaces import FoundNamespace
from graticule.db.tables import TABLE, VIEW
from graticule.domain.catalog import AccessLevel, NamespaceRecord, OpenCatalog, TableRecord
from graticule.domain.errors import NoSuchCatalog, NoSuchNamespace, NoSuchTable, NoSuchView
from graticule.domain.grants import Privilege
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import Principal


def no_such_table(identifier: TableIdentifier) -> NoSuchTable:
    return NoSuchTable(f"Table does not exist: {identifier}")


def no_such_view(identifier: TableIdentifier) -> NoSuchView:
    return NoSuchView(f"View does not exist: {identifier}")


def no_such_namespace(namespace: Namespace) -> NoSuchNamespace:
    return NoSuchNamespace(f"Namespace does not exist: {namespace}")


NO_SUCH = {TABLE: no_such_table, VIEW: no_such_view}


@dataclass(frozen=True, slots=True)
class AllowedTable:
    """A table or view that the principal may do something with; `access` is for its files."""

    record: TableRecord
    access: AccessLevel


def table(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    identifier: TableIdentifier,
    needed: Privilege,
    *,
    kind: str = TABLE,
) -> AllowedTable:
    """A table, or a view, by its name.

    Raises:
        NoSuchTable, NoSuchView: it is not there, or not for this principal to know of.
        Forbidden: it may be seen, but `needed` is not held on it.
    """
    found = granted_tables.find(conn, principal, catalog.catalog.id, identifier)
    return _allowed(principal, identifier, found, needed, kind=kind)


def look_up_table(
    engine: Engine,
    principal: Principal,
    catalog: OpenCatalog,
    identifier: TableIdentifier,
    needed: Privilege,
    *,
    kind: str = TABLE,
) -> AllowedTable:
    """As `table`, by itself and as fast as can be."""
    found = granted_tables.look_up(engine, principal, catalog.catalog.id, identifier)
    return _allowed(principal, identifier, found, needed, kind=kind)


def _allowed(
    principal: Principal,
    identifier: TableIdentifier,
    found: FoundTable | None,
    needed: Privilege,
    *,
    kind: str,
) -> AllowedTable:
    if found is None or found.kind != kind:
        raise NO_SUCH[kind](identifier)
    standing = found.standing
    if not standing.holds(needed):
        absent = NO_SUCH[kind](identifier)
        rule.require(standing, needed, what=f"{kind} `{identifier}`", absent=absent)
    return AllowedTable(found.record, access_level(principal, standing.privilege))


def table_again(
    conn: Connection, principal: Principal, catalog: OpenCatalog, table_id: str
) -> AllowedTable | None:
    """A table or view that the principal made or changed before, if it still may read it.

    By id: it may have another name by now.
    """
    record = tables_db.load_by_id(conn, table_id)
    if record is None or record.catalog_id != catalog.catalog.id:
        return None
    found = granted_tables.find(conn, principal, catalog.catalog.id, record.identifier)
    if found is None or found.record.id != table_id or not found.standing.holds(Privilege.READ):
        return None
    return AllowedTable(found.record, access_level(principal, found.standing.privilege))


def namespace(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    wanted: Namespace,
    needed: Privilege,
) -> NamespaceRecord:
    """A namespace by its name.

    Raises:
        NoSuchNamespace: it is not there, or not for this principal to know of.
        Forbidden: it may be seen, but `needed` is not held on it.
    """
    found = visible_namespace(conn, principal, catalog, wanted)
    rule.require(
        found.standing, needed, what=f"namespace `{wanted}`", absent=no_such_namespace(wanted)
    )
    return found.record


def visible_namespace(
    conn: Connection, principal: Principal, catalog: OpenCatalog, wanted: Namespace
) -> FoundNamespace:
    """A namespace that may be seen, be it only on the way to something below.

    Raises:
        NoSuchNamespace: it is not there, or not for this principal to know of.
    """
    found = namespaces_db.find(conn, principal, catalog.catalog.id, wanted)
    if found is None or not found.standing.is_visible:
        raise no_such_namespace(wanted)
    return found


def parent(
    conn: Connection,
    principal: Principal,
    catalog: OpenCatalog,
    above: Namespace | None,
    needed: Privilege,
) -> None:
    """Check what is held on a namespace, or on the catalog itself above the top level.

    Raises:
        NoSuchCatalog, NoSuchNamespace: it is not there, or not for this principal to know of.
        Forbidden: it may be seen, but `needed` is not held on it.
    """
    if above is not None:
        namespace(conn, principal, catalog, above, needed)
        return
    name = catalog.catalog.name
    rule.require(
        catalogs_db.standing(conn, principal, catalog.catalog.id),
        needed,
        what=f"catalog `{name}`",
        absent=NoSuchCatalog(f"no catalog is called `{name}`"),
    )
