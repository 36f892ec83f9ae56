"""Members of organisations in SQL.  Functions over a connection."""

from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.engine import violates
from graticule.db.schema import api_keys, members, organisations
from graticule.domain.errors import AlreadyExists, NoSuchMember
from graticule.domain.tenancy import Edition, Member, MemberKind, Role


def create(conn: Connection, member: Member) -> None:
    """Insert a member.

    Raises:
        AlreadyExists: the organisation has one of that name.
    """
    try:
        conn.execute(insert(members).values(id=member.id, **_columns(member)))
    except IntegrityError as error:
        raise _taken(error, member) from error


def replace(conn: Connection, member: Member) -> None:
    """Overwrite what may change of a member: name, role, and whether it is disabled.

    Raises:
        AlreadyExists: the organisation has another one of that name.
    """
    try:
        conn.execute(update(members).where(members.c.id == member.id).values(_columns(member)))
    except IntegrityError as error:
        raise _taken(error, member) from error


def _columns(member: Member) -> dict[str, Any]:
    return {
        "organisation_id": member.organisation_id,
        "kind": member.kind,
        "name": member.name,
        "role": member.role,
        "created_at_ms": member.created_at_ms,
        "disabled_at_ms": member.disabled_at_ms,
    }


def _taken(error: IntegrityError, member: Member) -> Exception:
    if violates(error, members, "organisation_id", "name"):
        return AlreadyExists(f"member `{member.name}` exists")
    return error


def delete_with_keys(conn: Connection, member_id: str) -> None:
    """Delete a member, and what lets somebody act as it."""
    conn.execute(delete(api_keys).where(api_keys.c.member_id == member_id))
    conn.execute(delete(members).where(members.c.id == member_id))


def load(conn: Connection, organisation_id: str, id_or_name: str) -> Member | None:
    """A member of this organisation; an id wins over a name."""
    rows = conn.execute(
        select(members).where(
            members.c.organisation_id == organisation_id,
            (members.c.id == id_or_name) | (members.c.name == id_or_name),
        )
    ).all()
    found = sorted((member_of(row) for row in rows), key=lambda member: member.id != id_or_name)
    return found[0] if found else None


def require(conn: Connection, organisation_id: str, id_or_name: str) -> Member:
    """A member by id or name.

    Raises:
        NoSuchMember: no such member.
    """
    found = load(conn, organisation_id, id_or_name)
    if found is None:
        raise NoSuchMember(f"no member is called `{id_or_name}`")
    return found


def load_by_id(conn: Connection, member_id: str) -> tuple[Member, Edition] | None:
    """A member of whatever organisation: for who was authenticated as it."""
    row = conn.execute(
        select(members, organisations.c.edition)
        .join(organisations, organisations.c.id == members.c.organisation_id)
        .where(members.c.id == member_id)
    ).one_or_none()
    return None if row is None else (member_of(row), Edition(row.edition))


def page(
    conn: Connection,
    organisation_id: str,
    *,
    kind: MemberKind | None = None,
    after: str | None = None,
    limit: int,
) -> list[Member]:
    query = select(members).where(members.c.organisation_id == organisation_id)
    if kind is not None:
        query = query.where(members.c.kind == kind)
    if after is not None:
        query = query.where(members.c.id > after)
    return [member_of(row) for row in conn.execute(query.order_by(members.c.id).limit(limit))]


def has_other_admin(conn: Connection, organisation_id: str, member_id: str) -> bool:
    """Whether an admin who is not disabled remains without this member."""
    others = select(members.c.id).where(
        members.c.organisation_id == organisation_id,
        members.c.id != member_id,
        members.c.role == Role.ADMIN,
        members.c.disabled_at_ms.is_(None),
    )
    return bool(conn.execute(select(exists(others))).scalar())


def load_first_admin(conn: Connection) -> tuple[Member, Edition] | None:
    """The oldest active admin of the oldest organisation."""
    row = conn.execute(
        select(members, organisations.c.edition)
        .join(organisations, organisations.c.id == members.c.organisation_id)
        .where(members.c.role == Role.ADMIN, members.c.disabled_at_ms.is_(None))
        .order_by(organisations.c.id, members.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else (member_of(row), Edition(row.edition))


def member_of(row: Row[Any]) -> Member:
    return Member(
        id=row.id,
        organisation_id=row.organisation_id,
        kind=MemberKind(row.kind),
        name=row.name,
        role=Role(row.role),
        created_at_ms=row.created_at_ms,
        disabled_at_ms=row.disabled_at_ms,
    )
