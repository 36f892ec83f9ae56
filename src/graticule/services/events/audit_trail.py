"""Writes the event of a change in its transaction: neither is there without the other.

Management changes claim their `Idempotency-Key` here as well: each has one event, whose subject is
what a repetition is answered with.  See docs/design/001-idempotency.md.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from uuid6 import uuid7

from graticule.db import audit as audit_db
from graticule.db import idempotency as idempotency_db
from graticule.domain.audit import EventType, Subject, event_of
from graticule.domain.grants import Privilege
from graticule.domain.tenancy import Principal


def record(
    conn: Connection,
    principal: Principal,
    type_: EventType,
    subject: Subject,
    *,
    now_ms: int,
    by: Privilege | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write an event in the transaction of the change that it tells of.

    Raises:
        KeyClaimed: the same request, sent twice at once, landed first; nothing may be changed.
    """
    idempotency_db.claim(conn, principal.origin.request, {"id": subject.id})
    event = event_of(
        principal,
        type_,
        subject,
        event_id=str(uuid7()),
        now_ms=now_ms,
        by=by,
        details=details,
    )
    audit_db.record(conn, event)
