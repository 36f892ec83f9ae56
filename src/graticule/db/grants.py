"""Grants in SQL: given, taken back, listed.  Functions over a connection; services commit.

How grants decide what is seen is in `db.visibility`.
"""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Row,
    Select,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError
from uuid6 import uuid7

from graticule.access.grants import CATALOG_PATH, paths_above
from graticule.db import members as members_db
from graticule.db.engine import SerialisationFailure, violates
from graticule.db.schema import (
    catalogs,
    grants,
    members,
    namespaces,
    role_members,
    roles,
)
from graticule.db.visibility import grantees, who_is
from graticule.domain.catalog import Catalog, NamespaceRecord, TableRecord
from graticule.domain.errors import NotFound
from graticule.domain.grants import (
    EVERYONE,
    Access,
    Grant,
    Grantee,
    GranteeKind,
    ObjectKind,
    Privilege,
    Securable,
)
from graticule.domain.identifiers import Namespace, TableIdentifier
from graticule.domain.tenancy import Principal, Role

# Given and taken back


def own_catalog(conn: Connection, principal: Principal, catalog: Catalog) -> None:
    """Give whoever made a catalog all rights on it."""
    _insert(
        conn,
        organisation_id=catalog.organisation_id,
        catalog_id=catalog.id,
        object_id=catalog.id,
        kind=ObjectKind.CATALOG,
        path=CATALOG_PATH,
        **_to_creator(principal, catalog.created_at_ms),
    )


def own_namespace(conn: Connection, principal: Principal, record: NamespaceRecord) -> None:
    _insert(
        conn,
        organisation_id=principal.organisation_id,
        catalog_id=record.catalog_id,
        namespace_id=record.id,
        object_id=record.id,
        kind=ObjectKind.NAMESPACE,
        path=record.namespace.path,
        **_to_creator(principal, record.created_at_ms),
    )


def own_table(
    conn: Connection,
    principal: Principal,
    record: TableRecord,
    *,
    kind: ObjectKind = ObjectKind.TABLE,
) -> None:
    """Of a table or view, in the transaction that makes it."""
    _insert(
        conn,
        organisation_id=principal.organisation_id,
        catalog_id=record.catalog_id,
        namespace_id=record.namespace_id,
        table_id=record.id,
        object_id=record.id,
        kind=kind,
        path=record.identifier.namespace.path,
        name=record.identifier.name,
        **_to_creator(principal, record.created_at_ms),
    )


def open_to_everyone(conn: Connection, catalog: Catalog, privilege: Privilege, *, by: str) -> None:
    """Give all members of the organisation a privilege on a new catalog."""
    _insert(
        conn,
        organisation_id=catalog.organisation_id,
        catalog_id=catalog.id,
        object_id=catalog.id,
        kind=ObjectKind.CATALOG,
        path=CATALOG_PATH,
        grantee_id=catalog.organisation_id,
        grantee_kind=GranteeKind.ROLE,
        privilege=privilege,
        granted_by=by,
        created_at_ms=catalog.created_at_ms,
    )


def _to_creator(principal: Principal, now_ms: int) -> dict[str, Any]:
    return {
        "grantee_id": principal.member_id,
        "grantee_kind": GranteeKind.MEMBER,
        "privilege": Privilege.MANAGE,
        "granted_by": principal.name,
        "created_at_ms": now_ms,
    }


def _insert(conn: Connection, *, name: str = "", **values: Any) -> None:
    conn.execute(insert(grants).values(id=str(uuid7()), name=name, **values))


def move_table(conn: Connection, table_id: str, *, namespace_id: str, to: TableIdentifier) -> None:
    """Let the grants on a table or view follow it to another name."""
    conn.execute(
        update(grants)
        .where(grants.c.table_id == table_id)
        .values(namespace_id=namespace_id, path=to.namespace.path, name=to.name)
    )


def put(conn: Connection, grant: Grant) -> Grant:
    """Give a privilege; what the grantee had on that very object before is replaced.

    Raises:
        NotFound: the object was dropped, or the role deleted, meanwhile.
    """
    _hold_grantee(conn, grant.grantee)
    changed = conn.execute(
        update(grants)
        .where(grants.c.object_id == grant.on.id, grants.c.grantee_id == grant.grantee.id)
        .values(
            privilege=grant.privilege,
            granted_by=grant.granted_by,
            created_at_ms=grant.created_at_ms,
        )
    )
    if changed.rowcount:
        row = conn.execute(
            select(grants.c.id).where(
                grants.c.object_id == grant.on.id, grants.c.grantee_id == grant.grantee.id
            )
        ).one()
        return replace(grant, id=row.id)
    try:
        conn.execute(
            insert(grants).values(
                id=grant.id,
                organisation_id=grant.organisation_id,
                catalog_id=grant.on.catalog_id,
                namespace_id=grant.on.namespace_id,
                table_id=grant.on.table_id,
                object_id=grant.on.id,
                kind=grant.on.kind,
                path=grant.on.path,
                name=grant.on.name or "",
                grantee_id=grant.grantee.id,
                grantee_kind=grant.grantee.kind,
                privilege=grant.privilege,
                granted_by=grant.granted_by,
                created_at_ms=grant.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, grants, "object_id", "grantee_id"):
            raise SerialisationFailure("the same was granted elsewhere at once") from error
        raise NotFound(f"{grant.on} was dropped meanwhile") from error
    return grant


def _hold_grantee(conn: Connection, grantee: Grantee) -> None:
    """Keep a role from being deleted before the grant is there to be deleted with it."""
    if grantee.kind is GranteeKind.MEMBER or grantee.name == EVERYONE:
        return
    held = select(roles.c.id).where(roles.c.id == grantee.id).with_for_update(read=True)
    if conn.execute(held).one_or_none() is None:
        raise NotFound(f"the role `{grantee.name}` was deleted meanwhile")


def remove(conn: Connection, grant_id: str) -> bool:
    """Take a grant back.  False if it is gone."""
    return conn.execute(delete(grants).where(grants.c.id == grant_id)).rowcount == 1


def remove_all_of(conn: Connection, grantee_id: str) -> None:
    """Take back whatever a role or member was given, when it goes."""
    conn.execute(delete(grants).where(grants.c.grantee_id == grantee_id))


# Read

_ROWS: Final[Select[Any]] = (
    select(
        grants,
        catalogs.c.name.label("catalog_name"),
        func.coalesce(members.c.name, roles.c.name).label("grantee_name"),
    )
    .join(catalogs, catalogs.c.id == grants.c.catalog_id)
    .outerjoin(members, members.c.id == grants.c.grantee_id)
    .outerjoin(roles, roles.c.id == grants.c.grantee_id)
)


def _grant(row: Row[Any]) -> Grant:
    return Grant(
        id=row.id,
        organisation_id=row.organisation_id,
        on=Securable(
            kind=ObjectKind(row.kind),
            id=row.object_id,
            catalog_id=row.catalog_id,
            catalog_name=row.catalog_name,
            namespace_id=row.namespace_id,
            namespace=Namespace.from_path(row.path) if row.path else None,
            name=row.name or None,
        ),
        grantee=Grantee(GranteeKind(row.grantee_kind), row.grantee_id, _grantee_name(row)),
        privilege=Privilege(row.privilege),
        granted_by=row.granted_by,
        created_at_ms=row.created_at_ms,
    )


def _grantee_name(row: Row[Any]) -> str:
    return EVERYONE if row.grantee_id == row.organisation_id else row.grantee_name or ""


def load(conn: Connection, organisation_id: str, grant_id: str) -> Grant | None:
    query = _ROWS.where(grants.c.id == grant_id, grants.c.organisation_id == organisation_id)
    row = conn.execute(query).one_or_none()
    return _grant(row) if row is not None else None


def page_on(conn: Connection, on: Securable, *, after: str | None, limit: int) -> list[Grant]:
    """The grants on one object itself."""
    return _page(conn, _ROWS.where(grants.c.object_id == on.id), after, limit)


def page_to(
    conn: Connection, organisation_id: str, grantee_id: str, *, after: str | None, limit: int
) -> list[Grant]:
    """All that was granted to one member or role itself."""
    query = _ROWS.where(
        grants.c.grantee_id == grantee_id, grants.c.organisation_id == organisation_id
    )
    return _page(conn, query, after, limit)


def _page(conn: Connection, query: Select[Any], after: str | None, limit: int) -> list[Grant]:
    if after is not None:
        query = query.where(grants.c.id > after)
    return [_grant(row) for row in conn.execute(query.order_by(grants.c.id).limit(limit))]


def reaching(conn: Connection, on: Securable, member_id: str, organisation_id: str) -> list[Grant]:
    """Every grant that gives a member something on an object, outermost first."""
    own = grantees()
    query = _ROWS.where(
        grants.c.object_id.in_(_chain(on)), grants.c.grantee_id.in_(select(own.c.id))
    )
    asks = who_is(member_id, organisation_id)
    found = [_grant(row) for row in conn.execute(query, asks)]
    return sorted(found, key=lambda grant: (grant.on.path, grant.on.name or "", grant.id))


def _chain(on: Securable) -> Select[Any]:
    """The ids of an object and of all that it lies in."""
    own = [
        select(literal(on.catalog_id, grants.c.object_id.type)),
        select(literal(on.id, grants.c.object_id.type)),
    ]
    if on.namespace is not None:
        own.append(
            select(namespaces.c.id).where(
                namespaces.c.catalog_id == on.catalog_id,
                namespaces.c.path.in_(paths_above(on.namespace)),
            )
        )
    chain = union_all(*own).subquery()
    return select(chain.c[0])


def page_of_access(
    conn: Connection, organisation_id: str, on: Securable, *, after: str | None, limit: int
) -> list[Access]:
    """The members who may do anything with an object, each with all that it may do."""
    applies = select(grants.c.grantee_id, grants.c.privilege).where(
        grants.c.object_id.in_(_chain(on))
    )
    given = applies.cte("given")
    held_roles = select(role_members.c.role_id).where(role_members.c.member_id == members.c.id)
    privilege = (
        select(func.max(given.c.privilege))
        .where(
            or_(
                given.c.grantee_id == members.c.id,
                given.c.grantee_id == members.c.organisation_id,
                given.c.grantee_id.in_(held_roles.correlate(members)),
            )
        )
        .correlate(members)
        .scalar_subquery()
    )
    held = case((members.c.role == Role.ADMIN, int(Privilege.MANAGE)), else_=privilege)
    query = select(members, held.label("privilege")).where(
        members.c.organisation_id == organisation_id, held.is_not(None)
    )
    if after is not None:
        query = query.where(members.c.id > after)
    rows = conn.execute(query.order_by(members.c.id).limit(limit))
    return [Access(members_db.member_of(row), Privilege(row.privilege)) for row in rows]
