"""Idempotency keys: what became of a request, and the answers that say no for good.

That a change landed is recorded by the service that makes it, in its own transaction
(`db.idempotency.claim`); see docs/design/001-idempotency.md.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Engine

from graticule.db import idempotency as idempotency_db
from graticule.db.engine import read, write
from graticule.domain.catalog import OpenCatalog, TableRecord
from graticule.domain.errors import IdempotencyKeyReused, InvalidRequest
from graticule.domain.idempotency import IdempotentRequest, Landed, Refused
from graticule.domain.tenancy import Principal
from graticule.services.catalog import objects
from graticule.services.catalog.objects import AllowedTable

EXPIRED_BATCH_ROWS: Final = 500
"""Removed in one transaction, so that no writer waits long for it."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Idempotency:
    def __init__(self, engine: Engine, *, now_ms: Callable[[], int], lifetime_s: int) -> None:
        self.lifetime_s: Final = lifetime_s
        self._engine = engine
        self._now_ms = now_ms

    def request(self, principal: Principal, key: str, request_hash: str) -> IdempotentRequest:
        """The request as services are handed it.

        Raises:
            InvalidRequest: the key is not the text of a UUID.
        """
        if not _UUID.fullmatch(key.lower()):
            raise InvalidRequest(
                f"`Idempotency-Key` must be a UUID of 36 characters, not `{key[:50]}`"
            )
        now_ms = self._now_ms()
        return IdempotentRequest(
            member_id=principal.member_id,
            key=key.lower(),
            request_hash=request_hash,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + self.lifetime_s * 1000,
        )

    def recall(self, request: IdempotentRequest) -> Landed | Refused | None:
        """What became of the same request before.

        A key is good until it is removed, which is some time after its lifetime at the earliest.

        Raises:
            IdempotencyKeyReused: the member used the key for another request.
        """
        with read(self._engine) as conn:
            known = idempotency_db.find(conn, request)
        if known is not None and known.request_hash != request.request_hash:
            raise IdempotencyKeyReused(
                f"the Idempotency-Key `{request.key}` was used for another request; "
                "every request needs a key of its own"
            )
        return known

    def refuse(self, request: IdempotentRequest, *, status: int, body: bytes) -> None:
        """Keep an answer that says no, so that the same request gets it again.

        Raises:
            KeyClaimed: the request landed meanwhile, sent twice at once; recall it.
        """
        with write(self._engine) as conn:
            idempotency_db.refuse(conn, request, status=status, body=body)

    def remove_expired(self) -> None:
        """Forget all keys whose time is over, batch by batch."""
        removed = EXPIRED_BATCH_ROWS
        while removed == EXPIRED_BATCH_ROWS:
            with write(self._engine) as conn:
                removed = idempotency_db.remove_expired(
                    conn, now_ms=self._now_ms(), limit=EXPIRED_BATCH_ROWS
                )


def result_of(record: TableRecord) -> dict[str, Any]:
    """What the answer to a change of one table or view is made of again: its row, by id."""
    return {"table": record.id}


def landed_table(
    engine: Engine, principal: Principal, catalog: OpenCatalog, request: IdempotentRequest
) -> AllowedTable | None:
    """The table or view that an earlier request with the same key changed, as it is now.

    None if it is gone, or not for this principal to read any more.
    """
    with read(engine) as conn:
        return objects.table_again(conn, principal, catalog, (request.landed or {})["table"])
