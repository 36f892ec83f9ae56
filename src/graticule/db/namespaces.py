"""Namespaces in SQL.  Functions over a connection; services open and commit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from graticule.access.grants import EVERYTHING, Standing, highest, sees_everything
from graticule.db import visibility
from graticule.db.schema import functions, namespaces, tables
from graticule.domain.catalog import NamespaceRecord
from graticule.domain.errors import AlreadyExists, NamespaceNotEmpty, NoSuchNamespace
from graticule.domain.identifiers import Namespace
from graticule.domain.tenancy import Principal


def _record(row: Row[Any]) -> NamespaceRecord:
    return NamespaceRecord(
        id=row.id,
        catalog_id=row.catalog_id,
        namespace=Namespace.from_path(row.path),
        properties=json.loads(row.properties),
        created_at_ms=row.created_at_ms,
    )


def load(conn: Connection, catalog_id: str, namespace: Namespace) -> NamespaceRecord | None:
    row = conn.execute(
        select(namespaces).where(
            namespaces.c.catalog_id == catalog_id, namespaces.c.path == namespace.path
        )
    ).one_or_none()
    return _record(row) if row is not None else None


@cache
def _granted(depth: int) -> Select[Any]:
    """A namespace with what the asking member holds on it, and whether it holds anything below."""
    return select(
        namespaces,
        visibility.privilege_from_scopes(depth, namespaces.c.catalog_id).label("from_scopes"),
        visibility.any_below(namespaces.c.catalog_id, namespaces.c.path).label("leads_on"),
    ).where(
        namespaces.c.catalog_id == bindparam("catalog"), namespaces.c.path == bindparam("namespace")
    )


@dataclass(frozen=True, slots=True)
class FoundNamespace:
    record: NamespaceRecord
    standing: Standing


def find(
    conn: Connection, principal: Principal, catalog_id: str, namespace: Namespace
) -> FoundNamespace | None:
    """A namespace, and what the principal may do with it; one statement."""
    if sees_everything(principal):
        record = load(conn, catalog_id, namespace)
        return FoundNamespace(record, EVERYTHING) if record is not None else None
    named = {
        "catalog": catalog_id,
        "namespace": namespace.path,
        **visibility.who(principal),
        **visibility.scope_paths(namespace),
    }
    row = conn.execute(_granted(len(namespace.levels)), named).one_or_none()
    if row is None:
        return None
    return FoundNamespace(_record(row), Standing(highest([row.from_scopes]), bool(row.leads_on)))


def require(conn: Connection, catalog_id: str, namespace: Namespace) -> NamespaceRecord:
    """As `load`, but absence is a failure.

    Raises:
        NoSuchNamespace: it is not there.
    """
    record = load(conn, catalog_id, namespace)
    if record is None:
        raise NoSuchNamespace(f"Namespace does not exist: {namespace}")
    return record


def create(conn: Connection, record: NamespaceRecord) -> None:
    """Insert a namespace; its parent must be there and is held until the transaction ends.

    Raises:
        AlreadyExists: the catalog has it.
        NoSuchNamespace: the parent is not there.
    """
    parent = record.namespace.parent
    if parent is not None:
        held = (
            select(namespaces.c.id)
            .where(namespaces.c.catalog_id == record.catalog_id, namespaces.c.path == parent.path)
            .with_for_update(read=True)
        )
        if conn.execute(held).first() is None:
            raise NoSuchNamespace(f"Namespace does not exist: {parent}")
    try:
        conn.execute(
            insert(namespaces).values(
                id=record.id,
                catalog_id=record.catalog_id,
                path=record.namespace.path,
                parent=parent.path if parent else "",
                properties=json.dumps(dict(record.properties)),
                created_at_ms=record.created_at_ms,
            )
        )
    except IntegrityError as error:
        raise AlreadyExists(f"Namespace already exists: {record.namespace}") from error


def list_children(
    conn: Connection, catalog_id: str, parent: Namespace | None, *, after: str, limit: int | None
) -> list[Namespace]:
    """Direct children in path order, those after the path `after`; all of them without a limit."""
    query = (
        select(namespaces.c.path)
        .where(
            namespaces.c.catalog_id == catalog_id,
            namespaces.c.parent == (parent.path if parent else ""),
            namespaces.c.path > after,
        )
        .order_by(namespaces.c.path)
        .limit(limit)
    )
    return [Namespace.from_path(path) for path in conn.execute(query).scalars()]


_TOP_ON_THE_WAY: Final = visibility.children_on_the_way(at_top=True)
_ON_THE_WAY: Final = visibility.children_on_the_way(at_top=False)


def list_children_on_the_way(
    conn: Connection,
    principal: Principal,
    catalog_id: str,
    parent: Namespace | None,
    *,
    after: str,
    limit: int | None,
) -> list[Namespace]:
    """As `list_children`, of those that are granted, or in which something is."""
    asked = {
        "catalog": catalog_id,
        "limit": visibility.NO_LIMIT if limit is None else limit,
        **visibility.child_range(parent, after),
        **visibility.who(principal),
    }
    query = _TOP_ON_THE_WAY if parent is None else _ON_THE_WAY
    return [Namespace.from_path(path) for path in conn.execute(query, asked).scalars()]


def set_properties(conn: Connection, namespace_id: str, properties: Mapping[str, str]) -> None:
    conn.execute(
        update(namespaces)
        .where(namespaces.c.id == namespace_id)
        .values(properties=json.dumps(dict(properties)))
    )


def load_for_update(conn: Connection, catalog_id: str, namespace: Namespace) -> NamespaceRecord:
    """As `require`, holding the row so that two property updates do not lose each other's keys."""
    row = conn.execute(
        select(namespaces)
        .where(namespaces.c.catalog_id == catalog_id, namespaces.c.path == namespace.path)
        .with_for_update()
    ).one_or_none()
    if row is None:
        raise NoSuchNamespace(f"Namespace does not exist: {namespace}")
    return _record(row)


def drop(conn: Connection, catalog_id: str, namespace: Namespace) -> None:
    """Delete an empty namespace, decided in one statement.

    Raises:
        NoSuchNamespace: it is not there.
        NamespaceNotEmpty: it holds tables, views, functions or namespaces.
    """
    record = load_for_update(conn, catalog_id, namespace)
    child = namespaces.alias("child")
    empty = and_(
        ~exists(select(tables.c.id).where(tables.c.namespace_id == record.id)),
        ~exists(select(functions.c.id).where(functions.c.namespace_id == record.id)),
        ~exists(
            select(child.c.id).where(
                child.c.catalog_id == catalog_id, child.c.parent == namespace.path
            )
        ),
    )
    not_empty = NamespaceNotEmpty(f"Namespace {namespace} is not empty")
    try:
        deleted = conn.execute(delete(namespaces).where(namespaces.c.id == record.id, empty))
    except IntegrityError as error:  # a table was created while we looked
        raise not_empty from error
    if deleted.rowcount != 1:
        raise not_empty
