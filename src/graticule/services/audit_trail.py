"""Writes the event of a change in its transaction: neither is there without the other."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from uuid6 import uuid7

from graticule.db import audit as audit_db
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
    """Write an event in the transaction of the change that it tells of."""
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
