"""Roles and who has them, in SQL.  Functions over a connection; services open and commit."""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db import grants as grants_db
from graticule.db import members as members_db
from graticule.db.engine import violates
from graticule.db.schema import members, role_members, roles
from graticule.domain.errors import AlreadyExists, NoSuchRole
from graticule.domain.grants import MemberRole
from graticule.domain.tenancy import Member


def create(conn: Connection, role: MemberRole) -> None:
    """Insert a role.

    Raises:
        AlreadyExists: the organisation has one of that name.
    """
    try:
        conn.execute(
            insert(roles).values(
                id=role.id,
                organisation_id=role.organisation_id,
                name=role.name,
                created_at_ms=role.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, roles, "organisation_id", "name"):
            raise AlreadyExists(f"role `{role.name}` exists") from error
        raise


def find(conn: Connection, organisation_id: str, id_or_name: str) -> MemberRole | None:
    """A role of this organisation; an id wins over a name."""
    query = select(roles).where(
        roles.c.organisation_id == organisation_id,
        (roles.c.id == id_or_name) | (roles.c.name == id_or_name),
    )
    row = conn.execute(query.order_by(roles.c.id != id_or_name).limit(1)).one_or_none()
    return _role(row) if row is not None else None


def page(
    conn: Connection, organisation_id: str, *, after: str | None, limit: int
) -> list[MemberRole]:
    query = select(roles).where(roles.c.organisation_id == organisation_id)
    if after is not None:
        query = query.where(roles.c.id > after)
    return [_role(row) for row in conn.execute(query.order_by(roles.c.id).limit(limit))]


def rename(conn: Connection, role_id: str, name: str) -> None:
    """Give a role another name.

    Raises:
        AlreadyExists: the organisation has one of that name.
    """
    try:
        conn.execute(update(roles).where(roles.c.id == role_id).values(name=name))
    except IntegrityError as error:
        raise AlreadyExists(f"role `{name}` exists") from error


def remove(conn: Connection, role_id: str) -> bool:
    """Delete a role with all that it was granted.  False if it is gone."""
    gone = conn.execute(delete(roles).where(roles.c.id == role_id)).rowcount == 1
    grants_db.remove_all_of(conn, role_id)
    return gone


def add_member(conn: Connection, role: MemberRole, member: Member) -> None:
    """Give a member the role; it may have it already.

    Raises:
        NoSuchRole: it was deleted meanwhile.
    """
    has = select(role_members.c.role_id).where(
        role_members.c.member_id == member.id, role_members.c.role_id == role.id
    )
    if conn.execute(has).first() is not None:
        return
    try:
        conn.execute(insert(role_members).values(member_id=member.id, role_id=role.id))
    except IntegrityError as error:
        raise NoSuchRole(f"role `{role.name}` was changed meanwhile; try again") from error


def remove_member(conn: Connection, role_id: str, member_id: str) -> bool:
    """Take the role from a member.  False if it did not have it."""
    gone = delete(role_members).where(
        role_members.c.member_id == member_id, role_members.c.role_id == role_id
    )
    return conn.execute(gone).rowcount == 1


def page_of_members(
    conn: Connection, role_id: str, *, after: str | None, limit: int
) -> list[Member]:
    query = (
        select(members)
        .join(role_members, role_members.c.member_id == members.c.id)
        .where(role_members.c.role_id == role_id)
    )
    if after is not None:
        query = query.where(role_members.c.member_id > after)
    rows = conn.execute(query.order_by(role_members.c.member_id).limit(limit))
    return [members_db.member_of(row) for row in rows]


def _role(row: Row[Any]) -> MemberRole:
    return MemberRole(row.id, row.organisation_id, row.name, row.created_at_ms)
