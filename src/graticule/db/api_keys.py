"""API keys in SQL.  Functions over a connection.

Secrets never get here: a key is stored as the hash that `access.tokens` makes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from graticule.db.schema import api_keys, members, organisations
from graticule.domain.tenancy import ApiKey, Edition, Principal, Role, Scope


@dataclass(frozen=True, slots=True)
class StoredCredential:
    """All that deciding about a presented API key takes."""

    principal: Principal
    """With the key's own scopes; an access token may have fewer."""
    secret_hash: str
    expires_at_ms: int | None
    revoked_at_ms: int | None
    last_used_at_ms: int | None
    member_disabled_at_ms: int | None


def create(conn: Connection, key: ApiKey, *, secret_hash: str) -> None:
    conn.execute(
        insert(api_keys).values(
            id=key.id,
            organisation_id=key.organisation_id,
            member_id=key.member_id,
            name=key.name,
            secret_hash=secret_hash,
            scopes=scopes_text(key.scopes),
            created_at_ms=key.created_at_ms,
            expires_at_ms=key.expires_at_ms,
            revoked_at_ms=key.revoked_at_ms,
        )
    )


def page(
    conn: Connection,
    organisation_id: str,
    *,
    member_id: str | None = None,
    after: str | None = None,
    limit: int,
) -> list[ApiKey]:
    """Keys of the organisation, or of one member of it."""
    query = select(api_keys).where(api_keys.c.organisation_id == organisation_id)
    if member_id is not None:
        query = query.where(api_keys.c.member_id == member_id)
    if after is not None:
        query = query.where(api_keys.c.id > after)
    return [_key(row) for row in conn.execute(query.order_by(api_keys.c.id).limit(limit))]


def load(conn: Connection, organisation_id: str, key_id: str) -> ApiKey | None:
    row = conn.execute(
        select(api_keys).where(
            api_keys.c.organisation_id == organisation_id, api_keys.c.id == key_id
        )
    ).one_or_none()
    return None if row is None else _key(row)


def revoke(
    conn: Connection, organisation_id: str, key_id: str, *, member_id: str | None, now_ms: int
) -> ApiKey | None:
    """Revoke a key for good.

    None if the organisation (or the member, when one is given) has no such key in use.
    """
    statement = update(api_keys).where(
        api_keys.c.id == key_id,
        api_keys.c.organisation_id == organisation_id,
        api_keys.c.revoked_at_ms.is_(None),
    )
    if member_id is not None:
        statement = statement.where(api_keys.c.member_id == member_id)
    if conn.execute(statement.values(revoked_at_ms=now_ms)).rowcount == 0:
        return None
    return _key(conn.execute(select(api_keys).where(api_keys.c.id == key_id)).one())


def record_use(conn: Connection, used_at_ms: Mapping[str, int]) -> None:
    """Note when keys were last used; never moves a time back."""
    statement = (
        update(api_keys)
        .where(
            api_keys.c.id == bindparam("key_id"),
            or_(
                api_keys.c.last_used_at_ms.is_(None),
                api_keys.c.last_used_at_ms < bindparam("at_ms"),
            ),
        )
        .values(last_used_at_ms=bindparam("at_ms"))
    )
    conn.execute(
        statement, [{"key_id": key, "at_ms": at_ms} for key, at_ms in sorted(used_at_ms.items())]
    )


def load_credential(conn: Connection, key_id: str) -> StoredCredential | None:
    """The key with its member and organisation, in one statement."""
    row = conn.execute(
        select(
            api_keys.c.id,
            api_keys.c.secret_hash,
            api_keys.c.scopes,
            api_keys.c.expires_at_ms,
            api_keys.c.revoked_at_ms,
            api_keys.c.last_used_at_ms,
            api_keys.c.organisation_id,
            api_keys.c.member_id,
            members.c.name,
            members.c.role,
            members.c.disabled_at_ms,
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
        scopes=scopes_of(row.scopes),
        key_id=row.id,
    )
    return StoredCredential(
        principal=principal,
        secret_hash=row.secret_hash,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        member_disabled_at_ms=row.disabled_at_ms,
    )


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        organisation_id=row.organisation_id,
        member_id=row.member_id,
        name=row.name,
        scopes=scopes_of(row.scopes),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
        last_used_at_ms=row.last_used_at_ms,
    )


def scopes_text(scopes: Iterable[Scope]) -> str:
    return " ".join(sorted(scopes))


def scopes_of(text: str) -> frozenset[Scope]:
    return frozenset(Scope(scope) for scope in text.split())
