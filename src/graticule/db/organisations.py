"""Organisations, their members, and API keys in SQL.  Functions over a connection.

Secrets never get here: a key is stored as the hash that `access.tokens` makes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from graticule.db.engine import violates
from graticule.db.schema import api_keys, members, organisations
from graticule.domain.errors import AlreadyExists
from graticule.domain.tenancy import (
    ApiKey,
    Edition,
    Member,
    MemberKind,
    Organisation,
    Principal,
    Role,
    Scope,
)


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """All that deciding about a presented API key takes."""

    principal: Principal
    """With the key's own scopes; an access token may have fewer."""
    secret_hash: str
    expires_at_ms: int | None
    revoked_at_ms: int | None


# Organisations


def has_any(conn: Connection) -> bool:
    return bool(conn.execute(select(exists(select(organisations.c.id)))).scalar())


def create(conn: Connection, organisation: Organisation) -> None:
    """Insert an organisation.

    Raises:
        AlreadyExists: the name is taken.
    """
    try:
        conn.execute(
            insert(organisations).values(
                id=organisation.id,
                name=organisation.name,
                edition=organisation.edition,
                created_at_ms=organisation.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, organisations, "name"):
            raise AlreadyExists(f"organisation `{organisation.name}` exists") from error
        raise


def load(conn: Connection, organisation_id: str) -> Organisation | None:
    return _organisation(conn, select(organisations).where(organisations.c.id == organisation_id))


def load_by_name(conn: Connection, name: str) -> Organisation | None:
    return _organisation(conn, select(organisations).where(organisations.c.name == name))


def _organisation(conn: Connection, query: Select[Any]) -> Organisation | None:
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    return Organisation(row.id, row.name, Edition(row.edition), row.created_at_ms)


# Members


def create_member(conn: Connection, member: Member) -> None:
    """Insert a member.

    Raises:
        AlreadyExists: the organisation has one of that name.
    """
    try:
        conn.execute(
            insert(members).values(
                id=member.id,
                organisation_id=member.organisation_id,
                kind=member.kind,
                name=member.name,
                role=member.role,
                created_at_ms=member.created_at_ms,
            )
        )
    except IntegrityError as error:
        if violates(error, members, "organisation_id", "name"):
            raise AlreadyExists(f"member `{member.name}` exists") from error
        raise


def load_member(conn: Connection, organisation_id: str, id_or_name: str) -> Member | None:
    """A member of this organisation; an id wins over a name."""
    rows = conn.execute(
        select(members).where(
            members.c.organisation_id == organisation_id,
            (members.c.id == id_or_name) | (members.c.name == id_or_name),
        )
    ).all()
    found = sorted((_member(row) for row in rows), key=lambda member: member.id != id_or_name)
    return found[0] if found else None


def page_of_members(
    conn: Connection, organisation_id: str, *, after: str | None, limit: int
) -> list[Member]:
    query = select(members).where(members.c.organisation_id == organisation_id)
    if after is not None:
        query = query.where(members.c.id > after)
    return [_member(row) for row in conn.execute(query.order_by(members.c.id).limit(limit))]


def _member(row: Row[Any]) -> Member:
    return Member(
        id=row.id,
        organisation_id=row.organisation_id,
        kind=MemberKind(row.kind),
        name=row.name,
        role=Role(row.role),
        created_at_ms=row.created_at_ms,
    )


# API keys


def create_key(conn: Connection, key: ApiKey, *, secret_hash: str) -> None:
    conn.execute(
        insert(api_keys).values(
            id=key.id,
            organisation_id=key.organisation_id,
            member_id=key.member_id,
            name=key.name,
            secret_hash=secret_hash,
            scopes=_scopes_text(key.scopes),
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
            revoked_at_ms=key.revoked_at_ms,
        )
    )


def page_of_keys(
    conn: Connection, organisation_id: str, *, after: str | None, limit: int
) -> list[ApiKey]:
    query = select(api_keys).where(api_keys.c.organisation_id == organisation_id)
    if after is not None:
        query = query.where(api_keys.c.id > after)
    return [_key(row) for row in conn.execute(query.order_by(api_keys.c.id).limit(limit))]


def revoke_key(conn: Connection, organisation_id: str, key_id: str, *, now_ms: int) -> bool:
    """Revoke a key for good.  False if the organisation has no such key, or it was revoked."""
    revoke = update(api_keys).where(
        api_keys.c.id == key_id,
        api_keys.c.organisation_id == organisation_id,
        api_keys.c.revoked_at_ms.is_(None),
    )
    return conn.execute(revoke.values(revoked_at_ms=now_ms)).rowcount == 1


def load_credential(conn: Connection, key_id: str) -> StoredCredential | None:
    """The key with its member and organisation, in one statement."""
    row = conn.execute(
        select(
            api_keys.c.id,
            api_keys.c.secret_hash,
            api_keys.c.scopes,
            api_keys.c.expires_at_ms,
            api_keys.c.revoked_at_ms,
            api_keys.c.organisation_id,
            api_keys.c.member_id,
            members.c.name,
            members.c.role,
            organisations.c.edition,
        )
        .join(members, members.c.id == api_keys.c.member_id)
        .join(organisations, organisations.c.id == api_keys.c.organisation_id)
        .where(api_keys.c.id == key_id)
    ).one_or_none()
    if row is None:
        return None
    principal = Principal(
        organisation_id=row.organisation_id,
        member_id=row.member_id,
        name=row.name,
        edition=Edition(row.edition),
        role=Role(row.role),
        scopes=_scopes(row.scopes),
        key_id=row.id,
    )
    return StoredCredential(principal, row.secret_hash, row.expires_at_ms, row.revoked_at_ms)


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        organisation_id=row.organisation_id,
        member_id=row.member_id,
        name=row.name,
        scopes=_scopes(row.scopes),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
    )


def _scopes_text(scopes: Iterable[Scope]) -> str:
    return " ".join(sorted(scopes))


def _scopes(text: str) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in text.split())
