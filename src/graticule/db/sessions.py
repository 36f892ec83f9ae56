"""Sessions of browsers in SQL.  Functions over a connection."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from graticule.db.schema import members, organisations, sessions
from graticule.domain.tenancy import (
    ALL_SCOPES,
    CredentialKind,
    Edition,
    Principal,
    Role,
    Session,
)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """All that deciding about a presented session takes."""

    principal: Principal
    last_seen_at_ms: int
    expires_at_ms: int
    member_disabled_at_ms: int | None


def create(conn: Connection, session: Session, *, token_hash: str) -> None:
    conn.execute(
        insert(sessions).values(
            id=session.id,
            token_hash=token_hash,
            member_id=session.member_id,
            method=session.method,
            created_at_ms=session.created_at_ms,
            last_seen_at_ms=session.last_seen_at_ms,
            expires_at_ms=session.expires_at_ms,
        )
    )


def load_credential(conn: Connection, token_hash: str) -> StoredSession | None:
    """The session with its member and organisation, in one statement."""
    row = conn.execute(
        select(
            sessions.c.id,
            sessions.c.member_id,
            sessions.c.last_seen_at_ms,
            sessions.c.expires_at_ms,
            members.c.organisation_id,
            members.c.name,
            members.c.role,
            members.c.disabled_at_ms,
            organisations.c.edition,
        )
        .join(members, members.c.id == sessions.c.member_id)
        .join(organisations, organisations.c.id == members.c.organisation_id)
        .where(sessions.c.token_hash == token_hash)
    ).one_or_none()
    if row is None:
        return None
    principal = Principal(
        organisation_id=row.organisation_id,
        member_id=row.member_id,
        name=row.name,
        edition=Edition(row.edition),
        role=Role(row.role),
        scopes=ALL_SCOPES,
        key_id=row.id,
        credential=CredentialKind.SESSION,
    )
    return StoredSession(principal, row.last_seen_at_ms, row.expires_at_ms, row.disabled_at_ms)


def of_member(conn: Connection, member_id: str, *, now_ms: int) -> list[Session]:
    """A member's sessions that are not over, the newest first."""
    rows = conn.execute(
        select(sessions)
        .where(sessions.c.member_id == member_id, sessions.c.expires_at_ms > now_ms)
        .order_by(sessions.c.id.desc())
    )
    return [_session(row) for row in rows]


def end(conn: Connection, member_id: str, session_id: str) -> Session | None:
    """The session that was; None if the member has no such one."""
    is_it = (sessions.c.id == session_id) & (sessions.c.member_id == member_id)
    row = conn.execute(select(sessions).where(is_it)).one_or_none()
    if row is None or conn.execute(delete(sessions).where(is_it)).rowcount == 0:
        return None
    return _session(row)


def _session(row: Row[Any]) -> Session:
    return Session(
        id=row.id,
        member_id=row.member_id,
        method=row.method,
        created_at_ms=row.created_at_ms,
        last_seen_at_ms=row.last_seen_at_ms,
        expires_at_ms=row.expires_at_ms,
    )


def end_all(conn: Connection, member_id: str, *, but: str | None = None) -> None:
    statement = delete(sessions).where(sessions.c.member_id == member_id)
    if but is not None:
        statement = statement.where(sessions.c.id != but)
    conn.execute(statement)


def record_use(conn: Connection, seen_at_ms: Mapping[str, int]) -> None:
    """Note when sessions were last seen; never moves a time back."""
    statement = (
        update(sessions)
        .where(
            sessions.c.id == bindparam("session_id"),
            sessions.c.last_seen_at_ms < bindparam("at_ms"),
        )
        .values(last_seen_at_ms=bindparam("at_ms"))
    )
    conn.execute(
        statement,
        [{"session_id": one, "at_ms": at_ms} for one, at_ms in sorted(seen_at_ms.items())],
    )


def remove_over(conn: Connection, *, now_ms: int, idle_since_ms: int) -> None:
    conn.execute(
        delete(sessions).where(
            (sessions.c.expires_at_ms <= now_ms) | (sessions.c.last_seen_at_ms <= idle_since_ms)
        )
    )
