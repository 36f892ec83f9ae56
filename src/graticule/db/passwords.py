"""Passwords of users, and the one-time links to choose one, in SQL.  Functions over a connection.

Neither a password nor a link's token ever gets here, only their hashes.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from graticule.db.members import member_of
from graticule.db.schema import member_passwords, members, password_links
from graticule.domain.tenancy import Member


@dataclass(frozen=True, slots=True)
class StoredPassword:
    member: Member
    password_hash: str


def load(conn: Connection, organisation_id: str, name: str) -> StoredPassword | None:
    """The password of a member by name, if it has one."""
    row = conn.execute(
        select(members, member_passwords.c.password_hash)
        .join(member_passwords, member_passwords.c.member_id == members.c.id)
        .where(members.c.organisation_id == organisation_id, members.c.name == name)
    ).one_or_none()
    return None if row is None else StoredPassword(member_of(row), row.password_hash)


def store(conn: Connection, member_id: str, password_hash: str, *, now_ms: int) -> None:
    """Set the password, and end every link that could set another one."""
    values = {"password_hash": password_hash, "changed_at_ms": now_ms}
    changed = conn.execute(
        update(member_passwords).where(member_passwords.c.member_id == member_id).values(values)
    )
    if changed.rowcount == 0:
        conn.execute(insert(member_passwords).values(member_id=member_id, **values))
    conn.execute(delete(password_links).where(password_links.c.member_id == member_id))


def create_link(
    conn: Connection, token_hash: str, member_id: str, *, now_ms: int, expires_at_ms: int
) -> None:
    conn.execute(
        insert(password_links).values(
            token_hash=token_hash,
            member_id=member_id,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
    )


def member_of_link(conn: Connection, token_hash: str, *, now_ms: int) -> Member | None:
    """Whose password a link sets; None if the link is unknown, used or too old."""
    row = conn.execute(
        select(members)
        .join(password_links, password_links.c.member_id == members.c.id)
        .where(password_links.c.token_hash == token_hash, password_links.c.expires_at_ms > now_ms)
    ).one_or_none()
    return None if row is None else member_of(row)


def use_link(conn: Connection, token_hash: str) -> bool:
    """True for exactly one caller."""
    return (
        conn.execute(
            delete(password_links).where(password_links.c.token_hash == token_hash)
        ).rowcount
        == 1
    )


def remove_expired_links(conn: Connection, *, now_ms: int) -> None:
    conn.execute(delete(password_links).where(password_links.c.expires_at_ms <= now_ms))
