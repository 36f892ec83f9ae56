"""Tables and views in SQL, as they stand to who asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Engine, Select

from graticule.access.grants import EVERYTHING, Standing, highest, sees_everything
from graticule.db import visibility
from graticule.db.lookup import Lookup
from graticule.db.schema import namespaces, tables
from graticule.db.tables import NAMED, record_of, row_of
from graticule.domain.catalog import NamespaceRecord, TableRecord
from graticule.domain.identifiers import TableIdentifier
from graticule.domain.tenancy import Principal

_NAMED: Final = Lookup(NAMED)


@cache
def _granted(depth: int) -> Select[Any]:
    """As `NAMED`, with what the asking member holds: one statement for each depth."""
    return NAMED.add_columns(
        visibility.privilege_from_scopes(depth, namespaces.c.catalog_id).label("from_scopes"),
        visibility.privilege_from_table(tables.c.id).label("from_table"),
    )


@cache
def _granted_lookup(depth: int) -> Lookup:
    return Lookup(_granted(depth))


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table or view, and how the principal that asked stands towards it."""

    record: TableRecord
    kind: str
    standing: Standing


def look_up(
    engine: Engine, principal: Principal, catalog_id: str, identifier: TableIdentifier
) -> FoundTable | None:
    """As `find`, by itself and outside of any transaction."""
    if sees_everything(principal):
        return _found(_NAMED(engine, **_name(catalog_id, identifier)), is_granted=False)
    look_up_granted = _granted_lookup(len(identifier.namespace.levels))
    row = look_up_granted(engine, **_asked(principal, catalog_id, identifier))
    return _found(row, is_granted=True)


def find(
    conn: Connection, principal: Principal, catalog_id: str, identifier: TableIdentifier
) -> FoundTable | None:
    """A table or view by its name, and what the principal may do with it; one statement."""
    if sees_everything(principal):
        return _found(row_of(conn, catalog_id, identifier), is_granted=False)
    query = _granted(len(identifier.namespace.levels))
    row = conn.execute(query, _asked(principal, catalog_id, identifier)).one_or_none()
    return _found(row, is_granted=True)


def _name(catalog_id: str, identifier: TableIdentifier) -> dict[str, str]:
    return {
        "catalog": catalog_id,
        "namespace": identifier.namespace.path,
        "table": identifier.name,
    }


def _asked(principal: Principal, catalog_id: str, identifier: TableIdentifier) -> dict[str, str]:
    return {
        **_name(catalog_id, identifier),
        **visibility.who(principal),
        **visibility.scope_paths(identifier.namespace),
    }


def _found(row: Any, *, is_granted: bool) -> FoundTable | None:
    if row is None:
        return None
    if not is_granted:
        return FoundTable(record_of(row), row.kind, EVERYTHING)
    held = highest((row.from_scopes, row.from_table))
    return FoundTable(record_of(row), row.kind, Standing(held))


_GRANTED_NAMES: Final = visibility.granted_names()


def list_names(
    conn: Connection,
    principal: Principal,
    namespace: NamespaceRecord,
    *,
    kind: str,
    after: str,
    limit: int | None,
) -> Sequence[str]:
    """As `db.tables.list_names`, of those that are granted one by one."""
    asked = {
        "catalog": namespace.catalog_id,
        "path": namespace.namespace.path,
        "kind": kind,
        "after": after,
        "limit": visibility.NO_LIMIT if limit is None else limit,
        **visibility.who(principal),
    }
    return conn.execute(_GRANTED_NAMES, asked).scalars().all()
