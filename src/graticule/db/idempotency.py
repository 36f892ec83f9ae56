"""Idempotency keys in SQL: one row per key that did something, or was refused for good.

The primary key decides between requests that race under one key, on all replicas: the second
insert waits for the first one's transaction and then fails, and its own transaction with it.
"""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from graticule.db.schema import idempotency_keys as keys
from graticule.domain.errors import KeyClaimed
from graticule.domain.idempotency import IdempotentRequest, Landed, Refused

_ZLIB_LEVEL: Final = 1


def find(conn: Connection, request: IdempotentRequest) -> Landed | Refused | None:
    """What became of the request that used this key, whichever it was."""
    row = conn.execute(
        select(keys).where(keys.c.member_id == request.member_id, keys.c.key == request.key)
    ).one_or_none()
    if row is None:
        return None
    body = zlib.decompress(row.body)
    if row.status is None:
        return Landed(row.request_hash, json.loads(body))
    return Refused(row.request_hash, row.status, body)


def claim(
    conn: Connection, request: IdempotentRequest | None, result: Mapping[str, Any] | None = None
) -> None:
    """Record, in the transaction of a change, that its request has landed.  First in it, or last.

    `result` holds what the answer is made of again.  Nothing to do for a request without a key.

    Raises:
        KeyClaimed: another request under this key landed first; the transaction must not go on.
    """
    if request is not None:
        _insert(conn, request, status=None, body=json.dumps(dict(result or {})).encode())


def refuse(conn: Connection, request: IdempotentRequest, *, status: int, body: bytes) -> None:
    """Record an answer that says no for good.

    Raises:
        KeyClaimed: the request landed, or was refused, meanwhile.
    """
    _insert(conn, request, status=status, body=body)


def remove_expired(conn: Connection, *, now_ms: int, limit: int) -> int:
    """Forget up to `limit` keys whose time is over, and say how many."""
    expired = (
        select(keys.c.member_id, keys.c.key)
        .where(keys.c.expires_at_ms <= now_ms)
        .order_by(keys.c.expires_at_ms)
        .limit(limit)
    )
    return conn.execute(
        delete(keys).where(tuple_(keys.c.member_id, keys.c.key).in_(expired))
    ).rowcount


def _insert(
    conn: Connection, request: IdempotentRequest, *, status: int | None, body: bytes
) -> None:
    try:
        conn.execute(
            insert(keys).values(
                member_id=request.member_id,
                key=request.key,
                request_hash=request.request_hash,
                status=status,
                body=zlib.compress(body, _ZLIB_LEVEL),
                created_at_ms=request.created_at_ms,
                expires_at_ms=request.expires_at_ms,
            )
        )
    except IntegrityError as error:
        raise KeyClaimed("another request with this Idempotency-Key was first") from error
